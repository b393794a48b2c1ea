//! Pushes that are begun upstream while they are searched (`forward: early`): what is permitted arrives, and of what
//! is refused or cut off nothing is to be seen there.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use lockgate_detect::expand_sample;
use lockgate_testkit::{Git, GitServerOptions, Repo, generate, wait};

use crate::{bad_input::ReadLossy as _, world::World};

const SECRETS: &str = include_str!("../../../../examples/policies/no-secrets.yaml");

fn start(policy: &str) -> Result<World> {
    let mut world = World::prepare(GitServerOptions::default())?;
    let operator = "control: { operator: { roles: [admin], groups: [release] }, ";
    let config = world.config("").replace("control: { ", operator);
    world.configure(&config.replace("kind: git\n", "kind: git\n  forward: early\n"))?;
    world.policy(policy)?;
    world.gate.start()?;
    Ok(world)
}

/// A repository of some megabytes, with one pack, beside the work trees.
fn bulk(git: &Git) -> Result<PathBuf> {
    let folder = git.home().join("bulk");
    std::fs::create_dir(&folder)?;
    git.ok(&folder, &["init", "-q", "--bare", "-b", "main"])?;
    generate::incompressible(&folder, 8, 1 << 20)?;
    git.ok(&folder, &["repack", "-a", "-d", "-q"])?;
    Ok(folder)
}

/// A push of `main` of a repository to a new branch, as git sends it.
fn push_of(git: &Git, bulk: &Path, branch: &str) -> Result<Vec<u8>> {
    let tip = git.ok(bulk, &["rev-parse", "main"])?.stdout;
    let zero = "0".repeat(40);
    let command = format!("{zero} {} refs/heads/{branch}\0report-status object-format=sha1", tip.trim());
    let packs = std::fs::read_dir(bulk.join("objects/pack"))?.flatten().map(|entry| entry.path());
    let pack = packs.into_iter().find(|path| path.extension().is_some_and(|it| it == "pack"));
    let pack = std::fs::read(pack.context("a pack")?)?;
    Ok([format!("{:04x}{command}0000", command.len() + 4).as_bytes(), &pack].concat())
}

/// Sends the head of a push and the beginning of its body.
fn begin(world: &World, body: &[u8], until: usize) -> Result<TcpStream> {
    let mut tcp = TcpStream::connect(world.gate.port().addr())?;
    tcp.set_read_timeout(Some(Duration::from_secs(60)))?;
    let head = format!(
        "POST /git/forge/team/app/git-receive-pack HTTP/1.1\r\nHost: gate\r\n\
         Authorization: Bearer {}\r\nContent-Type: application/x-git-receive-pack-request\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        world.token("ada").sign()?,
        body.len()
    );
    tcp.write_all(head.as_bytes())?;
    tcp.write_all(&body[..until])?;
    Ok(tcp)
}

/// How many beginnings of pushes the server holds, where nobody can see them. git leaves them to its garbage
/// collection where it is ended by a signal, as its web server does when the connection is cut.
fn quarantines(repo: &Repo) -> usize {
    let entries = std::fs::read_dir(repo.path().join("objects")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().contains("incoming")).count()
}

fn wait_until_begun(repo: &Repo, before: usize) -> Result<()> {
    wait::until("the push to be begun upstream", || (quarantines(repo) > before).then_some(()))
}

/// Nothing of a push is seen on the server, nor ever was its ref.
fn check_nothing_arrived(world: &World, repo: &Repo, before: &[String]) -> Result<()> {
    world.server.wait_idle()?;
    assert_eq!(objects(repo)?, before);
    repo.fsck()
}

/// All objects and refs of a repository.
fn objects(repo: &Repo) -> Result<Vec<String>> {
    let all = repo.git(&["cat-file", "--batch-check", "--batch-all-objects", "--unordered"])?;
    let mut all: Vec<String> = all.lines().map(str::to_owned).collect();
    all.extend(repo.refs()?.into_iter().map(|(name, tip)| format!("{name} {tip}")));
    all.sort();
    Ok(all)
}

