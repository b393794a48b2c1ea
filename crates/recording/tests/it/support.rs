//! What the tests of this crate share.

use std::{path::Path as FilePath, sync::Arc, time::Duration};

use bytes::Bytes;
use lockgate_recording::{
    Archive, Event, ExchangeOpened, Outcome, Principal, Recorded, Recorder, RecorderConfig, Report, Scope,
    StoreOptions, TimeRange, What, create_store,
};
use object_store::{ObjectStore, path::Path};
use uuid::Uuid;

/// The opening of a new exchange.
pub(crate) fn opened() -> ExchangeOpened {
    ExchangeOpened {
        exchange: Uuid::now_v7(),
        session: "session-1".into(),
        principal: Principal {
            issuer: "https://issuer.example".into(),
            subject: "repo:acme/app".into(),
            groups: vec!["agents".into(), "ci".into()],
            name: "acme/app".into(),
        },
        upstream: "forge".into(),
        protocol: "git".into(),
        peer: "127.0.0.1:4711".into(),
        started_micros: 1_700_000_000_000_000,
        action: Some("push".into()),
    }
}

/// A store in a directory.
pub(crate) fn store(directory: &FilePath) -> Arc<dyn ObjectStore> {
    let url = format!("file://{}", directory.display());
    create_store(&url, &StoreOptions::default()).expect("a store").0
}

/// A recorder with spool and store in a directory.
pub(crate) fn config(directory: &FilePath) -> RecorderConfig {
    let store_dir = directory.join("store");
    RecorderConfig { store_dir: Some(store_dir.clone()), ..config_with(directory, store(&store_dir)) }
}

/// A recorder with its spool in a directory.
pub(crate) fn config_with(directory: &FilePath, store: Arc<dyn ObjectStore>) -> RecorderConfig {
    RecorderConfig::new(directory.join("spool"), store, Path::from("evidence"), "proxy-1")
}

/// The archive that belongs to a configuration.
pub(crate) fn archive(config: &RecorderConfig) -> Archive {
    Archive::new(config.store.clone(), config.prefix.clone())
}

/// Verifies the whole archive.
pub(crate) async fn verify(archive: &Archive) -> Report {
    archive.verify(&Scope::All(TimeRange::ALL)).await.expect("the store can be read")
}

/// Everything recorded of an exchange.
pub(crate) async fn read(archive: &Archive, exchange: Uuid) -> Vec<Recorded> {
    let mut reader = archive.exchange(exchange, None).await.expect("it is there");
    let mut all = Vec::new();
    while let Some(recorded) = reader.next().await.expect("it is intact") {
        all.push(recorded);
    }
    all
}

/// The events of an exchange, bodies joined per direction at the place of their first piece.
pub(crate) fn joined(recorded: Vec<Recorded>) -> Vec<What> {
    let mut all: Vec<What> = Vec::new();
    for Recorded { what, .. } in recorded {
        match (all.last_mut(), what) {
            (Some(What::Event(Event::RequestData(before))), What::Event(Event::RequestData(next)))
            | (Some(What::Event(Event::ResponseData(before))), What::Event(Event::ResponseData(next))) => {
                *before = [&before[..], &next].concat().into()
            }
            (_, what) => all.push(what),
        }
    }
    all
}

/// Records a whole exchange with this request body; gives its id.
pub(crate) async fn record(recorder: &Recorder, body: impl Into<Bytes>) -> Uuid {
    let exchange = recorder.begin(opened()).await.expect("recorded");
    exchange.append(Event::RequestData(body.into())).await.expect("recorded");
    exchange.close(Outcome::Complete).await.expect("recorded");
    exchange.id()
}

/// Random bytes: they do not compress.
pub(crate) fn noise(length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    aws_lc_rs::rand::fill(&mut bytes).expect("random bytes");
    bytes.into()
}

/// Waits until a condition holds; fails the test when it takes a minute.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), wait).await.is_ok(), "waited too long for {what}");
}
