//! Pushes of every kind, and what a refused one looks like to the person at the client.

use anyhow::Result;
use lockgate_testkit::{ObjectFormat, Output, generate};

use crate::world::World;

#[test]
fn pushes_of_every_kind_arrive() -> Result<()> {
    let mut world = World::start()?;
    for (format, name) in [(ObjectFormat::Sha1, "team/one"), (ObjectFormat::Sha256, "team/two")] {
        let repo = world.repo_with(name, format)?;
        for version in [0, 1, 2] {
            let git = world.git("ada")?.protocol(version);
            let work = world.work(&git, name)?;
            let branch = |suffix: &str| format!("v{version}/{suffix}");
            // New, update, force, tag, many refs, delete: each checked on the server.
            git.ok(&work, &["checkout", "-q", "-b", &branch("a")])?;
            let first = git.commit(&work, "a", "1")?;
            git.ok(&work, &["push", "origin", &branch("a")])?;
            assert_eq!(repo.rev(&branch("a"))?, Some(first.clone()));
            let second = git.commit(&work, "a", "2")?;
            git.ok(&work, &["push", "origin", &branch("a")])?;
            assert_eq!(repo.rev(&branch("a"))?, Some(second));
            git.ok(&work, &["reset", "-q", "--hard", &first])?;
            let third = git.commit(&work, "a", "3")?;
            git.fails(&work, &["push", "origin", &branch("a")])?;
            git.ok(&work, &["push", "--force", "origin", &branch("a")])?;
            assert_eq!(repo.rev(&branch("a"))?, Some(third.clone()));
            let tag = format!("tag{version}");
            git.ok(&work, &["tag", "-a", "-m", "a tag", &tag])?;
            git.ok(&work, &["push", "origin", &tag])?;
            assert_eq!(repo.rev(&format!("{tag}^{{commit}}"))?, Some(third.clone()));
            let many: Vec<_> = (0..40).map(|n| format!("HEAD:refs/heads/v{version}/many/{n}")).collect();
            let args: Vec<_> =
                ["push", "origin"].into_iter().chain(many.iter().map(String::as_str)).collect();
            git.ok(&work, &args)?;
            assert_eq!(repo.rev(&branch("many/39"))?, Some(third));
            git.ok(&work, &["push", "origin", "--delete", &branch("a"), &tag])?;
            assert_eq!((repo.rev(&branch("a"))?, repo.rev(&tag)?), (None, None));
        }
        repo.fsck()?;
    }
    let pushes =
        world.exchanges(&["--action", "push", "--repository", "team/one", "--ref", "refs/heads/v2/a"], 4)?;
    assert!(
        pushes.iter().all(|push| push["verdict"] == "permit" && push["outcome"] == "complete"),
        "{pushes:?}"
    );
    world.stop_and_verify()
}

#[test]
fn atomic_options_and_shallow_pushes_arrive() -> Result<()> {
    let world = World::start()?;
    let repo = world.repo("team/app")?;
    repo.git(&["config", "receive.advertisePushOptions", "true"])?;
    repo.hook("pre-receive", "cat >/dev/null; echo \"option: $GIT_PUSH_OPTION_0\"")?;
    let git = world.git("ada")?;
    git.ok(git.home(), &["clone", "--depth", "1", &world.url("team/app"), "work"])?;
    let work = git.home().join("work");
    let tip = git.commit(&work, "a", "1")?;
    let said = git.ok(
        &work,
        &["push", "--atomic", "-o", "ci.skip", "origin", "HEAD:refs/heads/x", "HEAD:refs/heads/y"],
    )?;
    assert!(said.stderr.contains("remote: option: ci.skip"), "{}", said.stderr);
    assert_eq!((repo.rev("x")?, repo.rev("y")?), (Some(tip.clone()), Some(tip)));
    // An empty option is a pkt-line of four bytes, which not every parser takes.
    git.commit(&work, "a", "2")?;
    git.ok(&work, &["push", "-o", "", "origin", "HEAD:refs/heads/x"])?;
    // Everything is there already: no pack.
    git.ok(&work, &["push", "origin", "HEAD:refs/heads/z"])?;
    repo.fsck()
}

