//! Reading an exchange while it is under way.

use bytes::Bytes;
use lockgate_recording::{Event, ExchangeReader, Outcome, Recorder, What};
use uuid::Uuid;

use crate::support::{archive, config, noise, opened, record, verify};

/// The octets of the request that there are by now.
async fn now(reader: &mut ExchangeReader) -> Vec<u8> {
    reader.look().await.expect("it can be read");
    let mut octets = Vec::new();
    while let Some(recorded) = reader.next().await.expect("it is intact") {
        match recorded.what {
            What::Event(Event::RequestData(data)) => octets.extend_from_slice(&data),
            What::Opened(_) | What::Event(_) | What::Closed(_) => {}
        }
    }
    octets
}

#[tokio::test]
async fn what_is_durable_is_read_before_it_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.bundle_max_age = std::time::Duration::from_secs(3600);
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let (archive, spool) = (archive(&config), config.spool_dir.as_path());
    let exchange = recorder.begin(opened()).await.unwrap();
    let mut here = archive.follow(exchange.id(), Some(spool));
    let mut elsewhere = archive.follow(exchange.id(), None);
    // Nothing of it is durable yet, or it is: nobody says.
    now(&mut here).await;

    for octets in ["one", "two"] {
        exchange.append(Event::RequestData(Bytes::from_static(octets.as_bytes()))).await.unwrap();
        exchange.durable().await.unwrap();
        assert_eq!(now(&mut here).await, octets.as_bytes());
        assert_eq!(now(&mut elsewhere).await, b"");
    }
    recorder.flush().await.unwrap();
    assert_eq!(now(&mut here).await, b"");
    assert_eq!(now(&mut elsewhere).await, b"onetwo");

    // Bundles without a word of it come between.
    record(&recorder, noise(1000)).await;
    recorder.flush().await.unwrap();
    assert_eq!((now(&mut here).await, now(&mut elsewhere).await), (Vec::new(), Vec::new()));
    let large = noise(3 << 20);
    exchange.append(Event::RequestData(large.clone())).await.unwrap();
    exchange.durable().await.unwrap();
    assert!(now(&mut here).await == large);
    assert!(!here.is_complete());
    exchange.close(Outcome::Complete).await.unwrap();
    recorder.flush().await.unwrap();
    assert_eq!(now(&mut here).await, b"");
    assert!(now(&mut elsewhere).await == large);
    assert!(here.is_complete() && elsewhere.is_complete());
    recorder.close().await.unwrap();
    assert!(verify(&archive).await.is_intact());
}

#[tokio::test]
async fn what_ended_is_followed_to_its_end_and_what_never_was_is_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let id = record(&recorder, "all").await;
    recorder.close().await.unwrap();
    let archive = archive(&config);
    for spool in [Some(config.spool_dir.as_path()), None] {
        let mut reader = archive.follow(id, spool);
        assert_eq!(now(&mut reader).await, b"all");
        assert!(reader.is_complete());
        let mut reader = archive.follow(Uuid::now_v7(), spool);
        assert_eq!(now(&mut reader).await, b"");
        assert!(!reader.is_complete());
    }
}
