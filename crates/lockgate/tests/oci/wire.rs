//! The distribution API, request by request.

use anyhow::Result;
use lockgate_testkit::image::sha256;
use serde_json::{Value, json};

use crate::world::World;

#[test]
fn an_upload_in_parts_leads_through_the_gateway_alone() -> Result<()> {
    let world = World::start()?;
    let begun = world.curl(&["--request", "POST"], "/v2/hub/team/app/blobs/uploads/")?;
    assert_eq!(begun.status, 202, "{begun:?}");
    let location = begun.header("location").unwrap_or_default().to_owned();
    assert!(location.starts_with("/v2/hub/team/app/blobs/uploads/") && !location.contains('?'), "{location}");
    let patch = |data: &str, range: &str| {
        let range = format!("content-range: {range}");
        let kind = "content-type: application/octet-stream";
        world.curl(
            &["--request", "PATCH", "--header", &range, "--header", kind, "--data-binary", data],
            &location,
        )
    };
    let first = patch("hello ", "0-5")?;
    assert_eq!((first.status, first.header("location")), (202, Some(location.as_str())), "{first:?}");
    let status = world.curl(&[], &location)?;
    assert_eq!((status.status, status.header("range")), (204, Some("0-5")));
    let elsewhere = location.replace("team/app", "team/other");
    assert_eq!(world.curl(&[], &elsewhere)?.status, 404);
    let stranger = format!("authorization: Bearer {}", world.token("eve")?);
    assert_eq!(world.curl_plainly(&["--header", &stranger], &location)?.status, 404);
    assert_eq!(patch("world", "6-10")?.status, 202);
    let commit = format!("{location}?digest={}", sha256(b"hello world"));
    let done = world.curl(&["--request", "PUT"], &commit)?;
    let blob = format!("/v2/hub/team/app/blobs/{}", sha256(b"hello world"));
    assert_eq!((done.status, done.header("location")), (201, Some(blob.as_str())), "{done:?}");
    assert_eq!(world.curl(&[], &blob)?.body, "hello world");
    let part = world.curl(&["--header", "range: bytes=6-8"], &blob)?;
    assert_eq!((part.status, part.body.as_str()), (206, "wor"));
    assert_eq!(world.curl(&["--request", "PUT"], &commit)?.status, 404, "it is over");
    Ok(())
}

/// Everything may be pushed, and not everything read.
const PRIVATE: &str = r#"
version: 1
rules:
  - { id: all, match: { everything: true }, decide: allow }
  - id: private
    match: { oci: { action: [pull, pull-blob], repositories: ["private/**"] } }
    decide: deny
"#;

#[test]
fn a_blob_is_mounted_where_it_may_be_read() -> Result<()> {
    let world = World::start_under(PRIVATE)?;
    let digest = sha256(b"hello");
    let kind = "content-type: application/octet-stream";
    for repository in ["team/app", "private/app"] {
        let begun = world.curl(&["--request", "POST"], &format!("/v2/hub/{repository}/blobs/uploads/"))?;
        let commit = format!("{}?digest={digest}", begun.header("location").unwrap_or_default());
        let done = world.curl(&["--request", "PUT", "--header", kind, "--data-binary", "hello"], &commit)?;
        assert_eq!(done.status, 201, "{done:?}");
    }
    let mount = |to: &str, digest: &str, from: &str| {
        let path = format!("/v2/hub/{to}/blobs/uploads/?mount={digest}&from={from}");
        world.curl(&["--request", "POST"], &path)
    };
    let mounted = mount("team/other", &digest, "hub/team/app")?;
    let blob = format!("/v2/hub/team/other/blobs/{digest}");
    assert_eq!((mounted.status, mounted.header("location")), (201, Some(blob.as_str())), "{mounted:?}");
    assert_eq!(world.curl(&[], &blob)?.body, "hello");
    // Otherwise it is an upload like any other: what may not be read, or is not there, or is no digest.
    for (digest, from) in [
        (&*digest, "hub/private/app"),
        (&*digest, "team/app"),
        (&*digest, "hub/../v2/team/app"),
        (&*sha256(b"nothing"), "hub/team/app"),
        ("sha256:x", "hub/team/app"),
    ] {
        let begun = mount("stolen/app", digest, from)?;
        assert_eq!(begun.status, 202, "{from}: {begun:?}");
        let location = begun.header("location").unwrap_or_default();
        assert!(location.starts_with("/v2/hub/stolen/app/blobs/uploads/"), "{location}");
        let put = ["--request", "PUT", "--header", kind, "--data-binary", "other"];
        let done = world.curl(&put, &format!("{location}?digest={}", sha256(b"other")))?;
        assert_eq!(done.status, 201, "{from}: {done:?}");
    }
    assert_eq!(world.curl(&[], &format!("/v2/hub/stolen/app/blobs/{digest}"))?.status, 404);
    Ok(())
}

#[test]
fn what_is_not_its_digest_is_refused() -> Result<()> {
    let world = World::start()?;
    let begin = || -> Result<String> {
        let begun = world.curl(&["--request", "POST"], "/v2/hub/team/app/blobs/uploads/")?;
        Ok(begun.header("location").unwrap_or_default().to_owned())
    };
    let wrong = sha256(b"other");
    let kind = "content-type: application/octet-stream";
    let location = begin()?;
    world.curl(&["--request", "PATCH", "--header", kind, "--data-binary", "hello"], &location)?;
    let refused = world.curl(&["--request", "PUT"], &format!("{location}?digest={wrong}"))?;
    assert_eq!((refused.status, refused.body.contains("DIGEST_INVALID")), (400, true), "{refused:?}");
    let whole = format!("{}?digest={wrong}", begin()?);
    let refused = world.curl(&["--request", "PUT", "--header", kind, "--data-binary", "hello"], &whole)?;
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert!(!world.registry.stores(&wrong) && !world.registry.stores(&sha256(b"hello")));
    let manifest = json!({ "schemaVersion": 2, "layers": [] }).to_string();
    let kind = "content-type: application/vnd.oci.image.manifest.v1+json";
    let path = format!("/v2/hub/team/app/manifests/{wrong}");
    let refused = world.curl(&["--request", "PUT", "--header", kind, "--data-binary", &manifest], &path)?;
    assert_eq!((refused.status, refused.body.contains("DIGEST_INVALID")), (400, true), "{refused:?}");
    Ok(())
}

