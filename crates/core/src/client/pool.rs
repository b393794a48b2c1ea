//! Idle HTTP/1.1 connections and shared HTTP/2 ones.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};

use super::{
    STREAMS,
    connect::{Connector, Sender},
};
use crate::body::{Body, BodyError};

/// HTTP/1.1 connections kept idle at most.
const IDLE: usize = 64;

/// The connections to one upstream.
pub(super) struct Pool {
    connector: Connector,
    idle_for: Duration,
    connections: Mutex<Connections>,
    /// Held while a connection is opened that others can share.
    opening: tokio::sync::Mutex<()>,
    /// Whether the upstream spoke HTTP/2 when it was asked last.
    shares: AtomicBool,
}

#[derive(Default)]
struct Connections {
    h1: Vec<(http1::SendRequest<Body>, Instant)>,
    h2: Vec<Shared>,
}

#[derive(Clone)]
struct Shared {
    sender: http2::SendRequest<Body>,
    streams: Arc<AtomicUsize>,
}

/// A connection for one exchange.
pub(super) struct Lease {
    pool: Arc<Pool>,
    reused: bool,
    connection: Option<Leased>,
}

enum Leased {
    H1(http1::SendRequest<Body>),
    H2(Shared),
}

/// Why a request was not answered.
pub(super) enum SendError {
    /// Nothing of it was sent; here it is again.
    Unsent(Box<Request<Body>>),
    /// It may have been sent.
    Failed(hyper::Error),
}

impl Pool {
    pub(super) fn new(connector: Connector, idle_for: Duration) -> Self {
        Self {
            connector,
            idle_for,
            connections: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            shares: AtomicBool::new(false),
        }
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// A connection that is already open, if one has room.
    pub(super) fn reuse(self: &Arc<Self>) -> Option<Lease> {
        let mut connections = self.lock();
        connections.h2.retain(|shared| !shared.sender.is_closed());
        let free = connections.h2.iter().find(|shared| shared.streams.load(Ordering::Relaxed) < STREAMS);
        if let Some(shared) = free {
            shared.streams.fetch_add(1, Ordering::Relaxed);
            return Some(self.lease(Leased::H2(shared.clone()), true));
        }
        let now = Instant::now();
        connections.h1.retain(|(sender, since)| !sender.is_closed() && now - *since < self.idle_for);
        let (sender, _) = connections.h1.pop()?;
        Some(self.lease(Leased::H1(sender), true))
    }

    /// A new connection; or room on one that was opened meanwhile for somebody else.
    pub(super) async fn open(self: &Arc<Self>) -> Result<Lease, Box<dyn std::error::Error + Send + Sync>> {
        if !self.shares.load(Ordering::Relaxed) {
            return self.connect().await;
        }
        // One after the other: of many who come at once, one opens what all of them have room on.
        let _turn = self.opening.lock().await;
        match self.reuse() {
            Some(lease) => Ok(lease),
            None => self.connect().await,
        }
    }

    async fn connect(self: &Arc<Self>) -> Result<Lease, Box<dyn std::error::Error + Send + Sync>> {
        // In a box: most requests find a connection, and have no room for how one is opened.
        let leased = match Box::pin(self.connector.connect()).await? {
            Sender::H1(sender) => Leased::H1(sender),
            Sender::H2(sender) => {
                let shared = Shared { sender, streams: Arc::new(AtomicUsize::new(1)) };
                self.lock().h2.push(shared.clone());
                Leased::H2(shared)
            }
        };
        self.shares.store(matches!(leased, Leased::H2(_)), Ordering::Relaxed);
        Ok(self.lease(leased, false))
    }

    fn lease(self: &Arc<Self>, connection: Leased, reused: bool) -> Lease {
        Lease { pool: Arc::clone(self), reused, connection: Some(connection) }
    }

    fn lock(&self) -> MutexGuard<'_, Connections> {
        // Every critical section leaves the lists whole.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, sender: http1::SendRequest<Body>) {
        let mut connections = self.lock();
        if connections.h1.len() < IDLE && !sender.is_closed() {
            connections.h1.push((sender, Instant::now()));
        }
    }
}

impl Lease {
    pub(super) fn is_h2(&self) -> bool {
        matches!(self.connection, Some(Leased::H2(_)))
    }

    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    pub(super) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, SendError> {
        let sent = match &mut self.connection {
            Some(Leased::H1(sender)) => {
                if sender.ready().await.is_err() {
                    return Err(SendError::Unsent(request.into()));
                }
                sender.try_send_request(request).await
            }
            Some(Leased::H2(shared)) => {
                if shared.sender.ready().await.is_err() {
                    return Err(SendError::Unsent(request.into()));
                }
                shared.sender.try_send_request(request).await
            }
            None => return Err(SendError::Unsent(request.into())),
        };
        sent.map_err(|mut error: TrySendError<_>| match error.take_message() {
            Some(request) => SendError::Unsent(request.into()),
            None => SendError::Failed(error.into_error()),
        })
    }

    /// Keeps the connection with the response's body: a body read to its end gives it back to the pool,
    /// one dropped before closes it (HTTP/1.1) or resets its stream (HTTP/2).
    pub(super) fn hold_until_end(self, body: Body) -> Body {
        if body.is_end_stream() {
            self.give_back();
            return body;
        }
        Leasing { body, lease: Some(self) }.boxed_unsync()
    }

    fn give_back(mut self) {
        if self.is_h2() {
            return;
        }
        if let Some(Leased::H1(mut sender)) = self.connection.take() {
            let pool = Arc::clone(&self.pool);
            tokio::spawn(async move {
                // The request's body may still be on its way, or never end: then it is not kept.
                let ready = tokio::time::timeout(Duration::from_secs(5), sender.ready()).await;
                if matches!(ready, Ok(Ok(()))) {
                    pool.keep(sender);
                }
            });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(Leased::H2(shared)) = &self.connection {
            shared.streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

struct Leasing {
    body: Body,
    lease: Option<Lease>,
}

impl HttpBody for Leasing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Err(_)) => self.lease = None,
            None => {
                if let Some(lease) = self.lease.take() {
                    lease.give_back();
                }
            }
            Some(Ok(_)) => {
                // A body of known length says with its last frame that it has ended.
                if self.body.is_end_stream()
                    && let Some(lease) = self.lease.take()
                {
                    lease.give_back();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
