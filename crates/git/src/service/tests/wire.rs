//! What no git sends, and what goes upstream of what it does send.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderName, Request, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use lockgate_core::{
    access::Access,
    body::{self, Body, BodyError, Drain},
    protocol::{Classified, Protocol as _},
    refusal::{Refusal, RefusalKind},
    upstream::Auth,
};

use crate::{
    Config, Git,
    testing::{Rig, Unreachable, pieces, read, transcript},
};

const PUSH: &str = "/team/app.git/git-receive-pack";
const FETCH: &str = "/team/app.git/git-upload-pack";

/// A request whose content type is the one that its path wants, unless another is given.
fn request(path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::post(path).body(body).unwrap();
    let service = path.rsplit('/').next().unwrap();
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        let media_type = format!("application/x-{service}-request").parse().unwrap();
        request.headers_mut().insert(header::CONTENT_TYPE, media_type);
    }
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request
}

async fn classify(git: &Git, request: Request<Body>) -> Result<Classified, Refusal> {
    let mut rig = Rig::new();
    rig.spools.memory = 100;
    git.classify(rig.context(&Unreachable), request).await
}

async fn refused(request: Request<Body>) -> (RefusalKind, String) {
    match classify(&Git::default(), request).await {
        Err(refusal) | Ok(Classified::Refused { refusal, .. }) => (refusal.kind, refusal.reason),
        Ok(Classified::Answer(_) | Classified::Asks { .. }) => panic!("should have been refused"),
    }
}

async fn asked(request: Request<Body>) -> (Vec<Access>, Request<Body>) {
    match classify(&Git::default(), request).await {
        Ok(Classified::Asks { accesses, request, .. }) => (accesses, request),
        Ok(Classified::Answer(_)) => panic!("was answered"),
        Ok(Classified::Refused { refusal, .. }) | Err(refusal) => panic!("{refusal}"),
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn forwards_the_bytes_that_were_understood() {
    for name in ["create", "update-options", "delete", "atomic", "signed", "sha256"] {
        let body = transcript(&format!("{name}.request"));
        let two = [gzip(&body[..50]), gzip(&body[50..])].concat();
        for (encoding, sent) in [(None, body.clone()), (Some("gzip"), gzip(&body)), (Some("x-gzip"), two)] {
            let length = sent.len().to_string();
            let mut headers =
                vec![("content-length", &*length), ("expect", "100-continue"), ("user-agent", "git/2")];
            headers.extend(encoding.map(|encoding| ("content-encoding", encoding)));
            headers.push(("accept-encoding", "gzip"));
            let (accesses, forwarded) = asked(request(PUSH, &headers, pieces(&sent, &[7, 1]))).await;
            assert!(!accesses.is_empty());
            let names: Vec<_> = forwarded.headers().keys().map(HeaderName::as_str).collect();
            assert_eq!(names, ["content-type", "user-agent"]);
            assert_eq!(read(forwarded.into_body()).await, body, "{name}");
        }
    }
}

#[tokio::test]
async fn streams_fetches_decoded() {
    let body = b"0014command=ls-refs\n0000";
    let sent = gzip(body);
    for (encoding, sent) in [("identity", &body[..]), ("gzip", &sent)] {
        let headers = [("content-encoding", encoding), ("git-protocol", "version=2")];
        let (accesses, forwarded) =
            asked(request("/%74eam/app/git-upload-pack", &headers, pieces(sent, &[3]))).await;
        assert_eq!((accesses.len(), &*accesses[0].resource), (1, "team/app"));
        assert_eq!(forwarded.uri(), "/team/app/git-upload-pack");
        assert_eq!(forwarded.headers()["git-protocol"], "version=2");
        assert_eq!(read(forwarded.into_body()).await, body[..]);
    }
    let config = Config { inflated: body.len() as u64 - 1, ..Config::default() };
    let sent = request(FETCH, &[("content-encoding", "gzip")], pieces(&sent, &[]));
    let refusal = classify(&Git::new(config), sent).await.err().unwrap();
    assert_eq!(refusal.kind, RefusalKind::Invalid);
}

#[tokio::test]
async fn what_is_no_fetch_goes_nowhere() {
    for body in ["", "zzzz", "0032want qqqq", "0014command=evil-xx\n0000"] {
        let (kind, _) = refused(request(FETCH, &[], body::full(body))).await;
        assert_eq!(kind, RefusalKind::Invalid, "{body}");
    }
    // Larger than what is read before: it goes on, and breaks off where it is none any more.
    let haves = format!("0032have {}\n", "b".repeat(40)).repeat(30_000);
    let want = format!("0032want {}\n0000", "a".repeat(40));
    for (end, whole) in [("0009done\n", true), ("zzzz", false), ("", false)] {
        let sent = format!("{want}{haves}{end}");
        let (_, forwarded) = asked(request(FETCH, &[], pieces(sent.as_bytes(), &[9999]))).await;
        let mut read = (Vec::new(), true);
        let mut body = forwarded.into_body();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => read.0.extend_from_slice(&frame.into_data().unwrap()),
                Err(error) => {
                    assert!(matches!(error, BodyError::Client(_)), "{error}");
                    read.1 = false;
                    break;
                }
            }
        }
        assert_eq!(read.1, whole, "{end}");
        assert!(sent.as_bytes().starts_with(&read.0) && (!whole || read.0.len() == sent.len()));
    }
}

