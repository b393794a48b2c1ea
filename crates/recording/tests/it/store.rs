//! Stores that fail.

use std::{
    os::unix::fs::PermissionsExt,
    sync::{Arc, atomic::Ordering},
};

use lockgate_recording::{
    Event, OpenStoreError, Outcome, RecordError, Recorder, Status, StoreOptions, TimeRange, create_store,
    open_store,
};
use object_store::{ObjectStoreExt, memory::InMemory};

use crate::{
    faulty::{Faulty, Mood},
    support::{archive, config_with, noise, opened, read, record, until, verify},
};

#[tokio::test]
async fn a_store_that_comes_back_gets_everything() {
    let directory = tempfile::tempdir().unwrap();
    let store = Faulty::new(Mood::Down);
    let config = config_with(directory.path(), store.clone());
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let mut exchanges = Vec::new();
    for _ in 0..3 {
        exchanges.push(record(&recorder, "body").await);
        let flushed = recorder.flush().await;
        assert!(matches!(&flushed, Err(RecordError::NotUploaded { reason }) if reason.contains("refused")));
    }
    assert!(matches!(recorder.status(), Status::Delayed { spool_bytes, .. } if spool_bytes > 0));
    store.set(Mood::Fine);
    until("uploads", async || recorder.status() == Status::Ok).await;
    recorder.flush().await.unwrap();
    let archive = archive(&config);
    for exchange in exchanges {
        assert_eq!(read(&archive, exchange).await.len(), 3);
    }
    assert!(verify(&archive).await.is_intact());
    assert_eq!(std::fs::read_dir(&config.spool_dir).unwrap().count(), 2, "only lock and state are left");
}

#[tokio::test]
async fn what_was_just_uploaded_is_told_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let config = config_with(directory.path(), Faulty::new(Mood::Fine));
    let (recorder, recovered) = Recorder::open(config.clone()).await.unwrap();
    assert!(recovered.uploaded.is_empty());
    record(&recorder, "body").await;
    recorder.flush().await.unwrap();
    let bundles = archive(&config).bundles(TimeRange::ALL).await.unwrap();
    // As a crash: nobody closes it.
    drop(recorder);

    let mut again = None;
    until("the lock to be free", async || {
        again = Recorder::open(config.clone()).await.ok();
        again.is_some()
    })
    .await;
    let (recorder, recovered) = again.unwrap();
    assert_eq!(recovered.uploaded, bundles.iter().map(|found| found.bundle).collect::<Vec<_>>());
    assert!(recovered.bundles.is_empty());
    recorder.close().await.unwrap();
    let (recorder, recovered) = Recorder::open(config).await.unwrap();
    assert!(recovered.uploaded.is_empty(), "after an end that was none by a crash");
    recorder.close().await.unwrap();
}

#[tokio::test]
async fn what_could_not_be_uploaded_is_uploaded_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = Faulty::new(Mood::Down);
    let config = config_with(directory.path(), store.clone());
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let exchange = record(&recorder, "body").await;
    assert!(matches!(recorder.close().await, Err(RecordError::NotUploaded { .. })));

    store.set(Mood::Fine);
    let (recorder, recovered) = Recorder::open(config.clone()).await.unwrap();
    assert_eq!((recovered.bundles.len(), recovered.bundles[0].cut_bytes), (1, None));
    recorder.close().await.unwrap();
    assert_eq!(read(&archive(&config), exchange).await.len(), 3);
    assert!(verify(&archive(&config)).await.is_intact());
}

/// The answer to a PUT is lost, which was carried out: it is ours, and is not written twice.
#[tokio::test]
async fn a_put_whose_answer_is_lost_is_recognised() {
    let directory = tempfile::tempdir().unwrap();
    let store = Faulty::new(Mood::Deaf);
    let config = config_with(directory.path(), store.clone());
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let exchange = record(&recorder, "body").await;
    recorder.close().await.unwrap();
    assert_eq!(store.puts.load(Ordering::SeqCst), 1);
    assert_eq!(read(&archive(&config), exchange).await.len(), 3);
}

/// There is another object under the name: neither overwritten nor taken for ours.
#[tokio::test]
async fn another_object_under_the_name_is_a_conflict() {
    let directory = tempfile::tempdir().unwrap();
    let store = Faulty::new(Mood::Wrong);
    let config = config_with(directory.path(), store.clone());
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    record(&recorder, "body").await;
    let flushed = recorder.flush().await;
    assert!(
        matches!(&flushed, Err(RecordError::NotUploaded { reason }) if reason.contains("another object"))
    );
    store.set(Mood::Fine);
    let next = record(&recorder, "next").await;
    assert!(matches!(recorder.close().await, Err(RecordError::NotUploaded { .. })));
    assert_eq!(read(&archive(&config), next).await.len(), 3, "the next bundles are not held up");
    let (_, recovered) = Recorder::open(config).await.unwrap();
    assert_eq!(recovered.bundles.len(), 1, "the one in conflict is still in the spool");
}

