//! An app against a server that checks what it is told as GitHub does.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use jiff::Timestamp;
use lockgate_testkit::{Body as HttpBody, HttpServer, body as http_body};
use serde_json::{Value, json};

use super::{ApiError, GithubApp, GithubAppConfig, GithubConfigError, GithubError, KeyError};
use crate::{
    credential::{Credential, CredentialError, Fetch as _, Fetched},
    refusal::RefusalKind,
    secret::Secret,
};

/// What the server does with the next request besides, or instead of, what it should.
#[derive(Clone, Copy)]
enum Fault {
    Status(u16),
    Body(&'static str),
    Cut,
    Never,
}

struct Forge {
    public: Vec<u8>,
    /// Seconds by which its clock is ahead.
    ahead: i64,
    life: i64,
    installation: u64,
    faults: VecDeque<Fault>,
    calls: Vec<String>,
}

struct Rig {
    forge: Arc<Mutex<Forge>>,
    server: HttpServer,
    pem: String,
}

fn pem(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
}

impl Rig {
    fn new() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let forge = Forge {
            public: pair.public_key().as_ref().to_vec(),
            ahead: 0,
            life: 3600,
            installation: 99,
            faults: VecDeque::new(),
            calls: Vec::new(),
        };
        let forge = Arc::new(Mutex::new(forge));
        let shared = Arc::clone(&forge);
        let server = HttpServer::start(None, move |request| answer(Arc::clone(&shared), request)).unwrap();
        // What GitHub hands out is PKCS #1, which stands in PKCS #8 behind 26 bytes.
        let pem = pem("RSA PRIVATE KEY", &der.as_ref()[26..]);
        Self { forge, server, pem }
    }

    fn config(&self) -> GithubAppConfig {
        GithubAppConfig {
            app: "Iv1.abc".into(),
            private_key: Secret::new(&*self.pem),
            private_key_file: None,
            installation: None,
            per_repository: true,
            permissions: BTreeMap::from([("contents".to_owned(), "read".to_owned())]),
            api: format!("{}/api/v3", self.server.url()),
            ca: None,
            prefix: String::new(),
        }
    }

    fn app(&self) -> GithubApp {
        GithubApp::new(self.config()).unwrap()
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.forge.lock().unwrap().calls)
    }

    fn fail(&self, faults: &[Fault]) {
        self.forge.lock().unwrap().faults = faults.iter().copied().collect();
    }
}

