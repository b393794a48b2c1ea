//! Pushes that wait for people.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use lockgate_testkit::{Git, GitServerOptions, Repo};

use crate::world::World;

const LIMIT: Duration = Duration::from_secs(90);

/// A gateway, and a work tree with one commit that is not on the server.
fn commit(world: &World) -> Result<(Repo, Git, PathBuf, String)> {
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    let tip = git.commit(&work, "change", "a change for production")?;
    Ok((repo, git, work, tip))
}

#[test]
fn a_push_of_main_waits_and_passes_once_it_is_approved() -> Result<()> {
    let mut world = World::start()?;
    let (repo, git, work, tip) = commit(&world)?;
    let before = repo.rev("main")?;
    let push = git.spawn(&work, &["push", "origin", "HEAD:main"])?;
    push.wait_for_stderr("remote: ")?;
    let id = world.gate.pending()?;
    push.wait_for_stderr(&format!("  approve: lockgate approvals approve {id}"))?;
    assert_eq!(repo.rev("main")?, before, "it waits");
    let shown = world.gate.run_configured(&["approvals", "show", &id])?;
    for part in ["refs/heads/main", &tip[..7], "change", "idp:ada", "team/app"] {
        assert!(shown.stdout.contains(part), "{part} in {}{}", shown.stdout, shown.stderr);
    }
    assert!(world.approve(&id)?.status.success());
    let done = push.finish(LIMIT)?;
    assert!(done.status.success(), "{}", done.stderr);
    assert_eq!(repo.rev("main")?.as_deref(), Some(&*tip));

    let push = &world.exchanges(&["--ref", "refs/heads/main", "--action", "push"], 1)?[0];
    assert_eq!((&push["verdict"], &push["outcome"]), (&"hold".into(), &"complete".into()), "{push}");
    let exchange = push["exchange"].as_str().unwrap_or_default();
    let shown = world.gate.run_configured(&["sessions", "show", exchange])?;
    for part in ["refs/heads/main", &tip[..7], "change", "Ada Test", "production", &id] {
        assert!(shown.stdout.contains(part), "{part} in {}{}", shown.stdout, shown.stderr);
    }
    let replayed = world.gate.run_configured(&["sessions", "replay", exchange])?;
    assert!(replayed.stdout.contains("git-receive-pack"), "{}{}", replayed.stdout, replayed.stderr);
    world.stop_and_verify()
}

#[test]
fn a_push_that_is_denied_is_refused_with_the_reason() -> Result<()> {
    let world = World::start()?;
    let (repo, git, work, _) = commit(&world)?;
    let before = repo.refs()?;
    let push = git.spawn(&work, &["push", "origin", "HEAD:main"])?;
    push.wait_for_stderr("remote: ")?;
    let id = world.gate.pending()?;
    let denied =
        world.gate.run_configured(&["approvals", "deny", &id, "--reason", "not before the release"])?;
    assert!(denied.status.success(), "{}", denied.stderr);
    let done = push.finish(LIMIT)?;
    assert!(!done.status.success());
    assert!(done.stderr.contains("! [remote rejected]"), "{}", done.stderr);
    assert!(done.stderr.contains("not before the release"), "{}", done.stderr);
    assert_eq!(repo.refs()?, before);
    Ok(())
}

#[test]
fn after_the_hold_it_is_refused_and_passes_when_pushed_again_once() -> Result<()> {
    let world = World::start()?;
    let (repo, git, work, tip) = commit(&world)?;
    let refused = git.fails(&work, &["push", "origin", "HEAD:short"])?;
    let id = world.gate.pending()?;
    assert!(refused.stderr.contains("! [remote rejected]"), "{}", refused.stderr);
    let command = format!("lockgate approvals approve {id}");
    for told in [format!("  approve: {command}"), format!("(approval required: {command})")] {
        assert!(refused.stderr.contains(&told), "{told} in {}", refused.stderr);
    }
    assert!(!refused.stderr.contains("/approvals/"), "there is no page: {}", refused.stderr);
    // Asking again is the same request.
    git.fails(&work, &["push", "origin", "HEAD:short"])?;
    assert_eq!(world.gate.pending()?, id);
    assert!(world.approve(&id)?.status.success());
    git.ok(&work, &["push", "origin", "HEAD:short"])?;
    assert_eq!(repo.rev("short")?.as_deref(), Some(&*tip));
    // Once: the same change needs a new approval.
    repo.git(&["update-ref", "-d", "refs/heads/short"])?;
    git.fails(&work, &["push", "origin", "HEAD:short"])?;
    assert_ne!(world.gate.pending()?, id);
    Ok(())
}

