//! LFS through the protocol, from batch to transfer, with an upstream that says what each test needs.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use lockgate_core::{
    access::Access,
    body::Body,
    principal::Principal,
    protocol::{Called, Classified, Content, Context, Dialect, Direct, Protocol as _},
    refusal::{Refusal, RefusalKind},
};
use serde_json::{Value, json};

use super::*;
use crate::{
    Git,
    testing::{Rig, Unreachable, pieces, read},
};

const CONTENT: &[u8] = b"the content of an object";

struct Asked {
    accesses: Vec<Access>,
    request: Request<Body>,
    dialect: Arc<dyn Dialect>,
}

/// A gateway, and one who calls it.
struct Caller {
    git: Git,
    rig: Rig,
    principal: Arc<Principal>,
}

impl Caller {
    fn new() -> Self {
        let principal = Arc::new(Principal::passthrough(Some("ada")));
        Self { git: Git::default(), rig: Rig::new(), principal }
    }

    async fn send(&self, request: Request<Body>) -> Result<Asked, Refusal> {
        let context = Context { principal: &self.principal, ..self.rig.context(&Unreachable) };
        match self.git.classify(context, request).await? {
            Classified::Asks { accesses, request, dialect } => Ok(Asked { accesses, request, dialect }),
            Classified::Answer(_) | Classified::Refused { .. } => panic!("answered by itself"),
        }
    }

    /// A batch, and what the client is told when the upstream answers this.
    async fn batch(&self, operation: &str, status: u16, answer: &str) -> Value {
        let asked = self.send(batch(operation)).await.unwrap();
        let (status, text) = answered(&asked, status, &[], answer).await;
        let mut told: Value = serde_json::from_str(&text).unwrap();
        told["status"] = status.as_u16().into();
        told
    }

    /// A transfer by the action that a batch gave.
    async fn transfer(&self, action: &Value, method: Method, body: &[u8]) -> Result<Asked, Refusal> {
        let uri = action["href"].as_str().unwrap().strip_prefix("https://gate/git/box").unwrap();
        let mut request = Request::new(pieces(body, &[5]));
        (*request.method_mut(), *request.uri_mut()) = (method, uri.parse().unwrap());
        for (name, value) in action["header"].as_object().unwrap() {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.as_str().unwrap().parse().unwrap());
        }
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        self.send(request).await
    }
}

fn oid() -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, CONTENT))
}

fn post(uri: &str, json: &Value) -> Request<Body> {
    let mut request = Request::post(uri).body(pieces(json.to_string().as_bytes(), &[7])).unwrap();
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    request.extensions_mut().insert(Called("https://gate/git/box".into()));
    request
}

fn batch(operation: &str) -> Request<Body> {
    let objects = json!([{ "oid": oid(), "size": CONTENT.len() }]);
    post("/team/app.git/info/lfs/objects/batch", &json!({ "operation": operation, "objects": objects }))
}

