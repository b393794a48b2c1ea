//! What a protocol crate implements, and all that the pipeline knows of protocols.
//!
//! A request is *classified*: the protocol reads as much of it as it needs (a head for a fetch or a
//! `GET`, the whole spooled body for a push, a manifest or an object), and says what is asked for
//! ([`Access`]), what would go upstream (the decoded form that was understood, never a form that
//! somebody else could read differently), and in which [`Dialect`] the client is answered. The
//! pipeline does the rest: it decides, holds, records, masks and forwards.
//!
//! Thought through for what is to come: an OCI push is many requests, tied together by state that the
//! protocol's value keeps; an endless watch is a response body that is masked and recorded as it
//! streams; an upgraded stream is a `101` whose two halves the forwarder joins through the dialect.

mod early;
mod hints;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header, request};
use lockgate_recording::Direction;
pub use lockgate_recording::Sha256;
use uuid::Uuid;

pub(crate) use self::early::Passage;
pub use self::{
    early::{Early, Gate},
    hints::{Called, Direct, Expected, LongRunning, Sets, Upgrade},
};
use crate::{
    access::{Access, Needs, Outline, Schema},
    approval::Ticket,
    body::{Body, BodyError},
    exchange::Exchange,
    layers::mask::{self, Secrets},
    principal::{Caller, Principal, SessionId},
    refusal::{Refusal, RefusalKind},
    secret::Secret,
    spool::Spools,
    upstream::Upstream,
};

/// One protocol: git, OCI distribution, the Kubernetes API.
pub trait Protocol: Send + Sync + 'static {
    /// The names that policies may use; its `protocol` is the `kind` of upstreams.
    fn schema(&self) -> &'static Schema;

    /// The request headers that mean something in this protocol: no other goes upstream with the gateway's
    /// credential, or stands in a recording in clear.
    fn request_headers(&self) -> &'static [HeaderName];

    /// Understands a request. The path is relative to the upstream. Its `Authorization` is gone.
    ///
    /// # Errors
    /// A refusal for what is malformed, ambiguous, too large or not of this protocol.
    fn classify<'a>(
        &'a self,
        context: Context<'a>,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Classified, Refusal>>;

    /// Where clients insist on finding it; anywhere, by default.
    fn root(&self) -> Option<Root> {
        None
    }

    /// Answers what needs no caller: a probe by which a client finds out whether it may send a body.
    /// Asked before anybody is authenticated, so the answer must tell nothing and go nowhere. Gives
    /// every other request back whole; a credential that it brings elsewhere than in `Authorization` is put there.
    fn unauthenticated<'a>(
        &'a self,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Response<Body>, Request<Body>>> {
        Box::pin(async move { Err(request) })
    }

    /// The caller for whom this protocol made a token in [`Protocol::welcome`]; `None` where it is none of its own.
    fn caller(&self, _: &Secret) -> Option<Caller> {
        None
    }

    /// Answers what is only about being known: asked as soon as it is clear who calls, and never of an upstream
    /// whose callers are not. The answer may be a credential, so it is not recorded; nothing goes upstream. `None` for
    /// every other request.
    fn welcome(&self, _: &Caller, _: &request::Parts) -> Option<Response<Body>> {
        None
    }

    /// The resource that a request is for, as its accesses will name it; `None` where it is for none, or
    /// not of this protocol. It chooses the upstream's credential. The path is relative to the upstream.
    fn resource(&self, _: &Method, _: &Uri) -> Option<String> {
        None
    }

    /// What exactly a request does, where upstreams of this protocol give credentials for just that: what is fetched
    /// for one is not presented for another.
    fn wants(&self, _: &Method, _: &Uri) -> Option<String> {
        None
    }

    /// Whether a request asks for its connection to become a stream of bytes, as this protocol knows them: then its
    /// body is what the client sends after a `101`. No other `Upgrade` is heeded.
    fn upgrades(&self, _: &request::Parts) -> bool {
        false
    }

    /// Whether the body of a request says nothing that goes any further: then it is read and dropped before anything
    /// is recorded. For bodies in which clients write what nobody should keep.
    fn drops_body(&self, _: &request::Parts) -> bool {
        false
    }

    /// Renders a refusal of a request that could not be classified. `head` is the request's.
    fn refuse(&self, head: &request::Parts, refusal: &Refusal) -> Response<Body>;
}

