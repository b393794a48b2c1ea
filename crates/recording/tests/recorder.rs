//! Recording as a gateway does it.

use std::{path::Path as FilePath, sync::Arc};

use bytes::Bytes;
use lockgate_recording::{
    Event, ExchangeOpened, Outcome, Principal, RecordError, Recorder, RecorderConfig, Status, StoreOptions,
    bundle_path, open_store,
};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use uuid::Uuid;

fn opened() -> ExchangeOpened {
    ExchangeOpened {
        exchange: Uuid::now_v7(),
        session: "session-1".into(),
        principal: Principal { issuer: "ci".into(), subject: "robot".into(), ..Principal::default() },
        upstream: "forge".into(),
        protocol: "git".into(),
        peer: "127.0.0.1:1".into(),
        started_micros: 1,
        action: None,
    }
}

fn store(directory: &FilePath) -> (Arc<dyn ObjectStore>, Path) {
    let url = format!("file://{}", directory.display());
    open_store(&url, &StoreOptions::default()).expect("a store")
}

#[tokio::test]
async fn an_exchange_is_recorded_and_reaches_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let (store, prefix) = store(&directory.path().join("store"));
    let config =
        RecorderConfig::new(directory.path().join("spool"), store.clone(), prefix.clone(), "proxy-1");
    let (recorder, recovered) = Recorder::open(config).await.unwrap();
    assert!(recovered.bundles.is_empty());

    let exchange = recorder.begin(opened()).await.unwrap();
    exchange.append(Event::Access("{}".into())).await.unwrap();
    exchange.durable().await.unwrap();
    exchange.append(Event::RequestData(Bytes::from(vec![7; 3 << 20]))).await.unwrap();
    let location = exchange.close(Outcome::Complete).await.unwrap();
    assert_eq!(location.bundles.len(), 1);
    assert!(matches!(exchange.append(Event::Forwarded).await, Err(RecordError::ExchangeClosed)));
    assert_eq!(recorder.status(), Status::Ok);
    recorder.close().await.unwrap();
    assert!(matches!(recorder.begin(opened()).await, Err(RecordError::Closed)));

    let object = store.head(&bundle_path(&prefix, location.bundles[0])).await.unwrap();
    assert!(object.size > 1000);
}
