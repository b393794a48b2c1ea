//! The HTTP client towards one upstream: a pool of HTTP/1.1 and HTTP/2 connections.
//!
//! Which version is spoken is the upstream's choice (ALPN); it does not depend on the client's. HTTP/2
//! requests are spread over connections of at most [`STREAMS`] each, so that long-running streams never
//! starve a short call by the peer's stream limit.

mod again;
mod connect;
mod pool;
#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;

use crate::{
    body::{self, Body, BodyError},
    origin::Origin,
    protocol::{LongRunning, Upgrade},
    refusal::{Refusal, RefusalKind},
    upgrade,
    upstream::Upstream,
};

use again::Again;
use connect::Connector;
pub use connect::TlsError;
pub(crate) use connect::tls_config;
use pool::{Lease, Pool, SendError};

/// Streams that one HTTP/2 connection carries at once: below the 100 that most servers allow.
pub const STREAMS: usize = 64;

/// How often a request is sent again that the upstream says it has not processed.
const AGAIN: u32 = 3;

/// How long the client waits for an upstream.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection, with its TLS handshake.
    pub connect: Duration,
    /// From the end of the request to the head of the response. Long: a Git server may index a large
    /// pack before it says anything.
    pub response: Duration,
    /// Between two pieces of a response. Long enough for servers that give a sign of life now and then.
    pub silence: Duration,
    /// An idle connection is kept this long.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            response: Duration::from_mins(15),
            silence: Duration::from_mins(5),
            idle: Duration::from_secs(30),
        }
    }
}

/// A client of one upstream. Cheap to clone; clones share the pool.
#[derive(Clone)]
pub struct Client {
    pool: Arc<Pool>,
    /// The connections to where the upstream keeps content besides, by origin.
    storage: Arc<[(Origin, Arc<Pool>)]>,
    timeouts: Timeouts,
}

/// Why an exchange with the upstream failed: its fault, or the network's between us.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection.
    #[error("no connection to the upstream")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connection broke, or what came over it was not HTTP.
    #[error("the exchange with the upstream broke off")]
    Exchange(#[source] hyper::Error),
    /// It took too long.
    #[error("the upstream did not {what} within {limit:?}")]
    Timeout {
        /// What it did not do.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// It points to where nobody allowed us to go.
    #[error("the upstream points elsewhere")]
    Elsewhere(Option<Origin>),
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        let refusal = match &error {
            ClientError::Connect(_) => {
                Refusal::new(RefusalKind::UpstreamUnavailable, "the upstream can't be reached")
            }
            ClientError::Exchange(cause) if body_fault(cause).is_some() => return body_refusal(cause),
            ClientError::Exchange(cause) if cause.is_parse() => {
                Refusal::new(RefusalKind::UpstreamInvalid, "the upstream's answer makes no sense")
            }
            ClientError::Exchange(_) => {
                Refusal::new(RefusalKind::UpstreamUnavailable, "the upstream broke the exchange off")
            }
            ClientError::Timeout { .. } => {
                Refusal::new(RefusalKind::UpstreamTimeout, "the upstream took too long")
            }
            ClientError::Elsewhere(origin) => elsewhere(origin.as_ref()),
        };
        refusal.because(&error)
    }
}

/// A refusal to go where the upstream points; says what its operator can do.
pub fn elsewhere(origin: Option<&Origin>) -> Refusal {
    let reason = match origin {
        Some(origin) => format!(
            "the upstream keeps this at {origin}, where this gateway may not go: its operator can name it \
             under the upstream's `storage`"
        ),
        None => "the upstream points to what is no http or https URL".to_owned(),
    };
    Refusal::new(RefusalKind::UpstreamInvalid, reason)
}

/// The request's own body may be what broke the exchange: then it is not the upstream's fault.
fn body_fault(error: &hyper::Error) -> Option<&BodyError> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(fault) = cause.downcast_ref::<BodyError>() {
            return Some(fault);
        }
        source = cause.source();
    }
    None
}

fn body_refusal(error: &hyper::Error) -> Refusal {
    let refusal = match body_fault(error) {
        Some(BodyError::Ours(_)) => {
            Refusal::new(RefusalKind::RecordingUnavailable, "the request can't be recorded")
        }
        Some(BodyError::Client(_) | BodyError::Upstream(_)) | None => {
            Refusal::new(RefusalKind::Invalid, "the request's body broke off")
        }
    };
    refusal.because(error)
}

impl Client {
    /// A client of that upstream. Connects on first use.
    ///
    /// # Errors
    /// [`TlsError`] where the upstream's certificates can't be used.
    pub fn new(upstream: &Upstream, timeouts: Timeouts) -> Result<Self, TlsError> {
        let pool = |connector| Arc::new(Pool::new(connector, timeouts.idle));
        let storage = upstream.storage.iter().map(|url| {
            let origin = Origin::of(url).ok_or_else(|| TlsError::Url(url.clone()))?;
            Ok((origin, pool(Connector::to_storage(upstream, url)?)))
        });
        let storage = storage.collect::<Result<Vec<_>, TlsError>>()?;
        let pool = pool(Connector::new(upstream, &upstream.url)?);
        Ok(Self { pool, storage: storage.into(), timeouts })
    }

    fn pool(&self, url: &Uri) -> Result<&Arc<Pool>, ClientError> {
        let Some(origin) = Origin::of(url) else {
            // Only a path: the upstream's own.
            let relative = url.authority().is_none() && url.scheme().is_none();
            return if relative { Ok(&self.pool) } else { Err(ClientError::Elsewhere(None)) };
        };
        if *self.pool.connector().origin() == origin {
            return Ok(&self.pool);
        }
        match self.storage.iter().find(|(known, _)| *known == origin) {
            Some((_, pool)) => Ok(pool),
            None => Err(ClientError::Elsewhere(Some(origin))),
        }
    }

