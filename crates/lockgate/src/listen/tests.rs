//! Real sockets against a pipeline that echoes.

use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper_util::rt::TokioExecutor;
use lockgate_core::body;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
    task::JoinHandle,
};
use tower::util::BoxCloneSyncService;

use super::*;
use crate::{certs, config::scalar::Span};

/// A running listener; requests that reach its pipeline are told.
struct Running {
    address: SocketAddr,
    reached: mpsc::UnboundedReceiver<String>,
    release: watch::Sender<bool>,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Running {
    async fn start(limits: Limits, tls: Option<TlsAcceptor>) -> Self {
        let (tell, reached) = mpsc::unbounded_channel();
        let (release, released) = watch::channel(true);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (tell, mut released) = (tell.clone(), released.clone());
            async move {
                assert!(request.extensions().get::<Peer>().is_some());
                let target = format!("{:?} {}", request.version(), request.uri().path());
                tell.send(target.clone()).unwrap();
                let mut bytes = 0;
                let mut body = request.into_body();
                while let Some(Ok(frame)) = body.frame().await {
                    bytes += frame.data_ref().map_or(0, Bytes::len);
                }
                released.wait_for(|released| *released).await.unwrap();
                Ok(Response::new(body::full(format!("{target} {bytes}"))))
            }
        });
        let ready: Ready = Arc::new(|| Ok(()));
        let tls = tls.map(|acceptor| watch::channel(acceptor).1);
        let pipeline = BoxCloneSyncService::new(service);
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), tls, limits).unwrap();
        let (address, shutdown) = (listener.address().unwrap(), CancellationToken::new());
        let serving = listener.serve(pipeline, ready, shutdown.clone(), CancellationToken::new()).unwrap();
        Self { address, reached, release, shutdown, serving }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the connection ends.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read(&mut stream).await
    }

    fn reached(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.reached.try_recv().ok()).collect()
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A connection that is cut off is at its end, too.
    let _ = stream.take(1 << 20).read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

fn limits() -> Limits {
    let quick = Span(Duration::from_millis(200));
    Limits { head_timeout: quick, keep_alive: quick, shutdown: Span::seconds(30), ..Limits::default() }
}

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn http1_and_http2_on_plain_tcp() {
    let mut running = Running::start(limits(), None).await;
    assert!(running.exchange(GET).await.ends_with("HTTP/1.1 /a 0"));
    let io = TokioIo::new(running.connect().await);
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("http://h/b").body(body::full("12345")).unwrap();
    let answer = Limited::new(send.send_request(request).await.unwrap().into_body(), 100);
    #[expect(clippy::disallowed_methods, reason = "limited above")]
    let answer = answer.collect().await.unwrap().to_bytes();
    assert_eq!(answer, "HTTP/2.0 /b 5");
    assert_eq!(running.reached(), ["HTTP/1.1 /a", "HTTP/2.0 /b"]);
}

#[tokio::test]
async fn tls_with_a_generated_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let names = certs::names("127.0.0.1".parse().unwrap(), []);
    let first = certs::generate(folder.path(), &names).unwrap();
    let trusted = std::fs::read(&first.ca).unwrap();
    // The authority stays across starts, and goes on being trusted.
    let files = certs::generate(folder.path(), &names).unwrap();
    let acceptor = TlsAcceptor::from(
        server_config(certificates(&files.cert).unwrap(), private_key(&files.key).unwrap()).unwrap(),
    );
    let running = Running::start(limits(), Some(acceptor)).await;
    for (offered, expected) in [(vec![b"h2".to_vec()], "h2"), (vec![b"http/1.1".to_vec()], "http/1.1")] {
        let mut roots = rustls::RootCertStore::empty();
        use rustls::pki_types::pem::PemObject as _;
        roots.add(rustls::pki_types::CertificateDer::from_pem_slice(&trusted).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = offered;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = "localhost".try_into().unwrap();
        let mut stream = connector.connect(name, running.connect().await).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(expected.as_bytes()));
        if expected == "http/1.1" {
            stream.write_all(GET).await.unwrap();
            let mut text = String::new();
            let _ = stream.take(1 << 20).read_to_string(&mut text).await;
            assert!(text.ends_with("HTTP/1.1 /a 0"), "{text}");
        }
    }
}

#[tokio::test]
async fn slow_and_silent_connections_end() {
    let mut running = Running::start(limits(), None).await;
    for start in [&b""[..], b"G", b"PR", b"GET /a HTTP/1.1\r\nHos", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let answer = running.exchange(start).await;
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    assert_eq!(running.reached(), [""; 0]);
    // After a request, too.
    let keep = GET.strip_suffix(b"Connection: close\r\n\r\n").unwrap();
    assert!(running.exchange(&[keep, b"\r\n"].concat()).await.ends_with("HTTP/1.1 /a 0"));
}

#[tokio::test]
async fn what_is_not_one_clear_request_is_refused() {
    let mut running =
        Running::start(Limits { head: crate::config::scalar::Size(4096), ..limits() }, None).await;
    let long = format!("GET /a HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(8000));
    let many = format!("GET /a HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(200));
    for (request, status) in [
        (
            "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            "400",
        ),
        ("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "400"),
        ("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\nabc", "400"),
        ("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\nabc", "400"),
        ("GET /a HTTP/1.1\r\n\r\n", "400"),
        ("GET /a HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", "400"),
        ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "400"),
        ("GET /a HTTP/1.1\r\nHost: h\r\n folded: x\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
        (&long, "431"),
        (&many, "431"),
    ] {
        let answer = running.exchange(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    assert_eq!(running.reached(), [""; 0]);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let mut running =
        Running::start(Limits { connections: crate::config::scalar::Count(1), ..limits() }, None).await;
    running.release.send_replace(false);
    let mut first = running.connect().await;
    first.write_all(GET).await.unwrap();
    assert_eq!(running.reached.recv().await.unwrap(), "HTTP/1.1 /a");
    let mut second = running.connect().await;
    second.write_all(&String::from_utf8_lossy(GET).replace("/a", "/b").into_bytes()).await.unwrap();
    running.release.send_replace(true);
    assert!(read(&mut first).await.ends_with("/a 0"));
    assert!(read(&mut second).await.ends_with("/b 0"));
}

#[tokio::test]
async fn ending_waits_for_requests_under_way() {
    let mut running = Running::start(limits(), None).await;
    running.release.send_replace(false);
    let idle = running.connect().await;
    let mut busy = running.connect().await;
    busy.write_all(GET).await.unwrap();
    running.reached.recv().await.unwrap();
    running.shutdown.cancel();
    // Nobody new is let in.
    while TcpStream::connect(running.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!running.serving.is_finished());
    running.release.send_replace(true);
    assert!(read(&mut busy).await.ends_with("HTTP/1.1 /a 0"));
    running.serving.await.unwrap();
    drop(idle);
}

#[tokio::test]
async fn ending_does_not_wait_forever_and_nothing_outlives_it() {
    let mut running =
        Running::start(Limits { shutdown: Span(Duration::from_millis(50)), ..limits() }, None).await;
    running.release.send_replace(false);
    let mut busy = running.connect().await;
    busy.write_all(GET).await.unwrap();
    running.reached.recv().await.unwrap();
    let io = TokioIo::new(running.connect().await);
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let stream = send.send_request(Request::get("http://h/b").body(body::empty()).unwrap());
    let stream = tokio::spawn(stream);
    running.reached.recv().await.unwrap();
    running.shutdown.cancel();
    running.serving.await.unwrap();
    assert_eq!(running.release.receiver_count(), 0, "requests are still under way");
    assert!(stream.await.unwrap().is_err());
}
