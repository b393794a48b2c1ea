//! The client against real servers on loopback: both versions, reuse, and upstreams that misbehave.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, Response, Version, header};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

use super::{Client, Timeouts};
use crate::{
    body,
    refusal::{Refusal, RefusalKind},
    testing,
    upstream::{Auth, Upstream},
};

/// A server that counts its connections and holds requests for `/slow` until it is let go.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    /// A permit for each request that is held.
    held: Arc<Semaphore>,
    ca: Option<Vec<u8>>,
}

impl Server {
    async fn start(alpn: Option<&'static [u8]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (acceptor, ca) = alpn.map(acceptor).unzip();
        let server = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            held: Arc::new(Semaphore::new(0)),
            ca,
        };
        let this = server.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                this.connections.fetch_add(1, Ordering::Relaxed);
                let (this, acceptor) = (this.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        Some(acceptor) => this.serve(acceptor.accept(tcp).await.unwrap()).await,
                        None => this.serve(tcp).await,
                    }
                });
            }
        });
        server
    }

    async fn serve<T>(self, io: T)
    where
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let answer = service_fn(move |request: Request<Incoming>| {
            let (gate, held) = (Arc::clone(&self.gate), Arc::clone(&self.held));
            async move {
                // Each version names the host once, in its own way.
                let (host, authority) = (request.headers().get(header::HOST), request.uri().authority());
                assert_eq!(host.is_some(), request.version() < Version::HTTP_2);
                assert_eq!(authority.is_some(), request.version() == Version::HTTP_2);
                if request.uri().path().ends_with("/slow") {
                    held.add_permits(1);
                    gate.acquire().await.unwrap().forget();
                }
                if request.uri().path().ends_with("/echo") {
                    let body = request.into_body().map_err(|error| body::BodyError::Upstream(error.into()));
                    return Ok(Response::new(body.boxed_unsync()));
                }
                let version = match request.version() {
                    Version::HTTP_2 => "2",
                    _ => "1",
                };
                Ok::<_, Infallible>(Response::new(body::full(version)))
            }
        });
        let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        // A client that hangs up is no failure of the server's.
        let _ = builder.serve_connection(TokioIo::new(io), answer).await;
    }

    fn client(&self) -> Client {
        let scheme = if self.ca.is_some() { "https" } else { "http" };
        let port = self.address.port();
        client(&format!("{scheme}://localhost:{port}/base"), self.ca.clone(), Timeouts::default())
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn acceptor(alpn: &'static [u8]) -> (TlsAcceptor, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem().into_bytes())
}

fn client(url: &str, ca: Option<Vec<u8>>, timeouts: Timeouts) -> Client {
    let upstream = Upstream { url: url.parse().unwrap(), ca, ..testing::upstream(Auth::Oidc) };
    Client::new(&upstream, timeouts).unwrap()
}

async fn text(client: &Client, path: &str) -> String {
    let response = client.send(testing::get(path)).await.unwrap();
    testing::read(response.into_body()).await
}

async fn refusal(client: &Client) -> RefusalKind {
    let error = client.send(testing::post("/x", "body")).await.map(drop).unwrap_err();
    Refusal::from(error).kind
}

#[tokio::test]
async fn speaks_what_the_upstream_speaks() {
    for (alpn, expected) in [(None, "1"), (Some(&b"http/1.1"[..]), "1"), (Some(b"h2"), "2")] {
        let server = Server::start(alpn).await;
        let client = server.client();
        assert_eq!(text(&client, "/x").await, expected);
        let put = Request::builder().method(Method::PUT).uri("/x").body(body::full("abc")).unwrap();
        assert_eq!(testing::read(client.send(put).await.unwrap().into_body()).await, expected);
    }
}

#[tokio::test]
async fn many_slow_streams_do_not_starve_a_short_call() {
    let server = Server::start(Some(b"h2")).await;
    let client = server.client();
    text(&client, "/x").await;
    let slow: Vec<_> = (0..150)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { text(&client, "/slow").await })
        })
        .collect();
    server.held.acquire_many(150).await.unwrap().forget();
    assert_eq!(text(&client, "/quick").await, "2");
    server.gate.add_permits(150);
    for call in slow {
        assert_eq!(call.await.unwrap(), "2");
    }
    assert_eq!(server.connections(), 3, "as many as are needed, also when all come at once");
}

#[tokio::test]
async fn a_connection_read_to_its_end_is_used_again() {
    let server = Server::start(None).await;
    let client = server.client();
    for _ in 0..20 {
        assert_eq!(text(&client, "/x").await, "1");
        // It comes back to the pool in a task of its own.
        tokio::task::yield_now().await;
    }
    assert!(server.connections() < 20, "{}", server.connections());
}

#[tokio::test]
async fn an_upstream_that_is_down_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(refusal(&client(&url, None, Timeouts::default())).await, RefusalKind::UpstreamUnavailable);
}

/// An upstream that reads the head of a request, answers these bytes and closes; without any, it is silent.
async fn odd(answer: Option<&'static [u8]>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut tcp, _)) = listener.accept().await {
            let read = tcp.read(&mut [0; 4096]).await.unwrap();
            assert!(read > 0);
            match answer {
                Some(bytes) => tcp.write_all(bytes).await.unwrap(),
                None => kept.push(tcp),
            }
        }
    });
    client(&url, None, Timeouts { response: Duration::from_millis(50), ..Timeouts::default() })
}