#[test]
fn a_push_arrives_while_it_is_sent_and_ends_with_its_verdict() -> Result<()> {
    let mut world = start(SECRETS)?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let bulk = bulk(&git)?;
    let body = push_of(&git, &bulk, "raw")?;
    let (half, before) = (body.len() / 2, repo.refs()?);
    let mut tcp = begin(&world, &body, half)?;
    wait_until_begun(&repo, 0)?;
    assert_eq!(repo.refs()?, before);
    tcp.write_all(&body[half..])?;
    let mut answer = Vec::new();
    tcp.take(1 << 20).read_to_end_lossy(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("unpack ok") && answer.contains("ok refs/heads/raw"), "{answer}");
    assert!(repo.rev("raw")?.is_some());
    // git itself: in chunks, in one piece, and an update that the server has the base of.
    repo.git(&["branch", "-q", "-D", "raw"])?;
    git.ok(&bulk, &["push", "-q", &world.url("team/app"), "main:refs/heads/big"])?;
    let work = world.work(&git, "team/app")?;
    git.commit(&work, "small", "1\n")?;
    git.ok(&work, &["push", "-q", "origin", "HEAD:main"])?;
    git.ok(&work, &["checkout", "-q", "-b", "big", "origin/big"])?;
    let tip = git.commit(&work, "bulk/0003.bin", &"0123456789abcdef".repeat(1 << 14))?;
    git.ok(&work, &["-c", "core.compression=0", "push", "-q", "origin", "big"])?;
    assert_eq!(repo.rev("big")?.as_deref(), Some(&*tip));
    repo.fsck()?;
    let pushes = world.exchanges(&["--action", "push"], 4)?;
    assert!(pushes.iter().all(|it| it["verdict"] == "permit" && it["outcome"] == "complete"), "{pushes:?}");
    let posts = world.server.requests()?;
    let posts = posts.iter().filter(|it| it.method == "POST" && it.path.ends_with("/git-receive-pack"));
    assert_eq!(posts.count(), 4, "none was sent twice");
    world.stop_and_verify()
}

#[test]
fn of_a_push_that_is_refused_nothing_is_to_be_seen() -> Result<()> {
    let mut world = start(SECRETS)?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    let before = objects(&repo)?;
    generate::incompressible(&work.join(".git"), 4, 1 << 20)?;
    git.ok(&work, &["reset", "-q", "--hard", "main"])?;
    let token = expand_sample("ghp_<A-Za-z0-9*36>", 7).map_err(anyhow::Error::msg)?;
    let guilty = git.commit(&work, "zz.txt", &format!("a\ntoken = '{token}'\n"))?;
    let refused = git.fails(&work, &["push", "origin", "HEAD:refs/heads/fix"])?;
    let words = refused.stderr.replace("remote:", "").split_whitespace().collect::<Vec<_>>().join(" ");
    let place = format!("github-pat in zz.txt line 2 (commit {})", &guilty[..7]);
    assert!(words.contains(&place), "{}", refused.stderr);
    assert!(words.contains("! [remote rejected] HEAD -> fix"), "{}", refused.stderr);
    check_nothing_arrived(&world, &repo, &before)?;
    let post = world.server.wait_for("the push to be cut off", |request| {
        request.method == "POST" && request.path.ends_with("/git-receive-pack")
    })?;
    assert!(post.status != 200 && post.request_bytes > 1 << 20, "it was begun: {post:?}");
    let push = &world.exchanges(&["--action", "push"], 1)?[0];
    assert_eq!((&push["verdict"], &push["outcome"]), (&"deny".into(), &"refused".into()), "{push}");
    let replayed =
        world.gate.run_configured(&["sessions", "replay", push["exchange"].as_str().unwrap_or_default()])?;
    assert!(replayed.stdout.contains("early"), "{}", replayed.stdout);
    assert!(!replayed.stdout.contains("goes upstream"), "{}", replayed.stdout);
    world.stop_and_verify()
}

/// What no server may take for the end of the pack: what follows a pack that is whole.
#[test]
fn a_whole_pack_followed_by_more_never_arrives() -> Result<()> {
    let mut world = start(SECRETS)?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let before = objects(&repo)?;
    let mut body = push_of(&git, &bulk(&git)?, "x")?;
    body.extend(std::iter::repeat_n(b'x', 4 << 20));
    let mut tcp = begin(&world, &body, body.len() - (1 << 20))?;
    wait_until_begun(&repo, 0)?;
    // It is refused before its end, or at it.
    let _ = tcp.write_all(&body[body.len() - (1 << 20)..]);
    let mut answer = Vec::new();
    tcp.take(1 << 20).read_to_end_lossy(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("ng refs/heads/x"), "{answer}");
    check_nothing_arrived(&world, &repo, &before)?;
    world.stop_and_verify()
}

