//! A protocol of one's own, in one file: notes that are read by `GET /<name>` and written by `PUT /<name>`.
//!
//! `cargo run -p lockgate-core --example protocol` puts it into a gateway in front of a small server, reads
//! a note, is refused a write, and shows what stands in the index.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::{HeaderName, Method, Request, Response, header, request::Parts};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lockgate_core::{
    access::{Access, Action, Attribute, Attributes, Schema},
    approval::{ApprovalError, Approvals, Ask, Granted, Ticket, TicketState},
    authn::Authenticator,
    body::{self, Body},
    client::{Client, Timeouts},
    exchange::Evidence,
    index::{Entry, Index},
    layers::{Target, mask::Mask},
    pipeline::{self, Gateway},
    policy::{Policy, PolicyHandle},
    protocol::{Classified, Content, Context, Dialect, HoldStyle, Protocol},
    refusal::{Refusal, RefusalKind},
    spool::Spools,
    upstream::{Auth, Upstream},
};
use lockgate_detect::{RuleSet, TagKey};
use lockgate_recording::{Recorder, RecorderConfig};
use tower::ServiceExt as _;

/// What a policy may say of notes.
static SCHEMA: Schema = Schema {
    protocol: "notes",
    actions: &[
        Action { name: "read", mutates: false, maskable: true, parts: None },
        Action { name: "write", mutates: true, maskable: true, parts: None },
    ],
    attributes: &[Attribute::glob("note", "notes", "the note's name")],
    masks: &[],
};

struct Notes;

impl Protocol for Notes {
    fn schema(&self) -> &'static Schema {
        &SCHEMA
    }

    fn request_headers(&self) -> &'static [HeaderName] {
        &[header::ACCEPT, header::CONTENT_TYPE]
    }

    fn classify<'a>(
        &'a self,
        _: Context<'a>,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Classified, Refusal>> {
        Box::pin(async move {
            let action = match *request.method() {
                Method::GET => "read",
                Method::PUT => "write",
                _ => return Err(Refusal::new(RefusalKind::Invalid, "notes are read and written")),
            };
            // Whatever two servers could read in two ways is refused: here, all but plain names.
            let note = request.uri().path().trim_start_matches('/').to_owned();
            if note.is_empty() || !note.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(Refusal::new(RefusalKind::Invalid, "a note's name is letters and digits"));
            }
            let access = Access {
                protocol: SCHEMA.protocol,
                action,
                resource: note.clone(),
                attributes: Attributes::new().with("note", note.clone()),
                binding: format!("{action} {note}"),
            };
            Ok(Classified::Asks { accesses: vec![access], request, dialect: Arc::new(PlainText) })
        })
    }

    fn refuse(&self, _: &Parts, refusal: &Refusal) -> Response<Body> {
        PlainText.refuse(refusal)
    }
}

/// How clients of notes are answered.
struct PlainText;

impl Dialect for PlainText {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        let mut response = Response::new(body::full(format!("refused: {}\n", refusal.reason)));
        *response.status_mut() = refusal.kind.status();
        response
    }

    fn hold(&self) -> HoldStyle {
        HoldStyle::Wait(Duration::from_secs(30))
    }

    fn content(&self, head: &http::response::Parts) -> Content {
        match head.headers.get(header::CONTENT_TYPE) {
            Some(kind) if kind == "application/octet-stream" => Content::Opaque,
            _ => Content::Text,
        }
    }
}

const POLICY: &str = "
version: 1
rules:
  - { id: reading, match: { notes: { action: read } }, decide: allow }
  - id: locked
    match: { notes: { action: write, notes: [locked] } }
    decide: deny
    reason: '{note} is locked'
tests:
  - { who: { issuer: passthrough, subject: ada }, notes: { action: read, note: a }, expect: { decide: allow } }
";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let folder = tempfile::tempdir()?;
    let upstream = Arc::new(Upstream {
        auth: Auth::Passthrough,
        ..Upstream::new("team", SCHEMA.protocol, server().await?.parse()?)
    });
    let client = Client::new(&upstream, Timeouts::default())?;
    let targets = vec![Arc::new(Target { upstream, protocol: Arc::new(Notes), client })];
    let policy = PolicyHandle::default();
    policy.set(Policy::load(POLICY, &[&SCHEMA])?);

    let store = Arc::new(object_store::memory::InMemory::new());
    let recorder = RecorderConfig::new(folder.path(), store, object_store::path::Path::default(), "example");
    let (recorder, _) = Recorder::open(recorder).await?;
    let evidence = Evidence { recorder, index: Arc::new(Printed), closing: Default::default() };
    let gateway = pipeline::build(Gateway {
        mask: Mask::new(RuleSet::builtin(), TagKey::new(b"example"))?,
        targets,
        public: Default::default(),
        authenticator: Authenticator::new(Vec::new())?,
        policy,
        approvals: Arc::new(Nobody),
        evidence: evidence.clone(),
        spools: Spools { dir: folder.path().into(), memory: 1 << 20, max: 1 << 30 },
        client_idle: Duration::from_mins(1),
        orphan: Duration::from_mins(10),
        ending: Default::default(),
    });

    for (method, path) in [(Method::GET, "/notes/team/hello"), (Method::PUT, "/notes/team/locked")] {
        let request = Request::builder().method(&method).uri(path).body(body::empty())?;
        let response = gateway.clone().oneshot(request).await?;
        let status = response.status();
        let whole = http_body_util::Limited::new(response.into_body(), 1 << 20);
        #[expect(clippy::disallowed_methods, reason = "limited")]
        let text = http_body_util::BodyExt::collect(whole).await?.to_bytes();
        print(&format!("{method} {path}: {status} {}", String::from_utf8_lossy(&text).trim()));
    }
    evidence.closing.wait(Duration::from_secs(10)).await;
    Ok(evidence.recorder.close().await?)
}

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn print(line: &str) {
    println!("{line}");
}

struct Printed;

impl Index for Printed {
    fn put(&self, entry: Entry) {
        print(&format!("indexed: {} on {}: {}", entry.verdict, entry.accesses[0].resource, entry.outcome));
    }
}

/// Nobody to ask: what needs an approval is refused.
struct Nobody;

impl Approvals for Nobody {
    fn ask(&self, _: Ask) -> BoxFuture<'_, Result<Ticket, ApprovalError>> {
        Box::pin(async { Err(ApprovalError::Unavailable(Arc::new(std::io::Error::other("nobody is here")))) })
    }

    fn decided<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<TicketState, ApprovalError>> {
        Box::pin(async { Err(ApprovalError::NotUsable(id.into())) })
    }

    fn redeem<'a>(&'a self, id: &'a str, _: &'a str) -> BoxFuture<'a, Result<Granted, ApprovalError>> {
        Box::pin(async { Err(ApprovalError::NotUsable(id.into())) })
    }
}

/// The server behind the gateway: greets.
async fn server() -> std::io::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let greet = hyper::service::service_fn(async |request: Request<hyper::body::Incoming>| {
                Ok::<_, Infallible>(Response::new(body::full(format!("a note at {}", request.uri()))))
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { builder.serve_connection(TokioIo::new(tcp), greet).await });
        }
    });
    Ok(url)
}
