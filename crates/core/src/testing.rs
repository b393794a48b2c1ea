//! What the tests of the layers share: a small protocol, a recorder on a temporary folder, people who
//! answer at once or never.

mod rig;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderName, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Limited};
use lockgate_detect::{RuleSet, TagKey};
use lockgate_recording::{Event, Recorded as RecordedEvent, What};
use tokio_util::sync::CancellationToken;
use tower_test::mock;

pub(crate) use self::rig::Rig;
use crate::{
    access::{Access, Action, Attribute, Attributes, Schema},
    approval::{ApprovalError, Approvals, Ask, Granted, Ticket, TicketState},
    authn::Authenticator,
    body::{self, Body},
    client::{Client, Timeouts},
    index::{Entry, Index},
    layers::{Target, mask::Mask},
    pipeline::Gateway,
    policy::{Policy, PolicyHandle},
    principal::{Caller, Principal, SessionId},
    protocol::{Classified, Content, Context, Dialect, HeldStream, HoldStyle, Protocol, Root, Upgrade},
    refusal::Refusal,
    secret::Secret,
    spool::Spools,
    upstream::{Auth, Credential, Credentials, Upstream},
};

/// `GET /x` reads x, `POST /x` writes x; everything may be masked.
pub(crate) static SCHEMA: Schema = Schema {
    protocol: "toy",
    actions: &[
        Action { name: "read", mutates: false, maskable: true, parts: None },
        Action { name: "write", mutates: true, maskable: true, parts: None },
    ],
    attributes: &[
        Attribute::glob("path", "paths", "the path"),
        Attribute::glob("color", "colors", "costs to find out"),
    ],
    masks: &[],
};

/// The policy of the tests: `/held` needs people, `/open/**` passes, nothing else does.
pub(crate) const POLICY: &str = "
version: 1
rules:
  - id: open
    match: { toy: { paths: [open, 'open/**'] } }
    decide: allow
  - id: masked
    match: { toy: { paths: [masked] } }
    decide: allow
    oblige: { mask: [all] }
  - id: people
    match: { toy: { paths: [held] } }
    decide: require_approval
    approval: { from: [group:release], hold: 1m }
";

pub(crate) fn policy() -> PolicyHandle {
    let handle = PolicyHandle::default();
    handle.set(Policy::load(POLICY, &[&SCHEMA]).unwrap());
    handle
}

pub(crate) struct Toy {
    pub(crate) hold: fn() -> HoldStyle,
    pub(crate) root: Option<Root>,
}

impl Default for Toy {
    fn default() -> Self {
        Self { hold: || HoldStyle::Stream(Box::new(ToyStream)), root: None }
    }
}

impl Protocol for Toy {
    fn schema(&self) -> &'static Schema {
        &SCHEMA
    }

    fn request_headers(&self) -> &'static [HeaderName] {
        &[header::ACCEPT]
    }

    fn classify<'a>(
        &'a self,
        _: Context<'a>,
        mut request: Request<Body>,
    ) -> BoxFuture<'a, Result<Classified, Refusal>> {
        if let Some(token) = request.headers().get(header::UPGRADE).cloned() {
            request.extensions_mut().insert(Upgrade(token));
        }
        let dialect = Arc::new(ToyDialect { hold: self.hold });
        Box::pin(async move {
            match request.uri().path() {
                "/answer" => Ok(Classified::Answer(text(StatusCode::OK, "here"))),
                "/nonsense" => Err(Refusal::new(crate::refusal::RefusalKind::Invalid, "nonsense")),
                _ => Ok(Classified::Asks { accesses: vec![access(&request)], request, dialect }),
            }
        })
    }

    fn root(&self) -> Option<Root> {
        self.root
    }

    fn caller(&self, token: &Secret) -> Option<Caller> {
        (token.expose() == "toys").then(caller)
    }

    fn welcome(&self, caller: &Caller, head: &Parts) -> Option<Response<Body>> {
        (head.uri.path() == "/hello").then(|| text(StatusCode::OK, &format!("hello {}", caller.principal)))
    }

    fn upgrades(&self, head: &Parts) -> bool {
        head.headers.get(header::UPGRADE).is_some_and(|token| token == "toy")
    }

    fn resource(&self, _: &http::Method, uri: &http::Uri) -> Option<String> {
        Some(uri.path().trim_start_matches('/').to_owned())
    }

    fn refuse(&self, _: &Parts, refusal: &Refusal) -> Response<Body> {
        text(refusal.kind.status(), &format!("protocol: {}", refusal.reason))
    }
}

