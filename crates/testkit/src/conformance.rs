//! What every protocol crate must get right, whatever its protocol: one suite, run by each of them.
//!
//! A crate gives its [`Protocol`], some requests that it understands and some that it must not; the suite
//! checks that meaning does not depend on how a body was cut, that what is cut off or ambiguous asks for
//! nothing, that every refusal can be said, and that nothing of ours leaks into an answer.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{future::BoxFuture, stream};
use http::{HeaderMap, Method, Request, Response, Uri, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use lockgate_core::{
    access::{Access, Needs, Schema},
    approval::{Ticket, TicketState},
    body::{Body, BodyError},
    principal::{Principal, SessionId},
    protocol::{Classified, Content, Context, Dialect, HoldStyle, Probe, Protocol},
    refusal::{AccessRefusal, Refusal, RefusalKind},
    secret::Secret,
    spool::Spools,
    upstream::{Credential, Credentials, Upstream},
};

/// A request of the suite.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What it is, for messages.
    pub name: &'static str,
    /// The method.
    pub method: Method,
    /// The path and query, relative to the upstream.
    pub uri: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as the client sends it.
    pub body: Bytes,
    /// The body as the upstream must get it; `None` where the protocol does not say before it is sent.
    pub forwarded: Option<Bytes>,
    /// Whether the meaning depends on the body, so that a part of it must not be understood.
    pub reads_body: bool,
}

/// What a protocol crate hands to [`check`].
pub struct Suite {
    /// The protocol.
    pub protocol: Arc<dyn Protocol>,
    /// Answers the questions that it asks the upstream while it classifies.
    pub probe: Arc<dyn Probe>,
    /// Requests that ask for something.
    pub understood: Vec<Sample>,
    /// Requests that must be refused.
    pub refused: Vec<Sample>,
}

/// An upstream that nobody may be asked: for protocols, or samples, that need not.
#[derive(Debug, Clone, Copy)]
pub struct NoProbe;

