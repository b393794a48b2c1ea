//! What images hold, judged at the manifest.

use std::path::Path;

use anyhow::{Error, Result, ensure};
use lockgate_detect::expand_sample;
use lockgate_testkit::{Image, ImageClient, ImageTool, Output, image};
use serde_json::json;

use crate::world::{World, succeeded};

const POLICY: &str = r#"
version: 1
groups:
  agents: [ { issuer: idp, claim: { role: agent } } ]
rules:
  - id: agents
    match: { who: agents, oci: { action: [pull, pull-blob, push-blob, list, push, delete] } }
    decide: allow
  - id: no-secrets
    match: { oci: { action: push, findings: any } }
    decide: deny
    reason: "the image contains {findings}"
  - id: no-root
    match: { oci: { action: push, repositories: ["strict/**"], root: true } }
    decide: deny
    reason: "the image runs as root"
  - id: immutable
    match: { oci: { action: push, tags: ["v*"], changes: [update] } }
    decide: deny
    reason: "{tag} stands for something else already"
  - id: small
    match: { oci: { action: push, layer_size: { min: 1MiB } } }
    decide: deny
    reason: "a layer has {layer_size} bytes"
  - id: signed
    match: { oci: { action: pull, repositories: ["strict/**"], signed: false } }
    decide: deny
    reason: "nobody signed it"
  - id: production
    match: { oci: { action: push, tags: [prod] } }
    decide: require_approval
    approval: { hold: 60s, ttl: 1h }
"#;

fn secret(seed: u64) -> Result<String> {
    expand_sample("ghp_<A-Za-z0-9*36>", seed).map_err(Error::msg)
}

fn push(client: &ImageClient, image: &Image, name: &str) -> Result<Output> {
    let layout = tempfile::tempdir()?;
    image.write(layout.path())?;
    client.push(layout.path(), name)
}

fn refused(output: &Output, parts: &[&str]) -> Result<()> {
    ensure!(!output.status.success(), "it passed");
    for part in parts {
        ensure!(output.stderr.contains(part), "{part} in {}", output.stderr);
    }
    Ok(())
}

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

#[test]
fn a_secret_is_found_wherever_it_is_planted() -> Result<()> {
    let world = World::start_under(POLICY)?;
    let client = world.client(ImageTool::Skopeo, "ada")?;
    let line = format!("token {}\n", secret(1)?);
    let clean = || Image::new().layer(&[("etc/motd", b"hello\n")]);
    let planted = image::tar(&[("root/.netrc", line.as_bytes())]);
    let first = image::gzip(&image::tar(&[("etc/motd", b"hello\n")]))?;
    let both = [first, image::gzip(&planted)?].concat();
    let rows = [
        (
            "layer",
            clean()?.layer(&[("root/.netrc", line.as_bytes())])?,
            "github-pat in root/.netrc in layer 2",
        ),
        ("env", clean()?.with("Env", json!([format!("TOKEN={}", secret(2)?)])), "github-pat in the config"),
        ("label", clean()?.with("Labels", json!({ "token": secret(3)? })), "github-pat in the config"),
        ("member", Image::new().stored(GZIP, both, &planted), "github-pat in root/.netrc in layer 1"),
        (
            "plain",
            Image::new().stored(GZIP, planted.clone(), &planted),
            "github-pat in root/.netrc in layer 1",
        ),
        (
            "zstd",
            Image::new().stored(ZSTD, image::zstd(&planted)?, &planted),
            "github-pat in root/.netrc in layer 1",
        ),
    ];
    for (name, image, place) in rows {
        let pushed = push(&client, &image, &world.name(&format!("team/{name}:v1")))?;
        refused(&pushed, &["(rule no-secrets)", place])?;
        ensure!(!pushed.stderr.contains("ghp_"), "{}", pushed.stderr);
        assert!(world.registry.tag(&format!("team/{name}"), "v1").is_none(), "{name}");
    }
    succeeded(&push(&client, &clean()?, &world.name("team/clean:v1"))?)?;
    Ok(())
}

#[test]
fn what_is_there_already_is_looked_through_too() -> Result<()> {
    let world = World::start_under(POLICY)?;
    let line = format!("token {}\n", secret(4)?);
    let image = Image::new().layer(&[("root/.netrc", line.as_bytes())])?;
    let direct = ImageClient::new(ImageTool::Skopeo, None)?;
    succeeded(&push(&direct, &image, &format!("{}/team/app:other", world.registry.host()))?)?;
    let client = world.client(ImageTool::Skopeo, "ada")?;
    let pushed = push(&client, &image, &world.name("team/app:v1"))?;
    refused(&pushed, &["github-pat in root/.netrc in layer 1"])?;
    assert!(world.registry.tag("team/app", "v1").is_none());
    Ok(())
}

