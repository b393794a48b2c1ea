//! Git LFS: the batch API with its basic transfers, and locks, through the gateway.
//!
//! A batch asks the upstream where objects are; every address in the answer is rewritten to this gateway,
//! and what the upstream wanted to see there (its address, its headers) goes to the client only sealed,
//! as a [ticket](TicketKey). A transfer comes with its ticket and the caller's own credential. An upload
//! is read whole before it is forwarded, is the object that it says, and was searched for secrets where
//! the policy asks for them; a download is verified while it streams.
//!
//! For a policy, downloads and lists are `fetch`, everything that changes something is `push`, all with
//! `lfs: true` and without a ref: who may push to a repository may upload to it, unless a rule says
//! otherwise. An upload is asked for in a batch, made, and verified: three requests, each decided. A rule
//! that holds every push holds each of them; one that says `lfs: false` leaves it at the push that makes
//! the object reachable. A repository's `.lfsconfig` can lead clients around any gateway: it is a path
//! like others for a policy.

mod access;
mod batch;
mod body;
mod locks;
mod oid;
pub mod parse;
mod respond;
mod route;
mod scan;
#[cfg(test)]
mod tests;
mod ticket;
mod transfer;

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header, request};
use lockgate_core::{
    body::{self as core_body, Body},
    protocol::{Classified, Context},
    refusal::{Refusal, RefusalKind},
};
use serde::Serialize;

pub(crate) use self::respond::refuse;
pub use self::{oid::LfsOid, ticket::TicketKey};
use self::{
    parse::LfsError,
    route::{Endpoint, LfsRoute},
    scan::Scan,
    ticket::Tickets,
};
use crate::{Config, classify, facts::Wanted};

/// The type of all JSON of LFS.
const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";

/// The header that a client sends a ticket in.
const TICKET: HeaderName = HeaderName::from_static("lockgate-lfs-ticket");

/// Whether an address is one of LFS.
pub(crate) fn is_lfs(uri: &http::Uri) -> bool {
    LfsRoute::is_lfs(uri)
}

/// The repository that an address of LFS is for.
pub(crate) fn repository(method: &Method, uri: &http::Uri) -> Option<String> {
    LfsRoute::parse(method, uri).ok().map(|route| route.repository)
}

/// LFS beside the repositories.
#[derive(Debug)]
pub(crate) struct Lfs {
    config: Config,
    tickets: Tickets,
    scan: Scan,
}

impl Lfs {
    pub(crate) fn new(config: &Config) -> Self {
        let tickets = Tickets::new(config.lfs.key.as_ref(), config.lfs.ticket);
        Self { tickets, scan: Scan::new(&config.inspect), config: config.clone() }
    }

    /// Understands a request.
    pub(crate) async fn read(
        self: &std::sync::Arc<Self>,
        context: Context<'_>,
        request: Request<Body>,
    ) -> Result<Classified, Refusal> {
        let (head, body) = request.into_parts();
        let mut route = LfsRoute::parse(&head.method, &head.uri)?;
        route.repository = context.upstream.name_of(route.repository);
        let mut encodings = head.headers.get_all(header::CONTENT_ENCODING).iter();
        if encodings.any(|encoding| encoding != "identity") {
            return Err(Refusal::new(RefusalKind::Invalid, "an LFS request's body is not encoded"));
        }
        match &route.endpoint {
            Endpoint::Batch => self.batch(context, route, head, body).await,
            Endpoint::Transfer(transfer, oid) => {
                let (transfer, oid) = (*transfer, *oid);
                self.transfer(context, &route, (transfer, oid), head, body).await
            }
            Endpoint::Locks(_) | Endpoint::Lock | Endpoint::VerifyLocks | Endpoint::Unlock(_) => {
                self.locks(context, &route, &head, body).await
            }
        }
    }

    /// What somebody asks of the content of an upload.
    fn wanted(&self, context: Context<'_>) -> Wanted {
        classify::wanted(context.needs).or(self.config.inspect.wanted)
    }

    /// Reads JSON from a client.
    async fn json(&self, head: &request::Parts, body: Body) -> Result<bytes::Bytes, Refusal> {
        let mut media_types = head.headers.get_all(header::CONTENT_TYPE).iter();
        // Of two, another server might take the other.
        let media_type = media_types.next().filter(|_| media_types.next().is_none());
        let media_type = media_type.and_then(|value| value.to_str().ok());
        let essence = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if ![MEDIA_TYPE, "application/json"].iter().any(|known| essence.eq_ignore_ascii_case(known)) {
            return Err(Refusal::new(RefusalKind::Invalid, format!("the content type is not {MEDIA_TYPE}")));
        }
        body::whole(body, self.config.lfs.request).await
    }
}

/// A request upstream: nothing of the client's head is in it but who it says it is.
fn upstream_request(
    method: Method,
    uri: &str,
    client: &HeaderMap,
    body: Body,
) -> Result<Request<Body>, Refusal> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    let too_long = |_| Refusal::new(RefusalKind::Invalid, "the path is too long");
    *request.uri_mut() = uri.parse().map_err(too_long)?;
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static(MEDIA_TYPE));
    // Answers are read, or verified byte by byte.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(agent) = client.get(header::USER_AGENT) {
        headers.insert(header::USER_AGENT, agent.clone());
    }
    Ok(request)
}

/// The same, with JSON.
fn json_request(uri: &str, client: &HeaderMap, json: &impl Serialize) -> Result<Request<Body>, Refusal> {
    let text = serde_json::to_vec(json).map_err(|error| {
        Refusal::new(RefusalKind::Internal, "the request can't be written").because(&error)
    })?;
    let mut request = upstream_request(Method::POST, uri, client, core_body::full(text))?;
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    Ok(request)
}

/// What a client sent is no LFS.
fn malformed(error: LfsError) -> Refusal {
    let kind = match &error {
        LfsError::TooMany(_) => RefusalKind::TooLarge,
        LfsError::Json(_)
        | LfsError::Value(_)
        | LfsError::TwoSizes(_)
        | LfsError::Transfer
        | LfsError::Hash => RefusalKind::Invalid,
    };
    Refusal::new(kind, error.to_string()).because(&error)
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs().cast_signed())
}
