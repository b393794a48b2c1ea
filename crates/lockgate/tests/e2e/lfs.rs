//! LFS with the real git-lfs and a real LFS server: objects up and down, refused, altered, elsewhere; locks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lockgate_testkit::{Git, GitServerOptions, LfsStorage, Output};

use crate::world::{POLICY, UPSTREAM_PASSWORD, World};

/// What is refused besides.
const RULES: &str = r#"
  - id: no-secrets
    match: { git: { action: push, findings: any } }
    decide: deny
    reason: "it contains {findings}"
  - id: no-big-files
    match: { git: { action: push, lfs: true, repositories: [team/closed] } }
    decide: deny
    reason: "team/closed takes no large files"
  - id: by-people
    match: { git: { action: push, lfs: true, repositories: [team/held] } }
    decide: require_approval
    approval: { hold: 1s, ttl: 1h }
"#;

/// A world with LFS; `config` stands in the entry of the upstream.
fn world(storage: LfsStorage, config: &str) -> Result<World> {
    let mut world = World::prepare(GitServerOptions { lfs: Some(storage), ..GitServerOptions::default() })?;
    let lines = world.config("");
    world.configure(&lines.replace("issuers:", &format!("{config}\nissuers:")))?;
    world.policy(&format!("{POLICY}{RULES}"))?;
    world.gate.start()?;
    Ok(world)
}

/// An agent with git-lfs.
fn agent(world: &World, name: &str) -> Result<Git> {
    let git = world.git(name)?.env("GIT_CURL_VERBOSE", "1").env("GIT_TRANSFER_TRACE", "1");
    git.ok(git.home(), &["lfs", "install", "--skip-repo"])?;
    Ok(git)
}

/// Its clone, in which `*.bin` is tracked.
fn work(world: &World, git: &Git, name: &str) -> Result<PathBuf> {
    world.repo(&format!("{name}.git"))?;
    let work = world.work(git, name)?;
    git.ok(&work, &["lfs", "install", "--local"])?;
    git.ok(&work, &["lfs", "track", "*.bin"])?;
    git.ok(&work, &["add", ".gitattributes"])?;
    git.ok(&work, &["checkout", "-q", "-b", "side"])?;
    Ok(work)
}

/// The oid of a file's object, from its pointer.
fn oid(git: &Git, work: &Path, file: &str) -> Result<String> {
    let pointer = git.ok(work, &["cat-file", "-p", &format!("HEAD:{file}")])?.stdout;
    let line = pointer.lines().find_map(|line| line.strip_prefix("oid sha256:"));
    Ok(line.with_context(|| format!("no pointer: {pointer}"))?.to_owned())
}

fn push(git: &Git, work: &Path) -> Result<Output> {
    git.run(work, &["push", "origin", "side"])
}

/// The person at the client was told this, however its lines are broken.
fn told(output: &Output, text: &str) {
    let printed = output.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!output.status.success() && printed.contains(text), "{text}: {}", output.stderr);
}

/// What only the gateway and the LFS server may know is in nothing that git-lfs has seen.
fn saw_nothing(world: &World, output: &Output) {
    let seen = format!("{}{}", output.stdout, output.stderr);
    assert!(seen.contains("/info/lfs/objects/"), "the trace is there: {seen}");
    for secret in [&world.server.url(), "objects/storage", UPSTREAM_PASSWORD, "giftless"] {
        assert!(!seen.contains(secret), "{secret} was seen: {seen}");
    }
}

#[test]
fn objects_go_by_the_credential_of_their_repository() -> Result<()> {
    let mut world =
        World::prepare(GitServerOptions { lfs: Some(LfsStorage::Here), ..GitServerOptions::default() })?;
    let one = "credential: { basic: { user: gate, password_file: password } }";
    let listed = format!(
        "credentials: [ {{ repositories: [other/**], credential: none }}, {{ repositories: [team/app], {one} }} ]\n  \
         repositories: [team/*]\n  ignore_case: true"
    );
    world.configure(&world.config("").replace(one, &listed))?;
    world.gate.start()?;
    let git = agent(&world, "ada")?;
    let work = work(&world, &git, "team/app")?;
    git.commit(&work, "a.bin", "large")?;
    let pushed = push(&git, &work)?;
    assert!(pushed.status.success(), "{}", pushed.stderr);
    let url = world.url("team/app.git");
    git.ok(git.home(), &["clone", "-q", "-b", "side", &url, "again"])?;
    assert_eq!(std::fs::read_to_string(git.home().join("again/a.bin"))?, "large");
    Ok(())
}

