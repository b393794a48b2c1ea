//! Accepts clients: TCP, TLS, HTTP/1.1 and HTTP/2 (by ALPN, or by prior knowledge on plain TCP), each bounded
//! in time and memory, and ends without losing what is under way.
//!
//! What a request asks for is the pipeline's to know; [`edge`] only refuses what is not one clear request.

mod activity;
mod edge;
mod framing;
mod io;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use lockgate_core::{body::Body, pipeline::Pipeline, principal::Peer, upgrade::Lasting};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{future::FutureExt as _, sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

pub(crate) use self::tls::{PEM_MAX, certificates, private_key, server_config};
use self::{
    activity::{Activity, Counted},
    framing::{Ambiguous, Framing},
    io::{Connection, Stream},
};
use crate::config::Limits;

/// Tells why the gateway cannot serve, while it cannot.
pub(crate) type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// How a connection to a peer that has vanished is noticed.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// How much of a body waits in memory per HTTP/2 request, in either direction.
const H2_WINDOW: u32 = 256 << 10;
/// How much of all bodies of an HTTP/2 connection waits in memory.
const H2_CONNECTION_WINDOW: u32 = 1 << 20;
/// What every HTTP/2 client sends first; no method of HTTP/1.1 begins so.
const H2_PREFACE: &[u8] = b"PRI";
/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// A pause after the system could not give a connection, for lack of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket. Nobody can connect until [`Listener::serve`].
pub(crate) struct Listener {
    socket: TcpSocket,
    tls: Option<watch::Receiver<TlsAcceptor>>,
    limits: Limits,
}

struct Shared {
    service: Pipeline,
    ready: Ready,
    tls: Option<watch::Receiver<TlsAcceptor>>,
    limits: Limits,
    /// Says to each connection that it is to end.
    shutdown: CancellationToken,
    under_way: UnderWay,
}

/// Connections and their requests, of which none outlives the time that it is given to end.
#[derive(Clone)]
struct UnderWay {
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl UnderWay {
    fn spawn(&self, work: impl Future<Output: Send + 'static> + Send + 'static) {
        self.tasks.spawn(work.with_cancellation_token_owned(self.cut.clone()));
    }

    /// Waits so long, then cuts off what has not ended: its end is recorded as any other.
    async fn end(&self, limit: Duration) {
        self.tasks.close();
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                tasks = self.tasks.len(),
                ?limit,
                "connections and requests under way are cut off"
            );
            self.cut.cancel();
            self.tasks.wait().await;
        }
    }
}

impl<F: Future<Output: Send + 'static> + Send + 'static> Executor<F> for UnderWay {
    fn execute(&self, work: F) {
        self.spawn(work);
    }
}

impl Listener {
    /// Binds the address; with TLS by the latest of these acceptors, or plain.
    pub(crate) fn bind(
        address: SocketAddr,
        tls: Option<watch::Receiver<TlsAcceptor>>,
        limits: Limits,
    ) -> Result<Self> {
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // A port whose last connections are still fading away can be used again.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            Ok::<_, std::io::Error>(socket)
        };
        let socket = bind().with_context(|| format!("cannot listen on {address}"))?;
        Ok(Self { socket, tls, limits })
    }

    /// The address that is bound.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// Serves until `shutdown`; then takes no more connections and requests, and gives those under way the
    /// configured time to end. Then it cancels `cut`, and drops them.
    ///
    /// # Errors
    /// When somebody else listens there.
    pub(crate) fn serve(
        self,
        service: Pipeline,
        ready: Ready,
        shutdown: CancellationToken,
        cut: CancellationToken,
    ) -> Result<JoinHandle<()>> {
        let Self { socket, tls, limits } = self;
        let address = socket.local_addr()?;
        let socket = socket.listen(BACKLOG).with_context(|| format!("cannot listen on {address}"))?;
        let under_way = UnderWay { tasks: TaskTracker::new(), cut };
        let shared = Arc::new(Shared { service, ready, tls, limits, shutdown, under_way });
        Ok(tokio::spawn(shared.accept(socket)))
    }
}

