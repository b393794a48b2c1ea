//! Recording as a gateway does it, and reading it back.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use lockgate_recording::{
    Direction, Event, ExchangeOpened, ExchangeRecorder, Outcome, ReadError, RecordError, Recorder,
    RequestHead, ResponseHead, Scope, Status, TimeRange, What, bundle_path,
};
use object_store::ObjectStoreExt;
use uuid::Uuid;

use crate::support::{archive, config, joined, noise, opened, read, record, until, verify};

/// One of every event.
fn events(recorder: &Recorder) -> Vec<Event> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static("Bearer secret"));
    headers.append("accept", HeaderValue::from_static("*/*"));
    let fields = recorder.redactor().fields(&headers, &[]);
    let channel =
        |channel, direction, data: &'static str| Event::ChannelData { channel, direction, data: data.into() };
    vec![
        Event::RequestHead(RequestHead {
            method: "POST".into(),
            target: "/git/forge/app/git-receive-pack".into(),
            version: "HTTP/2.0".into(),
            fields: fields.clone(),
        }),
        Event::RequestData(Bytes::from_static(b"0000")),
        Event::RequestTrailers(fields.clone()),
        Event::RequestEnd,
        Event::Access(r#"{"action":"push"}"#.into()),
        Event::Verdict("{}".into()),
        Event::Approval("{}".into()),
        Event::Forwarded,
        Event::ResponseHead(ResponseHead { status: 200, version: "HTTP/2.0".into(), fields: fields.clone() }),
        Event::ResponseData(Bytes::from_static(b"ok")),
        channel(1, Direction::Response, "stdout"),
        channel(0, Direction::Request, "stdin"),
        Event::Note { kind: "hold".into(), text: "waited".into() },
        Event::Gap { reason: "on purpose".into() },
        Event::ResponseTrailers(fields),
        Event::ResponseEnd { outcome: Some(Outcome::Complete) },
    ]
}

#[tokio::test]
async fn what_is_recorded_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (recorder, recovered) = Recorder::open(config.clone()).await.unwrap();
    assert!(recovered.bundles.is_empty() && recovered.unreadable.is_empty());

    let opened = opened();
    let exchange = recorder.begin(opened.clone()).await.unwrap();
    let events = events(&recorder);
    for event in events.clone() {
        exchange.append(event).await.unwrap();
    }
    exchange.durable().await.unwrap();
    exchange.durable().await.unwrap();
    let location = exchange.close(Outcome::Complete).await.unwrap();
    assert!(matches!(exchange.append(Event::Forwarded).await, Err(RecordError::ExchangeClosed)));
    assert!(matches!(exchange.close(Outcome::Complete).await, Err(RecordError::ExchangeClosed)));
    assert_eq!(recorder.status(), Status::Ok);
    recorder.close().await.unwrap();
    assert_eq!(recorder.status(), Status::Closed);
    assert!(matches!(recorder.begin(crate::support::opened()).await, Err(RecordError::Closed)));

    let archive = archive(&config);
    let recorded = read(&archive, exchange.id()).await;
    assert!(recorded.is_sorted_by_key(|recorded| recorded.at));
    let mut whats: Vec<What> = recorded.into_iter().map(|recorded| recorded.what).collect();
    let Some(What::Closed(closed)) = whats.pop() else { panic!("no end") };
    assert_eq!((closed.request.length, closed.response.length), (9, 8));
    assert_eq!(whats.remove(0), What::Opened(opened));
    assert_eq!(whats, events.into_iter().map(What::Event).collect::<Vec<_>>());

    let [bundle] = location.bundles[..] else { panic!("one bundle") };
    let object = config.store.get(&bundle_path(&config.prefix, bundle)).await.unwrap().bytes().await.unwrap();
    assert!(!object.windows(6).any(|window| window == b"secret"));
    let contents = archive.contents(bundle).await.unwrap();
    assert_eq!(
        (contents.exchanges[0].exchange, &contents.exchanges[0].session[..]),
        (exchange.id(), "session-1")
    );
    assert!(matches!(archive.exchange(Uuid::now_v7(), None).await, Err(ReadError::NotFound(_))));
    let report = verify(&archive).await;
    assert!(report.is_intact() && report.complete == 1, "{report}");
}