    /// Sends a request, whose URI is of the upstream or of its storage, and whose headers are final.
    ///
    /// # Errors
    /// [`ClientError`]. A request that the upstream may have processed is never sent twice.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let pool = self.pool(request.uri())?;
        let long_running = request.extensions().get::<LongRunning>().is_some();
        let mut left = AGAIN;
        loop {
            let mut lease = self.lease(pool).await?;
            let mut again = None;
            if lease.is_h2() && left > 0 {
                let (kept, sent) = Again::of(request);
                (again, request) = (Some(kept), sent);
            }
            pool.connector().address(&mut request, lease.is_h2());
            let connection = &mut lease;
            match self.within_response_limit(request, move |request| connection.send(request)).await {
                Ok(Ok(mut response)) => {
                    if long_running {
                        response.extensions_mut().insert(LongRunning);
                    }
                    return Ok(response.map(|body| {
                        let body = body.map_err(|error| BodyError::Upstream(error.into()));
                        let body = lease.hold_until_end(body::together(body.boxed_unsync()));
                        if long_running {
                            return body;
                        }
                        body::within(self.timeouts.silence, body, BodyError::Upstream)
                    }));
                }
                // A pooled connection that the upstream had closed: nothing was sent.
                Ok(Err(SendError::Unsent(unsent))) if lease.is_reused() => request = *unsent,
                Ok(Err(SendError::Unsent(_))) => {
                    let error = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                    return Err(ClientError::Connect(error.into()));
                }
                Ok(Err(SendError::Failed(error))) => {
                    let again = again.filter(|_| again::is_unprocessed(&error)).and_then(Again::request);
                    request = again.ok_or(ClientError::Exchange(error))?;
                    left -= 1;
                }
                Err(limit) => return Err(ClientError::Timeout { what: "answer", limit }),
            }
        }
    }

    /// Asks the upstream to make a connection of its own a stream of bytes. Where it does, what the request's body
    /// yields goes there, and the response's body is what comes from there; else the body goes nowhere.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn upgrade(
        &self,
        request: Request<Body>,
        protocol: &Upgrade,
    ) -> Result<Response<Body>, ClientError> {
        let pool = self.pool(request.uri())?;
        let limit = self.timeouts.connect;
        let opened = tokio::time::timeout(limit, pool.connector().connect_alone()).await;
        let late = |_| ClientError::Timeout { what: "accept a connection", limit };
        let mut sender = opened.map_err(late)?.map_err(ClientError::Connect)?;
        let (head, body) = request.into_parts();
        let mut request = Request::from_parts(head, body::empty());
        pool.connector().address(&mut request, false);
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(header::UPGRADE, protocol.0.clone());
        let limit = self.timeouts.response;
        let answered = tokio::time::timeout(limit, sender.send_request(request)).await;
        let late = |_| ClientError::Timeout { what: "answer", limit };
        let mut response = answered.map_err(late)?.map_err(ClientError::Exchange)?;
        let silence = self.timeouts.silence;
        if !upgrade::is_stream(&response) {
            return Ok(response.map(|body| {
                let body = body.map_err(|error| BodyError::Upstream(error.into())).boxed_unsync();
                body::within(silence, body, BodyError::Upstream)
            }));
        }
        let upgraded = hyper::upgrade::on(&mut response).await.map_err(ClientError::Exchange)?;
        Ok(response.map(|_| upgrade::upstream_end(upgraded, body, silence)))
    }

    /// Sends a request. The limit runs from when its body was sent: an upload may take as long as it takes.
    async fn within_response_limit<F: Future>(
        &self,
        request: Request<Body>,
        send: impl FnOnce(Request<Body>) -> F,
    ) -> Result<F::Output, Duration> {
        let limit = self.timeouts.response;
        if request.body().is_end_stream() {
            return tokio::time::timeout(limit, send(request)).await.map_err(|_| limit);
        }
        let (timed, sent) = on_end(request);
        let late = async {
            // An error means that the body was dropped, which ends the sending too.
            let _ = sent.await;
            tokio::time::sleep(limit).await;
        };
        tokio::select! {
            response = send(timed) => Ok(response),
            () = late => Err(limit),
        }
    }

    async fn lease(&self, pool: &Arc<Pool>) -> Result<Lease, ClientError> {
        if let Some(lease) = pool.reuse() {
            return Ok(lease);
        }
        let limit = self.timeouts.connect;
        match tokio::time::timeout(limit, pool.open()).await {
            Ok(opened) => opened.map_err(ClientError::Connect),
            Err(_) => Err(ClientError::Timeout { what: "accept a connection", limit }),
        }
    }
}

/// Makes a request tell when its body was sent or dropped.
fn on_end(request: Request<Body>) -> (Request<Body>, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel();
    (request.map(|body| OnEnd { body, _sender: sender }.boxed_unsync()), receiver)
}

/// A body whose end, or drop, drops the sender.
struct OnEnd {
    body: Body,
    _sender: oneshot::Sender<()>,
}

impl HttpBody for OnEnd {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Appends a relative path and query to an upstream's base URL.
pub fn join(base: &Uri, relative: &Uri) -> Option<Uri> {
    let path = format!("{}{}", base.path().trim_end_matches('/'), relative.path_and_query()?);
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}
