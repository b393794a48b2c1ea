//! Clients that give up after 30 seconds without an answer: they are told to try again, and then to come back.

use anyhow::{Context as _, Result, ensure};
use lockgate_testkit::image::sha256;
use serde_json::{Value, json};

use crate::world::{Answer, World, succeeded};

const KIND: &str = "content-type: application/vnd.oci.image.manifest.v1+json";

/// A manifest whose blob is there.
fn manifest(world: &World) -> Result<String> {
    let octets = "content-type: application/octet-stream";
    let digest = sha256(b"{}");
    let begun = world.curl(&["--request", "POST"], "/v2/hub/team/app/blobs/uploads/")?;
    let end = format!("{}?digest={digest}", begun.header("location").unwrap_or_default());
    let put = world.curl(&["--request", "PUT", "--header", octets, "--data-binary", "{}"], &end)?;
    ensure!(put.status == 201, "{put:?}");
    let descriptor = json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2 });
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let layers = [&descriptor];
    Ok(json!({ "schemaVersion": 2, "mediaType": kind, "config": descriptor, "layers": layers }).to_string())
}

/// Puts it under a tag, as this client.
fn push(world: &World, agent: &str, tag: &str, manifest: &str) -> Result<Answer> {
    let agent = format!("user-agent: {agent}");
    let head = ["--request", "PUT", "--header", &agent, "--header", KIND, "--data-binary", manifest];
    world.curl(&head, &format!("/v2/hub/team/app/manifests/{tag}"))
}

#[test]
fn who_gives_up_soon_is_told_to_try_again_and_passes_once_people_agreed() -> Result<()> {
    let world = World::start_within(&json!({ "hold_impatient": "1s" }))?;
    let manifest = manifest(&world)?;
    for agent in ["containerd/2.3.1", "docker/29.7.0 go/go1.26 kernel/6.1 os/linux arch/amd64"] {
        let tag = if agent.starts_with("docker") { "docker-prod" } else { "containerd-prod" };
        for attempt in 1..=4 {
            let again = push(&world, agent, tag, &manifest)?;
            assert_eq!((again.status, again.header("retry-after")), (429, Some("1")), "{attempt}: {again:?}");
        }
        let refused = push(&world, agent, tag, &manifest)?;
        assert_eq!(refused.status, 403, "{refused:?}");
        let id = world.gate.pending()?;
        let body: Value = serde_json::from_str(&refused.body)?;
        let message = body["errors"][0]["message"].as_str().context("a message")?;
        assert!(message.contains("approve") && refused.body.contains(&id), "{body}");
        assert!(world.registry.tag("team/app", tag).is_none());
        succeeded(&world.gate.run_configured(&["approvals", "approve", &id])?)?;
        let pushed = push(&world, agent, tag, &manifest)?;
        assert_eq!(pushed.status, 201, "{pushed:?}");
        assert_eq!(world.registry.tag("team/app", tag), Some(sha256(manifest.as_bytes())));
    }
    Ok(())
}
