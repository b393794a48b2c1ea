//! What goes upstream, when, and as whom.

use std::sync::Arc;

use lockgate_recording::{Event, Recorded as RecordedEvent, What};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt as _;

use super::*;
use crate::{
    client::{Client, Timeouts},
    testing::{self, Rig},
    upstream::Upstream,
    verdict::Verdict,
};

async fn prepared(auth: Auth, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = testing::get("/x?y=z");
    for (name, value) in headers {
        request.headers_mut().append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    let own = HeaderValue::from_static("Basic own");
    prepare(&testing::target(auth), Some(&own), request).await.unwrap()
}

#[tokio::test]
async fn sets_the_address_and_the_credential() {
    let request = prepared(Auth::Oidc, &[("authorization", "Bearer client"), ("cookie", "a=b")]).await;
    assert_eq!(request.uri(), "http://127.0.0.1:9/base/x?y=z");
    let credential = request.headers()[header::AUTHORIZATION].to_str().unwrap();
    assert_eq!(credential, "Basic Z2F0ZTpzM2NyZXQ=");
    assert!(!request.headers().contains_key(header::COOKIE));
    assert!(!format!("{request:?}").contains("Z2F0ZTpzM2NyZXQ="), "the credential is marked sensitive");
}

#[tokio::test]
async fn passes_the_clients_own_credential_only_where_configured() {
    let request = prepared(Auth::Passthrough, &[("cookie", "a=b")]).await;
    assert_eq!(request.headers()[header::AUTHORIZATION], "Basic own");
    assert_eq!(request.headers()[header::COOKIE], "a=b");
}

#[tokio::test]
async fn what_the_protocol_sets_stands_alone() {
    let mut request = testing::get("/x");
    request.headers_mut().insert("audit-id", HeaderValue::from_static("forged"));
    let set = [("audit-id", "ours"), ("a", "1"), ("a", "2")];
    let set = set.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    request.extensions_mut().insert(Sets(set.into_iter().collect()));
    let request = prepare(&testing::target(Auth::Passthrough), None, request).await.unwrap();
    let all = |name: &str| request.headers().get_all(name).iter().cloned().collect::<Vec<_>>();
    assert_eq!(all("audit-id"), ["ours"]);
    assert_eq!(all("a"), ["1", "2"]);
}

#[tokio::test]
async fn the_credential_goes_to_no_other_origin() {
    let check = async |url: &str, credential: bool, given: &[(&str, &str)], expected: Option<&str>| {
        let mut request = testing::get("/x");
        request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer client"));
        let given = given.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let direct = Direct { url: url.parse().unwrap(), headers: given.collect(), credential };
        request.extensions_mut().insert(direct);
        let request = prepare(&testing::target(Auth::Oidc), None, request).await.unwrap();
        assert_eq!(request.uri(), url);
        let headers = request.headers();
        assert!(!headers.contains_key(header::HOST) && !headers.contains_key(header::TRANSFER_ENCODING));
        let value = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap());
        assert_eq!(value, expected, "{url}");
    };
    let (own, other) = ("http://127.0.0.1:9/signed?x", "https://127.0.0.1:9/signed");
    check(own, true, &[], Some("Basic Z2F0ZTpzM2NyZXQ=")).await;
    check(own, false, &[], None).await;
    check(other, true, &[], None).await;
    let given = [("authorization", "Bearer a"), ("host", "b"), ("transfer-encoding", "chunked")];
    check(own, true, &given, Some("Bearer a")).await;
    check(other, true, &given, Some("Bearer a")).await;
}

#[tokio::test]
async fn only_what_the_protocol_names_goes_on() {
    let request = prepared(
        Auth::Oidc,
        &[
            ("accept", "a"),
            ("accept", "b"),
            ("content-length", "3"),
            ("x-webauth-user", "root"),
            ("private-token", "glpat-of-the-client"),
            ("impersonate-user", "root"),
            ("expect", "100-continue"),
        ],
    )
    .await;
    let names: Vec<_> = request.headers().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["accept", "accept", "content-length", "authorization"]);
}

