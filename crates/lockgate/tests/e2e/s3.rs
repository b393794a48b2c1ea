//! Recordings in an S3 store.

use anyhow::Result;
use lockgate_testkit::{GitServerOptions, S3Server, wait};

use crate::world::World;

#[test]
fn recordings_go_to_s3_and_are_read_from_there() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let s3 = S3Server::start(folder.path())?;
    let mut world = World::prepare(GitServerOptions::default())?;
    std::fs::write(world.gate.folder().join("s3-secret"), S3Server::SECRET)?;
    let config = world.config(&format!(
        "recording:\n  \
           store: s3://{}/gate\n  \
           s3: {{ endpoint: \"{}\", region: eu-central-1, access_key_id: {}, secret_access_key_file: s3-secret, \
         allow_http: true }}",
        S3Server::BUCKET,
        s3.endpoint(),
        S3Server::KEY
    ));
    world.configure(&config)?;
    world.gate.start()?;
    world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    git.commit(&work, "a", "kept in a bucket")?;
    git.ok(&work, &["push", "origin", "HEAD:refs/heads/x"])?;
    let push = &world.exchanges(&["--action", "push"], 1)?[0];
    let exchange = push["exchange"].as_str().unwrap_or_default().to_owned();
    wait::until("the commit in the recording", || {
        let shown = world.gate.run_configured(&["sessions", "show", &exchange]).ok()?;
        shown.stdout.contains("Ada Test").then_some(())
    })?;
    world.stop_and_verify()?;
    let bucket = folder.path().join(S3Server::BUCKET).join("gate");
    assert!(bucket.exists(), "the bundles are in the bucket");
    let checked = world.gate.run(&["config", "check", "lockgate.yaml"])?;
    assert!(!(checked.stdout + &checked.stderr).contains(S3Server::SECRET));
    Ok(())
}