#[test]
fn a_pack_of_100_mb_arrives_whole() -> Result<()> {
    let mut world = World::start()?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    let folder = work.join(".git");
    generate::incompressible(&folder, 100, 1 << 20)?;
    // More than 1 MB: git probes with an empty request first, and then sends the pack in chunks.
    git.ok(&work, &["push", "origin", "refs/heads/main:refs/heads/big"])?;
    assert_eq!(repo.rev("big")?, repo_rev(&git, &work)?);
    repo.fsck()?;
    let push = &world.exchanges(&["--ref", "refs/heads/big"], 1)?[0];
    assert!(push["bytes_in"].as_u64() > Some(100 << 20), "{push}");
    world.stop_and_verify()
}

fn repo_rev(git: &lockgate_testkit::Git, work: &std::path::Path) -> Result<Option<String>> {
    Ok(Some(git.ok(work, &["rev-parse", "refs/heads/main"])?.stdout.trim().to_owned()))
}

#[test]
fn a_refused_ref_is_said_in_gits_own_words() -> Result<()> {
    let world = World::start()?;
    let repo = world.repo("team/app")?;
    repo.git(&["branch", "protected/x", "main"])?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    let before = repo.refs()?;
    // A delete, alone.
    let said = git.fails(&work, &["push", "origin", "--delete", "protected/x"])?;
    refused(&said, "protected/x", "refs/heads/protected/x is protected");
    // A force push.
    git.ok(&work, &["checkout", "-q", "-b", "fork", "origin/protected/x~1"])?;
    git.commit(&work, "a", "1")?;
    let said = git.fails(&work, &["push", "--force", "origin", "HEAD:refs/heads/protected/x"])?;
    refused(&said, "protected/x", "refs/heads/protected/x is protected");
    // One of two refs: both are refused, and each says why.
    let said = git.fails(&work, &["push", "origin", "HEAD:refs/heads/fine", ":refs/heads/protected/x"])?;
    refused(&said, "protected/x", "refs/heads/protected/x is protected");
    assert!(said.stderr.contains("[remote rejected] HEAD -> fine"), "{}", said.stderr);
    let said = git.fails(&work, &["push", "--porcelain", "origin", ":refs/heads/protected/x"])?;
    assert!(said.stdout.contains("!\t:refs/heads/protected/x\t[remote rejected]"), "{}", said.stdout);
    // An update that is a fast-forward is none of these.
    git.ok(&work, &["checkout", "-q", "-B", "fork", "origin/protected/x"])?;
    git.commit(&work, "a", "2")?;
    assert_eq!(repo.refs()?, before, "nothing reached the server");
    git.ok(&work, &["push", "origin", "HEAD:refs/heads/protected/x"])?;
    // Without a rule for it, a repository can't even be read.
    world.repo("secret/app")?;
    let said = git.fails(git.home(), &["clone", &world.url("secret/app")])?;
    assert!(said.stderr.contains("remote:"), "{}", said.stderr);
    assert_eq!(world.exchanges(&["--verdict", "deny", "--action", "push"], 4)?.len(), 4);
    Ok(())
}

fn refused(said: &Output, reference: &str, reason: &str) {
    let text = &said.stderr;
    assert!(text.contains("! [remote rejected]") && text.contains(reference), "{text}");
    assert!(text.lines().any(|line| line.starts_with("remote:") && line.contains(reason)), "{text}");
    for noise in ["hung up", "bad band", "Everything up-to-date"] {
        assert!(!text.contains(noise), "{text}");
    }
}

#[test]
fn a_big_push_that_is_refused_says_so() -> Result<()> {
    let world = World::start()?;
    let repo = world.repo("team/app")?;
    repo.git(&["branch", "protected/x", "main"])?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    generate::incompressible(&work.join(".git"), 8, 1 << 20)?;
    let said = git.fails(&work, &["push", "--force", "origin", "refs/heads/main:refs/heads/protected/x"])?;
    refused(&said, "protected/x", "refs/heads/protected/x is protected");
    Ok(())
}

#[test]
fn what_the_upstream_itself_refuses_reaches_the_client() -> Result<()> {
    let world = World::start()?;
    let repo = world.repo("team/app")?;
    repo.hook("update", "echo \"the server says no to $1\"; exit 1")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    git.commit(&work, "a", "1")?;
    let said = git.fails(&work, &["push", "origin", "HEAD:refs/heads/x"])?;
    assert!(said.stderr.contains("remote: the server says no to refs/heads/x"), "{}", said.stderr);
    assert!(said.stderr.contains("[remote rejected] HEAD -> x (hook declined)"), "{}", said.stderr);
    Ok(())
}
