//! Calls: what passes directly passes through, and what the policy forbids is told in kubectl's own words.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::world::{World, config_map, pod};

const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn objects_are_made_changed_watched_and_gone() -> Result<()> {
    let world = World::start()?;
    let kubectl = world.kubectl("ada")?;
    let mut watch = kubectl.spawn(&["get", "configmaps", "--watch", "--output=name"])?;
    assert_eq!(kubectl.apply(&config_map("paint", "blue"))?, "configmap/paint created\n");
    assert_eq!(kubectl.apply(&config_map("paint", "red"))?, "configmap/paint configured\n");
    watch.wait_for_stdout("configmap/paint")?;
    let colour = |kubectl: &lockgate_testkit::Kubectl| -> Result<String> {
        kubectl.get(&["get", "configmap", "paint", "-o", "jsonpath={.data.colour}"])
    };
    assert_eq!(colour(&kubectl)?, "red");
    let args = ["patch", "configmap", "paint", "--type=merge", "--patch={\"data\":{\"colour\":\"green\"}}"];
    kubectl.get(&args)?;
    assert_eq!(colour(&kubectl)?, "green");
    let applied = kubectl.run_with(
        &["apply", "--server-side", "--force-conflicts", "-f", "-"],
        &config_map("paint", "white"),
    )?;
    assert!(applied.status.success(), "{}", applied.stderr);
    assert_eq!(colour(&kubectl)?, "white");
    assert!(kubectl.get(&["describe", "configmap", "paint"])?.contains("white"));
    kubectl.get(&["label", "configmap", "paint", "a=b"])?;
    let table = kubectl.get(&["get", "configmaps", "--show-labels"])?;
    assert!(table.contains("NAME") && table.contains("AGE") && table.contains("a=b"), "{table}");
    kubectl.get(&["delete", "configmap", "paint"])?;
    assert!(kubectl.run(&["get", "configmap", "paint"])?.stderr.contains("NotFound"));
    watch.kill()
}

#[test]
fn the_api_server_knows_who_calls_and_in_which_session() -> Result<()> {
    let world = World::start()?;
    let kubectl = world.kubectl("ada")?;
    kubectl.apply(&config_map("whose", "blue"))?;
    let namespace = json!(world.namespace);
    let event = world.cluster.wait_for_audit("the write", |event| {
        event["objectRef"]["name"] == "whose"
            && event["objectRef"]["namespace"] == namespace
            && event["verb"] == "create"
    })?;
    assert_eq!(event["impersonatedUser"]["username"], "agent:idp:ada", "{event}");
    assert_eq!(event["impersonatedUser"]["groups"][0], "agent:everybody", "{event}");
    let found = world.found(&["whose", "--action", "write"])?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().replace('-', "");
    assert_eq!(text(&event["auditID"]), text(&found["session"]) + &text(&found["exchange"]));
    Ok(())
}

#[test]
fn logs_are_followed() -> Result<()> {
    let world = World::start()?;
    let kubectl = world.kubectl("ada")?;
    pod(&kubectl, "talks", "echo first; read word; echo second $word")?;
    let logs = kubectl.spawn(&["logs", "-f", "talks"])?;
    logs.wait_for_stdout("first\n")?;
    kubectl.run_with(&["attach", "-i", "talks"], "go\n")?;
    assert_eq!(logs.finish(LIMIT)?.stdout, "first\nsecond go\n");
    Ok(())
}

#[test]
fn what_is_forbidden_is_refused_with_the_rule() -> Result<()> {
    let world = World::start()?;
    let kubectl = world.kubectl("ada")?;
    let refused = kubectl.run_with(&["apply", "-f", "-"], &config_map("protected", "red"))?;
    assert!(!refused.status.success());
    let expected = "lockgate: protected is protected (rule protected)";
    assert!(refused.stderr.contains("Forbidden") && refused.stderr.contains(expected), "{}", refused.stderr);
    let raw = kubectl.run(&["get", "--raw", "/api/v1/nodes/node/proxy/pods"])?;
    assert!(raw.stderr.contains("nobody goes around the gateway (rule no-nodes)"), "{}", raw.stderr);
    Ok(())
}
