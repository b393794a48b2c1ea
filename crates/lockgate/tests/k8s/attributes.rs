//! What the gateway understands of a request is what the API server's own audit log says of it.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::world::World;

/// Method and path; `NS` stands for the namespace.
const REQUESTS: &[&str] = &[
    "GET /version",
    "GET /api",
    "GET /apis/apps/v1",
    "GET /healthz",
    "HEAD /version",
    "POST /version",
    "PUT /version",
    "PATCH /version",
    "DELETE /version",
    "GET /api/v1/namespaces",
    "GET /api/v1/namespaces/NS",
    "GET /api/v1/namespaces/NS/pods",
    "GET /api/v1/namespaces/NS/pods/",
    "HEAD /api/v1/namespaces/NS/pods",
    "GET /api/v1/pods?limit=1",
    "GET /api/v1/namespaces/NS/pods?watch&timeoutSeconds=1",
    "GET /api/v1/namespaces/NS/pods?watch=yes&timeoutSeconds=1",
    "GET /api/v1/namespaces/NS/pods?watch=TRUE&timeoutSeconds=1",
    "GET /api/v1/namespaces/NS/pods?watch=0",
    "GET /api/v1/namespaces/NS/pods?watch=False",
    "GET /api/v1/namespaces/NS/pods/none?watch=1",
    "GET /api/v1/watch/namespaces/NS/pods?timeoutSeconds=1",
    "GET /api/v1/watch/namespaces/NS/pods/none?timeoutSeconds=1",
    "GET /api/v1/namespaces/NS/secrets?fieldSelector=metadata.name%3Ddb",
    "GET /api/v1/namespaces/NS/secrets?fieldSelector=metadata.name==db",
    "GET /api/v1/namespaces/NS/secrets?fieldSelector=type%3DOpaque,metadata.name%3Ddb",
    "GET /api/v1/namespaces/NS/secrets?fieldSelector=metadata.name!%3Ddb",
    "GET /api/v1/namespaces/NS/secrets?labelSelector=a%3Db",
    "GET /api/v1/namespaces/NS/%73ecrets/db",
    "GET /%61pi/v1/namespaces/NS/secrets",
    "GET /apis/apps/v1/namespaces/NS/deployments/none/scale",
    "GET /apis/apps/v1/namespaces/NS/deployments/none/status",
    "GET /api/v1/namespaces/NS/pods/none/log?follow=1",
    "GET /api/v1/namespaces/NS/status",
    "PUT /api/v1/namespaces/NS/finalize",
    "POST /api/v1/namespaces/NS/pods",
    "POST /api/v1/namespaces/NS/pods/none/eviction",
    "POST /api/v1/namespaces/NS/serviceaccounts/none/token",
    "PUT /api/v1/namespaces/NS/configmaps/none",
    "DELETE /api/v1/namespaces/NS/configmaps",
    "DELETE /api/v1/namespaces/NS/configmaps/none",
    "DELETE /apis/apps/v1/namespaces/NS/deployments?dryRun=All",
    "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "GET /apis/unknown.example/v1/namespaces/NS/things/x",
    "GET /api/v1/nodes/none",
];

#[test]
fn requests_are_understood_as_the_api_server_does() -> Result<()> {
    let world = World::start()?;
    let mut asked = Vec::new();
    for request in REQUESTS {
        let line = request.replace("NS", &world.namespace);
        let (method, path) = line.split_once(' ').context("a method and a path")?;
        let head = world.curl(method, path)?;
        let id = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("audit-id: ").map(str::to_owned));
        asked
            .push((line, id.with_context(|| format!("{request}: no Audit-Id in {head}"))?.trim().to_owned()));
    }
    for (line, id) in asked {
        let event = world.cluster.wait_for_audit(&line, |event| event["auditID"] == *id)?;
        ensure!(id.len() == 64, "{line}: {id}");
        let exchange = uuid::Uuid::try_parse(&id[32..])?.to_string();
        let verdict = lockgate_testkit::wait::until("the exchange", || {
            world.gate.json(&["sessions", "show", &exchange]).ok()
        })?;
        let (theirs, ours) = (theirs(&event), ours(&verdict));
        assert_eq!(ours, theirs, "{line}\n{event}\n{verdict}");
    }
    Ok(())
}

/// `verb group resource subresource namespace name`, of a resource; else the verb and the path.
fn theirs(event: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let verb = text(&event["verb"]);
    let reference = &event["objectRef"];
    if reference.is_null() {
        let uri = text(&event["requestURI"]);
        // What is no resource has the verbs of resources here.
        let verb = match &*verb {
            "head" => "get".into(),
            "post" => "create".into(),
            "put" => "update".into(),
            _ => verb,
        };
        return vec![verb, uri.split('?').next().unwrap_or_default().to_owned()];
    }
    let parts = ["apiGroup", "resource", "subresource", "namespace", "name"];
    std::iter::once(verb).chain(parts.map(|part| text(&reference[part]))).collect()
}

fn ours(shown: &Value) -> Vec<String> {
    let attributes = shown["entry"]["accesses"][0]["attributes"].as_array();
    let text = |name: &str| {
        let pair = attributes.into_iter().flatten().find(|pair| pair[0] == name);
        pair.and_then(|pair| pair[1].as_str()).unwrap_or_default().to_owned()
    };
    if text("resource").is_empty() {
        return vec![text("verb"), text("path")];
    }
    let resource = text("resource");
    let resource = resource.split('/').next().unwrap_or_default().to_owned();
    vec![text("verb"), text("group"), resource, text("subresource"), text("namespace"), text("name")]
}