impl Probe for NoProbe {
    fn send(&self, _: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Refusal>> {
        Box::pin(async { Err(Refusal::new(RefusalKind::UpstreamUnavailable, "there is no upstream here")) })
    }
}

const KINDS: [RefusalKind; 15] = [
    RefusalKind::Unauthenticated,
    RefusalKind::Denied,
    RefusalKind::ApprovalNeeded,
    RefusalKind::ApprovalDenied,
    RefusalKind::Invalid,
    RefusalKind::TooLarge,
    RefusalKind::NotFound,
    RefusalKind::Timeout,
    RefusalKind::IssuerUnavailable,
    RefusalKind::UpstreamUnavailable,
    RefusalKind::UpstreamTimeout,
    RefusalKind::UpstreamInvalid,
    RefusalKind::RecordingUnavailable,
    RefusalKind::PolicyUnavailable,
    RefusalKind::Internal,
];

/// For the log only: must not be found in any answer.
const DETAIL: &str = "detail-of-ours-5cf1";

/// Larger than any answer that the suite reads.
const ANSWER: usize = 1 << 20;

/// Checks a protocol. Panics with what is wrong, as a test does.
pub async fn check(suite: Suite) {
    schema(suite.protocol.schema());
    for sample in &suite.understood {
        meaning(&suite, sample).await;
        cut_off(&suite, sample).await;
        refusals(&suite, sample).await;
        holds(&suite, sample).await;
    }
    for sample in &suite.refused {
        refused(&suite, sample).await;
    }
}

/// Names are there, and are unique, so that a policy can mean one thing by each.
fn schema(schema: &Schema) {
    assert!(!schema.protocol.is_empty() && !schema.actions.is_empty() && !schema.attributes.is_empty());
    let mut names = HashSet::new();
    for action in schema.actions {
        assert!(names.insert(action.name), "two actions are called {}", action.name);
    }
    let mut names = HashSet::from(["action"]);
    for attribute in schema.attributes {
        assert!(names.insert(attribute.name), "two attributes are called {}", attribute.name);
        if attribute.plural != attribute.name {
            assert!(names.insert(attribute.plural), "two attributes are called {}", attribute.plural);
        }
        assert!(!attribute.doc.is_empty(), "{} has no doc", attribute.name);
        let only = attribute.only.unwrap_or_default();
        assert!(
            only.iter().all(|action| schema.action(action).is_some()),
            "{} is of no action",
            attribute.name
        );
    }
}

/// The same bytes mean the same, and are forwarded the same, however they were cut.
async fn meaning(suite: &Suite, sample: &Sample) {
    let name = sample.name;
    let mut first: Option<(Vec<Access>, Bytes)> = None;
    for piece in [usize::MAX, 1, 2, 3, 7, 64, 1000] {
        let (accesses, request, _) = asks(suite, sample, piece).await;
        let (head, body) = request.into_parts();
        for hidden in [header::AUTHORIZATION, header::EXPECT] {
            assert!(!head.headers.contains_key(&hidden), "{name}: {hidden} is forwarded");
        }
        let forwarded = read(body).await;
        if let Some(length) = head.headers.get(header::CONTENT_LENGTH) {
            assert_eq!(length.to_str().ok(), Some(&*forwarded.len().to_string()), "{name}: content-length");
        }
        if let Some(expected) = &sample.forwarded {
            assert_eq!(&forwarded, expected, "{name}: forwarded in pieces of {piece}");
        }
        in_schema(suite.protocol.schema(), name, &accesses);
        match &first {
            None => first = Some((accesses, forwarded)),
            Some(first) => assert_eq!(first, &(accesses, forwarded), "{name}: in pieces of {piece}"),
        }
    }
}

fn in_schema(schema: &Schema, name: &str, accesses: &[Access]) {
    assert!(!accesses.is_empty(), "{name} asks for nothing");
    for access in accesses {
        assert_eq!(access.protocol, schema.protocol, "{name}");
        assert!(schema.action(access.action).is_some(), "{name}: action {}", access.action);
        assert!(!access.resource.is_empty() && !access.binding.is_empty(), "{name}: {access:?}");
        assert!(!access.binding.chars().any(char::is_control), "{name}: {access:?}");
        for (attribute, _) in access.attributes.iter() {
            let known = schema.attributes.iter().find(|known| known.name == attribute);
            let is_of = known.is_some_and(|known| known.is_of(access.action));
            assert!(is_of, "{name}: the schema has no attribute {attribute} of {}", access.action);
        }
        let resource = access.attributes.get(schema.attributes[0].name);
        assert!(resource.is_some(), "{name}: {} is missing", schema.attributes[0].name);
    }
}

/// A body that breaks off asks for nothing, wherever it does.
async fn cut_off(suite: &Suite, sample: &Sample) {
    if !sample.reads_body {
        return;
    }
    // Every place in a short body; of a long one as many, its ends among them.
    let step = (sample.body.len() / 500).max(1);
    for end in (0..sample.body.len()).step_by(step).chain([sample.body.len().saturating_sub(1)]) {
        let gone = BodyError::Client("the client has gone".into());
        let pieces = [Ok(Frame::data(sample.body.slice(..end))), Err(gone)];
        let body = StreamBody::new(stream::iter(pieces)).boxed_unsync();
        if let Ok(Classified::Asks { accesses, .. }) = classify(suite, sample, body).await {
            panic!("{}: cut at {end} it asks for {accesses:?}", sample.name);
        }
    }
}

/// Every refusal can be said, gives its reason, and nothing that is only for the log.
async fn refusals(suite: &Suite, sample: &Sample) {
    let (accesses, _, dialect) = asks(suite, sample, usize::MAX).await;
    let (head, ()) = head(sample).into_parts();
    for kind in KINDS {
        let refusal = refusal(kind, accesses.len());
        for (who, response) in
            [("protocol", suite.protocol.refuse(&head, &refusal)), ("dialect", dialect.refuse(&refusal))]
        {
            let status = response.status();
            let name = format!("{}: {who} on {}", sample.name, kind.word());
            let body = read(response.into_body()).await;
            let text = String::from_utf8_lossy(&body);
            assert!(status.as_u16() >= 200, "{name}: {status}");
            assert!(text.contains("because-7a"), "{name}: the reason is missing in {text:?}");
            assert!(!text.contains(DETAIL), "{name}: shows what is for the log");
        }
    }
}

fn refusal(kind: RefusalKind, accesses: usize) -> Refusal {
    let detail = std::io::Error::other(DETAIL);
    let each = AccessRefusal { reason: "because-7a".into(), rule: Some("rule-1".into()) };
    Refusal::new(kind, "because-7a").because(&detail).with_accesses(vec![each; accesses])
}

/// A held client learns where to approve, gets signs of life, and the reason if it comes to nothing.
async fn holds(suite: &Suite, sample: &Sample) {
    let (accesses, _, dialect) = asks(suite, sample, usize::MAX).await;
    let HoldStyle::Stream(held) = dialect.hold() else { return };
    let name = sample.name;
    let ticket = Ticket {
        id: "a-1".into(),
        url: None,
        command: "lockgate approvals approve a-1".into(),
        state: TicketState::Pending,
    };
    let notice = held.notice(&ticket, Duration::from_mins(10));
    let notice = String::from_utf8_lossy(&notice).into_owned();
    assert!(notice.contains(&ticket.command), "{name}: {notice:?}");
    assert!(!held.keepalive().is_empty(), "{name}: no sign of life");
    assert!(held.interval() <= Duration::from_secs(10), "{name}: {:?}", held.interval());
    assert_eq!(held.head().status(), 200, "{name}");
    let refused = held.refuse(&refusal(RefusalKind::ApprovalDenied, accesses.len()));
    let refused = String::from_utf8_lossy(&refused).into_owned();
    assert!(refused.contains("because-7a") && !refused.contains(DETAIL), "{name}: {refused:?}");
}

/// What must not be understood is refused, and the refusal is the client's fault.
async fn refused(suite: &Suite, sample: &Sample) {
    let name = sample.name;
    match classify(suite, sample, pieces(&sample.body, usize::MAX)).await {
        Ok(Classified::Asks { accesses, .. }) => panic!("{name}: asks for {accesses:?}"),
        Ok(Classified::Answer(response)) => {
            assert!(!response.status().is_server_error(), "{name}: {}", response.status());
        }
        Err(refusal) | Ok(Classified::Refused { refusal, .. }) => {
            let status = refusal.kind.status();
            assert!(status.is_client_error(), "{name}: {status} {refusal:?}");
        }
    }
}

async fn asks(
    suite: &Suite,
    sample: &Sample,
    piece: usize,
) -> (Vec<Access>, Request<Body>, Arc<dyn Dialect>) {
    match classify(suite, sample, pieces(&sample.body, piece)).await {
        Ok(Classified::Asks { accesses, request, dialect }) => {
            let text = Response::builder().header(header::CONTENT_TYPE, "text/plain").body(());
            let (head, ()) = text.expect("a valid head").into_parts();
            assert_eq!(dialect.content(&head), Content::Text, "{}: text/plain is text", sample.name);
            (accesses, request, dialect)
        }
        Ok(Classified::Answer(answer)) => panic!("{}: answered by itself: {answer:?}", sample.name),
        Err(refusal) | Ok(Classified::Refused { refusal, .. }) => {
            panic!("{}: refused: {refusal:?}", sample.name)
        }
    }
}

async fn classify(suite: &Suite, sample: &Sample, body: Body) -> Result<Classified, Refusal> {
    let credential = Credential::Bearer(Secret::new("upstream-secret"));
    let upstream = Arc::new(Upstream {
        credentials: Credentials::fixed(credential).expect("a token that a header may hold"),
        ..Upstream::new("box", suite.protocol.schema().protocol, Uri::from_static("http://127.0.0.1:9/"))
    });
    let spools = Spools { dir: std::env::temp_dir(), memory: 64, max: 1 << 30 };
    let (needs, principal) = (Needs::default(), Arc::new(Principal::passthrough(Some("ada"))));
    let context = Context {
        upstream: &upstream,
        principal: &principal,
        session: &SessionId::derive(&principal, &[]),
        exchange: Default::default(),
        recorded: None,
        spools: &spools,
        probe: &*suite.probe,
        early: None,
        needs: &needs,
    };
    let request = head(sample).map(|()| body);
    suite.protocol.classify(context, request).await
}

fn head(sample: &Sample) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = sample.method.clone();
    *request.uri_mut() = sample.uri.parse().expect("the sample's URI");
    *request.headers_mut() = sample.headers.clone();
    request
}

fn pieces(bytes: &Bytes, size: usize) -> Body {
    let bytes = bytes.clone();
    let starts = (0..bytes.len()).step_by(size.min(bytes.len().max(1)));
    let frames =
        starts.map(move |at| Ok(Frame::data(bytes.slice(at..bytes.len().min(at.saturating_add(size))))));
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

async fn read(body: Body) -> Bytes {
    #[expect(clippy::disallowed_methods, reason = "limited")]
    let whole = Limited::new(body, 64 * ANSWER).collect().await;
    whole.expect("the body is whole").to_bytes()
}
