//! Changes, which go on without their clients.

use super::*;

/// What answers a change once the client has gone, and how it was told that it may.
struct Change {
    head: tokio::sync::oneshot::Sender<()>,
    body: Carrier,
    begun: tokio::sync::oneshot::Receiver<()>,
}

/// A change that goes upstream, whose answer's head and body come when they are told to.
fn change() -> (Change, impl Fn(Recorded) -> futures::future::BoxFuture<'static, Rendered> + Clone + Send) {
    let (head, told) = tokio::sync::oneshot::channel();
    let (started, begun) = tokio::sync::oneshot::channel();
    let (body, frames) = body::carried(http_body::SizeHint::default());
    let shared = Arc::new(std::sync::Mutex::new(Some((started, told, frames))));
    let below = move |recorded: Recorded| {
        let (started, told, frames) = shared.lock().unwrap().take().unwrap();
        let answer = async move {
            let accesses = [testing::access(&recorded.request)];
            recorded.exchange.accesses(&testing::SCHEMA, &accesses).await.unwrap();
            recorded.exchange.forwarded().await.unwrap();
            recorded.exchange.detach();
            started.send(()).unwrap();
            told.await.unwrap();
            Ok(Response::new(frames))
        };
        futures::FutureExt::boxed(answer)
    };
    (Change { head, body, begun }, below)
}

/// A change whose answer has begun with this, which its client was given.
async fn answered(text: &'static str) -> (Rig, Carrier, Body) {
    let (rig, (change, below)) = (Rig::new().await, change());
    change.head.send(()).unwrap();
    change.body.send(Place::Within, piece(text)).await.expect("still read");
    let body = call(&rig, testing::post("/x", ""), below).await.into_body();
    (rig, change.body, body)
}

#[tokio::test]
async fn a_change_under_way_goes_on_without_its_client() {
    for place in [Place::Within, Place::Last] {
        let (rig, rest, body) = answered("one").await;
        drop(body);
        rest.send(place, piece("two")).await.expect("still read");
        rest.end();
        let (events, entry) = rig.finish().await;
        assert_eq!(testing::response_bytes(&events), "onetwo");
        assert_eq!(entry.outcome, "client gone", "{place:?}");
        let noted = |event: &RecordedEvent| matches!(&event.what, What::Event(Event::Note { kind, .. }) if kind == "client-gone");
        assert_eq!(events.iter().filter(|event| noted(event)).count(), 1, "{place:?}");
    }
}

#[tokio::test]
async fn a_change_whose_client_takes_the_last_of_its_answer_is_complete() {
    for place in [Place::Within, Place::Last] {
        let (rig, rest, mut body) = answered("one").await;
        assert!(body.frame().await.unwrap().is_ok() && !body.is_end_stream());
        rest.send(place, piece("two")).await.unwrap();
        rest.end();
        assert!(body.frame().await.unwrap().is_ok());
        if place == Place::Last {
            assert!(body.is_end_stream());
        } else {
            assert!(body.frame().await.is_none());
        }
        drop(body);
        assert_eq!(rig.finish().await.1.outcome, "complete", "{place:?}");
    }
}

/// Many servers end what they stream by a frame that holds nothing.
#[tokio::test]
async fn a_change_whose_client_has_all_is_complete_though_its_end_came_later() {
    for place in [Place::Within, Place::Last] {
        let (rig, rest, mut body) = answered("all").await;
        assert!(body.frame().await.unwrap().is_ok());
        drop(body);
        rest.send(place, piece("")).await.expect("still read");
        rest.end();
        let (events, entry) = rig.finish().await;
        assert_eq!(testing::response_bytes(&events), "all");
        assert_eq!(entry.outcome, "complete", "{place:?}");
    }
}

#[tokio::test]
async fn a_change_is_recorded_to_its_end_also_when_its_client_goes_before_the_answer() {
    let (rig, (change, below)) = (Rig::new().await, change());
    let client = call(&rig, testing::post("/x", ""), below);
    tokio::select! {
        _ = client => panic!("answered"),
        begun = change.begun => begun.unwrap(),
    }
    change.head.send(()).unwrap();
    for text in ["one", "two"] {
        change.body.send(Place::Within, piece(text)).await.expect("still read");
    }
    change.body.end();
    let (events, entry) = rig.finish().await;
    assert_eq!(testing::response_bytes(&events), "onetwo");
    assert_eq!((entry.outcome.as_str(), entry.status), ("client gone", 200));
}

#[tokio::test]
async fn an_answer_that_is_cut_off_does_not_seem_whole() {
    let (rig, rest, mut body) = answered("one").await;
    assert!(body.frame().await.unwrap().is_ok());
    drop(rest);
    assert!(body.frame().await.unwrap().is_err());
    assert!(body.frame().await.is_none());
    drop(body);
    assert_eq!(rig.finish().await.1.outcome, "failed: body");
}