/// What the client gets where the upstream answers this.
async fn answered(
    asked: &Asked,
    status: u16,
    headers: &[(&'static str, &str)],
    body: &str,
) -> (StatusCode, String) {
    let mut response = Response::new(pieces(body.as_bytes(), &[3]));
    *response.status_mut() = status.try_into().unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    let response = match asked.dialect.answer(response).await {
        Ok(response) => response,
        Err(refusal) => asked.dialect.refuse(&refusal),
    };
    let status = response.status();
    (status, String::from_utf8(read(response.into_body()).await.to_vec()).unwrap())
}

/// An upstream's answer with one object.
fn offer(object: &Value) -> String {
    let mut object = object.clone();
    object["oid"] = oid().into();
    json!({ "transfer": "basic", "objects": [object] }).to_string()
}

fn upload_at(href: &str) -> String {
    let header = json!({ "Authorization": "Bearer upstream" });
    let upload = json!({ "href": href, "header": header, "expires_in": 60 });
    offer(&json!({ "authenticated": true, "actions": { "upload": upload, "verify": { "href": href } } }))
}

fn download_at(href: &str) -> String {
    offer(&json!({ "actions": { "download": { "href": href } } }))
}

fn bindings(asked: &Asked) -> Vec<(&str, &str)> {
    asked.accesses.iter().map(|access| (access.action, &*access.binding)).collect()
}

#[tokio::test]
async fn a_batch_is_written_anew_in_both_directions() {
    let caller = Caller::new();
    let asked = caller.send(batch("upload")).await.unwrap();
    assert_eq!(bindings(&asked), [("push", &*format!("lfs upload {}", oid()))]);
    assert_eq!(asked.accesses[0].attributes.get("lfs").unwrap().to_string(), "true");
    assert_eq!(asked.request.uri(), "/team/app.git/info/lfs/objects/batch");
    assert_eq!(asked.request.headers()[header::ACCEPT_ENCODING], "identity");
    let sent: Value = serde_json::from_slice(&read(asked.request.into_body()).await).unwrap();
    assert_eq!(sent["transfers"], json!(["basic"]));

    let told = caller.batch("upload", 200, &upload_at("http://upstream.example/put?sig=secret")).await;
    let object = &told["objects"][0];
    let base = format!("https://gate/git/box/team/app.git/info/lfs/objects/{}", oid());
    assert_eq!(object["actions"]["upload"]["href"], base);
    assert_eq!(object["actions"]["upload"]["expires_in"], 60);
    assert_eq!(object["actions"]["verify"]["href"], format!("{base}/verify"));
    assert_eq!(object["actions"]["verify"]["expires_in"], 3600);
    assert_eq!(object["authenticated"], Value::Null);
    for secret in ["secret", "Bearer", "upstream.example"] {
        assert!(!told.to_string().contains(secret), "{secret}");
    }
    let asked = caller.send(batch("download")).await.unwrap();
    assert_eq!(bindings(&asked), [("fetch", "team/app")]);
}

#[tokio::test]
async fn says_of_each_object_why_it_is_not_here() {
    let caller = Caller::new();
    let check = async |operation: &str, answer: &str, expected: &str| {
        let told = caller.batch(operation, 200, answer).await;
        let error = &told["objects"][0]["error"];
        assert!(error["message"].as_str().is_some_and(|message| message.contains(expected)), "{told}");
    };
    let elsewhere = "the upstream keeps this at https://storage.example, where this gateway may not go";
    check("upload", &upload_at("https://storage.example/x?sig=secret"), elsewhere).await;
    check("download", &download_at("https://storage.example/x"), elsewhere).await;
    // The same host is not the same origin.
    check("download", &download_at("https://upstream.example/x"), "https://upstream.example, where").await;
    check("download", &download_at("http://169.254.169.254/latest"), "http://169.254.169.254, where").await;
    check("download", &download_at("http://me@upstream.example/"), "no plain http").await;
    check("download", &download_at("file:///etc/passwd"), "no").await;
    check("download", &download_at("/relative"), "no plain http").await;
    check("download", &offer(&json!({})), "does not offer").await;
    check("download", &offer(&json!({ "size": 1 })), "another size").await;
    check("download", &offer(&json!({ "error": { "code": 404, "message": "gone\u{1b}[2J" } })), "gone [2J")
        .await;
    check("download", r#"{"objects":[]}"#, "says nothing").await;
    let expired =
        json!({ "actions": { "download": { "href": "http://upstream.example/", "expires_in": -5 } } });
    check("download", &offer(&expired), "over already").await;
    check("download", &download_at(&format!("http://upstream.example/{}", "x".repeat(7000))), "too long")
        .await;
    let header = json!({ "a b": "c" });
    let header =
        json!({ "actions": { "download": { "href": "http://upstream.example/", "header": header } } });
    check("download", &offer(&header), "make no sense").await;
}

#[tokio::test]
async fn passes_an_upstreams_no_on() {
    let caller = Caller::new();
    let told = caller.batch("upload", 422, r#"{"message":"full\u001b[2J","x":1}"#).await;
    assert_eq!(told, json!({ "status": 422, "message": "full [2J" }));
    let told = caller.batch("upload", 500, "<html>secret</html>").await;
    assert_eq!(told, json!({ "status": 500, "message": "the upstream's LFS server answered 500" }));
    for (status, text) in [(302, ""), (200, "<html>"), (200, r#"{"transfer":"tus","objects":[]}"#)] {
        let told = caller.batch("upload", status, text).await;
        assert_eq!(told["status"], 502, "{told}");
    }
}

#[tokio::test]
async fn an_upload_goes_where_the_upstream_said() {
    let caller = Caller::new();
    let told = caller.batch("upload", 200, &upload_at("http://upstream.example/put?sig=1")).await;
    let actions = &told["objects"][0]["actions"];
    let asked = caller.transfer(&actions["upload"], Method::PUT, CONTENT).await.unwrap();
    assert_eq!(bindings(&asked), [("push", &*format!("lfs upload {}", oid()))]);
    let direct = asked.request.extensions().get::<Direct>().unwrap();
    assert_eq!(direct.url, "http://upstream.example/put?sig=1");
    assert_eq!(direct.headers[header::AUTHORIZATION], "Bearer upstream");
    assert!(!direct.credential, "the upstream said that no other is needed");
    assert!(!asked.request.headers().contains_key(TICKET));
    let (status, text) = answered(&asked, 201, &[("x-storage", "secret")], "stored").await;
    assert_eq!((status.as_u16(), &*text), (200, ""));
    assert_eq!(answered(&asked, 422, &[], "").await.0, 502, "git-lfs would push the refs all the same");
    let (status, text) = answered(&asked, 403, &[], "<Signature>secret</Signature>").await;
    assert_eq!(status, 403);
    assert!(!text.contains("secret") && text.contains("storage of LFS objects answered 403"), "{text}");
    assert_eq!(read(asked.request.into_body()).await, CONTENT);

    let object = json!({ "oid": oid(), "size": CONTENT.len() }).to_string();
    let asked = caller.transfer(&actions["verify"], Method::POST, object.as_bytes()).await.unwrap();
    assert_eq!(bindings(&asked), [("push", &*format!("lfs verify {}", oid()))]);
    let (status, text) = answered(&asked, 404, &[], r#"{"message":"not here"}"#).await;
    assert_eq!((status.as_u16(), &*text), (404, r#"{"message":"not here"}"#));
    let other = json!({ "oid": oid(), "size": 1 }).to_string();
    let refused = caller.transfer(&actions["verify"], Method::POST, other.as_bytes()).await;
    assert_eq!(refused.err().unwrap().kind, RefusalKind::Invalid);
}

#[tokio::test]
async fn an_upload_is_what_it_says_or_goes_nowhere() {
    let caller = Caller::new();
    let told = caller.batch("upload", 200, &upload_at("http://upstream.example/put")).await;
    let action = &told["objects"][0]["actions"]["upload"];
    let check = async |body: &[u8], expected: &str| {
        let refusal = caller.transfer(action, Method::PUT, body).await.err().unwrap();
        assert!(refusal.reason.contains(expected), "{refusal}");
        assert_ne!(refuse(&refusal).status(), 422, "git-lfs would push the refs all the same");
    };
    let altered = CONTENT.to_ascii_uppercase();
    check(&altered, "the content is not that of the LFS object").await;
    check(&CONTENT[1..], "has not its size of 24 bytes").await;
    check(&[CONTENT, b"x"].concat(), "has not its size of 24 bytes").await;
    check(b"", "has not its size of 24 bytes").await;
}

#[tokio::test]
async fn a_ticket_is_for_one_caller_and_one_thing() {
    let mut caller = Caller::new();
    let told = caller.batch("upload", 200, &upload_at("http://upstream.example/put")).await;
    let mut action = told["objects"][0]["actions"]["upload"].clone();
    let kind = |result: Result<Asked, Refusal>| result.map(drop).map_err(|refusal| refusal.kind);
    // To read by it what was to be written.
    let denied = Err(RefusalKind::Denied);
    assert_eq!(kind(caller.transfer(&action, Method::GET, b"").await), denied);
    let elsewhere = action["href"].as_str().unwrap().replace("team/app", "team/other");
    let moved = json!({ "href": elsewhere, "header": action["header"] });
    assert_eq!(kind(caller.transfer(&moved, Method::PUT, CONTENT).await), denied);
    let none = json!({ "href": action["href"], "header": {} });
    assert_eq!(kind(caller.transfer(&none, Method::PUT, CONTENT).await), denied);
    caller.principal = Arc::new(Principal::passthrough(Some("eve")));
    assert_eq!(kind(caller.transfer(&action, Method::PUT, CONTENT).await), denied);
    caller.principal = Arc::new(Principal::passthrough(Some("ada")));
    assert_eq!(kind(caller.transfer(&action, Method::PUT, CONTENT).await), Ok(()));
    // Another process, as long as they share no key.
    caller.git = Git::default();
    assert_eq!(kind(caller.transfer(&action, Method::PUT, CONTENT).await), denied);
    action["header"]["Lockgate-Lfs-Ticket"] = "x".into();
    assert_eq!(kind(caller.transfer(&action, Method::PUT, CONTENT).await), denied);
}

#[tokio::test]
async fn a_download_is_verified_on_its_way() {
    let caller = Caller::new();
    let told = caller.batch("download", 200, &download_at("http://upstream.example/get")).await;
    let asked = caller.transfer(&told["objects"][0]["actions"]["download"], Method::GET, b"").await.unwrap();
    assert_eq!(bindings(&asked), [("fetch", &*format!("lfs download {}", oid()))]);
    let direct = asked.request.extensions().get::<Direct>().unwrap();
    assert!(direct.credential, "an action without headers is at the upstream itself");
    let content = std::str::from_utf8(CONTENT).unwrap();
    assert_eq!(answered(&asked, 200, &[("etag", "x")], content).await, (StatusCode::OK, content.into()));
    let (status, text) = answered(&asked, 200, &[("content-encoding", "gzip")], content).await;
    assert!(status == 502 && text.contains("which then can't be"), "{text}");
    for status in [206, 302, 401, 500] {
        let (told, text) = answered(&asked, status, &[("location", "http://x/?secret")], "secret").await;
        assert!(told == 502 && !text.contains("secret"), "{status}: {told} {text}");
    }
    assert_eq!(answered(&asked, 404, &[], "secret").await.0, 404);

    let head = |media_type: &'static str| {
        Response::builder().header(header::CONTENT_TYPE, media_type).body(()).unwrap().into_parts().0
    };
    assert_eq!(asked.dialect.content(&head("application/octet-stream")), Content::Opaque);
    assert_eq!(asked.dialect.content(&head(MEDIA_TYPE)), Content::Text);
}

#[tokio::test]
async fn refuses_what_could_be_read_in_two_ways() {
    let caller = Caller::new();
    let check = async |change: fn(&mut HeaderMap), expected: &str| {
        let mut request = batch("upload");
        change(request.headers_mut());
        let refusal = caller.send(request).await.err().unwrap();
        assert!(refusal.reason.contains(expected), "{refusal}");
    };
    check(|headers| drop(headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap())), "not encoded")
        .await;
    check(
        |headers| drop(headers.insert(header::CONTENT_TYPE, "text/plain".parse().unwrap())),
        "content type",
    )
    .await;
    check(|headers| drop(headers.remove(header::CONTENT_TYPE)), "content type").await;
    check(
        |headers| assert!(headers.append(header::CONTENT_TYPE, "text/plain".parse().unwrap())),
        "content type",
    )
    .await;
    let mut request = batch("upload");
    request.extensions_mut().clear();
    assert!(caller.send(request).await.err().unwrap().reason.contains("which host"));
    let large = json!({ "operation": "upload", "objects": [], "x": "x".repeat(1 << 20) });
    let refused = caller.send(post("/a/info/lfs/objects/batch", &large)).await;
    assert_eq!(refused.err().unwrap().kind, RefusalKind::TooLarge);
}

#[tokio::test]
async fn locks_pass() {
    let caller = Caller::new();
    let check = async |uri: &str, json: Value, expected: (&str, &str), sent: &str| {
        let asked = caller.send(post(&format!("/app/info/lfs/{uri}"), &json)).await.unwrap();
        assert_eq!(bindings(&asked), [expected]);
        assert_eq!(asked.request.uri(), &*format!("/app/info/lfs/{uri}"));
        let text = r#"{"locks":[]}"#;
        assert_eq!(answered(&asked, 200, &[], text).await, (StatusCode::OK, text.into()));
        assert_eq!(answered(&asked, 302, &[("location", "http://x/")], "").await.0, 502);
        assert_eq!(read(asked.request.into_body()).await, sent);
    };
    check("locks", json!({ "path": "a b", "x": 1 }), ("push", "lfs lock \"a b\""), r#"{"path":"a b"}"#).await;
    check("locks/verify", json!({}), ("fetch", "app"), "{}").await;
    check("locks/7/unlock", json!({ "force": true }), ("push", "lfs unlock 7 by force"), r#"{"force":true}"#)
        .await;
    let list = Request::get("/app/info/lfs/locks?path=a").body(pieces(b"", &[])).unwrap();
    let asked = caller.send(list).await.unwrap();
    assert_eq!((bindings(&asked), asked.request.uri().query()), (vec![("fetch", "app")], Some("path=a")));
}

#[tokio::test]
async fn refusals_are_what_git_lfs_prints() {
    let refusal =
        Refusal::new(RefusalKind::ApprovalNeeded, "needs a human").with_url("https://gate/approvals/a1");
    let response = refuse(&refusal);
    assert_eq!(
        (response.status(), &response.headers()[header::CONTENT_TYPE]),
        (StatusCode::FORBIDDEN, &HeaderValue::from_static(MEDIA_TYPE))
    );
    let told: Value = serde_json::from_slice(&read(response.into_body()).await).unwrap();
    assert_eq!(
        told["message"],
        "lockgate: approval_needed: needs a human\n  approve: https://gate/approvals/a1"
    );
    assert_eq!(told["documentation_url"], "https://gate/approvals/a1");

    let response = refuse(&Refusal::new(RefusalKind::Unauthenticated, "a token is needed"));
    assert_eq!(response.status(), 401);
    for name in ["www-authenticate", "lfs-authenticate"] {
        assert_eq!(response.headers()[name], "Basic realm=\"lockgate\", charset=\"UTF-8\"");
    }
    // The protocol answers in it wherever LFS was asked for.
    let (head, _) = Request::get("/x/info/lfs/objects/nothing").body(()).unwrap().into_parts();
    let response = Git::default().refuse(&head, &Refusal::new(RefusalKind::NotFound, "no"));
    assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
}

#[tokio::test]
async fn every_request_names_its_repository() {
    let mut caller = Caller::new();
    caller.rig.ignore_case();
    let named = |request: &Request<Body>| caller.git.resource(request.method(), request.uri());
    let told = caller.batch("upload", 200, &upload_at("http://upstream.example/put?sig=1")).await;
    let asked =
        caller.transfer(&told["objects"][0]["actions"]["upload"], Method::PUT, CONTENT).await.unwrap();
    assert_eq!(named(&asked.request).as_deref(), Some("team/app"), "what goes where a ticket says");

    let locks = json!({ "path": "a.bin" });
    for (uri, json) in [
        ("/Team/App.git/info/lfs/objects/batch", &json!({ "operation": "download", "objects": [] })),
        ("/Team/App.git/info/lfs/locks", &locks),
    ] {
        let request = post(uri, json);
        assert_eq!(named(&request).as_deref(), Some("Team/App"));
        let Ok(asked) = caller.send(request).await else { continue };
        assert_eq!(asked.accesses[0].resource, "team/app", "{uri}");
        assert_eq!(named(&asked.request).as_deref(), Some("Team/App"), "{uri}");
    }
    assert_eq!(named(&post("/info/lfs/objects/batch", &locks)), None);
}