#[tokio::test]
async fn a_full_spool_refuses_until_the_store_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = Faulty::new(Mood::Down);
    let mut config = config_with(directory.path(), store.clone());
    config.bundle_max_bytes = 100_000;
    config.spool_max_bytes = 500_000;
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let exchange = recorder.begin(opened()).await.unwrap();
    let refused = loop {
        if let Err(error) = exchange.append(Event::ResponseData(noise(30_000))).await {
            break error;
        }
        if let Err(error) = exchange.durable().await {
            break error;
        }
    };
    assert!(refused.to_string().contains("spool is full"), "{refused}");
    assert!(matches!(recorder.begin(opened()).await, Err(RecordError::Failing { .. })));
    let spooled: u64 =
        std::fs::read_dir(&config.spool_dir).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(spooled < 600_000, "{spooled}");

    store.set(Mood::Fine);
    until("room in the spool", async || recorder.status() == Status::Ok).await;
    exchange.close(Outcome::Failed("the spool was full".into())).await.unwrap();
    record(&recorder, "goes on").await;
    recorder.close().await.unwrap();
    let report = verify(&archive(&config)).await;
    assert!(report.is_intact() && report.complete == 2, "{report}");
}

/// The store works, but the spool is smaller than what is recorded: that is slow, but nothing is refused.
#[tokio::test]
async fn a_small_spool_slows_down() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config_with(directory.path(), Arc::new(InMemory::new()));
    config.bundle_max_bytes = 100_000;
    config.spool_max_bytes = 250_000;
    config.queue_bytes = 64 << 10;
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let exchange = recorder.begin(opened()).await.unwrap();
    for _ in 0..200 {
        exchange.append(Event::ResponseData(noise(20_000))).await.unwrap();
    }
    exchange.close(Outcome::Complete).await.unwrap();
    recorder.close().await.unwrap();
    let report = verify(&archive(&config)).await;
    assert!(report.is_intact() && report.complete == 1, "{report}");
}

#[tokio::test]
async fn a_recorder_that_is_dropped_leaves_what_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<InMemory> = Arc::default();
    let config = config_with(directory.path(), store.clone());
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let exchange = record(&recorder, "body").await;
    drop(recorder);
    let archive = archive(&config);
    until("the upload", async || archive.find(exchange).await.is_ok()).await;
    until("the lock", async || Recorder::open(config.clone()).await.is_ok()).await;
}

#[test]
fn urls_are_checked() {
    let options = StoreOptions::default();
    let error = |url| open_store(url, &options).expect_err(url).to_string();
    for url in ["", "evidence", "file:evidence:", "gs://bucket", "s3://", "file://host/evidence"] {
        error(url);
    }
    assert_eq!(
        error("s3://key:secret@bucket/prefix"),
        "s3://bucket/prefix: credentials do not belong into a URL"
    );
    let half = StoreOptions { access_key_id: Some("id".into()), ..StoreOptions::default() };
    assert!(matches!(open_store("s3://bucket", &half), Err(OpenStoreError::Unsupported { .. })));
    let secret = StoreOptions { secret_access_key: Some("hunter2".into()), ..half };
    assert!(!format!("{secret:?}").contains("hunter2"));
    let (_, prefix) = open_store("s3://bucket/a/b", &secret).unwrap();
    assert_eq!(prefix.as_ref(), "a/b");
}

#[tokio::test]
async fn directories_have_any_name() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}/with%20space", directory.path().display());
    let (store, prefix) = create_store(&url, &StoreOptions::default()).unwrap();
    store.put(&prefix.clone().join("x"), "y".into()).await.unwrap();
    assert!(directory.path().join("with space/x").exists());
}

#[test]
fn who_reads_makes_no_directory_and_who_records_makes_it_for_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/recordings");
    let url = format!("file://{}", path.display());
    let missing = open_store(&url, &StoreOptions::default()).unwrap_err();
    assert!(matches!(&missing, OpenStoreError::NoDirectory { path: named } if *named == path), "{missing}");
    assert!(!directory.path().join("a").exists());
    create_store(&url, &StoreOptions::default()).unwrap();
    for made in ["a", "a/recordings"] {
        let mode = directory.path().join(made).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{made}");
    }
    open_store(&url, &StoreOptions::default()).unwrap();
}