#[test]
fn lists_go_on_here() -> Result<()> {
    let world = World::start()?;
    let (config, octets) = ("{}", "content-type: application/octet-stream");
    let kind = "content-type: application/vnd.oci.image.manifest.v1+json";
    let digest = sha256(config.as_bytes());
    let descriptor = json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": 2 });
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor,
        "layers": [descriptor],
    });
    let (manifest, named) = (manifest.to_string(), sha256(manifest.to_string().as_bytes()));
    for name in ["a", "b", "c"] {
        let path = format!("/v2/hub/team/{name}/blobs/uploads/?digest={digest}");
        let whole = world.curl(&["--request", "POST", "--header", octets, "--data-binary", config], &path)?;
        // This registry takes no whole blob: the upload is begun, and ends as any.
        assert_eq!(whole.status, 202, "{whole:?}");
        let end = format!("{}?digest={digest}", whole.header("location").unwrap_or_default());
        let put = world.curl(&["--request", "PUT", "--header", octets, "--data-binary", config], &end)?;
        assert_eq!(put.status, 201, "{put:?}");
        let path = format!("/v2/hub/team/{name}/manifests/v1");
        let put = world.curl(&["--request", "PUT", "--header", kind, "--data-binary", &manifest], &path)?;
        let location = format!("/v2/hub/team/{name}/manifests/{named}");
        assert_eq!((put.status, put.header("location")), (201, Some(location.as_str())), "{put:?}");
    }
    let page = world.curl(&[], "/v2/hub/_catalog?n=2")?;
    let names = json!({ "repositories": ["hub/team/a", "hub/team/b"] });
    assert_eq!(serde_json::from_str::<Value>(&page.body)?, names);
    let link = page.header("link").unwrap_or_default();
    let next = link.trim_start_matches('<').split('>').next().unwrap_or_default();
    assert!(next.starts_with("/v2/hub/_catalog?") && link.ends_with("rel=\"next\""), "{link}");
    let last: Value = serde_json::from_str(&world.curl(&[], next)?.body)?;
    assert_eq!(last["repositories"], json!(["hub/team/c"]));
    let path = format!("/v2/hub/team/a/manifests/{named}");
    let accept =
        ["--header", "accept: text/x", "--header", "accept: application/vnd.oci.image.manifest.v1+json"];
    assert_eq!(world.curl(&[&accept[..], &["--head"]].concat(), &path)?.status, 200);
    assert_eq!(world.curl(&accept, &path)?.body, manifest);
    assert_eq!(world.curl(&["--request", "DELETE"], &path)?.status, 202);
    assert_eq!(world.curl(&accept, &path)?.status, 404);
    Ok(())
}

#[test]
fn what_is_no_request_of_the_api_is_refused() -> Result<()> {
    let world = World::start()?;
    for (method, path, status) in [
        ("GET", "/v2/hub/team/app", 404),
        ("GET", "/v2/hub/Team/app/tags/list", 400),
        ("GET", "/v2/hub/team/../app/tags/list", 400),
        ("GET", "/v2/hub/team/app/blobs/md5:x", 400),
        ("POST", "/v2/hub/team/app/tags/list", 405),
        ("PUT", "/v2/hub/team/app/blobs/uploads/", 405),
        ("PATCH", "/v2/hub/team/app/blobs/uploads/x", 404),
        ("PUT", "/v2/hub/team/app/manifests/v1", 400),
    ] {
        let answer = world.curl(&["--request", method], path)?;
        let body: Value = serde_json::from_str(&answer.body)?;
        assert_eq!(answer.status, status, "{method} {path}: {body}");
        assert!(
            body["errors"][0]["message"].as_str().is_some_and(|text| text.starts_with("lockgate: ")),
            "{body}"
        );
    }
    Ok(())
}

#[test]
fn a_manifest_says_how_large_its_blobs_are() -> Result<()> {
    let world = World::start()?;
    let octets = "content-type: application/octet-stream";
    let begun = world.curl(&["--request", "POST"], "/v2/hub/team/app/blobs/uploads/")?;
    let digest = sha256(b"{}");
    let end = format!("{}?digest={digest}", begun.header("location").unwrap_or_default());
    let put = world.curl(&["--request", "PUT", "--header", octets, "--data-binary", "{}"], &end)?;
    assert_eq!(put.status, 201, "{put:?}");
    let push = |size: u64| {
        let descriptor =
            json!({ "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": size });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor,
            "layers": [descriptor],
        });
        let kind = "content-type: application/vnd.oci.image.manifest.v1+json";
        let args = ["--request", "PUT", "--header", kind, "--data-binary", &manifest.to_string()];
        world.curl(&args, "/v2/hub/team/app/manifests/v1")
    };
    let refused = push(1)?;
    assert_eq!(
        (refused.status, refused.body.contains("has 1 bytes, and it has 2")),
        (400, true),
        "{refused:?}"
    );
    assert_eq!(push(2)?.status, 201);
    Ok(())
}
