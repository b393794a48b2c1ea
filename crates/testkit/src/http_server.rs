//! An HTTP server inside the test's process, that answers as the test says.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::Identity;

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

/// A body of known bytes.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A server on a loopback port, with a thread of its own, which ends with this value.
#[derive(Debug)]
pub struct HttpServer {
    addr: SocketAddr,
    tls: bool,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Starts a server, for h1 and h2, with TLS when an identity is given. When the handler fails, the connection
    /// is cut without an answer.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start<F, Fut>(tls: Option<&Identity>, handler: F) -> Result<Self>
    where
        F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response<Body>>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a port")?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let acceptor = tls.map(Identity::server_config).transpose()?.map(TlsAcceptor::from);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let tls = acceptor.is_some();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let mut accepting = pin!(accept(listener, acceptor, Arc::new(handler)));
                tokio::select! {
                    _ = stopped => {}
                    () = &mut accepting => {}
                }
            });
        });
        Ok(Self { addr, tls, stop: Some(stop), thread: Some(thread) })
    }

    /// `http://127.0.0.1:<port>`, or https.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// The address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic of the handler has failed the request that caused it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn accept<F, Fut>(listener: TcpListener, tls: Option<TlsAcceptor>, handler: Arc<F>)
where
    F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<Body>>> + Send + 'static,
{
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, handler) = (tls.clone(), Arc::clone(&handler));
        tokio::spawn(async move {
            let Some(tls) = tls else { return serve(stream, handler).await };
            // A client that does not trust the certificate reports it on its own side.
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, handler).await;
            }
        });
    }
}

async fn serve<S, F, Fut>(stream: S, handler: Arc<F>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<Body>>> + Send + 'static,
{
    let service = service_fn(move |request| handler(request));
    // An error is a connection that was cut, by the client or by the handler's will.
    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}
