//! `kill -9` in the middle of pushes: what reached the upstream is in the recording, and nothing that was
//! cut off is called whole.

use anyhow::{Context as _, Result};
use lockgate_testkit::wait;

use crate::world::World;

const PUSHES: usize = 50;

#[test]
fn what_a_client_was_told_is_whole_after_a_kill_9() -> Result<()> {
    let mut world = World::start()?;
    let repo = world.repo("team/app")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    git.commit(&work, "a", "one")?;
    git.ok(&work, &["push", "origin", "HEAD:refs/heads/told"])?;
    world.gate.kill()?;
    assert!(repo.refs()?.contains_key("refs/heads/told"));
    world.gate.start()?;
    let push = wait::until("the push in the index", || {
        let found = world.gate.json(&["sessions", "search", "--action", "push"]).ok()?;
        found.as_array()?.first().cloned()
    })?;
    assert_eq!(push["outcome"], "complete", "{push}");
    world.stop_and_verify()
}

#[test]
fn kill_9_amid_fifty_pushes_loses_nothing() -> Result<()> {
    let mut world = World::start()?;
    let repo = world.repo("team/app")?;
    // Pushes take a while at the upstream, so that the kill comes amid them.
    repo.hook("pre-receive", "cat >/dev/null; sleep 0.2")?;
    let git = world.git("ada")?;
    let work = world.work(&git, "team/app")?;
    let mut pushes = Vec::new();
    for n in 0..PUSHES {
        git.commit(&work, "a", &n.to_string())?;
        git.ok(&work, &["branch", &format!("b{n}")])?;
    }
    for n in 0..PUSHES {
        pushes.push(git.spawn(&work, &["push", "origin", &format!("b{n}")])?);
    }
    wait::until("some pushes to have arrived", || (repo.refs().ok()?.len() > PUSHES / 5).then_some(()))?;
    world.gate.kill()?;
    let mut succeeded = Vec::new();
    for (n, push) in pushes.into_iter().enumerate() {
        if push.finish(std::time::Duration::from_secs(60))?.status.success() {
            succeeded.push(format!("refs/heads/b{n}"));
        }
    }
    world.server.wait_idle()?;
    let arrived: Vec<_> = repo.refs()?.into_keys().filter(|name| name != "refs/heads/main").collect();
    assert!(arrived.len() < PUSHES, "the kill came too late: {} pushes had arrived", arrived.len());

    // The next start seals what the crash left, and indexes it.
    world.gate.start()?;
    let mut missing = Vec::new();
    let recorded = wait::until("the index", || {
        let recorded = world.gate.json(&["sessions", "search", "--action", "push", "--limit", "200"]).ok()?;
        let text = recorded.to_string();
        missing = arrived.iter().filter(|name| !text.contains(&format!("{name} "))).collect();
        missing.is_empty().then(|| recorded.as_array().cloned().unwrap_or_default())
    });
    let recorded = recorded.with_context(|| {
        format!("{missing:?} of {} that reached the upstream are not in the recording", arrived.len())
    })?;
    let outcome = |name: &str| {
        let push = recorded.iter().find(|push| push["accesses"].to_string().contains(&format!("{name} ")));
        push.map(|push| push["outcome"].as_str().unwrap_or_default().to_owned())
    };
    for name in &arrived {
        assert!(outcome(name).is_some(), "{name} reached the upstream and is not in the recording");
    }
    for name in &succeeded {
        assert_eq!(outcome(name).as_deref(), Some("complete"), "{name} was told to have succeeded");
    }
    for push in recorded.iter().filter(|push| push["outcome"] == "complete") {
        let name = push["accesses"][0]["binding"].as_str().unwrap_or_default();
        let name = name.split(' ').next().unwrap_or_default();
        assert!(arrived.iter().any(|arrived| arrived == name), "{name} is called whole and never arrived");
    }
    assert!(recorded.iter().any(|push| push["outcome"] != "complete"), "the kill came amid nothing");
    world.stop_and_verify()
}
