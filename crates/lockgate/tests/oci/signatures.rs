//! Images that are signed, and built on what is known.

use anyhow::{Result, ensure};
use lockgate_testkit::{Image, ImageClient, ImageTool, Signature, Signer, image::sha256};
use serde_json::{Value, json};

use crate::world::{World, succeeded};

const POLICY: &str = r#"
version: 1
groups:
  agents: [ { issuer: idp, claim: { role: agent } } ]
rules:
  - id: agents
    match: { who: agents, oci: { action: [pull, pull-blob, push-blob, list, push] } }
    decide: allow
  - id: signed
    match:
      all:
        - { oci: { action: pull, repositories: ["strict/**"] } }
        - not: { any: [ { oci: { signed_by: [release] } }, { oci: { documents: true } } ] }
    decide: deny
    reason: "the release key has not signed it, but: {signed_by}"
  - id: bases
    match: { all: [ { oci: { action: push, repositories: ["based/**"] } }, { not: { oci: { built_on: [ours] } } } ] }
    decide: deny
    reason: "it is built on none of our bases"
"#;

/// Puts a signature where cosign does.
fn attach(world: &World, repository: &str, image: &str, signature: &Signature) -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let data = format!("@{}", file.path().display());
    for blob in &signature.blobs {
        std::fs::write(file.path(), blob)?;
        let begun = world.curl(&["--request", "POST"], &format!("/v2/hub/{repository}/blobs/uploads/"))?;
        let end = format!("{}?digest={}", begun.header("location").unwrap_or_default(), sha256(blob));
        let octets = "content-type: application/octet-stream";
        let put = ["--request", "PUT", "--header", octets, "--data-binary", &data];
        ensure!(world.curl(&put, &end)?.status == 201, "the blob");
    }
    std::fs::write(file.path(), signature.manifest.to_string())?;
    let kind = "content-type: application/vnd.oci.image.manifest.v1+json";
    let put = ["--request", "PUT", "--header", kind, "--data-binary", &data];
    let path = format!("/v2/hub/{repository}/manifests/{}.sig", image.replace(':', "-"));
    let answer = world.curl(&put, &path)?;
    ensure!(answer.status == 201, "{answer:?}");
    Ok(())
}

#[test]
fn only_what_a_key_signed_may_be_pulled() -> Result<()> {
    let (release, ci, stranger) = (Signer::new()?, Signer::new()?, Signer::new()?);
    let keys = json!([{ "name": "release", "file": "release.pub" }, { "name": "ci", "file": "ci.pub" }]);
    let files = [("release.pub", &*release.public_key()), ("ci.pub", &*ci.public_key())];
    let world = World::start_knowing(POLICY, &json!({ "signatures": { "keys": keys } }), &files)?;
    let client = world.client(ImageTool::Skopeo, "ada")?;
    let layout = tempfile::tempdir()?;
    let digest = Image::new().layer(&[("etc/motd", b"hello\n")])?.write(layout.path())?;
    succeeded(&client.push(layout.path(), &world.name("strict/app:v1"))?)?;
    let mut tampered = release.sign(&digest)?;
    tampered.blobs[1].push(b' ');
    tampered.manifest["layers"][0]["digest"] = sha256(&tampered.blobs[1]).into();
    tampered.manifest["layers"][0]["size"] = tampered.blobs[1].len().into();
    let elsewhere = release.sign(&sha256(b"another image"))?;
    for (signature, who) in [
        (None, ""),
        (Some(stranger.sign(&digest)?), ""),
        (Some(elsewhere), ""),
        (Some(tampered), ""),
        (Some(ci.sign(&digest)?), "ci"),
    ] {
        if let Some(signature) = signature {
            attach(&world, "strict/app", &digest, &signature)?;
        }
        let refused = client.pull(&world.name("strict/app:v1"))?;
        let expected = format!("the release key has not signed it, but: {who}");
        ensure!(!refused.status.success() && refused.stderr.contains(&expected), "{who}: {}", refused.stderr);
    }
    let mut both = release.sign(&digest)?;
    let other = ci.sign(&digest)?;
    attach(&world, "strict/app", &digest, &other)?;
    let layers: Vec<Value> = [&other, &both].map(|of| of.manifest["layers"][0].clone()).into_iter().collect();
    both.manifest["layers"] = layers.into();
    attach(&world, "strict/app", &digest, &both)?;
    succeeded(&client.pull(&world.name("strict/app:v1"))?)?;
    // Who verifies it too gets the signature; an image is none, whatever its tag says.
    let tag = |of: &str| format!("{}.sig", of.replace(':', "-"));
    let accept = ["--header", "accept: application/vnd.oci.image.manifest.v1+json"];
    let path = format!("/v2/hub/strict/app/manifests/{}", tag(&digest));
    assert_eq!(world.curl(&accept, &path)?.status, 200);
    let disguised = tag(&sha256(b"another image"));
    succeeded(&client.push(layout.path(), &world.name(&format!("strict/other:{disguised}")))?)?;
    let path = format!("/v2/hub/strict/other/manifests/{disguised}");
    assert_eq!(world.curl(&accept, &path)?.status, 403);
    Ok(())
}

#[test]
fn images_are_known_by_the_layers_of_their_base() -> Result<()> {
    let bases = json!({ "bases": [{ "name": "ours", "image": "base/debian:12" }] });
    let world = World::start_knowing(POLICY, &bases, &[])?;
    let client = world.client(ImageTool::Skopeo, "ada")?;
    let push = |image: &Image, name: &str| {
        let layout = tempfile::tempdir()?;
        image.write(layout.path())?;
        client.push(layout.path(), &world.name(name))
    };
    let base = Image::new().layer(&[("etc/os", b"twelve\n")])?;
    let direct = ImageClient::new(ImageTool::Skopeo, None)?;
    let layout = tempfile::tempdir()?;
    base.write(layout.path())?;
    succeeded(&direct.push(layout.path(), &format!("{}/base/debian:12", world.registry.host()))?)?;
    succeeded(&push(&base.clone().layer(&[("bin/app", b"app\n")])?, "based/app:v1")?)?;
    let other = Image::new().layer(&[("etc/os", b"eleven\n")])?.layer(&[("bin/app", b"app\n")])?;
    let refused = push(&other, "based/app:v2")?;
    ensure!(!refused.status.success() && refused.stderr.contains("none of our bases"), "{}", refused.stderr);
    Ok(())
}
