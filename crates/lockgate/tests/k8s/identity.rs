//! What the gateway shows of itself to the API server.

use anyhow::Result;
use serde_json::{Value, json};

use crate::world::World;

/// A gateway whose upstream has these keys instead of a token and impersonation; what the API server's log says of a
/// call through it.
fn event(name: &str, upstream: &Value) -> Result<Value> {
    let world = World::start_with(upstream)?;
    let kubectl = world.kubectl("ada")?;
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
    kubectl.apply(&map.to_string())?;
    world.cluster.wait_for_audit(name, |event| {
        event["objectRef"]["name"] == name
            && event["verb"] == "create"
            && event["stage"] == "ResponseComplete"
    })
}

#[test]
fn by_a_certificate() -> Result<()> {
    let certificate = json!({ "certificate": "admin/cert.pem", "key": "admin/key.pem" });
    let event = event("by-certificate", &json!({ "client_certificate": certificate }))?;
    assert_eq!(event["user"]["username"], "admin", "{event}");
    assert_eq!(event["impersonatedUser"], Value::Null, "{event}");
    Ok(())
}

#[test]
fn by_what_a_command_prints() -> Result<()> {
    let exec = json!({ "exec": { "command": ["cat", "token"] } });
    let event = event("by-command", &json!({ "credential": exec, "impersonate": { "prefix": "agent:" } }))?;
    assert_eq!(event["user"]["username"], "system:serviceaccount:lockgate:lockgate", "{event}");
    assert_eq!(event["impersonatedUser"]["username"], "agent:idp:ada", "{event}");
    Ok(())
}
