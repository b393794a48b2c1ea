//! The recorder over services that answer, fail, hang, or lose their client.

use std::future::Future;

use http::StatusCode;
use tower::{Layer as _, ServiceExt as _};

use super::*;
use crate::{
    step::StepLayer,
    testing::{self, Rig},
    upstream::Auth,
};

fn input(request: Request<Body>) -> Authenticated {
    let target = testing::target(Auth::Oidc);
    Authenticated { target, caller: testing::caller(), passthrough: None, request }
}

fn layer(rig: &Rig) -> StepLayer<Record> {
    let (client_idle, orphan) = (Duration::from_mins(1), Duration::from_mins(1));
    let policy = PolicyHandle::default();
    StepLayer::new(Record { evidence: rig.evidence.clone(), policy, client_idle, orphan })
}

/// Sends a request through the layer onto `below`.
async fn call<F>(
    rig: &Rig,
    request: Request<Body>,
    below: impl Fn(Recorded) -> F + Clone + Send + 'static,
) -> Response<Body>
where
    F: Future<Output = Rendered> + Send + 'static,
{
    let service = layer(rig).layer(tower::service_fn(below));
    service.oneshot(input(request)).await.unwrap()
}

/// Reads the request and says what it was.
async fn echo(mut recorded: Recorded) -> Rendered {
    let body = std::mem::replace(recorded.request.body_mut(), body::empty());
    let text = testing::read(body).await;
    Ok(testing::text(StatusCode::OK, &format!("got {text}")))
}

#[tokio::test]
async fn records_both_directions_whole() {
    let rig = Rig::new().await;
    let response = call(&rig, testing::post("/x", "hello"), echo).await;
    assert_eq!(testing::read(response.into_body()).await, "got hello");
    let (events, entry) = rig.finish().await;
    assert_eq!(testing::response_bytes(&events), "got hello");
    assert_eq!((entry.outcome.as_str(), entry.status), ("complete", 200));
    assert_eq!((entry.bytes_in, entry.bytes_out), (5, 9));
    assert_eq!(entry.bundles.len(), 1);
}

#[tokio::test]
async fn a_response_that_is_not_read_to_its_end_is_not_complete() {
    let rig = Rig::new().await;
    drop(call(&rig, testing::get("/x"), echo).await);
    assert_eq!(rig.finish().await.1.outcome, "client gone");
}

#[tokio::test]
async fn refuses_without_a_place_to_record() {
    let rig = Rig::new().await;
    rig.evidence.recorder.close().await.unwrap();
    let response = call(&rig, testing::get("/x"), async |_| panic!("it was forwarded")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_panic_below_is_our_fault_and_is_recorded() {
    let rig = Rig::new().await;
    let response = call(&rig, testing::get("/x"), async |_| panic!("a defect")).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    testing::read(response.into_body()).await;
    assert_eq!(rig.finish().await.1.outcome, "failed: internal");
}

#[tokio::test]
async fn a_read_ends_with_its_client() {
    let rig = Rig::new().await;
    let (started, begun) = tokio::sync::oneshot::channel::<()>();
    let (finished, dropped) = tokio::sync::oneshot::channel::<()>();
    let shared = Arc::new(std::sync::Mutex::new(Some((started, finished))));
    let below = move |_| {
        let (started, finished) = shared.lock().unwrap().take().unwrap();
        async move {
            let _finished = finished;
            started.send(()).unwrap();
            std::future::pending::<Rendered>().await
        }
    };
    let client = call(&rig, testing::get("/x"), below);
    tokio::select! {
        _ = client => panic!("answered"),
        begun = begun => begun.unwrap(),
    }
    // The client has gone; the work below is dropped with its sender.
    dropped.await.unwrap_err();
    assert_eq!(rig.finish().await.1.outcome, "client gone");
}

#[tokio::test]
async fn a_change_under_way_goes_on_without_its_client() {
    let rig = Rig::new().await;
    let (sender, frames) = body::channel();
    let shared = Arc::new(std::sync::Mutex::new(Some(frames)));
    let below = move |recorded: Recorded| {
        let frames = shared.lock().unwrap().take().unwrap();
        async move {
            let accesses = [testing::access(&recorded.request)];
            recorded.exchange.accesses(&testing::SCHEMA, &accesses).await.unwrap();
            recorded.exchange.detach();
            Ok(Response::new(frames))
        }
    };
    let response = call(&rig, testing::post("/x", ""), below).await;
    drop(response);
    for text in ["one", "two"] {
        sender.send(Ok(Frame::data(Bytes::from(text)))).await.expect("still read");
    }
    drop(sender);
    let (events, entry) = rig.finish().await;
    assert_eq!(testing::response_bytes(&events), "onetwo");
    assert_eq!(entry.outcome, "client gone");
}

#[tokio::test(start_paused = true)]
async fn gives_up_a_client_that_stops_sending() {
    let rig = Rig::new().await;
    let (_sender, silent) = body::channel();
    let below = async |mut recorded: Recorded| {
        let frame = recorded.request.body_mut().frame().await;
        assert!(matches!(frame, Some(Err(BodyError::Client(_)))), "{frame:?}");
        Ok(testing::text(StatusCode::REQUEST_TIMEOUT, ""))
    };
    let response = call(&rig, Request::post("/x").body(silent).unwrap(), below).await;
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
}
