//! Streams through the whole pipeline: a client, a gateway and an upstream that speak HTTP/1.1.

use std::{convert::Infallible, sync::Mutex, time::Duration};

use http::{HeaderValue, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use lockgate_recording::{Event, Outcome, Recorded, What};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::{TcpListener, TcpStream},
};
use tower::ServiceExt as _;

use super::*;
use crate::{
    pipeline,
    testing::{self, Rig},
};

/// Says `hello` to each line, and ends after `bye`; answers what is no stream plainly.
async fn upstream(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    assert_eq!(request.headers()[header::CONNECTION], "Upgrade");
    let token = request.headers()[header::UPGRADE].clone();
    if request.uri().path().ends_with("/plain") {
        return Ok(testing::text(StatusCode::BAD_REQUEST, "no stream"));
    }
    let other = request.uri().path().ends_with("/other");
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.unwrap();
        let (read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            write
                .write_all(format!("hello {line}, AKIAZ7Q3XBVN5TWMPK2R, good day\n").as_bytes())
                .await
                .unwrap();
            if line == "bye" {
                break;
            }
        }
        let _ = write.shutdown().await;
    });
    let mut response = testing::text(StatusCode::SWITCHING_PROTOCOLS, "");
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    let token = if other { HeaderValue::from_static("other") } else { token };
    response.headers_mut().insert(header::UPGRADE, token);
    Ok(response)
}

/// The address of a server that answers by this service.
async fn serve<S, F>(service: S) -> String
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(service.clone()))
                .with_upgrades();
            tokio::spawn(connection);
        }
    });
    address
}

/// A gateway to the upstream, and what a client gets that asks it for `path` as a stream.
async fn call(rig: &Rig, path: &str, lasting: Lasting) -> Response<Incoming> {
    let upstream = serve(upstream).await;
    let gateway = pipeline::build(testing::gateway(rig, &format!("http://{upstream}/")));
    let lasting = Arc::new(Mutex::new(Some(lasting)));
    let address = serve(move |request: Request<Incoming>| {
        let (gateway, lasting) = (gateway.clone(), lasting.lock().unwrap().take());
        async move {
            let body = |body: Incoming| body.map_err(|error| BodyError::Client(error.into())).boxed_unsync();
            let mut request = request.map(body);
            request.extensions_mut().insert(lasting.expect("one request"));
            gateway.oneshot(request).await
        }
    })
    .await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let request = Request::get(path)
        .header(header::HOST, "box.example")
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "toy")
        .body(body::empty())
        .unwrap();
    sender.send_request(request).await.unwrap()
}

fn lasting() -> (Lasting, std::sync::Weak<()>) {
    let held = Arc::new(());
    let weak = Arc::downgrade(&held);
    (Lasting(held), weak)
}

/// All bytes recorded in the direction of the upstream.
fn request_bytes(events: &[Recorded]) -> String {
    let data = events.iter().filter_map(|event| {
        let What::Event(Event::RequestData(data)) = &event.what else { return None };
        Some(data.to_vec())
    });
    String::from_utf8(data.flatten().collect()).unwrap()
}

#[tokio::test]
async fn a_stream_is_carried_masked_and_recorded_both_ways() {
    let rig = Rig::new().await;
    let (lasting, held) = lasting();
    let mut response = call(&rig, "/masked", lasting).await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()[header::UPGRADE], "toy");
    let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
    let (read, mut write) = tokio::io::split(TokioIo::new(upgraded));
    let mut lines = BufReader::new(read).lines();
    let mut heard = String::new();
    for line in ["ada", "bye"] {
        write.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let answer = lines.next_line().await.unwrap().unwrap();
        assert!(answer.starts_with(&format!("hello {line}, [MASKED:aws-access-key-id:")), "{answer}");
        heard += &format!("{answer}\n");
    }
    assert_eq!(lines.next_line().await.unwrap(), None, "the stream ends with the upstream's end");
    drop((lines, write));

    let (events, entry) = rig.finish().await;
    assert_eq!(request_bytes(&events), "ada\nbye\n");
    assert_eq!(testing::response_bytes(&events), heard);
    assert_eq!(entry.outcome, Outcome::Complete.to_string());
    assert!(held.upgrade().is_none(), "the connection is let go of");
}

#[tokio::test]
async fn a_stream_ends_with_its_client() {
    let rig = Rig::new().await;
    let (lasting, _held) = lasting();
    let mut response = call(&rig, "/open/stream", lasting).await;
    let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
    drop(upgraded);
    let finished = tokio::time::timeout(Duration::from_secs(30), rig.finish()).await;
    let (events, _) = finished.expect("the exchange ends");
    assert_eq!(request_bytes(&events), "");
}

#[tokio::test]
async fn what_is_no_stream_is_an_answer() {
    let rig = Rig::new().await;
    let (lasting, _held) = lasting();
    let response = call(&rig, "/open/plain", lasting).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body = response.into_body().map_err(|error| BodyError::Client(error.into())).boxed_unsync();
    assert_eq!(testing::read(body).await, "no stream");
}

#[tokio::test]
async fn another_stream_than_was_asked_for_is_refused() {
    let rig = Rig::new().await;
    let (lasting, _held) = lasting();
    let response = call(&rig, "/open/other", lasting).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
}