#[test]
fn images_are_judged_by_what_they_say() -> Result<()> {
    let world = World::start_under(POLICY)?;
    let client = world.client(ImageTool::Skopeo, "ada")?;
    let image = |content: &str| Image::new().layer(&[("etc/motd", content.as_bytes())]);
    let root = image("one")?.with("User", json!("0:0"));
    refused(
        &push(&client, &root, &world.name("strict/app:v1"))?,
        &["the image runs as root (rule no-root)"],
    )?;
    succeeded(&push(&client, &root, &world.name("team/app:v1"))?)?;
    succeeded(&push(&client, &root, &world.name("team/app:v1"))?)?;
    let other = push(&client, &image("two")?, &world.name("team/app:v1"))?;
    refused(&other, &["v1 stands for something else already (rule immutable)"])?;
    let noise: Vec<u8> = std::iter::successors(Some(1u64), |state| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 7);
        Some(state ^ (state << 17))
    })
    .flat_map(u64::to_le_bytes)
    .take(2 << 20)
    .collect();
    let large = image("three")?.layer(&[("var/noise", &noise)])?;
    refused(&push(&client, &large, &world.name("team/app:v2"))?, &["(rule small)"])?;
    Ok(())
}

#[test]
fn only_what_is_signed_may_be_pulled() -> Result<()> {
    let world = World::start_under(POLICY)?;
    let client = world.client(ImageTool::Skopeo, "ada")?;
    let image = Image::new().layer(&[("etc/motd", b"hello\n")])?;
    let layout = tempfile::tempdir()?;
    let digest = image.write(layout.path())?;
    succeeded(&client.push(layout.path(), &world.name("strict/app:v1"))?)?;
    refused(&client.pull(&world.name("strict/app:v1"))?, &["nobody signed it (rule signed)"])?;
    // What cosign would leave there.
    let tag = format!("{}.sig", digest.replace(':', "-"));
    let signature = Image::new().layer(&[("signature", b"...")])?;
    succeeded(&push(&client, &signature, &world.name(&format!("strict/app:{tag}")))?)?;
    succeeded(&client.pull(&world.name("strict/app:v1"))?)?;
    Ok(())
}

#[test]
fn people_are_shown_what_changes() -> Result<()> {
    let world = World::start_under(POLICY)?;
    let client = world.client(ImageTool::Skopeo, "ada")?;
    let base = || Image::new().layer(&[("etc/motd", b"hello\n")]);
    let direct = ImageClient::new(ImageTool::Skopeo, None)?;
    succeeded(&push(&direct, &base()?, &format!("{}/team/app:prod", world.registry.host()))?)?;
    let image = base()?.layer(&[("bin/app", b"new\n")])?.with("User", json!("root"));
    let layout = tempfile::tempdir()?;
    let digest = image.write(layout.path())?;
    let waiting = client.begin_push(layout.path(), &world.name("team/app:prod"))?;
    let id = world.gate.pending()?;
    let shown = world.gate.run_configured(&["approvals", "show", &id])?.stdout;
    let layers = image.layers();
    for part in [
        format!("now {digest}"),
        format!("  {}", layers[0]),
        format!("+ {}", layers[1]),
        "- user: 1000".to_owned(),
        "+ user: root".to_owned(),
        "packages: neither image has an SBOM".to_owned(),
    ] {
        ensure!(shown.contains(&part), "{part} in {shown}");
    }
    succeeded(&world.gate.run_configured(&["approvals", "approve", &id])?)?;
    succeeded(&waiting.finish(std::time::Duration::from_secs(90))?)?;
    assert_eq!(world.registry.tag("team/app", "prod").as_deref(), Some(digest.as_str()));
    Ok(())
}

/// Whether a folder is left of what was kept on the way.
fn is_empty(folder: &Path) -> Result<bool> {
    Ok(std::fs::read_dir(folder)?.next().is_none())
}

#[test]
fn a_blob_in_one_piece_is_looked_through_before_it_goes_on() -> Result<()> {
    let policy = POLICY.replace(
        "match: { oci: { action: push, findings: any } }",
        "match: { oci: { action: [push, push-blob], findings: any } }",
    );
    let world = World::start_under(&policy)?;
    let text = format!("token {}\n", secret(5)?);
    let digest = image::sha256(text.as_bytes());
    let begun = world.curl(&["--request", "POST"], "/v2/hub/team/app/blobs/uploads/")?;
    assert_eq!(begun.status, 202, "{begun:?}");
    let end = format!("{}?digest={digest}", begun.header("location").unwrap_or_default());
    let octets = "content-type: application/octet-stream";
    let put = world.curl(&["--request", "PUT", "--header", octets, "--data-binary", &text], &end)?;
    assert_eq!(put.status, 403, "{put:?}");
    assert!(put.body.contains("github-pat") && !put.body.contains("ghp_"), "{}", put.body);
    assert!(!world.registry.stores(&digest));
    assert!(is_empty(&world.gate.folder().join("data/pushes"))?);
    Ok(())
}

