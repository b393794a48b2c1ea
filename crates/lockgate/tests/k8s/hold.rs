//! Calls and streams that wait for people.

use std::time::Duration;

use anyhow::Result;
use lockgate_testkit::Transport;
use serde_json::json;

use crate::world::{World, pod};

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn a_write_waits_and_passes_once_it_is_approved() -> Result<()> {
    let world = World::start()?;
    let kubectl = world.kubectl("ada")?;
    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "production" }, "data": { "colour": "red" } });
    std::fs::write(kubectl.home().join("object.json"), object.to_string())?;
    let create = kubectl.spawn(&["create", "-f", "object.json"])?;
    let id = world.gate.pending()?;
    let shown = world.gate.run_configured(&["approvals", "show", &id])?;
    for part in ["idp:ada", "production", "write", "+    \"colour\": \"red\""] {
        assert!(shown.stdout.contains(part), "{part} in {}{}", shown.stdout, shown.stderr);
    }
    assert!(world.admin()?.run(&["get", "configmap", "production"])?.stderr.contains("NotFound"));
    assert!(world.gate.run_configured(&["approvals", "approve", &id])?.status.success());
    let done = create.finish(LIMIT)?;
    assert!(done.status.success(), "{}", done.stderr);
    world.admin()?.get(&["get", "configmap", "production"])?;
    Ok(())
}

/// What the API server would make of it is shown too of what stands in a group, which others might serve.
#[test]
fn an_object_of_a_group_is_shown_as_it_would_be() -> Result<()> {
    let world = World::start()?;
    let kubectl = world.kubectl("ada")?;
    let args = ["create", "deployment", "production", "--image=none"];
    let create = kubectl.spawn(&args)?;
    let id = world.gate.pending()?;
    let shown = world.gate.run_configured(&["approvals", "show", &id])?.stdout;
    assert!(shown.contains("+      \"type\": \"RollingUpdate\""), "{shown}");
    assert!(
        world.gate.run_configured(&["approvals", "deny", &id, "--reason", "not today"])?.status.success()
    );
    assert!(create.finish(LIMIT)?.stderr.contains("not today"));
    Ok(())
}

#[test]
fn what_a_change_of_a_secret_is_shown_without_it() -> Result<()> {
    let world = World::start()?;
    let secret = |value: &str| {
        let meta = json!({ "name": "production" });
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": { "password": value } })
            .to_string()
    };
    world.admin()?.apply(&secret("the first password"))?;
    let kubectl = world.kubectl("ada")?;
    let patch = "{\"stringData\":{\"password\":\"the second password\"}}";
    let patch = kubectl.spawn(&["patch", "secret", "production", "--type=merge", "-p", patch])?;
    let id = world.gate.pending()?;
    let shown = world.gate.run_configured(&["approvals", "show", &id])?.stdout;
    let changes = |sign: &str| shown.contains(&format!("{sign}    \"password\": \"[MASKED:k8s-secret:"));
    assert!(changes("-") && changes("+"), "{shown}");
    for value in ["the first password", "the second password"] {
        assert!(!shown.contains(value) && !shown.contains(&base64(value)), "{shown}");
    }
    assert!(
        world.gate.run_configured(&["approvals", "deny", &id, "--reason", "not today"])?.status.success()
    );
    let refused = patch.finish(LIMIT)?;
    assert!(refused.stderr.contains("not today"), "{}", refused.stderr);
    Ok(())
}

fn base64(text: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

#[test]
fn an_exec_waits_by_both_transports() -> Result<()> {
    let world = World::start()?;
    pod(&world.admin()?, "production", "sleep 1000")?;
    for transport in Transport::ALL {
        let kubectl = world.kubectl("ada")?.transport(transport);
        let token = concat!("ghp_", "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx");
        let exec = kubectl.spawn(&["exec", "production", "--", "echo", "released", token])?;
        let id = world.gate.pending()?;
        let shown = world.gate.run_configured(&["approvals", "show", &id])?.stdout;
        assert!(shown.contains("  echo\n  released\n  [MASKED:github-pat:"), "{shown}");
        assert!(!shown.contains(token), "{shown}");
        assert!(world.gate.run_configured(&["approvals", "approve", &id])?.status.success());
        let done = exec.finish(LIMIT)?;
        assert_eq!(done.stdout, format!("released {token}\n"), "{transport:?}: {}", done.stderr);
    }
    Ok(())
}