#[tokio::test]
async fn asks_for_refs_without_a_body() {
    for service in ["git-upload-pack", "git-receive-pack"] {
        let mut sent = request("/x", &[("content-length", "4")], body::full("0000"));
        *sent.method_mut() = http::Method::GET;
        *sent.uri_mut() = format!("/app.git/info/refs?service={service}").parse().unwrap();
        let (accesses, forwarded) = asked(sent).await;
        assert_eq!((accesses[0].action, &*accesses[0].resource), ("fetch", "app"));
        assert!(forwarded.headers().is_empty());
        assert!(read(forwarded.into_body()).await.is_empty());
    }
}

#[tokio::test]
async fn files_are_for_callers_with_a_credential_of_their_own() {
    let check = async |auth: Auth, expected: Option<[&str; 2]>| {
        let head = Request::get("/app.git/HEAD").header(header::CONTENT_LENGTH, "4");
        let sent = head.body(body::full("0000")).unwrap();
        let classified = Git::default().classify(Rig::with(auth).context(&Unreachable), sent).await;
        let Some(expected) = expected else {
            return assert!(classified.is_err_and(|refusal| refusal.kind == RefusalKind::NotFound));
        };
        let Ok(Classified::Asks { accesses, request, .. }) = classified else { panic!() };
        assert_eq!(accesses.iter().map(|access| access.action).collect::<Vec<_>>(), expected);
        assert_eq!((request.uri().path(), request.headers().len()), ("/app.git/HEAD", 0));
        assert!(read(request.into_body()).await.is_empty());
    };
    check(Auth::Oidc, None).await;
    check(Auth::Passthrough, Some(["fetch", "read-file"])).await;
}

#[tokio::test]
async fn refuses_bad_heads() {
    use RefusalKind::{Invalid, NotFound};
    let check = async |path: &str, headers: &[(&str, &str)], expected: RefusalKind| {
        let (kind, reason) = refused(request(path, headers, body::empty())).await;
        assert_eq!(kind, expected, "{path} {headers:?} {reason}");
    };
    let right = "application/x-git-receive-pack-request";
    check(PUSH, &[("content-type", "text/plain")], Invalid).await;
    check(PUSH, &[("content-type", "application/x-git-upload-pack-request")], Invalid).await;
    check(PUSH, &[("content-type", right), ("content-type", right)], Invalid).await;
    check(PUSH, &[("content-encoding", "br")], Invalid).await;
    check(FETCH, &[("content-encoding", "gzip, gzip")], Invalid).await;
    check(FETCH, &[("content-encoding", "gzip"), ("content-encoding", "gzip")], Invalid).await;
    check("/app.git/git-upload-archive", &[], NotFound).await;
    check("/a/../b/git-upload-pack", &[], Invalid).await;
}

#[tokio::test]
async fn refuses_bad_pushes() {
    let create = transcript("create.request");
    let pack = create.windows(4).position(|part| part == b"PACK").unwrap();
    let delete = transcript("delete.request");
    let check = async |body: &[u8], headers: &[(&str, &str)]| {
        let (kind, reason) = refused(request(PUSH, headers, pieces(body, &[11]))).await;
        format!("{}: {reason}", kind.word())
    };
    let encoded = [("content-encoding", "gzip")];
    insta::assert_snapshot!(check(b"", &[]).await, @"invalid: the push ends in the midst of its ref updates");
    insta::assert_snapshot!(check(b"hello", &[]).await, @"invalid: the push is malformed");
    insta::assert_snapshot!(check(&create[..pack - 10], &[]).await, @"invalid: the push ends in the midst of its ref updates");
    insta::assert_snapshot!(check(&create[..pack], &[]).await, @"invalid: the push has no pack");
    insta::assert_snapshot!(check(&[&create[..pack], b"JUNK"].concat(), &[]).await, @"invalid: the push has no pack");
    insta::assert_snapshot!(check(&[&delete[..], b"PACK"].concat(), &[]).await, @"invalid: the push holds something behind its ref updates that is not a pack of them");
    insta::assert_snapshot!(check(&create, &encoded).await, @"invalid: the request broke off or is not what it is encoded as");
    insta::assert_snapshot!(check(&gzip(&create)[..100], &encoded).await, @"invalid: the request broke off or is not what it is encoded as");
}