async fn answer(forge: Arc<Mutex<Forge>>, request: Request<Incoming>) -> anyhow::Result<Response<HttpBody>> {
    let (head, body) = request.into_parts();
    #[expect(clippy::disallowed_methods, reason = "limited")]
    let body = Limited::new(body, 1 << 16).collect().await.unwrap().to_bytes();
    let (fault, now) = {
        let mut forge = forge.lock().unwrap();
        let body = String::from_utf8_lossy(&body);
        forge.calls.push(format!("{} {} {body}", head.method, head.uri).trim_end().to_owned());
        (forge.faults.pop_front(), Timestamp::now().as_second() + forge.ahead)
    };
    let date = Timestamp::from_second(now).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let respond = |status: u16, body: String| {
        Ok(Response::builder().status(status).header("date", &date).body(http_body(body)).unwrap())
    };
    match fault {
        Some(Fault::Status(status)) => return respond(status, r#"{"message":"as\nyou wish"}"#.into()),
        Some(Fault::Body(body)) => return respond(201, body.into()),
        Some(Fault::Cut) => anyhow::bail!("cut"),
        Some(Fault::Never) => std::future::pending().await,
        None => {}
    }
    let forge = forge.lock().unwrap();
    if !verified(&head, &forge.public, now) {
        return respond(401, r#"{"message":"A JSON web token could not be decoded"}"#.into());
    }
    let (status, body) = match (head.method.as_str(), head.uri.path()) {
        ("GET", "/api/v3/repos/team/app/installation") => (200, json!({ "id": forge.installation })),
        ("POST", path)
            if path == format!("/api/v3/app/installations/{}/access_tokens", forge.installation) =>
        {
            let expires = Timestamp::from_second(now + forge.life).unwrap();
            (201, json!({ "token": format!("ghs_{}", forge.calls.len()), "expires_at": expires.to_string() }))
        }
        _ => (404, json!({ "message": "Not Found" })),
    };
    respond(status, body.to_string())
}

/// What GitHub checks of an app's token.
fn verified(head: &http::request::Parts, public: &[u8], now: i64) -> bool {
    let token = head.headers["authorization"].to_str().unwrap().strip_prefix("Bearer ").unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
    key.verify(message.as_bytes(), &decode(signature)).expect("the app's own signature");
    let (header, claims) = message.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&decode(header)).unwrap();
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT" }));
    let claims: Value = serde_json::from_slice(&decode(claims)).unwrap();
    let (iat, exp) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert_eq!((claims["iss"].as_str(), claims.as_object().unwrap().len()), (Some("Iv1.abc"), 3));
    iat <= now - 30 && exp > now && exp <= now + 600
}

fn token(fetched: &Fetched) -> String {
    let Credential::Basic { user, password } = &fetched.credential else { panic!("{fetched:?}") };
    assert_eq!(user, "x-access-token");
    password.expose().to_owned()
}

async fn failed(app: &GithubApp, resource: &str) -> GithubError {
    match app.fetch(resource).await {
        Err(CredentialError::Github(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn signs_by_the_key_that_stands_in_the_file_now() {
    let (rig, other) = (Rig::new(), Rig::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.pem");
    let app =
        GithubApp::new(GithubAppConfig { private_key_file: Some(file.clone()), ..rig.config() }).unwrap();
    // The file is not there yet: what was read at the start serves.
    app.fetch("team/app").await.unwrap();
    std::fs::write(&file, &other.pem).unwrap();
    rig.forge.lock().unwrap().public = other.forge.lock().unwrap().public.clone();
    app.fetch("team/app").await.unwrap();
    std::fs::write(&file, "no key").unwrap();
    app.fetch("team/app").await.unwrap();
}

#[tokio::test]
async fn finds_the_installation_and_asks_for_the_least() {
    let rig = Rig::new();
    let app = rig.app();
    let fetched = app.fetch("Team/App").await.unwrap();
    assert_eq!(token(&fetched), "ghs_2");
    assert!(fetched.valid > Duration::from_secs(3590) && fetched.valid <= Duration::from_secs(3600));
    assert_eq!(fetched.valid - fetched.fresh, Duration::from_secs(300));
    let post = r#"POST /api/v3/app/installations/99/access_tokens {"permissions":{"contents":"read"},"repositories":["app"]}"#;
    assert_eq!(rig.calls(), ["GET /api/v3/repos/team/app/installation", post]);
    app.fetch("team/app").await.unwrap();
    assert_eq!(rig.calls(), [post], "the owner's installation is known");
    rig.forge.lock().unwrap().installation = 100;
    app.fetch("team/app").await.unwrap();
    assert_eq!(rig.calls().len(), 3, "it was installed anew");
    assert_eq!(app.scope("Team/App").unwrap(), "team/app");
}

#[tokio::test]
async fn asks_for_all_of_a_given_installation() {
    let rig = Rig::new();
    let config = GithubAppConfig {
        installation: Some(99),
        per_repository: false,
        permissions: BTreeMap::new(),
        prefix: "team".into(),
        ..rig.config()
    };
    let app = GithubApp::new(config).unwrap();
    app.fetch("app").await.unwrap();
    assert_eq!(rig.calls(), ["POST /api/v3/app/installations/99/access_tokens {}"]);
    assert_eq!(app.scope("any").unwrap(), app.scope("other").unwrap());
}

#[tokio::test]
async fn goes_by_githubs_clock() {
    for ahead in [-7200, 7200] {
        let rig = Rig::new();
        rig.forge.lock().unwrap().ahead = ahead;
        let app = rig.app();
        let fetched = app.fetch("team/app").await.unwrap();
        assert!(fetched.valid > Duration::from_secs(3590) && fetched.valid <= Duration::from_secs(3600));
        assert_eq!(rig.calls().len(), 3, "refused once, and the clock is known");
        app.fetch("team/app").await.unwrap();
        assert_eq!(rig.calls().len(), 1);
    }
}

#[tokio::test]
async fn says_who_is_at_fault() {
    let rig = Rig::new();
    let app = rig.app();
    let check = async |faults: &[Fault], kind, text: &str| {
        rig.fail(faults);
        let error = failed(&app, "team/app").await;
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(!format!("{error:?}").contains("ghs_"), "{error:?}");
    };
    let internal = RefusalKind::Internal;
    check(
        &[Fault::Status(401)],
        internal,
        "401 Unauthorized when asked for the app's installation: as you wish",
    )
    .await;
    check(&[Fault::Status(403)], internal, "403").await;
    check(&[Fault::Status(301)], internal, "301").await;
    let down = RefusalKind::UpstreamUnavailable;
    check(&[Fault::Status(502)], down, "502").await;
    check(&[Fault::Status(429)], down, "429").await;
    check(&[Fault::Cut], down, "can't be reached").await;
    let invalid = RefusalKind::UpstreamInvalid;
    check(&[Fault::Body("<html>")], invalid, "something else than is documented").await;
    let id = Fault::Body(r#"{"id":99}"#);
    for body in [
        r#"{"token":"ghs_1"}"#,
        r#"{"token":"","expires_at":"2100-01-01T00:00:00Z"}"#,
        r#"{"token":"ghs_ 1","expires_at":"2100-01-01T00:00:00Z"}"#,
        r#"{"token":"ghs_1","expires_at":"2000-01-01T00:00:00Z"}"#,
        r#"{"token":["ghs_1"],"expires_at":"2100-01-01T00:00:00Z"}"#,
    ] {
        check(&[id, Fault::Body(body)], invalid, "GitHub's API answered with").await;
    }
    for name in ["app", "a/b/c", "../app", "team/..", "team/a?b", "team/", ""] {
        let error = failed(&app, name).await;
        assert_eq!(error.kind(), RefusalKind::NotFound, "{error:?}");
    }
    let gone = failed(&app, "team/other").await;
    assert!(matches!(gone, GithubError::Api(ApiError::Refused { status, .. }) if status == 404), "{gone:?}");
}

#[tokio::test]
async fn does_not_wait_for_ever() {
    let rig = Rig::new();
    rig.fail(&[Fault::Never]);
    let app = rig.app();
    let asking = tokio::spawn(async move { failed(&app, "team/app").await.kind() });
    let forge = Arc::clone(&rig.forge);
    // The clock is stopped once the server has the question, so that the limit is reached at once.
    while forge.lock().unwrap().calls.is_empty() {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    assert_eq!(asking.await.unwrap(), RefusalKind::UpstreamTimeout);
}

#[test]
fn refuses_keys_and_addresses_that_are_none() {
    let rig = Rig::new();
    let refused = |config| GithubApp::new(config).err().expect("it is wrong");
    let key = |text: &str| GithubAppConfig { private_key: Secret::new(text), ..rig.config() };
    let ec = pem("EC PRIVATE KEY", b"123");
    for (text, expected) in [("hunter2", KeyError::Pem), (&*ec, KeyError::NotRsa)] {
        assert!(matches!(refused(key(text)), GithubConfigError::Key(error) if error == expected), "{text}");
    }
    for api in ["http://api.github.com", "api.github.com", "ftp://localhost"] {
        let config = GithubAppConfig { api: api.into(), ..rig.config() };
        assert!(matches!(refused(config), GithubConfigError::Url(_)), "{api}");
    }
}