/// Where clients of a protocol insist on finding it, wherever its upstream is.
#[derive(Debug, Clone, Copy)]
pub struct Root {
    /// The first segment of every path. An upstream is found below it by its name, `/<segment>/<name>/<rest>`, of
    /// which the protocol is shown `/<segment>/<rest>`, as by a host of the upstream's own.
    pub segment: &'static str,
    /// Paths that are the gateway's own, whichever upstream is meant: what [`Protocol::unauthenticated`] and
    /// [`Protocol::welcome`] do not answer there is nothing.
    pub common: &'static [&'static str],
}

/// In the extensions of a request for a path that is [`Root::common`]: it goes to no upstream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Common;

/// What a protocol may use while it classifies.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The target.
    pub upstream: &'a Arc<Upstream>,
    /// Who calls.
    pub principal: &'a Arc<Principal>,
    /// In which run.
    pub session: &'a SessionId,
    /// The exchange's id, by which its recording is found.
    pub exchange: Uuid,
    /// The digest of the request's body, where the recording makes it anyway.
    pub recorded: Option<&'a RecordedBody>,
    /// Where bodies that must be seen whole are kept: bounded memory, then disk.
    pub spools: &'a Spools,
    /// Asks the upstream what classifying needs to know (is the new tip a descendant of the old?).
    /// Such questions carry lockgate's own credential and only read.
    pub probe: &'a dyn Probe,
    /// Begins the request upstream while it is read, where its target may be forwarded to so.
    pub early: Option<&'a dyn Early>,
    /// The attributes that the policy looks at. What costs to find out need not be where it is not among
    /// them; what is among them, and is not said, must be unknown.
    pub needs: &'a Needs,
}

/// The digest of a request's body as the recording makes it: a protocol that needs it need not make it once more.
#[derive(Clone)]
pub struct RecordedBody(Exchange);

impl RecordedBody {
    pub(crate) fn new(exchange: Exchange) -> Self {
        Self(exchange)
    }

    /// Whether every byte that the protocol reads of the body is recorded. To be asked when the first is read, for it is
    /// the verdict that says so.
    pub fn is_whole(&self) -> bool {
        self.0.records_all(Direction::Request)
    }

    /// What makes the SHA-256, after all that was read of the body.
    ///
    /// # Errors
    /// [`BodyError`] where nothing can be recorded.
    pub async fn sha256(&self) -> Result<Sha256, BodyError> {
        Ok(self.0.digest(Direction::Request).await?)
    }
}

/// Reads from the upstream on the gateway's own account, while a request is classified.
pub trait Probe: Send + Sync {
    /// Whether a request may pass at all, whatever of it is still found out; `outlines` are what is known of all that
    /// it asks for. Where it can't, no more of it is found out, so that who is refused learns nothing of what is
    /// there: it is handed on as it is known, and refused.
    fn may_pass(&self, _: &[Outline]) -> bool {
        true
    }

    /// Whether a request would be permitted for certain, and without an approval: so a protocol chooses between two ways
    /// of doing what was asked for. Nothing of `outlines` is open.
    fn permits(&self, _: &[Outline]) -> bool {
        false
    }

    /// Sends one request, its path relative to the upstream's base URL.
    fn send(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Refusal>>;
}

/// What a protocol understood.
pub enum Classified {
    /// Answered here, without the upstream and so without a verdict: it asks for nothing.
    Answer(Response<Body>),
    /// Refused, in the dialect of what was understood of it.
    Refused {
        /// Why.
        refusal: Refusal,
        /// How the client is told.
        dialect: Arc<dyn Dialect>,
    },
    /// To be decided.
    Asks {
        /// Everything that is asked for; never empty.
        accesses: Vec<Access>,
        /// What goes upstream once it is permitted.
        request: Request<Body>,
        /// How the client is answered.
        dialect: Arc<dyn Dialect>,
    },
}

/// How the client of one request is answered.
pub trait Dialect: Send + Sync {
    /// Renders a refusal so that the unmodified client shows its reason.
    fn refuse(&self, refusal: &Refusal) -> Response<Body>;