#[test]
fn a_push_whose_client_goes_is_cut_off() -> Result<()> {
    let mut world = start(SECRETS)?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let before = objects(&repo)?;
    let body = push_of(&git, &bulk(&git)?, "x")?;
    for until in [body.len() / 2, body.len() - 1] {
        let quarantined = quarantines(&repo);
        let tcp = begin(&world, &body, until)?;
        wait_until_begun(&repo, quarantined)?;
        drop(tcp);
        check_nothing_arrived(&world, &repo, &before)?;
    }
    let gone = wait::until("the exchanges", || {
        let found = world.gate.json(&["sessions", "search", "--limit", "9"]).ok()?.as_array()?.clone();
        let gone: Vec<_> = found.into_iter().filter(|it| it["outcome"] == "client gone").collect();
        (gone.len() == 2).then_some(gone)
    })?;
    assert!(gone.iter().all(|it| it["verdict"] == "none"), "{gone:?}");
    world.stop_and_verify()
}

#[test]
fn kill_9_amid_a_push_leaves_nothing_upstream() -> Result<()> {
    let mut world = start(SECRETS)?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let before = objects(&repo)?;
    let body = push_of(&git, &bulk(&git)?, "x")?;
    let tcp = begin(&world, &body, body.len() - 1)?;
    wait_until_begun(&repo, 0)?;
    world.gate.kill()?;
    drop(tcp);
    check_nothing_arrived(&world, &repo, &before)?;
    // The next start seals what the crash left: why it was begun is in it, and no verdict.
    world.gate.start()?;
    let cut = wait::until("the exchange that was cut off", || {
        let found =
            world.gate.json(&["sessions", "search", "--outcome", "cut off"]).ok()?.as_array()?.clone();
        found.into_iter().next()
    })?;
    assert_eq!(cut["verdict"], "none", "{cut}");
    let replayed =
        world.gate.run_configured(&["sessions", "replay", cut["exchange"].as_str().unwrap_or_default()])?;
    assert!(replayed.stdout.contains("early"), "{}{}", replayed.stdout, replayed.stderr);
    git.ok(&git.home().join("bulk"), &["push", "-q", &world.url("team/app"), "main:refs/heads/x"])?;
    assert!(repo.rev("x")?.is_some());
    world.stop_and_verify()
}

/// What people may have to approve is held as ever, and goes when they have agreed.
#[test]
fn what_may_be_held_is_not_begun() -> Result<()> {
    let rule = "\nrules:\n  - id: pipelines\n    match: { git: { paths: [.github/**] } }\n    \
                decide: require_approval\n    approval: { hold: 60s }\n";
    let mut world = start(&SECRETS.replacen("\nrules:\n", rule, 1))?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let before = objects(&repo)?;
    let body = push_of(&git, &bulk(&git)?, "x")?;
    let mut tcp = begin(&world, &body, body.len() - 1)?;
    tcp.write_all(&body[body.len() - 1..])?;
    let mut answer = Vec::new();
    tcp.take(1 << 20).read_to_end_lossy(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("ok refs/heads/x"), "no rule was found to hold it: {answer}");
    assert_ne!(objects(&repo)?, before);
    let push = &world.exchanges(&["--action", "push"], 1)?[0];
    let replayed =
        world.gate.run_configured(&["sessions", "replay", push["exchange"].as_str().unwrap_or_default()])?;
    assert!(replayed.stdout.contains("goes upstream") && !replayed.stdout.contains("early"), "{replayed:?}");
    let work = world.work(&git, "team/app")?;
    let tip = git.commit(&work, ".github/workflows/ci.yml", "on: push\n")?;
    let push = git.spawn(&work, &["push", "origin", "HEAD:refs/heads/ci"])?;
    push.wait_for_stderr("remote: ")?;
    assert!(world.approve(&world.gate.pending()?)?.status.success());
    assert!(push.finish(Duration::from_secs(90))?.status.success());
    assert_eq!(repo.rev("ci")?.as_deref(), Some(&*tip));
    world.stop_and_verify()
}
