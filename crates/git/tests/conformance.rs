//! The suite that every protocol passes, with what git really sends.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use lockgate_git::Git;
use lockgate_testkit::conformance::{NoProbe, Sample, Suite, check};

const FETCH: &[u8] =
    b"0012command=fetch\n00010032want 0123456789012345678901234567890123456789\n0009done\n0000";

fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

fn get(name: &'static str, uri: &str) -> Sample {
    let (method, headers) = (Method::GET, headers(&[(header::ACCEPT, "*/*")]));
    let body = Bytes::new();
    Sample { name, method, uri: uri.into(), headers, forwarded: Some(body.clone()), body, reads_body: false }
}

fn post(name: &'static str, service: &str, body: Bytes) -> Sample {
    let media_type = match service {
        "git-upload-pack" => "application/x-git-upload-pack-request",
        _ => "application/x-git-receive-pack-request",
    };
    Sample {
        name,
        method: Method::POST,
        uri: format!("/team/app.git/{service}"),
        headers: headers(&[(header::CONTENT_TYPE, media_type)]),
        forwarded: Some(body.clone()),
        body,
        reads_body: service == "git-receive-pack",
    }
}

fn transcript(name: &str) -> Bytes {
    let path = format!("{}/tests/transcripts/{name}.request", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).expect(&path).into()
}

fn gzipped(mut sample: Sample) -> Sample {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&sample.body).expect("in memory");
    sample.body = encoder.finish().expect("in memory").into();
    sample.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    sample
}

#[tokio::test]
async fn git_conforms() {
    let pushes =
        ["create", "delete", "force", "atomic", "update-options", "shallow", "signed", "sha256", "rejected"];
    let pushes = pushes.map(|name| post(name, "git-receive-pack", transcript(name)));
    let fetch = post("fetch", "git-upload-pack", Bytes::from_static(FETCH));
    let understood = [
        get("refs to fetch", "/team/app.git/info/refs?service=git-upload-pack"),
        get("refs to push", "/app/info/refs?service=git-receive-pack"),
        gzipped(fetch.clone()),
        fetch,
        gzipped(pushes[0].clone()),
    ];
    let wrong_type = |mut sample: Sample| {
        sample.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        sample
    };
    let push = &pushes[0];
    let refused = vec![
        get("dumb", "/team/app.git/info/refs"),
        get("an object", "/team/app.git/objects/pack/pack-1.pack"),
        get("another service", "/team/app.git/info/refs?service=git-upload-archive"),
        get("two services", "/team/app.git/info/refs?service=git-upload-pack&service=git-receive-pack"),
        get("traversal", "/team/../other.git/info/refs?service=git-upload-pack"),
        get("encoded traversal", "/team/%2e%2e/other.git/info/refs?service=git-upload-pack"),
        get("encoded slash", "/team%2fother.git/info/refs?service=git-upload-pack"),
        get("no repository", "/info/refs?service=git-upload-pack"),
        get("a service by GET", "/team/app.git/git-receive-pack"),
        wrong_type(push.clone()),
        post("no pack", "git-receive-pack", push.body.slice(..push.body.len() / 8)),
        post("noise", "git-receive-pack", Bytes::from_static(b"zzzznoise")),
        post("nothing", "git-receive-pack", Bytes::new()),
    ];
    let understood = understood.into_iter().chain(pushes.clone()).collect();
    let protocol = std::sync::Arc::new(Git::default());
    check(Suite { protocol, probe: std::sync::Arc::new(NoProbe), understood, refused }).await;
}