#[test]
fn objects_go_up_and_come_down() -> Result<()> {
    let mut world = world(LfsStorage::Here, "")?;
    let git = agent(&world, "ada")?;
    let work = work(&world, &git, "team/app")?;
    let content = "large ".repeat(300_000);
    git.commit(&work, "a.bin", &content)?;
    git.commit(&work, "b.bin", "small")?;
    let pushed = push(&git, &work)?;
    assert!(pushed.status.success(), "{}", pushed.stderr);
    saw_nothing(&world, &pushed);
    for (file, content) in [("a.bin", &*content), ("b.bin", "small")] {
        let stored = world.server.lfs_object("team/app", &oid(&git, &work, file)?);
        assert!(std::fs::read(stored)? == content.as_bytes());
    }

    let other = agent(&world, "bob")?;
    let cloned = other.run(other.home(), &["clone", "-b", "side", &world.url("team/app"), "clone"])?;
    assert!(cloned.status.success(), "{}", cloned.stderr);
    saw_nothing(&world, &cloned);
    assert!(std::fs::read_to_string(other.home().join("clone/a.bin"))? == content);
    // Nothing is there to upload any more.
    git.commit(&work, "c.bin", "small")?;
    assert!(push(&git, &work)?.status.success());

    // A batch, two objects with their verification, and twice the refs: what is there is not asked for again.
    let uploads = world.exchanges(&["--action", "push", "--repository", "team/app", "--limit", "100"], 7)?;
    assert!(
        uploads.iter().all(|exchange| exchange["verdict"] == "permit" && exchange["outcome"] == "complete")
    );
    let log = world.gate.log()?;
    assert!(!log.contains(UPSTREAM_PASSWORD) && !log.contains("objects/storage"), "{log}");
    world.stop_and_verify()
}

#[test]
fn a_secret_in_an_object_stays_here() -> Result<()> {
    let world = world(LfsStorage::Here, "")?;
    let git = agent(&world, "ada")?;
    let work = work(&world, &git, "team/app")?;
    git.commit(&work, "key.bin", &format!("{}\naws_key = AKIAZ7Q3XBVN5TWMPK2R\n", "x".repeat(200_000)))?;
    let pushed = push(&git, &work)?;
    let oid = oid(&git, &work, "key.bin")?;
    told(&pushed, "lockgate: denied: it contains aws-access-key-id");
    told(&pushed, &format!("(lfs object {}) line 2", &oid[..12]));
    assert!(!world.server.lfs_object("team/app", &oid).exists());
    let uploads = world.server.requests()?.iter().filter(|request| request.method == "PUT").count();
    assert_eq!(uploads, 0);
    let side = world.server.requests()?.iter().any(|request| request.path.ends_with("/git-receive-pack"));
    assert!(!side, "the refs are not pushed without their content");
    Ok(())
}

#[test]
fn a_policy_refuses_a_batch() -> Result<()> {
    let world = world(LfsStorage::Here, "")?;
    let git = agent(&world, "ada")?;
    let work = work(&world, &git, "team/closed")?;
    git.commit(&work, "a.bin", "content")?;
    let pushed = push(&git, &work)?;
    told(&pushed, "lockgate: denied: team/closed takes no large files");
    Ok(())
}

#[test]
fn who_must_wait_is_told_where_to_approve() -> Result<()> {
    let world = world(LfsStorage::Here, "")?;
    let git = agent(&world, "ada")?;
    let work = work(&world, &git, "team/held")?;
    git.commit(&work, "a.bin", "content")?;
    let pushed = push(&git, &work)?;
    let id = world.gate.pending()?;
    told(&pushed, "lockgate: approval_needed:");
    told(&pushed, &format!("approve: lockgate approvals approve {id}"));
    // What was approved is the batch; the upload has content of its own to decide on.
    anyhow::ensure!(world.approve(&id)?.status.success());
    told(&push(&git, &work)?, "lockgate: approval_needed:");
    assert_ne!(world.gate.pending()?, id);
    Ok(())
}