pub(crate) fn access(request: &Request<Body>) -> Access {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let action = if request.method() == http::Method::GET { "read" } else { "write" };
    Access {
        protocol: "toy",
        action,
        resource: path.clone(),
        attributes: Attributes::new().with("path", path.clone()),
        binding: format!("{action} {path}"),
    }
}

pub(crate) struct ToyDialect {
    pub(crate) hold: fn() -> HoldStyle,
}

impl Dialect for ToyDialect {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        let url = refusal.url.as_deref().unwrap_or("-");
        text(refusal.kind.status(), &format!("dialect: {} {url}", refusal.reason))
    }

    fn hold(&self) -> HoldStyle {
        (self.hold)()
    }

    fn show<'a>(&'a self, _: Context<'a>) -> BoxFuture<'a, Option<String>> {
        Box::pin(async { Some("all of it".to_owned()) })
    }

    fn content(&self, head: &http::response::Parts) -> Content {
        let opaque = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "opaque");
        if opaque { Content::Opaque } else { Content::Text }
    }
}

pub(crate) struct ToyStream;

impl HeldStream for ToyStream {
    fn head(&self) -> Response<()> {
        Response::new(())
    }

    fn notice(&self, ticket: &Ticket, _: Duration) -> Bytes {
        format!("[wait {}]", ticket.url.as_deref().unwrap_or(&ticket.command)).into()
    }

    fn keepalive(&self) -> Bytes {
        Bytes::from_static(b".")
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        format!("[no: {}]", refusal.reason).into()
    }

    fn resume(&self, response: Response<Body>) -> Result<Body, Refusal> {
        Ok(response.into_body())
    }
}

pub(crate) fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(body::full(text.to_owned()));
    *response.status_mut() = status;
    response
}

/// The whole of a small body.
pub(crate) async fn read(body: Body) -> String {
    #[expect(clippy::disallowed_methods, reason = "limited")]
    let whole = Limited::new(body, 1 << 20).collect().await.unwrap().to_bytes();
    String::from_utf8(whole.to_vec()).unwrap()
}

/// People, who say what they were told to say.
#[derive(Default)]
pub(crate) struct People {
    pub(crate) state: Mutex<Option<TicketState>>,
    pub(crate) changed: tokio::sync::Notify,
    pub(crate) asked: Mutex<Vec<Ask>>,
    pub(crate) redeemed: Mutex<u32>,
}

impl People {
    pub(crate) fn saying(state: TicketState) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(Some(state)), ..Self::default() })
    }

    pub(crate) fn approve(&self) {
        *self.state.lock().unwrap() = Some(TicketState::Approved { by: vec!["ada".into()] });
        self.changed.notify_waiters();
    }

    fn now(&self) -> TicketState {
        self.state.lock().unwrap().clone().unwrap_or(TicketState::Pending)
    }
}

