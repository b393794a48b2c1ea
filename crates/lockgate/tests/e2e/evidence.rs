//! What is recorded is found again: after the end of a process, without its index, and not when it was removed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use lockgate_testkit::wait;
use serde_json::Value;

use crate::world::World;

/// A gateway that has ended, with a few recorded bundles.
fn recorded() -> Result<(World, Vec<PathBuf>)> {
    let mut world = World::start_with("recording: { bundle_age: 100ms }")?;
    world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    let recordings = world.gate.folder().join("data/recordings");
    wait::until("four bundles", || {
        git.ok(&work, &["ls-remote"]).ok()?;
        (bundles(&recordings).ok()?.len() >= 4).then_some(())
    })?;
    world.stop_and_verify()?;
    let bundles = bundles(&recordings)?;
    Ok((world, bundles))
}

/// The bundles below a folder, oldest first.
pub(crate) fn bundles(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(bundles(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "lgr") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Verification finds this, with exit status 1.
fn finds(world: &World, args: &[&str], problem: &str) -> Result<()> {
    let said = world.gate.run_configured(&[&["verify"], args].concat())?;
    assert_eq!(said.status.code(), Some(1), "{}{}", said.stdout, said.stderr);
    let text = said.stdout + &said.stderr;
    assert!(text.contains(problem), "{problem} in {text}");
    Ok(())
}

fn id(bundle: &Path) -> String {
    bundle.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[test]
fn bundles_that_were_removed_are_missed_also_the_last() -> Result<()> {
    let (world, bundles) = recorded()?;
    let recordings = world.gate.folder().join("data/recordings");
    let url = format!("file://{}", recordings.display());
    let (last, aside) = (bundles.len() - 1, world.gate.folder().join("aside"));
    for removed in [0, 1, last] {
        fs::rename(&bundles[removed], &aside)?;
        finds(&world, &[], &id(&bundles[removed]))?;
        fs::rename(&aside, &bundles[removed])?;
        world.verify()?;
    }
    // The store alone can't know what stood behind its end, and says so.
    let whole = world.gate.run_configured(&["verify", &url])?;
    assert!(whole.status.success() && whole.stdout.contains("not covered"), "{}", whole.stdout);
    let whole = world.gate.run_configured(&["verify"])?;
    assert!(!whole.stdout.contains("not covered"), "{}", whole.stdout);

    fs::rename(&bundles[1], &aside)?;
    fs::rename(&bundles[2], &bundles[1])?;
    fs::rename(&aside, &bundles[2])?;
    finds(&world, &[], &id(&bundles[2]))?;
    Ok(())
}

#[test]
fn what_is_not_there_is_not_intact() -> Result<()> {
    let (world, _) = recorded()?;
    finds(&world, &["--session", "nobody"], "no exchange of session nobody")?;
    let recordings = world.gate.folder().join("data/recordings");
    fs::remove_dir_all(recordings.join("bundles"))?;
    finds(&world, &[], "no bundle")?;
    finds(&world, &[&format!("file://{}", recordings.display())], "no bundle")?;
    let mistyped = world.gate.folder().join("recodrings");
    finds(&world, &[&format!("file://{}", mistyped.display())], "no directory")?;
    assert!(!mistyped.exists(), "who reads makes nothing");
    Ok(())
}

#[test]
fn where_nothing_is_stored_yet_nothing_is_damaged() -> Result<()> {
    let mut world = World::start_with("recording: { bundle_age: 1h }")?;
    let recordings = format!("file://{}", world.gate.folder().join("data/recordings").display());
    let said = world.gate.run_configured(&["verify"])?;
    assert!(said.status.success(), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.starts_with("nothing is stored yet"), "{}", said.stdout);
    assert_eq!(world.gate.json(&["verify"])?["intact"], true);
    finds(&world, &[&recordings], "no bundle")?;
    finds(&world, &["--session", "nobody"], "no exchange of session nobody")?;

    // What waits is counted: a bundle is begun by the first exchange.
    world.repo("team/app")?;
    let git = world.git("ada")?;
    world.work(&git, "team/app")?;
    assert_eq!(world.gate.json(&["verify"])?["waiting"], 1);
    world.stop_and_verify()?;
    // The spool knows now of what was there.
    fs::remove_dir_all(world.gate.folder().join("data/recordings/bundles"))?;
    finds(&world, &[], "no bundle")
}

/// What the index has, without what only the live exchange knew: the moment of its end, and an order of attributes that
/// means nothing.
fn index(world: &World) -> Result<Vec<Value>> {
    let found = world.gate.json(&["sessions", "search", "--limit", "200"])?;
    let mut entries = found.as_array().cloned().unwrap_or_default();
    for entry in &mut entries {
        let ended = entry["ended"].take();
        assert!(ended.as_u64() >= entry["started"].as_u64(), "{entry}");
        for access in entry["accesses"].as_array_mut().into_iter().flatten() {
            let attributes = access["attributes"].as_array_mut().into_iter();
            attributes.for_each(|list| list.sort_by_key(ToString::to_string));
        }
    }
    Ok(entries)
}

#[test]
fn an_index_that_is_lost_is_rebuilt_from_the_recordings() -> Result<()> {
    let mut world = World::start()?;
    world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    git.commit(&work, "a", "1")?;
    git.ok(&work, &["push", "origin", "HEAD:refs/heads/x"])?;
    git.fails(&work, &["push", "origin", "HEAD:short"])?;
    let id = world.gate.pending()?;
    assert!(world.approve(&id)?.status.success());
    git.ok(&work, &["push", "origin", "HEAD:short"])?;
    git.fails(&work, &["ls-remote", &world.url("elsewhere/app")])?;
    world.gate.stop()?;
    world.gate.start()?;
    let before = index(&world)?;
    assert!(before.len() >= 8, "{before:?}");

    world.gate.stop()?;
    for file in ["control.sqlite", "control.sqlite-wal", "control.sqlite-shm"] {
        // Those beside the first are there, or not.
        let _ = fs::remove_file(world.gate.folder().join("data").join(file));
    }
    world.gate.start()?;
    assert_eq!(index(&world)?, <[Value; 0]>::default());
    let done = world.gate.json(&["sessions", "reindex"])?;
    assert_eq!((&done["added"], &done["known"]), (&before.len().into(), &0.into()), "{done}");
    assert_eq!(index(&world)?, before);
    let done = world.gate.json(&["sessions", "reindex", "--since", "1h"])?;
    assert_eq!((&done["added"], &done["known"]), (&0.into(), &before.len().into()), "{done}");
    Ok(())
}

#[test]
fn what_is_cut_off_at_the_end_is_in_the_index() -> Result<()> {
    let mut world = World::start_with("limits: { shutdown: 500ms }")?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    git.commit(&work, "a", "1")?;
    let held = git.spawn(&work, &["push", "origin", "HEAD:main"])?;
    held.wait_for_stderr("remote: ")?;
    world.gate.pending()?;
    // And one on its way, which its upstream does not finish.
    repo.hook("pre-receive", "cat >/dev/null; touch began; sleep 20")?;
    let slow = git.spawn(&work, &["push", "origin", "HEAD:refs/heads/slow"])?;
    wait::until("the upstream to have it", || repo.path().join("began").exists().then_some(()))?;
    let ended = world.gate.stop()?;
    assert!(ended.status.success(), "{}", ended.stderr);
    held.finish(std::time::Duration::from_secs(60))?;
    slow.finish(std::time::Duration::from_secs(60))?;
    world.gate.start()?;
    for reference in ["refs/heads/main", "refs/heads/slow"] {
        let found = world.exchanges(&["--action", "push", "--ref", reference], 1)?;
        assert_ne!(found[0]["outcome"], "complete", "{found:?}");
    }
    world.stop_and_verify()
}
