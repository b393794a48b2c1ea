//! Requests that try to be more than they are.

use anyhow::Result;
use serde_json::json;

use crate::world::World;

/// By which a client would say who it is, or have the gateway forget who it is.
const FORGED: &[&[&str]] = &[
    &["x-remote-user: admin", "x-remote-group: system:masters", "x-remote-extra-a: b"],
    &["connection: authorization, impersonate-user, impersonate-group"],
    &["connection: audit-id", "audit-id: forged"],
    &["audit-id: forged"],
    &["x-forwarded-for: 10.0.0.1", "forwarded: for=10.0.0.1"],
];

/// By which a client asks to be somebody else: refused, for it would be done as the caller.
const IMPERSONATING: &[&[&str]] = &[
    &["impersonate-user: admin"],
    &["impersonate-group: system:masters"],
    &["impersonate-uid: 1", "impersonate-extra-scopes: all"],
    &["connection: impersonate-user", "impersonate-user: admin"],
];

#[test]
fn nobody_is_somebody_else() -> Result<()> {
    let world = World::start()?;
    for wish in IMPERSONATING {
        let path = format!("/api/v1/namespaces/{}/configmaps/wished", world.namespace);
        let head = world.curl_with("GET", &path, wish)?;
        assert!(head.starts_with("HTTP/2 403"), "{wish:?}: {head}");
    }
    let as_another = world.kubectl("ada")?.run(&["get", "configmaps", "--as=admin"])?;
    assert!(as_another.stderr.contains("nobody can be impersonated"), "{}", as_another.stderr);
    for (number, forged) in FORGED.iter().enumerate() {
        let path = format!("/api/v1/namespaces/{}/configmaps/forged-{number}", world.namespace);
        let head = world.curl_with("GET", &path, forged)?;
        assert!(head.starts_with("HTTP/2 404"), "{forged:?}: {head}");
        let name = format!("forged-{number}");
        let event = world.cluster.wait_for_audit(&name, |event| {
            event["objectRef"]["name"] == *name && event["stage"] == "ResponseComplete"
        })?;
        assert_eq!(event["user"]["username"], "system:serviceaccount:lockgate:lockgate", "{forged:?}");
        let whom =
            json!({ "username": "agent:idp:ada", "groups": ["agent:everybody", "system:authenticated"] });
        assert_eq!(event["impersonatedUser"], whom, "{forged:?}: {event}");
        assert_eq!(event["auditID"].as_str().map(str::len), Some(64), "{forged:?}: {event}");
        assert_eq!(event["sourceIPs"], json!(["127.0.0.1"]), "{forged:?}: {event}");
    }
    Ok(())
}

#[test]
fn only_streams_are_upgraded() -> Result<()> {
    let world = World::start()?;
    crate::world::pod(&world.admin()?, "box", "sleep 1000")?;
    let namespace = &world.namespace;
    let websocket = [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
        "sec-websocket-protocol: v4.channel.k8s.io",
    ];
    for path in
        ["pods/box/log?follow=1", "pods?watch=1", "secrets?watch=1", "pods/box/proxy/", "services/x/proxy/"]
    {
        let path = format!("/api/v1/namespaces/{namespace}/{path}");
        let head = world.curl_with("GET", &path, &[&["--http1.1"][..], &websocket].concat())?;
        let refused = ["HTTP/1.1 400", "HTTP/1.1 403"].iter().any(|status| head.starts_with(status));
        assert!(refused, "{path}: {head}");
    }
    for protocol in ["base64.channel.k8s.io", "channel.k8s.io", "v3.channel.k8s.io"] {
        let offer = format!("sec-websocket-protocol: {protocol}");
        let fields = [&["--http1.1"][..], &websocket[..4], &[&offer]].concat();
        let path = format!("/api/v1/namespaces/{namespace}/pods/box/exec?command=id&stdout=1");
        let head = world.curl_with("GET", &path, &fields)?;
        assert!(head.starts_with("HTTP/1.1 400"), "{protocol}: {head}");
    }
    Ok(())
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() -> Result<()> {
    let world = World::start()?;
    for path in [
        "/api/v1/namespaces/NS/secrets%2Fdb",
        "/api/v1//namespaces/NS/secrets",
        "/api/v1/namespaces/NS/../NS/secrets",
        "/api/v1/namespaces/NS/%2e%2e/NS/secrets",
        "/api/v1/namespaces/NS/secrets?a=1;b=2",
        "/api/v1/namespaces/NS/secrets?limit=1&limit=2",
        "/api/v1/namespaces/NS/secrets/%00",
    ] {
        let path = path.replace("NS", &world.namespace);
        let head = world.curl_with("GET", &path, &[])?;
        assert!(head.starts_with("HTTP/2 400"), "{path}: {head}");
    }
    for (kind, body) in [
        ("application/cbor", "x"),
        ("application/json", r#"{"kind":"ConfigMap","kind":"Secret"}"#),
        ("application/json", "{} {}"),
        ("application/yaml", "a: &a [b]\nc: *a\n---\nd: e"),
        ("application/vnd.kubernetes.protobuf", "k8s"),
    ] {
        let path = format!("/api/v1/namespaces/{}/configmaps", world.namespace);
        let kind = format!("content-type: {kind}");
        let head = world.curl_with("POST", &path, &[&kind, "--data-binary", body])?;
        assert!(head.starts_with("HTTP/2 400"), "{kind} {body}: {head}");
    }
    Ok(())
}

#[test]
fn what_is_no_object_is_refused_by_the_kind_that_it_was_to_be() -> Result<()> {
    let world = World::start()?;
    let text = "kind: Pod";
    for (place, kind) in [
        ("api/v1/namespaces", "Namespace"),
        ("api/v1/namespaces/NS/configmaps", "ConfigMap"),
        ("apis/networking.k8s.io/v1/namespaces/NS/networkpolicies", "NetworkPolicy"),
    ] {
        let raw = format!("--raw=/{}", place.replace("NS", &world.namespace));
        let wanted = format!("the object provided is unrecognized (must be of type {kind}): ");
        for kubectl in [world.admin()?, world.kubectl("ada")?] {
            let output = kubectl.run_with(&["create", &raw, "--filename=-"], text)?;
            assert!(!output.status.success());
            assert!(output.stderr.contains(&wanted), "{place}: {}", output.stderr);
        }
    }
    // Of what the API server does not have, it says no kind.
    let path = format!("/api/v1/namespaces/{}/things", world.namespace);
    let head =
        world.curl_with("POST", &path, &["content-type: application/json", "--data-binary", "kind"])?;
    assert!(head.starts_with("HTTP/2 400"), "{head}");
    Ok(())
}