#[tokio::test]
async fn who_closes_with_others_is_told_once_whatever_happens() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let (told, mut tellings) = tokio::sync::mpsc::unbounded_channel();
    let close = |exchange: &ExchangeRecorder| {
        let (told, same) = (told.clone(), exchange.clone());
        exchange.close_with_others(Outcome::Complete, move |closed| {
            // Whoever is told may ask the same recorder.
            same.close_with_others(Outcome::Refused, |again| {
                assert!(matches!(again, Err(RecordError::ExchangeClosed)));
            });
            told.send(closed).unwrap();
        });
    };
    let one = recorder.begin(opened()).await.unwrap();
    one.append(Event::RequestEnd).await.unwrap();
    close(&one);
    assert_eq!(tellings.recv().await.unwrap().unwrap().bundles.len(), 1);
    close(&one);
    assert!(matches!(tellings.recv().await.unwrap(), Err(RecordError::ExchangeClosed)));

    // One that panics is its own trouble: recording goes on.
    let panics = recorder.begin(opened()).await.unwrap();
    panics.close_with_others(Outcome::Complete, |_| panic!("on purpose"));
    let [late, other] = [recorder.begin(opened()).await.unwrap(), recorder.begin(opened()).await.unwrap()];
    other.close(Outcome::Complete).await.unwrap();

    recorder.close().await.unwrap();
    close(&late);
    assert!(matches!(tellings.recv().await.unwrap(), Err(RecordError::Closed)));
    assert!(tellings.try_recv().is_err());
    let report = verify(&archive(&config)).await;
    assert!(report.is_intact() && report.complete == 4, "{report}");
}

#[tokio::test]
async fn an_exchange_spans_bundles() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.bundle_max_bytes = 256 << 10;
    config.queue_bytes = 1 << 20;
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let exchange = recorder.begin(opened()).await.unwrap();
    let quiet = recorder.begin(ExchangeOpened { session: "session-2".into(), ..opened() }).await.unwrap();
    let access = format!("\"{}\"", "é".repeat(3 << 20));
    exchange.append(Event::Access(access.clone())).await.unwrap();
    let body = noise(5 << 20);
    for piece in [0..1, 1..70_000, 70_000..5 << 20] {
        exchange.append(Event::RequestData(body.slice(piece))).await.unwrap();
    }
    exchange.append(Event::RequestData(Bytes::new())).await.unwrap();
    let location = exchange.close(Outcome::Complete).await.unwrap();
    quiet.append(Event::Forwarded).await.unwrap();
    let quiet_location = quiet.close(Outcome::Refused).await.unwrap();
    recorder.close().await.unwrap();

    assert!(location.bundles.len() > 5, "{location:?}");
    assert_eq!(quiet_location.bundles.len(), 2, "only where it has something");
    let archive = archive(&config);
    assert_eq!(archive.find(exchange.id()).await.unwrap(), location.bundles);
    let whats = joined(read(&archive, exchange.id()).await);
    assert_eq!(whats[1..3], [What::Event(Event::Access(access)), What::Event(Event::RequestData(body))]);
    assert_eq!(read(&archive, quiet.id()).await.len(), 3);

    let report = verify(&archive).await;
    assert!(report.is_intact() && report.complete == 2, "{report}");
    for scope in [
        Scope::Exchange { exchange: exchange.id(), location: Some(location.clone()) },
        Scope::Exchange { exchange: exchange.id(), location: None },
        Scope::Session { session: "session-1".into(), range: TimeRange::ALL },
    ] {
        let report = archive.verify(&scope).await.unwrap();
        assert!(report.is_intact() && report.complete == 1, "{report}");
        assert_eq!(report.bundles, location.bundles.len() as u64);
    }
    let report = archive.verify(&Scope::Bundle(location.bundles[1])).await.unwrap();
    assert!(report.is_intact() && report.unchecked > 0, "{report}");
}

#[tokio::test]
async fn an_exchange_that_is_dropped_is_abandoned() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let dropped = recorder.begin(opened()).await.unwrap();
    let clone = dropped.clone();
    drop(dropped);
    clone.append(Event::Forwarded).await.unwrap();
    let id = clone.id();
    drop(clone);
    let left_open = recorder.begin(opened()).await.unwrap();
    recorder.close().await.unwrap();

    let archive = archive(&config);
    for exchange in [id, left_open.id()] {
        let last = read(&archive, exchange).await.pop().unwrap();
        assert!(matches!(last.what, What::Closed(closed) if closed.outcome == Outcome::Abandoned));
    }
    assert!(matches!(left_open.append(Event::Forwarded).await, Err(RecordError::Closed)));
    assert!(verify(&archive).await.is_intact());
}