#[tokio::test]
async fn strips_what_ends_here() {
    let request = prepared(
        Auth::Passthrough,
        &[
            ("connection", "x-secret, Impersonate-User"),
            ("x-secret", "1"),
            ("impersonate-user", "root"),
            ("impersonate-extra-scopes", "all"),
            ("x-remote-group", "system:masters"),
            ("x_remote_user", "root"),
            ("remote_user", "root"),
            ("x-webauth-user", "root"),
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
            ("accept", "a"),
            ("accept", "b"),
            ("x-anything", "else"),
        ],
    )
    .await;
    let names: Vec<_> = request.headers().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["accept", "accept", "x-anything", "authorization"]);
}

/// A request that is permitted, to an upstream at that address that is set so.
async fn permitted(rig: &Rig, reads: Reads, listener: &TcpListener, request: Request<Body>) -> Permitted {
    let mut asked = rig.asked(request).await;
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let upstream = Upstream { url, reads, ..(*asked.target.upstream).clone() };
    let client = Client::new(&upstream, Timeouts::default()).unwrap();
    let target = Target { upstream: Arc::new(upstream), client, ..(*asked.target).clone() };
    asked.target = Arc::new(target);
    let policy = testing::policy().current().unwrap();
    let Verdict::Permit(permit) = policy.judge(&asked.caller.principal, "box", &asked.accesses) else {
        panic!("not permitted");
    };
    Permitted { permit, asked }
}

/// A connection whose request was read.
async fn accepted(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream
}

/// The answer of an upstream that is set so, and what of it is recorded.
async fn forwarded(reads: Reads, request: Request<Body>, is_recorded: bool) -> Result<String, RefusalKind> {
    let rig = Rig::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let permitted = permitted(&rig, reads, &listener, request).await;
    tokio::spawn(async move {
        let mut stream = accepted(&listener).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    });
    if !is_recorded {
        rig.evidence.recorder.close().await.unwrap();
    }
    let answer = Forward.oneshot(permitted).await;
    let text = testing::read(answer.map_err(|refusal| refusal.kind)?.into_body()).await;
    let (events, _) = rig.finish().await;
    let is_forwarded = |event: &RecordedEvent| matches!(event.what, What::Event(Event::Forwarded));
    assert_eq!(events.iter().filter(|event| is_forwarded(event)).count(), 1);
    Ok(text)
}

#[tokio::test]
async fn nothing_is_answered_that_is_not_recorded_whenever_it_is_forwarded() {
    for reads in [Reads::WhenDurable, Reads::Overlapped] {
        assert_eq!(forwarded(reads, testing::get("/open"), true).await.as_deref(), Ok("ok"));
        let unrecorded = forwarded(reads, testing::get("/open"), false).await;
        assert_eq!(unrecorded, Err(RefusalKind::RecordingUnavailable));
    }
}

#[tokio::test]
async fn a_read_that_overlaps_does_not_wait_for_an_answer_to_be_durable() {
    let rig = Rig::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let permitted = permitted(&rig, Reads::Overlapped, &listener, testing::get("/open")).await;
    let unanswered = async {
        let stream = accepted(&listener).await;
        rig.evidence.recorder.close().await.unwrap();
        std::future::pending::<()>().await;
        drop(stream);
    };
    tokio::select! {
        answer = Forward.oneshot(permitted) => {
            assert_eq!(answer.err().map(|refusal| refusal.kind), Some(RefusalKind::RecordingUnavailable));
        }
        () = unanswered => {}
    }
}

#[tokio::test]
async fn only_what_changes_and_brings_nothing_may_overlap() {
    let check = async |request: Request<Body>, mutates: bool, expected: bool| {
        let exchange = Rig::new().await.exchange().await;
        let mut access = testing::access(&request);
        if mutates {
            access.action = "write";
        }
        exchange.accesses(&testing::SCHEMA, &[access]).await.unwrap();
        assert_eq!(only_reads(&exchange, &request), expected, "{} {mutates}", request.method());
    };
    check(testing::get("/open"), false, true).await;
    check(testing::get("/open"), true, false).await;
    check(testing::post("/open", "body"), false, false).await;
    check(testing::post("/open", ""), false, false).await;
    let mut stream = testing::get("/open");
    stream.extensions_mut().insert(Upgrade(HeaderValue::from_static("websocket")));
    check(stream, false, false).await;
}