#[tokio::test]
async fn an_upstream_that_talks_nonsense_is_invalid() {
    assert_eq!(refusal(&odd(Some(b"SSH-2.0-OpenSSH\r\n\r\n")).await).await, RefusalKind::UpstreamInvalid);
}

#[tokio::test]
async fn an_upstream_that_closes_midway_is_unavailable() {
    assert_eq!(refusal(&odd(Some(b"HTTP/1.1 200 OK\r\ncont")).await).await, RefusalKind::UpstreamUnavailable);
    let client = odd(Some(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123")).await;
    let mut body = client.send(testing::get("/x")).await.unwrap().into_body();
    let broke = async {
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok::<_, body::BodyError>(())
    };
    assert!(matches!(broke.await, Err(body::BodyError::Upstream(_))));
}

#[tokio::test]
async fn an_upstream_that_is_silent_times_out() {
    assert_eq!(refusal(&odd(None).await).await, RefusalKind::UpstreamTimeout);
}

#[tokio::test]
async fn an_upstream_that_falls_silent_midway_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let timeouts = Timeouts { silence: Duration::from_millis(50), ..Timeouts::default() };
    let serve = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        assert!(tcp.read(&mut [0; 4096]).await.unwrap() > 0);
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123").await.unwrap();
        tcp
    };
    let client = client(&url, None, timeouts);
    let (response, _open) = tokio::join!(client.send(testing::get("/x")), serve);
    let frames = http_body_util::BodyStream::new(response.unwrap().into_body());
    let mut frames: Vec<_> = futures::StreamExt::collect(frames).await;
    assert!(matches!(frames.pop(), Some(Err(body::BodyError::Upstream(_)))));
    assert_eq!(frames.len(), 1);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let server = Server::start(Some(b"h2")).await;
    let stranger = client(&format!("https://localhost:{}", server.address.port()), None, Timeouts::default());
    assert_eq!(refusal(&stranger).await, RefusalKind::UpstreamUnavailable);
}

/// Frames of HTTP/2 (RFC 9113, section 4.1): type, stream, payload.
fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
}

/// Reads frames until one ends the first request.
async fn request_ends(io: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut preface = [0; 24];
    io.read_exact(&mut preface).await.unwrap();
    let mut head = [0; 9];
    loop {
        io.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        io.read_exact(&mut payload).await.unwrap();
        // END_STREAM, of HEADERS or DATA.
        if head[3] <= 1 && head[4] & 1 == 1 {
            return;
        }
    }
}

/// What a request comes to whose first connection ends with this frame, and how many connections there were.
async fn after(last: Vec<u8>, request: Request<body::Body>) -> (Result<String, RefusalKind>, usize) {
    let server = Server::start(None).await;
    let (acceptor, ca) = acceptor(b"h2");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = server.clone();
    let serve = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut first = acceptor.accept(tcp).await.unwrap();
        first.write_all(&frame(4, 0, &[])).await.unwrap();
        request_ends(&mut first).await;
        first.write_all(&last).await.unwrap();
        first.shutdown().await.unwrap();
        while let Ok((tcp, _)) = listener.accept().await {
            serving.connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serving.clone().serve(acceptor.accept(tcp).await.unwrap()));
        }
    });
    let client = client(&format!("https://localhost:{port}/base"), Some(ca), Timeouts::default());
    let answer = match client.send(request).await {
        Ok(answer) => Ok(testing::read(answer.into_body()).await),
        Err(error) => Err(Refusal::from(error).kind),
    };
    serve.abort();
    (answer, 1 + server.connections())
}

#[tokio::test]
async fn what_an_upstream_did_not_process_is_sent_again() {
    let post = |body: Vec<u8>| Request::post("/echo").body(body::full(body)).unwrap();
    let went_away = |last: u32| frame(7, 0, &[last.to_be_bytes(), 0_u32.to_be_bytes()].concat());
    let again = (Ok("2".to_owned()), 2);
    assert_eq!(after(went_away(0), testing::get("/x")).await, again);
    assert_eq!(after(frame(3, 1, &7_u32.to_be_bytes()), testing::get("/x")).await, again);
    let echoed = (Ok("some words".to_owned()), 2);
    assert_eq!(after(went_away(0), post(b"some words".to_vec())).await, echoed);

    // It may have been processed, or is not kept.
    let broken = (Err(RefusalKind::UpstreamUnavailable), 1);
    assert_eq!(after(went_away(1), testing::get("/x")).await, broken);
    assert_eq!(after(frame(3, 1, &2_u32.to_be_bytes()), testing::get("/x")).await, broken);
}

#[test]
fn joins_paths() {
    let check = |base: &str, relative: &str, expected: &str| {
        let joined = super::join(&base.parse().unwrap(), &relative.parse().unwrap()).unwrap();
        assert_eq!(joined.to_string(), expected);
    };
    check("http://h", "/a?b=c", "http://h/a?b=c");
    check("https://h:1/x/", "/a", "https://h:1/x/a");
    check("https://h/x", "/", "https://h/x/");
}
