//! What becomes of requests, with an upstream that has what it is told to have.

mod content;
mod mount;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use lockgate_core::{
    access::Needs,
    body::{self as bodies},
    principal::{Principal, SessionId},
    protocol::Probe,
    spool::Spools,
    upstream::Upstream,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    parse::name::{Algorithm, Digest},
    uploads::{Owner, Progress},
};

/// What there is, by path; and what was asked for.
#[derive(Default)]
struct Content {
    found: Mutex<BTreeMap<String, Bytes>>,
    asked: Mutex<Vec<String>>,
    /// Whether no request may pass.
    is_hopeless: bool,
    /// The repository that may be read.
    readable: Option<&'static str>,
}

impl Content {
    fn with(self, path: &str, bytes: impl Into<Bytes>) -> Self {
        self.put(path, bytes);
        self
    }

    fn put(&self, path: &str, bytes: impl Into<Bytes>) {
        self.found.lock().unwrap().insert(format!("/v2/team/app/{path}"), bytes.into());
    }

    fn blob(self, bytes: &[u8]) -> Self {
        self.with(&format!("blobs/{}", sha256(bytes)), bytes.to_vec())
    }

    fn manifest(self, bytes: &[u8]) -> Self {
        self.with(&format!("manifests/{}", sha256(bytes)), bytes.to_vec())
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Probe for Content {
    fn may_pass(&self, _: &[lockgate_core::access::Outline]) -> bool {
        !self.is_hopeless
    }

    fn permits(&self, outlines: &[lockgate_core::access::Outline]) -> bool {
        outlines.iter().all(|outline| {
            let access = &outline.access;
            access.action == classify::PUSH_BLOB || Some(&*access.resource) == self.readable
        })
    }

    fn send(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Refusal>> {
        let direct = request.extensions().get::<Direct>().expect("an address");
        let path = direct.url.path().to_owned();
        self.asked.lock().unwrap().push(format!("{} {path}", request.method()));
        let response = match self.found.lock().unwrap().get(&path) {
            None => Response::builder().status(404).body(bodies::empty()),
            Some(bytes) => {
                let digest = Digest::of(Algorithm::Sha256, bytes);
                let response = Response::builder().header("docker-content-digest", digest.as_str());
                let response = response.header("content-length", bytes.len());
                response.body(bodies::full(bytes.clone()))
            }
        };
        Box::pin(async { Ok(response.unwrap()) })
    }
}

fn sha256(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).to_string()
}

/// What became of a request: the accesses and where it goes; or the refusal with its code.
async fn ask(
    registry: &Registry,
    content: &Content,
    needs: &[&'static str],
    request: (&str, &str, &[u8]),
) -> Result<(Vec<Access>, String), (u16, String)> {
    let (method, path, body) = request;
    let request = Request::builder().method(method).uri(format!("/v2/team/app/{path}"));
    let request = request.body(bodies::full(body.to_vec())).unwrap();
    match classified(registry, content, needs, request).await {
        Classified::Asks { accesses, request, .. } => {
            let direct = request.extensions().get::<Direct>().expect("an address");
            Ok((accesses, direct.url.to_string()))
        }
        Classified::Refused { refusal, dialect } => {
            let response = dialect.refuse(&refusal);
            let status = response.status().as_u16();
            let bytes = body::read(response.into_body(), 4096).await.unwrap().unwrap();
            let text: Value = serde_json::from_slice(&bytes).unwrap();
            Err((status, text["errors"][0]["code"].as_str().unwrap().to_owned()))
        }
        Classified::Answer(_) => panic!("an answer"),
    }
}

async fn classified(
    registry: &Registry,
    content: &Content,
    needs: &[&'static str],
    request: Request<Body>,
) -> Classified {
    let setting = Setting::new(needs);
    registry.classify(setting.context(content), request).await.unwrap()
}

/// Who asks for what, where.
struct Setting {
    upstream: Arc<Upstream>,
    principal: Arc<Principal>,
    session: SessionId,
    spools: Spools,
    needs: Needs,
}

impl Setting {
    fn new(needs: &[&'static str]) -> Self {
        let principal = Arc::new(Principal::passthrough(Some("ada")));
        Self {
            upstream: Arc::new(Upstream::new("hub", "oci", "http://r.example/".parse().unwrap())),
            session: SessionId::derive(&principal, &[]),
            principal,
            spools: Spools { dir: std::env::temp_dir(), memory: 1 << 20, max: 1 << 20 },
            needs: needs.iter().copied().collect(),
        }
    }

    fn context<'a>(&'a self, content: &'a Content) -> Context<'a> {
        Context {
            upstream: &self.upstream,
            principal: &self.principal,
            session: &self.session,
            exchange: Default::default(),
            recorded: None,
            spools: &self.spools,
            probe: content,
            early: None,
            needs: &self.needs,
        }
    }
}

fn attribute(access: &Access, name: &str) -> String {
    access.attributes.get(name).map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// An image of one layer, whose config says this.
struct Image {
    config: Vec<u8>,
    layer: Vec<u8>,
    manifest: Vec<u8>,
}

fn image(user: &str, layer: &str) -> Image {
    let config = json!({ "os": "linux", "architecture": "amd64", "config": { "User": user } }).to_string();
    let descriptor = |bytes: &[u8]| json!({ "mediaType": "m", "digest": sha256(bytes), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2,
        "config": descriptor(config.as_bytes()),
        "layers": [descriptor(layer.as_bytes())],
    });
    Image { config: config.into(), layer: layer.into(), manifest: manifest.to_string().into() }
}

#[tokio::test]
async fn a_pull_is_judged_by_what_it_brings_and_brings_that() {
    let (registry, image) = (Registry::default(), image("root", "layer"));
    let content = Content::default().with("manifests/v1", image.manifest.clone()).blob(&image.config);
    let plain = ask(&registry, &content, &["tag"], ("GET", "manifests/v1?ns=x&y=z", b"")).await.unwrap();
    assert_eq!(plain.1, "http://r.example/v2/team/app/manifests/v1");
    assert_eq!(content.asked(), [""; 0], "what nobody asks for is not looked for");
    let (accesses, url) =
        ask(&registry, &content, &["root", "signed"], ("GET", "manifests/v1", b"")).await.unwrap();
    assert_eq!(url, format!("http://r.example/v2/team/app/manifests/{}", sha256(&image.manifest)));
    let [access] = accesses.as_slice() else { panic!("one access") };
    assert_eq!(
        (attribute(access, "root"), attribute(access, "tag"), attribute(access, "signed")),
        ("true".into(), "v1".into(), "false".into())
    );
    assert_eq!(access.binding, format!("pull v1 {}", sha256(&image.manifest)));
    let nothing = ask(&registry, &content, &["root"], ("GET", "manifests/v2", b"")).await.unwrap_err();
    assert_eq!(nothing, (404, "MANIFEST_UNKNOWN".into()), "it may be there when it is asked for again");
}

#[tokio::test]
async fn what_can_not_be_checked_is_not_passed_on() {
    let (registry, content) = (Registry::default(), Content::default());
    let blob = format!("blobs/{}", sha256(b"x"));
    for (path, range, status, passes) in [
        ("manifests/v1", None, 206, false),
        ("manifests/v1", Some("bytes=0-"), 206, false),
        ("manifests/v1", None, 203, false),
        ("manifests/v1", None, 404, true),
        (&blob, None, 206, false),
        (&blob, None, 203, false),
        (&blob, Some("bytes=0-"), 206, true),
        (&blob, Some("bytes=0-"), 203, false),
    ] {
        let mut request = Request::builder().uri(format!("/v2/team/app/{path}"));
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        let classified = classified(&registry, &content, &[], request.body(bodies::empty()).unwrap()).await;
        let Classified::Asks { request, dialect, .. } = classified else { panic!("{path} is refused") };
        let is_ranged = request.headers().contains_key(header::RANGE);
        assert_eq!(is_ranged, range.is_some() && path == blob, "{path}");
        let answer = Response::builder().status(status).body(bodies::full("{}")).unwrap();
        assert_eq!(dialect.answer(answer).await.is_ok(), passes, "{path} {range:?} {status}");
    }
}

#[tokio::test]
async fn a_push_says_what_becomes_of_each_tag() {
    let (registry, old, new) = (Registry::default(), image("1", "old"), image("1", "new"));
    let content = Content::default()
        .with("manifests/old", old.manifest.clone())
        .with("manifests/new", new.manifest.clone());
    let path = "manifests/old?tag=new&tag=other";
    let (accesses, url) = ask(&registry, &content, &["change"], ("PUT", path, &new.manifest)).await.unwrap();
    let changes: Vec<_> =
        accesses.iter().map(|access| (attribute(access, "tag"), attribute(access, "change"))).collect();
    let expected = [("old", "update"), ("new", "same"), ("other", "create")];
    assert_eq!(changes, expected.map(|(tag, change)| (tag.to_owned(), change.to_owned())));
    assert_eq!(url, "http://r.example/v2/team/app/manifests/old?tag=new&tag=other");
    assert!(accesses.iter().all(|access| access.binding.ends_with(&sha256(&new.manifest))));
}

#[tokio::test]
async fn a_manifest_is_of_one_type() {
    for (body, sent, expected) in [
        (r#"{"layers":[]}"#, "a/b; charset=utf-8", Some("a/b")),
        (r#"{"layers":[],"mediaType":"a/b"}"#, "a/b", Some("a/b")),
        (r#"{"layers":[],"mediaType":"a/b"}"#, "c/d", None),
    ] {
        let request = Request::put("/v2/team/app/manifests/v1").header(header::CONTENT_TYPE, sent);
        let request = request.body(bodies::full(body)).unwrap();
        let found = match classified(&Registry::default(), &Content::default(), &[], request).await {
            Classified::Asks { accesses, .. } => Some(attribute(&accesses[0], "media_type")),
            Classified::Refused { .. } | Classified::Answer(_) => None,
        };
        assert_eq!(found.as_deref(), expected, "{body} {sent}");
    }
}

#[tokio::test]
async fn no_parameter_goes_on_that_nobody_judges() {
    let (registry, content) = (Registry::default(), Content::default());
    for (method, path, rest) in [
        ("GET", "tags/list", "?n=1&last=a"),
        ("DELETE", "manifests/v1", ""),
        ("GET", &*format!("blobs/{}", sha256(b"x")), ""),
    ] {
        let asked = format!("{path}?n=1&last=a&ns=other&force=true");
        let (_, url) = ask(&registry, &content, &[], (method, &asked, b"")).await.unwrap();
        assert_eq!(url, format!("http://r.example/v2/team/app/{path}{rest}"));
    }
}

#[tokio::test]
async fn a_commit_always_says_what_was_found() {
    let secret = lockgate_detect::expand_sample("token ghp_<A-Za-z0-9*36>\n", 1).unwrap();
    let content = Content::default();
    let owner = || Owner::new(&Principal::passthrough(Some("ada")), "hub", "team/app");
    let begin = |registry: &Registry| {
        let progress = Some(Progress::begin(Algorithm::Sha256));
        registry.uploads.begin(owner(), "http://r.example/up".parse().unwrap(), progress)
    };
    let commit = async |registry: &Registry, id: &str, digest: &str, body: &[u8]| {
        let path = format!("blobs/uploads/{id}?digest={digest}");
        let (accesses, _) = ask(registry, &content, &["finding"], ("PUT", &path, body)).await.unwrap();
        attribute(&accesses[0], "finding")
    };
    let registry = Registry::default();
    let id = begin(&registry);
    let path = format!("blobs/uploads/{id}");
    for method in ["PATCH", "GET"] {
        let (accesses, _) = ask(&registry, &content, &[], (method, &path, b"")).await.unwrap();
        assert_eq!(accesses[0].binding, format!("push-blob {method} {id}"));
    }
    let id = begin(&registry);
    for _ in 0..2 {
        let found = commit(&registry, &id, &sha256(secret.as_bytes()), secret.as_bytes()).await;
        assert_eq!(found, "github-pat");
    }
    let lost = begin(&registry);
    let claim = registry.uploads.claim(&lost, &owner()).unwrap();
    claim.begun();
    claim.lose_progress();
    drop(claim);
    let unknown = commit(&registry, &lost, &sha256(b"x"), b"").await;
    assert_ne!(unknown, "-");
    assert_ne!(unknown, commit(&registry, &begin(&registry), &sha256(b"clean"), b"clean").await);
    let scan = crate::scan::ScanConfig { at_once: 0, ..Default::default() };
    let busy = Registry::new(Config { scan, ..Config::default() });
    let found = commit(&busy, &begin(&busy), &sha256(secret.as_bytes()), secret.as_bytes()).await;
    assert_eq!(found, unknown, "nothing can be looked through");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_code() {
    let (registry, content) =
        (Registry::new(Config { manifest: 64, ..Config::default() }), Content::default());
    let long = vec![b' '; 65];
    for (method, path, body, expected) in [
        ("PUT", "manifests/v1", &b"<html>"[..], (400, "MANIFEST_INVALID")),
        ("PUT", "manifests/v1", &long, (413, "SIZE_INVALID")),
        (
            "PUT",
            &*format!("manifests/v1?{}", "tag=a&".repeat(100)),
            b"{\"layers\":[]}",
            (400, "MANIFEST_INVALID"),
        ),
        ("PUT", &*format!("manifests/{}", sha256(b"x")), b"{\"layers\":[]}", (400, "DIGEST_INVALID")),
        ("PUT", "blobs/uploads/1?digest=x", b"", (404, "BLOB_UPLOAD_UNKNOWN")),
        ("PUT", "tags/list", b"", (405, "UNSUPPORTED")),
        ("TRACE", "manifests/v1", b"", (405, "UNSUPPORTED")),
        ("GET", "nothing", b"", (404, "UNSUPPORTED")),
        ("POST", "blobs/uploads/?digest=md5:x", b"", (400, "DIGEST_INVALID")),
        ("POST", &format!("blobs/uploads/?digest={0}&digest={0}", sha256(b"")), b"", (400, "UNSUPPORTED")),
    ] {
        let refused = ask(&registry, &content, &[], (method, path, body)).await.unwrap_err();
        assert_eq!(refused, (expected.0, expected.1.to_owned()), "{method} {path}");
    }
    assert_eq!(content.asked(), [""; 0]);
}

#[test]
fn some_clients_wait_no_longer_than_half_a_minute() {
    for agent in ["containerd/2.3.1", "docker/29.7.0 go/go1.25", "docker/30.0.0-rc1 x"] {
        assert!(is_impatient(agent), "{agent}");
    }
    for agent in
        ["docker/20.10.24+dfsg1 go/go1.19", "docker/29.6.9", "skopeo/1.9.3", "docker/x", "", "docker"]
    {
        assert!(!is_impatient(agent), "{agent}");
    }
}