#[test]
fn a_refused_upload_is_ended_in_the_registry() -> Result<()> {
    let policy = POLICY.replace(
        "match: { oci: { action: push, findings: any } }",
        "match: { oci: { action: [push, push-blob], findings: any } }",
    );
    let world = World::start_under(&policy)?;
    let text = format!("token {}\n", secret(6)?);
    let begun = world.curl(&["--request", "POST"], "/v2/hub/team/app/blobs/uploads/")?;
    let location = begun.header("location").unwrap_or_default().to_owned();
    let octets = "content-type: application/octet-stream";
    let patch = ["--request", "PATCH", "--header", octets, "--data-binary", &text];
    assert_eq!(world.curl(&patch, &location)?.status, 202);
    let end = format!("{location}?digest={}", image::sha256(text.as_bytes()));
    let put = world.curl(&["--request", "PUT"], &end)?;
    assert_eq!(put.status, 403, "{put:?}");
    let log = world.registry.log()?;
    let is_end =
        |line: &&str| line.contains("\"DELETE /v2/team/app/blobs/uploads/") && line.contains("\" 204 ");
    assert_eq!(log.lines().filter(is_end).count(), 1, "{log}");
    assert_eq!(world.curl(&["--request", "PUT"], &end)?.status, 404, "it is over here too");
    Ok(())
}

/// Who may not pull there learns nothing, though the policy asks what images elsewhere say.
#[test]
fn nobody_learns_what_is_there_who_may_not_have_it() -> Result<()> {
    let closed = r#"
  - id: closed
    match: { oci: { repositories: ["closed/**"] } }
    decide: deny
    reason: "{repository} is closed"
"#;
    let world = World::start_under(&format!("{POLICY}{closed}"))?;
    let direct = ImageClient::new(ImageTool::Skopeo, None)?;
    let image = Image::new().layer(&[("etc/motd", b"hello\n")])?;
    succeeded(&push(&direct, &image, &format!("{}/closed/app:there", world.registry.host()))?)?;
    let before = world.registry.log()?.lines().count();
    let manifest = json!({ "schemaVersion": 2, "manifests": [] }).to_string();
    let kind = "content-type: application/vnd.oci.image.index.v1+json";
    let put = ["--request", "PUT", "--header", kind, "--data-binary", manifest.as_str()];
    for args in [&["--request", "GET"][..], &put] {
        let answers =
            ["there", "gone"].map(|tag| world.curl(args, &format!("/v2/hub/closed/app/manifests/{tag}")));
        let [there, gone] = answers;
        let (there, gone) = (there?, gone?);
        assert_eq!((there.status, gone.status, &there.body), (403, 403, &gone.body));
    }
    assert_eq!(world.registry.log()?.lines().count(), before, "the registry was not asked");
    Ok(())
}

#[test]
fn of_pushes_of_one_new_version_one_succeeds() -> Result<()> {
    const AT_ONCE: usize = 6;
    let world = World::start_under(POLICY)?;
    let client = world.client(ImageTool::Skopeo, "ada")?;
    let mut manifests = Vec::new();
    for number in 0..AT_ONCE {
        let image = Image::new().layer(&[("etc/motd", format!("hello {number}\n").as_bytes())])?;
        let layout = tempfile::tempdir()?;
        let digest = image.write(layout.path())?;
        succeeded(&client.push(layout.path(), &world.name(&format!("team/app:try-{number}")))?)?;
        let file = layout.path().join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
        manifests.push((layout, file));
    }
    let kind = "content-type: application/vnd.oci.image.manifest.v1+json";
    let statuses = std::thread::scope(|scope| {
        let pushes = manifests.iter().map(|(_, file)| {
            let data = format!("@{}", file.display());
            let world = &world;
            scope.spawn(move || {
                let put = ["--request", "PUT", "--header", kind, "--data-binary", &data];
                world.curl(&put, "/v2/hub/team/app/manifests/v1").map(|answer| answer.status)
            })
        });
        let pushes: Vec<_> = pushes.collect();
        pushes.into_iter().map(|push| push.join().expect("it does not panic")).collect::<Result<Vec<_>>>()
    })?;
    let count = |status: u16| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((count(201), count(403)), (1, AT_ONCE - 1), "{statuses:?}");
    Ok(())
}
