//! The recorder over services that answer, fail, hang, or lose their client.

mod changes;

use std::future::Future;

use futures::{FutureExt as _, StreamExt, TryStreamExt as _};
use http::StatusCode;
use http_body::SizeHint;
use lockgate_recording::{Event, Recorded as RecordedEvent, Sha256, What};
use tower::{Layer as _, ServiceExt as _};

use super::*;
use crate::{
    body::BodyError,
    protocol::Expected,
    step::StepLayer,
    testing::{self, Rig},
    upstream::Auth,
    verdict::{OnFailure, Payload},
};

fn input(request: Request<Body>) -> Authenticated {
    let target = testing::target(Auth::Oidc);
    Authenticated { target, caller: testing::caller(), passthrough: None, request }
}

fn record(rig: &Rig) -> Record {
    let (policy, orphan) = (PolicyHandle::default(), Duration::from_mins(1));
    Record { evidence: rig.evidence.clone(), policy, orphan }
}

fn layer(rig: &Rig) -> StepLayer<Record> {
    StepLayer::new(record(rig))
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

fn piece(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
    Ok(Frame::data(Bytes::from(text)))
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
async fn a_password_before_the_host_is_not_recorded() {
    for (target, host, recorded, has_host) in [
        ("http://ada:hunter2@gate/x?y", "ada:hunter2@gate", "http://gate/x?y", false),
        ("http://gate/x@y", "gate", "http://gate/x@y", true),
    ] {
        let rig = Rig::new().await;
        let mut request = testing::post("/x", "");
        *request.uri_mut() = target.parse().unwrap();
        request.headers_mut().insert(header::HOST, host.parse().unwrap());
        call(&rig, request, echo).await;
        let (events, _) = rig.finish().await;
        let head = events.iter().find_map(|event| {
            if let What::Event(Event::RequestHead(head)) = &event.what { Some(head) } else { None }
        });
        let head = head.unwrap();
        assert_eq!(head.target, recorded);
        let told = format!("{:?}", head.fields);
        assert!(!told.contains("hunter2") && told.contains("\"gate\"") == has_host, "{told}");
    }
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

/// A body that yields these, and then goes on as long as this carrier is there.
fn begun(pieces: &[&'static str]) -> (Carrier, Body) {
    let (carrier, rest) = body::carried(http_body::SizeHint::default());
    let pieces: Vec<_> = pieces.iter().map(|text| piece(text)).collect();
    let frames = stream::iter(pieces).chain(http_body_util::BodyStream::new(rest));
    (carrier, body::from_stream(frames, http_body::SizeHint::default()))
}

/// A body of which all is there.
fn there(text: &'static str, place: Place) -> Body {
    let frames = stream::iter([piece(text)]).map_ok(move |frame| (frame, place));
    body::ending(frames, SizeHint::default())
}

#[tokio::test]
async fn an_answer_that_is_wrong_is_not_called_whole_however_it_ends() {
    let nothing = Sha256::default().finish();
    for (payload, place) in [
        (Payload::Full, Place::Within),
        (Payload::Full, Place::Last),
        (Payload::Digest, Place::Within),
        (Payload::Digest, Place::Last),
    ] {
        let rig = Rig::new().await;
        let exchange = rig.exchange_on(RecordTerms { payload, ..RecordTerms::default() }).await;
        let mut response = Response::new(there("one", place));
        response.extensions_mut().insert(Expected(nothing));
        let mut body = record(&rig).tee(response, &exchange).await.unwrap().into_body();
        let error = loop {
            match body.frame().await.expect("it breaks off") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(error, BodyError::Upstream(_)), "{payload:?} {place:?}: {error}");
        drop((body, exchange));
        let (events, entry) = rig.finish().await;
        assert_eq!(entry.outcome, "upstream failed", "{payload:?} {place:?}");
        let ended = |event: &RecordedEvent| matches!(event.what, What::Event(Event::ResponseEnd { .. }));
        assert!(!events.iter().any(ended), "{payload:?} {place:?}");
    }
}

/// What of an answer's body is there with its head.
async fn with_head(rig: &Rig, response: Response<Body>) -> (Vec<Bytes>, Body) {
    let shared = Arc::new(std::sync::Mutex::new(Some(response)));
    let below = move |_| std::future::ready(Ok(shared.lock().unwrap().take().unwrap()));
    let mut body = call(rig, testing::get("/x"), below).await.into_body();
    let mut there = Vec::new();
    while let Some(frame) = body.frame().now_or_never().flatten() {
        there.push(frame.unwrap().into_data().unwrap());
    }
    (there, body)
}

#[tokio::test]
async fn what_is_there_of_an_answer_goes_with_its_head() {
    let rig = Rig::new().await;
    let (carrier, body) = begun(&["one", "two"]);
    let (there, body) = with_head(&rig, Response::new(body)).await;
    assert_eq!(there, ["one", "two"]);
    carrier.send(Place::Within, piece("three")).await.unwrap();
    carrier.end();
    assert_eq!(testing::read(body).await, "three");
    let (events, entry) = rig.finish().await;
    assert_eq!(testing::response_bytes(&events), "onetwothree");
    assert_eq!(entry.outcome, "complete");
}

#[tokio::test]
async fn a_whole_answer_is_durable_before_its_head_is_sent() {
    let rig = Rig::new().await;
    let (carrier, body) = begun(&["one", "two"]);
    carrier.end();
    let (there, body) = with_head(&rig, Response::new(body)).await;
    assert_eq!(there, ["one", "two"]);
    drop(body);
    assert_eq!(rig.finish().await.1.outcome, "complete");
}

#[tokio::test]
async fn the_head_of_an_answer_that_may_be_silent_is_sent_at_once() {
    let rig = Rig::new().await;
    let (carrier, body) = begun(&[]);
    let mut response = Response::new(body);
    response.extensions_mut().insert(LongRunning);
    let (there, body) = with_head(&rig, response).await;
    assert!(there.is_empty());
    carrier.end();
    assert_eq!(testing::read(body).await, "");
    assert_eq!(rig.finish().await.1.outcome, "complete");
}

#[tokio::test]
async fn nothing_of_an_answer_is_shown_before_its_request_is_durable() {
    for may_be_silent in [false, true] {
        let rig = Rig::new().await;
        let (_carrier, body) = begun(&["one"]);
        let mut response = Response::new(body);
        if may_be_silent {
            response.extensions_mut().insert(LongRunning);
        }
        let shared = Arc::new(std::sync::Mutex::new((Some(response), None)));
        let asked = Arc::clone(&shared);
        let below = move |recorded: Recorded| {
            let shared = Arc::clone(&asked);
            async move {
                recorded.exchange.forwarding().await.unwrap();
                let mut shared = shared.lock().unwrap();
                shared.1 = Some(recorded.exchange.id());
                Ok(shared.0.take().unwrap())
            }
        };
        let response = call(&rig, testing::get("/x"), below).await;
        let exchange = shared.lock().unwrap().1.expect("it was forwarded");
        let durable = rig.durable(exchange).await;
        let is_forwarded = |event: &RecordedEvent| matches!(event.what, What::Event(Event::Forwarded));
        assert!(durable.iter().any(is_forwarded), "silent: {may_be_silent}, {durable:?}");
        drop(response);
    }
}

#[tokio::test]
async fn trailers_end_here() {
    let rig = Rig::new().await;
    let frames = [Ok(Frame::data(Bytes::from("hello"))), Ok(Frame::trailers(http::HeaderMap::new()))];
    let body = body::from_stream(stream::iter(frames), http_body::SizeHint::default());
    let below = async |mut recorded: Recorded| {
        let mut seen = Vec::new();
        while let Some(frame) = recorded.request.body_mut().frame().await {
            seen.push(frame.unwrap().into_data().unwrap());
        }
        let frames = seen.into_iter().map(|data| Ok(Frame::data(data)));
        let frames = frames.chain([Ok(Frame::trailers(http::HeaderMap::new()))]).collect::<Vec<_>>();
        Ok(Response::new(body::from_stream(stream::iter(frames), http_body::SizeHint::default())))
    };
    let mut response = call(&rig, Request::post("/x").body(body).unwrap(), below).await;
    assert_eq!(response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    let rest = http_body_util::BodyStream::new(response.into_body());
    let rest: Vec<_> = StreamExt::collect(rest).await;
    assert!(rest.into_iter().all(|frame| frame.unwrap().into_data().unwrap().is_empty()));
    assert_eq!(rig.finish().await.1.outcome, "complete");
}

#[tokio::test]
async fn headers_that_nobody_knows_are_recorded_as_tags() {
    let rig = Rig::new().await;
    let request = Request::post("/x").header("accept", "text").header("private-token", "glpat-of-the-client");
    testing::read(call(&rig, request.body(body::empty()).unwrap(), echo).await.into_body()).await;
    let events = format!("{:?}", rig.finish().await.0);
    assert!(events.contains("private-token") && !events.contains("glpat-of-the-client"), "{events}");
    assert!(events.contains("text"), "{events}");
}

/// The recorder fails while a request is under way; what was never forwarded is still answered.
#[tokio::test]
async fn a_refusal_is_told_also_where_it_can_not_be_recorded() {
    for forwarded in [false, true] {
        let rig = Rig::new().await;
        let recorder = rig.evidence.recorder.clone();
        let below = move |recorded: Recorded| {
            let recorder = recorder.clone();
            async move {
                if forwarded {
                    recorded.exchange.forwarded().await.unwrap();
                }
                recorder.close().await.unwrap();
                Ok(testing::text(StatusCode::OK, "the answer"))
            }
        };
        let response = call(&rig, testing::get("/x"), below).await;
        let is_told = testing::read(response.into_body()).await == "the answer";
        assert_eq!(is_told, !forwarded);
        assert!(rig.evidence.closing.wait(Duration::from_secs(10)).await);
        let entry = rig.entries.0.lock().unwrap().pop().expect("one entry");
        assert_ne!(entry.outcome, "complete", "forwarded: {forwarded}");
    }
}

/// What was gathered of an answer is no less of it: else it would go out as one without a body.
#[tokio::test]
async fn an_answer_that_is_gathered_is_as_long_as_before() {
    let rig = Rig::new().await;
    let below = |_: Recorded| async { Ok(Response::new(body::full("hello"))) };
    let response = call(&rig, testing::get("/x"), below).await;
    assert_eq!(response.body().size_hint().exact(), Some(5));
    assert_eq!(testing::read(response.into_body()).await, "hello");
}

#[tokio::test]
async fn content_that_is_not_what_its_digest_says_does_not_reach_the_client_whole() {
    let right: [u8; 32] =
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"onetwo").as_ref().try_into().unwrap();
    for (terms, expected, is_right) in [
        (RecordTerms::default(), right, true),
        (RecordTerms::default(), [7; 32], false),
        (RecordTerms { payload: Payload::Digest, ..RecordTerms::default() }, right, true),
        (RecordTerms { payload: Payload::Digest, ..RecordTerms::default() }, [7; 32], false),
        (RecordTerms { on_failure: OnFailure::BestEffort, ..RecordTerms::default() }, right, true),
        (RecordTerms { on_failure: OnFailure::BestEffort, ..RecordTerms::default() }, [7; 32], false),
    ] {
        let rig = Rig::new().await;
        let exchange = rig.exchange_on(terms).await;
        let (carrier, body) = body::carried(SizeHint::with_exact(6));
        carrier.send(Place::Within, piece("one")).await.unwrap();
        let mut response = Response::new(body);
        response.extensions_mut().insert(Expected(expected));
        let answer = record(&rig).tee(response, &exchange).await.unwrap();
        let mut body = answer.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        carrier.send(Place::Within, piece("two")).await.unwrap();
        carrier.end();
        let last = body.frame().await.unwrap();
        match is_right {
            true => assert_eq!(last.unwrap().into_data().unwrap(), "two"),
            false => assert!(matches!(last.unwrap_err(), BodyError::Upstream(_))),
        }
        drop((body, exchange));
        let (_, entry) = rig.finish().await;
        assert_eq!(entry.outcome, if is_right { "complete" } else { "upstream failed" });
    }
}