#[test]
fn storage_elsewhere_is_used_where_allowed() -> Result<()> {
    let closed = world(LfsStorage::Elsewhere, "")?;
    let git = agent(&closed, "ada")?;
    let clone = work(&closed, &git, "team/app")?;
    git.commit(&clone, "a.bin", "content")?;
    let pushed = push(&git, &clone)?;
    let storage = closed.server.lfs_url()?;
    told(&pushed, &format!("the upstream keeps this at {storage}, where this gateway may not go"));

    // The same server, once its storage is named.
    let mut open = closed;
    open.gate.stop()?;
    let storage = format!("  storage: [\"{storage}\"]");
    open.configure(&open.config("").replace("issuers:", &format!("{storage}\nissuers:")))?;
    open.policy(&format!("{POLICY}{RULES}"))?;
    open.gate.start()?;
    let pushed = push(&git, &clone)?;
    assert!(pushed.status.success(), "{}", pushed.stderr);
    saw_nothing(&open, &pushed);
    let other = agent(&open, "bob")?;
    other.ok(other.home(), &["clone", "-b", "side", &open.url("team/app"), "clone"])?;
    assert_eq!(std::fs::read_to_string(other.home().join("clone/a.bin"))?, "content");
    Ok(())
}

#[test]
fn an_altered_object_does_not_arrive() -> Result<()> {
    let world = world(LfsStorage::Here, "")?;
    let git = agent(&world, "ada")?;
    let work = work(&world, &git, "team/app")?;
    git.commit(&work, "a.bin", "content")?;
    assert!(push(&git, &work)?.status.success());
    std::fs::write(world.server.lfs_object("team/app", &oid(&git, &work, "a.bin")?), "altered")?;
    let other = agent(&world, "bob")?.config("lfs.transfer.maxretries", "1");
    let cloned = other.run(other.home(), &["clone", "-b", "side", &world.url("team/app"), "clone"])?;
    assert!(!cloned.status.success(), "{}", cloned.stderr);
    assert!(!cloned.stderr.contains("altered"));
    lockgate_testkit::wait::until("the failure to be on record", || {
        let search = ["sessions", "search", "--action", "fetch", "--outcome", "upstream failed"];
        world.gate.json(&search).ok()?.as_array().filter(|failed| !failed.is_empty()).map(drop)
    })?;
    Ok(())
}

#[test]
fn files_are_locked_and_given_free() -> Result<()> {
    let world = world(LfsStorage::Here, "")?;
    let git = agent(&world, "ada")?;
    let work = work(&world, &git, "team/app")?;
    git.commit(&work, "a.bin", "content")?;
    assert!(push(&git, &work)?.status.success());
    git.ok(&work, &["lfs", "lock", "a.bin"])?;
    let twice = git.fails(&work, &["lfs", "lock", "a.bin"])?;
    assert!(twice.stderr.contains("already created lock"), "{}", twice.stderr);
    assert!(git.ok(&work, &["lfs", "locks"])?.stdout.contains("a.bin"));
    // With its own lock verified before.
    git.commit(&work, "a.bin", "more")?;
    assert!(push(&git, &work)?.status.success());
    git.ok(&work, &["lfs", "unlock", "a.bin"])?;
    assert!(!git.ok(&work, &["lfs", "locks"])?.stdout.contains("a.bin"));
    Ok(())
}

#[test]
fn credentials_come_from_a_helper_too() -> Result<()> {
    let world = world(LfsStorage::Here, "")?;
    let git = Git::new()?.credentials("any", &world.token("ada").sign()?);
    git.ok(git.home(), &["lfs", "install", "--skip-repo"])?;
    let work = work(&world, &git, "team/app")?;
    git.commit(&work, "a.bin", &"content ".repeat(200_000))?;
    let pushed = push(&git, &work)?;
    assert!(pushed.status.success(), "{}", pushed.stderr);
    git.ok(git.home(), &["clone", "-b", "side", &world.url("team/app"), "clone"])?;
    assert!(std::fs::read_to_string(git.home().join("clone/a.bin"))?.starts_with("content content"));
    Ok(())
}