#[test]
fn an_approval_is_for_exactly_what_was_shown() -> Result<()> {
    let world = World::start()?;
    let (repo, git, work, _) = commit(&world)?;
    git.fails(&work, &["push", "origin", "HEAD:short"])?;
    assert!(world.approve(&world.gate.pending()?)?.status.success());
    // Another commit, another person, another repository: each asks anew.
    let other = world.git("eve")?;
    other.fails(&work, &["push", "origin", "HEAD:short"])?;
    git.commit(&work, "change", "something else")?;
    git.fails(&work, &["push", "origin", "HEAD:short"])?;
    assert_eq!(repo.rev("short")?, None);
    let list = world.gate.json(&["approvals", "list"])?;
    let states = list.as_array().into_iter().flatten().map(|approval| &approval["state"]);
    let pending = states.filter(|state| state.to_string().contains("pending")).count();
    assert_eq!(pending, 2, "{list}");
    Ok(())
}

#[test]
fn a_client_that_goes_takes_its_push_along() -> Result<()> {
    let world = World::start()?;
    let (repo, git, work, _) = commit(&world)?;
    let before = repo.refs()?;
    let push = git.spawn(&work, &["push", "origin", "HEAD:main"])?;
    push.wait_for_stderr("remote: ")?;
    let id = world.gate.pending()?;
    push.interrupt()?;
    push.finish(LIMIT)?;
    let gone = world.exchanges(&["--action", "push", "--outcome", "client gone"], 1)?;
    assert_eq!(gone[0]["approval"], id.as_str(), "{gone:?}");
    assert_eq!(repo.refs()?, before);
    // The approval is still open: given now, the next push of the same passes.
    assert!(world.approve(&id)?.status.success());
    git.ok(&work, &["push", "origin", "HEAD:main"])?;
    Ok(())
}

#[test]
fn a_push_may_outlive_its_client_where_the_rule_says_so() -> Result<()> {
    let world = World::start()?;
    let (repo, git, work, tip) = commit(&world)?;
    let push = git.spawn(&work, &["push", "origin", "HEAD:stubborn"])?;
    push.wait_for_stderr("remote: ")?;
    let id = world.gate.pending()?;
    push.interrupt()?;
    push.finish(LIMIT)?;
    assert!(world.approve(&id)?.status.success());
    let gone = world.exchanges(&["--action", "push", "--outcome", "client gone"], 1)?;
    assert_eq!(gone[0]["verdict"], "hold");
    assert_eq!(repo.rev("stubborn")?.as_deref(), Some(&*tip));
    Ok(())
}

#[test]
fn a_page_for_approvals_is_told_where_there_is_one() -> Result<()> {
    let mut world = World::prepare(GitServerOptions::default())?;
    let page = "control: { approvals_url: 'https://page.example/ask', ";
    world.configure(&world.config("").replace("control: { ", page))?;
    world.gate.start()?;
    let (_, git, work, _) = commit(&world)?;
    let refused = git.fails(&work, &["push", "origin", "HEAD:short"])?;
    let id = world.gate.pending()?;
    let page = format!("https://page.example/ask/{id}");
    for told in [
        format!("  approve: {page}"),
        format!("  or run: lockgate approvals approve {id}"),
        format!("(approval required: {page})"),
    ] {
        assert!(refused.stderr.contains(&told), "{told} in {}", refused.stderr);
    }
    Ok(())
}