impl Approvals for People {
    fn ask(&self, ask: Ask) -> BoxFuture<'_, Result<Ticket, ApprovalError>> {
        self.asked.lock().unwrap().push(ask);
        let state = self.now();
        let (id, url, command) = ("a1".into(), Some("http://approve/a1".into()), "approve a1".into());
        Box::pin(async { Ok(Ticket { id, url, command, state }) })
    }

    fn decided<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<TicketState, ApprovalError>> {
        Box::pin(async {
            loop {
                let changed = self.changed.notified();
                let state = self.now();
                if state != TicketState::Pending {
                    return Ok(state);
                }
                changed.await;
            }
        })
    }

    fn redeem<'a>(&'a self, id: &'a str, _: &'a str) -> BoxFuture<'a, Result<Granted, ApprovalError>> {
        *self.redeemed.lock().unwrap() += 1;
        Box::pin(async { Ok(Granted { id: id.into(), by: vec!["ada".into()] }) })
    }
}

/// An index that remembers.
#[derive(Default)]
pub(crate) struct Entries(pub(crate) Mutex<Vec<Entry>>);

impl Index for Entries {
    fn put(&self, entry: Entry) {
        self.0.lock().unwrap().push(entry);
    }
}

/// A gateway before the upstream at that URL.
pub(crate) fn gateway(rig: &Rig, url: &str) -> Gateway {
    let mut upstream = self::upstream(Auth::Passthrough);
    upstream.url = url.parse().unwrap();
    let client = Client::new(&upstream, Timeouts::default()).unwrap();
    let (upstream, protocol) = (Arc::new(upstream), Arc::new(Toy::default()));
    let targets = vec![Arc::new(Target { upstream, protocol, client })];
    Gateway {
        mask: Mask::new(RuleSet::builtin(), TagKey::new(b"test")).unwrap(),
        public: Default::default(),
        targets,
        authenticator: Authenticator::new(Vec::new()).unwrap(),
        policy: policy(),
        approvals: Arc::new(People::default()),
        evidence: rig.evidence.clone(),
        spools: spools(),
        client_idle: Duration::from_secs(60),
        orphan: Duration::from_secs(60),
        ending: CancellationToken::new(),
    }
}

/// All bytes recorded in the direction of the client.
pub(crate) fn response_bytes(events: &[RecordedEvent]) -> String {
    let data = events.iter().filter_map(|event| {
        let What::Event(Event::ResponseData(data)) = &event.what else { return None };
        Some(data.to_vec())
    });
    String::from_utf8(data.flatten().collect()).unwrap()
}

pub(crate) fn caller() -> Caller {
    let principal = Arc::new(Principal::passthrough(Some("ada")));
    Caller { session: SessionId::derive(&principal, &[]), principal }
}

pub(crate) fn upstream(auth: Auth) -> Upstream {
    let credential = Credential::Basic { user: "gate".into(), password: Secret::new("s3cret") };
    Upstream {
        credentials: Credentials::fixed(credential).unwrap(),
        auth,
        host: Some("box.example".parse().unwrap()),
        ..Upstream::new("box", "toy", "http://127.0.0.1:9/base".parse().unwrap())
    }
}

pub(crate) fn target(auth: Auth) -> Arc<Target> {
    let upstream = Arc::new(upstream(auth));
    let client = Client::new(&upstream, Timeouts::default()).unwrap();
    Arc::new(Target { upstream, protocol: Arc::new(Toy::default()), client })
}

pub(crate) fn spools() -> Spools {
    Spools { dir: std::env::temp_dir(), memory: 1 << 16, max: 1 << 20 }
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(body::empty()).unwrap()
}

pub(crate) fn post(path: &str, text: &str) -> Request<Body> {
    Request::post(path).body(body::full(text.to_owned())).unwrap()
}

/// A mocked service with the error type that a layer wants below it.
pub(crate) fn mocked<T: Send + 'static, E: Send + 'static>() -> (
    impl tower::Service<T, Response = Response<Body>, Error = E, Future: Send> + Clone + Send + 'static,
    mock::Handle<T, Response<Body>>,
) {
    let (service, handle) = mock::pair::<T, Response<Body>>();
    let builder = tower::ServiceBuilder::new()
        .map_err(|error: tower::BoxError| -> E { panic!("the mock failed: {error}") });
    (builder.service(service), handle)
}
