//! People who answer with tokens of their own.

use std::time::Duration;

use anyhow::Result;
use lockgate_testkit::{GitServerOptions, Output};
use serde_json::json;

use crate::world::World;

const LIMIT: Duration = Duration::from_secs(90);

/// Who is in which group may do what, and pushes of `main` need two of the release team.
fn world() -> Result<World> {
    let mut world = World::prepare(GitServerOptions::default())?;
    let config =
        world.config("").replace("audiences: [lockgate]", "audiences: [lockgate], groups_claim: groups");
    let address = world.gate.control_port().addr();
    let roles = "roles: { approver: [release], admin: [admins] }";
    let config = config.replace(
        &format!("control: {{ listen: {address} }}"),
        &format!("control: {{ listen: {address}, {roles} }}"),
    );
    world.configure(&config)?;
    let two = "approval: { from: [group:release, group:admins], count: 2, hold: 60s, ttl: 1h }";
    let policy = crate::world::POLICY.replace("approval: { hold: 60s, ttl: 1h }", two);
    world.policy(&policy)?;
    world.gate.start()?;
    Ok(world)
}

/// A command of a person in a group.
fn as_person(world: &World, subject: &str, group: &str, args: &[&str]) -> Result<Output> {
    let token = world.token(subject).claim("groups", json!([group])).sign()?;
    let file = world.gate.folder().join(format!("{subject}.token"));
    std::fs::write(&file, token)?;
    world.gate.run_configured(&[args, &["--token-file", &file.to_string_lossy()]].concat())
}

#[test]
fn two_people_with_tokens_approve_and_whoever_asked_is_none_of_them() -> Result<()> {
    let mut world = world()?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    let tip = git.commit(&work, "a", "1")?;
    let before = repo.rev("main")?;
    let push = git.spawn(&work, &["push", "origin", "HEAD:main"])?;
    push.wait_for_stderr("remote: ")?;
    let id = world.gate.pending()?;
    let approve = ["approvals", "approve", &id];
    for group in ["release", "admins"] {
        let own = as_person(&world, "ada", group, &approve)?;
        assert_eq!(own.status.code(), Some(1), "{}", own.stdout);
        assert!(own.stderr.contains("whoever asked"), "{}", own.stderr);
    }
    let outside = as_person(&world, "eve", "other", &approve)?;
    assert!(!outside.status.success() && outside.stderr.contains("role"), "{}", outside.stderr);
    // Neither does the operator's role make a member of the group.
    assert!(!world.approve(&id)?.status.success());
    // One person counts once.
    for _ in 0..2 {
        assert!(as_person(&world, "bob", "release", &approve)?.status.success());
    }
    let waiting = world.gate.json(&["approvals", "list"])?;
    assert_eq!(waiting[0]["state"], "pending", "{waiting}");
    assert_eq!(repo.rev("main")?, before);
    assert!(as_person(&world, "cyd", "admins", &approve)?.status.success());
    let done = push.finish(LIMIT)?;
    assert!(done.status.success(), "{}", done.stderr);
    assert_eq!(repo.rev("main")?.as_deref(), Some(&*tip));
    let shown = world.gate.json(&["approvals", "show", &id])?;
    let by: Vec<_> = shown["decisions"].as_array().into_iter().flatten().map(|it| &it["by"]).collect();
    assert_eq!(by, ["idp:bob", "idp:cyd"], "{shown}");
    world.stop_and_verify()
}
