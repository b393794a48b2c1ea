//! Each client pushes, pulls, is refused with a reason that it prints, and waits for people.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lockgate_testkit::ImageTool;

use crate::world::{World, image, succeeded};

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn all_push_and_pull() -> Result<()> {
    let world = World::start()?;
    let layout = tempfile::tempdir()?;
    let digest = image(layout.path(), "hello")?;
    for tool in ImageTool::ALL {
        let client = world.client(tool, "ada")?;
        let repository = format!("team/{tool:?}").to_lowercase();
        let tag = tool.tag("v1");
        let name = world.name(&format!("{repository}:{tag}"));
        succeeded(&client.push(layout.path(), &name)?)?;
        assert!(world.registry.tag(&repository, &tag).is_some(), "{tool:?}");
        succeeded(&client.pull(&name)?)?;
    }
    assert_eq!(world.registry.tag("team/skopeo", "v1").as_deref(), Some(digest.as_str()));
    let sessions = world.gate.json(&["sessions", "list"])?.to_string();
    assert!(sessions.contains("ada"), "{sessions}");
    Ok(())
}

#[test]
fn all_print_why_they_are_refused() -> Result<()> {
    let world = World::start()?;
    let layout = tempfile::tempdir()?;
    image(layout.path(), "hello")?;
    for tool in ImageTool::ALL {
        let client = world.client(tool, "ada")?;
        let printed = |reason: &'static str| match tool {
            // Debian's prints the status alone.
            ImageTool::Ctr => "403",
            ImageTool::Skopeo
            | ImageTool::Podman
            | ImageTool::Buildah
            | ImageTool::Docker
            | ImageTool::Crane
            | ImageTool::Oras
            | ImageTool::OrasPy
            | ImageTool::Regctl
            | ImageTool::Helm => reason,
        };
        let tag = tool.tag("v1");
        for (name, reason) in [
            ("closed/app", "lockgate: closed/app is closed (rule closed)"),
            ("closed/blobs", "lockgate: closed/blobs takes nothing (rule closed-blobs)"),
        ] {
            let pushed = client.push(layout.path(), &world.name(&format!("{name}:{tag}")))?;
            let (refused, reason) = match (tool, name) {
                // They ask by HEAD whether it is there, and that may not be told either: such answers hold no reason.
                (ImageTool::Oras | ImageTool::Helm, "closed/app") => (pushed, "403: Forbidden"),
                // It takes a 403 for a question who it is, once it has a token.
                (ImageTool::OrasPy, _) => (pushed, "Cannot respond to request for authentication"),
                _ => (pushed, printed(reason)),
            };
            assert!(
                !refused.status.success() && refused.stderr.contains(reason),
                "{tool:?}: {}",
                refused.stderr
            );
        }
        let refused = client.pull(&world.name(&format!("closed/app:{tag}")))?;
        let reason = printed("lockgate: closed/app is closed (rule closed)");
        assert!(!refused.status.success() && refused.stderr.contains(reason), "{tool:?}: {}", refused.stderr);
    }
    assert!(world.registry.tag("closed/app", "v1").is_none());
    Ok(())
}

#[test]
fn all_wait_for_people() -> Result<()> {
    let world = World::start()?;
    let layout = tempfile::tempdir()?;
    for tool in ImageTool::ALL {
        image(layout.path(), &format!("{tool:?}"))?;
        let client = world.client(tool, "ada")?;
        let repository = format!("team/{tool:?}").to_lowercase();
        let tag = tool.tag("prod");
        let push = client.begin_push(layout.path(), &world.name(&format!("{repository}:{tag}")))?;
        let id = world.gate.pending().with_context(|| format!("{tool:?}: {}", push.stderr()))?;
        let shown = world.gate.run_configured(&["approvals", "show", &id])?.stdout;
        assert!(shown.contains(&repository) && shown.contains(&format!("push {tag} sha256:")), "{shown}");
        assert!(world.registry.tag(&repository, &tag).is_none(), "{tool:?}");
        succeeded(&world.gate.run_configured(&["approvals", "approve", &id])?)?;
        succeeded(&push.finish(LIMIT)?)?;
        assert!(world.registry.tag(&repository, &tag).is_some(), "{tool:?}");
    }
    Ok(())
}

#[test]
fn a_denial_is_printed() -> Result<()> {
    let world = World::start()?;
    let layout = tempfile::tempdir()?;
    image(layout.path(), "hello")?;
    let client = world.client(ImageTool::Skopeo, "ada")?;
    let push = client.begin_push(layout.path(), &world.name("team/app:prod"))?;
    let id = world.gate.pending()?;
    succeeded(&world.gate.run_configured(&["approvals", "deny", &id, "--reason", "not today"])?)?;
    let refused = push.finish(LIMIT)?;
    assert!(!refused.status.success() && refused.stderr.contains("not today"), "{}", refused.stderr);
    assert!(world.registry.tag("team/app", "prod").is_none());
    Ok(())
}