impl Shared {
    async fn accept(self: Arc<Self>, socket: TcpListener) {
        let room = Arc::new(Semaphore::new(self.limits.connections.len()));
        loop {
            // Room first: who waits for it waits in the system's queue.
            let accepted = async {
                let room = Arc::clone(&room).acquire_owned().await;
                (socket.accept().await, room)
            };
            let (accepted, room) = tokio::select! {
                accepted = accepted => accepted,
                () = self.shutdown.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let shared = Arc::clone(&self);
                    // A stream that a connection becomes takes its place.
                    let lasting = Lasting(Arc::new(room));
                    self.under_way.spawn(shared.connection(stream, peer, lasting));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(socket);
        self.under_way.end(self.limits.shutdown.0).await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, lasting: Lasting) {
        let keepalive = socket2::TcpKeepalive::new().with_time(TCP_KEEPALIVE).with_interval(TCP_KEEPALIVE);
        // A socket that can't be tuned still works.
        let _ = stream.set_nodelay(true);
        let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
        // In a box each, that an idle connection takes no more memory than its own version needs, and none for how it
        // was opened.
        match tokio::time::timeout(self.limits.head_timeout.0, Box::pin(self.open(stream))).await {
            Ok(Ok((stream, prefix, true))) => {
                Box::pin(self.http2(Connection::new(stream, prefix, None), peer, lasting)).await
            }
            Ok(Ok((stream, prefix, false))) => Box::pin(self.http1(stream, prefix, peer, lasting)).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a connection was not opened"),
            Err(_) => tracing::debug!(%peer, "a connection was silent, or slow to open"),
        }
    }

    /// The handshake, or the first bytes; and whether it is HTTP/2.
    async fn open(&self, mut stream: TcpStream) -> std::io::Result<(Stream, Bytes, bool)> {
        if let Some(tls) = &self.tls {
            let acceptor = tls.borrow().clone();
            let stream = acceptor.accept(stream).await?;
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            return Ok((Stream::Tls(Box::new(stream)), Bytes::new(), h2));
        }
        let mut first = BytesMut::with_capacity(8 << 10);
        while first.len() < H2_PREFACE.len() && H2_PREFACE.starts_with(&first) {
            if stream.read_buf(&mut first).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let h2 = first.starts_with(H2_PREFACE);
        Ok((Stream::Plain(stream), first.freeze(), h2))
    }

    async fn http1(self: Arc<Self>, stream: Stream, prefix: Bytes, peer: SocketAddr, lasting: Lasting) {
        let (ambiguous, activity) = (Ambiguous::default(), Activity::new());
        let (head, headers) = (self.limits.head.bytes(), self.limits.headers.len());
        let framing = Framing::new(head, headers, ambiguous.clone());
        let io = TokioIo::new(Connection::new(stream, prefix, Some(framing)));
        let service = self.service(peer, ambiguous, activity.clone(), lasting);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // `Activity` ends connections on which no request comes, or none to its end.
            .header_read_timeout(None)
            .max_header_size(head)
            .max_headers(headers)
            // The head, and a piece of a body behind it.
            .max_buf_size(head.saturating_mul(2).max(64 << 10))
            .serve_connection(io, service_fn(service))
            .with_upgrades();
        self.drive(pin!(connection), |connection| connection.graceful_shutdown(), peer, &activity).await;
    }

    async fn http2(self: Arc<Self>, stream: Connection, peer: SocketAddr, lasting: Lasting) {
        let activity = Activity::new();
        let service = self.service(peer, Ambiguous::default(), activity.clone(), lasting);
        let head = u32::try_from(self.limits.head.0).unwrap_or(u32::MAX);
        let connection = http2::Builder::new(self.under_way.clone())
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams.0)
            .max_header_list_size(head)
            .initial_stream_window_size(H2_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_send_buf_size(H2_WINDOW as usize)
            .keep_alive_interval(self.limits.keep_alive.0)
            .keep_alive_timeout(self.limits.head_timeout.0)
            .serve_connection(TokioIo::new(stream), service_fn(service));
        self.drive(pin!(connection), |connection| connection.graceful_shutdown(), peer, &activity).await;
    }

    fn service(
        self: &Arc<Self>,
        peer: SocketAddr,
        ambiguous: Ambiguous,
        activity: Activity,
        lasting: Lasting,
    ) -> impl Fn(Request<Incoming>) -> BoxFuture<'static, Result<Response<Counted>, Infallible>> + 'static
    {
        let shared = Arc::clone(self);
        move |request| {
            let (shared, ambiguous, under_way) = (Arc::clone(&shared), ambiguous.clone(), activity.begin());
            let lasting = lasting.clone();
            Box::pin(async move {
                let response = shared.answer(request, peer, &ambiguous, lasting).await;
                Ok(response.map(|body| Counted::new(body, under_way)))
            })
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        ambiguous: &Ambiguous,
        lasting: Lasting,
    ) -> Response<Body> {
        if let Err(reason) = edge::check(&request, ambiguous) {
            tracing::info!(%peer, reason, "refused: not one clear request");
            return edge::refuse(request.version(), reason);
        }
        if let Some(answer) = edge::health(&request, &self.ready) {
            return answer;
        }
        let mut request = edge::incoming(request);
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(lasting);
        match self.service.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Serves a connection to its end, which comes when it is idle for too long or the gateway ends.
    async fn drive<C: Future<Output = hyper::Result<()>>>(
        &self,
        mut connection: Pin<&mut C>,
        finish: impl Fn(Pin<&mut C>),
        peer: SocketAddr,
        activity: &Activity,
    ) {
        let (first, later) = (self.limits.head_timeout.0, self.limits.keep_alive.0);
        tokio::select! {
            ended = connection.as_mut() => return log_end(ended, peer),
            () = activity.idle(first, later) => {}
            () = self.shutdown.cancelled() => {}
        }
        finish(connection.as_mut());
        // It ends by itself as soon as nothing is under way, unless its client does not play along.
        tokio::select! {
            ended = connection => log_end(ended, peer),
            () = activity.idle(first, first) => {}
        }
    }
}

fn log_end(ended: hyper::Result<()>, peer: SocketAddr) {
    let Err(error) = ended else { return };
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    if error.is_parse() || error.is_parse_too_large() {
        tracing::info!(%peer, %error, cause, "refused: not HTTP");
    } else {
        tracing::debug!(%peer, %error, cause, "a connection broke off");
    }
}
