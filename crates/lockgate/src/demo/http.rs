//! A small HTTP/1.1 server on loopback, for the demo's Git server and identity provider.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use lockgate_core::body::{self, Body};
use tokio::{net::TcpListener, task::JoinSet};

/// A running server; it and its connections end with this value.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

impl Server {
    /// Serves on a port that is free.
    pub(super) async fn start<F, Fut>(answer: F) -> Result<Self>
    where
        F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Response<Body>>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port on loopback is free")?;
        let address = listener.local_addr()?;
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::new(answer)));
        Ok(Self { address, _accepting: accepting })
    }

    /// `http://127.0.0.1:<port>`.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept<F, Fut>(listener: TcpListener, answer: Arc<F>)
where
    F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<Body>>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let answer = Arc::clone(&answer);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|error| failed(&error))) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new());
            // An error is a client that went away.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn failed(error: &anyhow::Error) -> Response<Body> {
    let mut response = Response::new(body::full(format!("{error:#}\n")));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