    /// Ends upstream what was begun there for a request that is refused now. Nothing, by default.
    fn withdraw<'a>(&'a self, _: &'a dyn Probe, _: &'a Refusal) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    /// The last thing before a request goes upstream, which may be long after it was judged: whether what was judged
    /// still is so. It is, by default.
    ///
    /// # Errors
    /// A refusal where it is not.
    fn stands<'a>(&'a self, _: &'a dyn Probe) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async { Ok(()) })
    }

    /// How the client is kept while people decide.
    fn hold(&self) -> HoldStyle;

    /// What people who may approve are shown of the content besides: text of some thousand lines at most,
    /// without secrets. It is recorded before they are asked. Nothing, by default.
    fn show<'a>(&'a self, _: Context<'a>) -> BoxFuture<'a, Option<String>> {
        Box::pin(async { None })
    }

    /// The policy lets the client see only parts of what the request reads: makes another request and
    /// another dialect of them by which nothing else is read. Who can't must refuse, as by default.
    fn narrow<'a>(&'a self, _: Narrow<'a>, _: Request<Body>) -> BoxFuture<'a, Result<Narrowed, Refusal>> {
        let reason = "the policy allows only a part of this, which can't be told from the rest";
        Box::pin(async move { Err(Refusal::new(RefusalKind::Denied, reason)) })
    }

    /// Rewrites the upstream's answer: locations, capabilities. As it is, by default.
    fn respond(&self, response: Response<Body>) -> Response<Body> {
        response
    }

    /// The same, for an answer that must be read to be rewritten, or that is refused after all.
    ///
    /// # Errors
    /// A refusal in the place of the answer.
    fn answer<'a>(&'a self, response: Response<Body>) -> BoxFuture<'a, Result<Response<Body>, Refusal>> {
        Box::pin(async { Ok(self.respond(response)) })
    }

    /// Whether the response is text in which secrets are looked for, or content that must not change.
    fn content(&self, head: &http::response::Parts) -> Content;

    /// Asks the upstream for an answer that can be masked: for one that is not compressed, by default.
    fn to_be_masked(&self, request: &mut HeaderMap, secrets: &Secrets) {
        if !secrets.is_empty() {
            request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
    }

    /// Replaces the secrets in what the head of an answer tells people. There is nothing such, by default.
    fn mask_head(&self, _: &mut HeaderMap, _: &Secrets) {}

    /// Replaces the secrets in the body of an answer. As [`Dialect::content`] says, by default; overridden where the form of an
    /// answer says more of where secrets are.
    ///
    /// # Errors
    /// A refusal of what can't be masked as the policy demands.
    fn mask<'a>(
        &'a self,
        response: Response<Body>,
        secrets: &'a Secrets,
    ) -> BoxFuture<'a, Result<Response<Body>, Refusal>> {
        Box::pin(async move {
            let (head, body) = response.into_parts();
            let content = self.content(&head);
            mask::by_content(content, Response::from_parts(head, body), secrets)
        })
    }
}

/// What a dialect may use to narrow a request.
#[derive(Clone, Copy)]
pub struct Narrow<'a> {
    /// Whether the client may see a part.
    pub permits: &'a Permits,
    /// Asks the upstream, as [`Context::probe`].
    pub probe: &'a dyn Probe,
}

/// Whether the client may see a part, by its name.
pub type Permits = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A request that reads only what the client may see, and how its client is answered.
pub struct Narrowed {
    /// What goes upstream.
    pub request: Request<Body>,
    /// How the client is answered.
    pub dialect: Arc<dyn Dialect>,
}

/// What a response's body is to the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Text: secrets are replaced.
    Text,
    /// Text that somebody waits for as it comes: after a short silence what is held goes out, unless it is sure to
    /// begin a secret.
    Live,
    /// Verified by hash or otherwise not to be touched.
    Opaque,
}

/// How a client is kept while people decide.
pub enum HoldStyle {
    /// The response is begun at once and kept alive by frames of the protocol.
    Stream(Box<dyn HeldStream>),
    /// Nothing is sent, for so long at most; then it is refused with the place to approve.
    Wait(Duration),
    /// It is refused at once with the place to approve, and comes back by itself.
    Retry,
}

/// A response that is begun before the verdict: its head, its signs of life, its end.
pub trait HeldStream: Send + Sync {
    /// The head of the response, its body still empty.
    fn head(&self) -> Response<()>;

    /// What tells the person at the client that it waits, and for whom.
    fn notice(&self, ticket: &Ticket, hold: Duration) -> Bytes;

    /// A sign of life, sent each [`HeldStream::interval`].
    fn keepalive(&self) -> Bytes;

    /// How often.
    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// What ends the stream with a refusal.
    fn refuse(&self, refusal: &Refusal) -> Bytes;

    /// Joins the upstream's response to the stream: its body where it answered as it should.
    ///
    /// # Errors
    /// A refusal where the upstream's answer can't continue this stream (another status or type).
    fn resume(&self, response: Response<Body>) -> Result<Body, Refusal>;
}