#[tokio::test]
async fn bundles_are_sealed_by_age_and_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.bundle_max_age = Duration::from_millis(20);
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let archive = archive(&config);
    record(&recorder, "one").await;
    until("a bundle", async || !archive.bundles(TimeRange::ALL).await.unwrap().is_empty()).await;
    recorder.close().await.unwrap();

    config.bundle_max_age = Duration::from_secs(3600);
    let (recorder, recovered) = Recorder::open(config).await.unwrap();
    assert!(recovered.bundles.is_empty());
    let before = archive.bundles(TimeRange::ALL).await.unwrap().len();
    recorder.flush().await.unwrap();
    assert_eq!(archive.bundles(TimeRange::ALL).await.unwrap().len(), before, "nothing to flush, no bundle");
    let two = record(&recorder, "two").await;
    recorder.flush().await.unwrap();
    assert_eq!(read(&archive, two).await.len(), 3);
    let report = verify(&archive).await;
    assert!(report.is_intact() && report.complete == 2, "{report}");
    assert_eq!(report.chains.len(), 1, "a restart goes on with the chain");
}

#[tokio::test]
async fn too_much_in_one_event_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (recorder, _) = Recorder::open(config(directory.path())).await.unwrap();
    let exchange = recorder.begin(opened()).await.unwrap();
    let too_large = |result| assert!(matches!(result, Err(RecordError::TooLarge { .. })), "{result:?}");
    too_large(exchange.append(Event::Access("x".repeat((16 << 20) + 1))).await);
    too_large(exchange.append(Event::Gap { reason: "x".repeat(2 << 20) }).await);
    too_large(exchange.append(Event::Note { kind: "x".repeat(257), text: String::new() }).await);
    let session = ExchangeOpened { session: "x".repeat(513), ..opened() };
    too_large(recorder.begin(session).await.map(drop));
    exchange.append(Event::Gap { reason: "x".repeat((1 << 20) - 600) }).await.unwrap();
    exchange.close(Outcome::Failed("é".repeat(10_000))).await.unwrap();
    recorder.close().await.unwrap();
}

#[tokio::test]
async fn a_spool_has_one_recorder() {
    let directory = tempfile::tempdir().unwrap();
    let (recorder, _) = Recorder::open(config(directory.path())).await.unwrap();
    let second = Recorder::open(config(directory.path())).await;
    assert!(matches!(second, Err(RecordError::SpoolInUse { .. })));
    recorder.close().await.unwrap();
    Recorder::open(config(directory.path())).await.unwrap();
}

#[tokio::test]
async fn the_key_for_redaction_outlives_a_restart() {
    let tag = async |directory: &std::path::Path| {
        let (recorder, _) = Recorder::open(config(directory)).await.unwrap();
        let tag = recorder.redactor().tag(b"credential");
        recorder.close().await.unwrap();
        tag
    };
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = tag(one.path()).await;
    assert_eq!(first, tag(one.path()).await);
    assert_ne!(first, tag(two.path()).await);
}

#[tokio::test]
async fn a_damaged_state_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (recorder, _) = Recorder::open(config(directory.path())).await.unwrap();
    recorder.close().await.unwrap();
    let state = directory.path().join("spool/state");
    let good = std::fs::read(&state).unwrap();
    for bad in [&good[..3], &good[..good.len() - 1], b"", &[good.clone(), b"x".to_vec()].concat()] {
        std::fs::write(&state, bad).unwrap();
        let opened = Recorder::open(config(directory.path())).await;
        assert!(matches!(opened, Err(RecordError::SpoolDamaged { .. })), "{opened:?}");
    }
}

#[tokio::test]
async fn many_exchanges_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.queue_bytes = 64 << 10;
    config.bundle_max_bytes = 1 << 20;
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let tasks: Vec<_> = (0..64u8)
        .map(|number| {
            let recorder = recorder.clone();
            tokio::spawn(async move {
                let exchange = recorder.begin(opened()).await.unwrap();
                for _ in 0..20 {
                    exchange.append(Event::RequestData(vec![number; 5000].into())).await.unwrap();
                    exchange.durable().await.unwrap();
                }
                exchange.close(Outcome::Complete).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    recorder.close().await.unwrap();
    let report = verify(&archive(&config)).await;
    assert!(report.is_intact() && report.complete == 64, "{report}");
}