#[tokio::test]
async fn says_whose_fault_a_broken_body_is() {
    let check = async |error: BodyError| {
        let frames = [Ok(Frame::data(Bytes::from_static(b"00"))), Err(error)];
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        refused(request(PUSH, &[], body)).await.0
    };
    assert_eq!(check(BodyError::Client("x".into())).await, RefusalKind::Invalid);
    assert_eq!(check(BodyError::Ours("x".into())).await, RefusalKind::RecordingUnavailable);
    let mut rig = Rig::new();
    rig.spools.memory = 1;
    rig.spools.dir = "/nonexistent".into();
    let sent = request(PUSH, &[], body::full(transcript("create.request")));
    let Ok(Classified::Refused { refusal, .. }) =
        Git::default().classify(rig.context(&Unreachable), sent).await
    else {
        panic!("its refs are known")
    };
    assert_eq!(refusal.kind, RefusalKind::Internal);
    assert!(refusal.detail.unwrap().contains("No such file"));
}

#[tokio::test]
async fn drains_what_it_refuses_within_limits() {
    let check = async |config: Config, endless: bool| {
        let drained = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&drained);
        let frames = futures::stream::repeat_with(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Frame::data(Bytes::from_static(&[b'x'; 1000])))
        });
        let body = match endless {
            true => StreamBody::new(frames).boxed_unsync(),
            false => StreamBody::new(futures::StreamExt::take(frames, 50)).boxed_unsync(),
        };
        assert!(classify(&Git::new(config), request(PUSH, &[], body)).await.is_err());
        drained.load(Ordering::Relaxed)
    };
    assert_eq!(check(Config::default(), false).await, 50);
    let within = |drain| Config { drain, ..Config::default() };
    assert_eq!(check(within(Drain { bytes: 9999, ..Drain::default() }), true).await, 11);
    assert!(check(within(Drain { time: Duration::ZERO, ..Drain::default() }), true).await < 100_000);
}

#[tokio::test]
async fn a_push_of_nothing_is_answered_here() {
    let shallow = format!("0034shallow {}0000", "a".repeat(40));
    for body in ["0000", &shallow] {
        match classify(&Git::default(), request(PUSH, &[], body::full(body.to_owned()))).await {
            Ok(Classified::Answer(response)) => assert_eq!(response.status(), StatusCode::OK),
            Ok(Classified::Asks { .. } | Classified::Refused { .. }) | Err(_) => panic!("{body}"),
        }
        // Whether they may push is the upstream's to say to callers that it knows.
        let sent = request(PUSH, &[], body::full(body.to_owned()));
        let classified =
            Git::default().classify(Rig::with(Auth::Passthrough).context(&Unreachable), sent).await;
        let Ok(Classified::Asks { accesses, request, .. }) = classified else { panic!("{body}") };
        assert_eq!((accesses.len(), accesses[0].action), (1, "fetch"));
        assert_eq!(read(request.into_body()).await, body);
    }
}

#[tokio::test]
async fn answers_exactly_the_probe_without_a_caller() {
    let check = async |path: &str, headers: &[(&str, &str)], body: &[u8], answered: bool| {
        let sent = request(path, headers, pieces(body, &[3, 1]));
        match Git::default().unauthenticated(sent).await {
            Ok(response) => {
                assert!(answered, "{path} {headers:?}");
                assert_eq!(response.status(), StatusCode::OK);
                assert!(read(response.into_body()).await.is_empty());
            }
            Err(request) => {
                assert!(!answered, "{path} {headers:?}");
                assert_eq!(read(request.into_body()).await, body);
            }
        }
    };
    let four = ("content-length", "4");
    check(PUSH, &[four], b"0000", true).await;
    check(FETCH, &[four], b"0000", true).await;
    check(PUSH, &[], b"0000", false).await;
    check(PUSH, &[four], b"0001", false).await;
    check(PUSH, &[four], b"000", false).await;
    check(PUSH, &[four], b"00000000", false).await;
    check(PUSH, &[four, four], b"0000", false).await;
    check(PUSH, &[("content-length", "04")], b"0000", false).await;
    check(PUSH, &[four, ("content-encoding", "gzip")], b"0000", false).await;
    check("/app.git/git-upload-archive", &[four], b"0000", false).await;
    check("/a/../git-upload-pack", &[four], b"0000", false).await;
}
