//! A real S3 server, in this process: signatures, conditional writes, listings, ranges.

use std::net::SocketAddr;

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use lockgate_recording::{
    RecordError, Recorder, RecorderConfig, Status, StoreOptions, TimeRange, open_store,
};
use object_store::{ObjectStoreExt, PutMode};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use tokio::net::TcpListener;

use crate::support::{archive, noise, read, record, verify};

/// Starts a server with a bucket `evidence` in a directory.
async fn server(directory: &std::path::Path) -> SocketAddr {
    std::fs::create_dir_all(directory.join("evidence")).unwrap();
    let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory).unwrap());
    builder.set_auth(SimpleAuth::from_single("key-id", "key-secret"));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let _ =
                    Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
            });
        }
    });
    address
}

fn options(address: SocketAddr, secret: &str) -> StoreOptions {
    StoreOptions {
        endpoint: Some(format!("http://{address}")),
        region: Some("eu-central-1".into()),
        access_key_id: Some("key-id".into()),
        secret_access_key: Some(secret.into()),
        allow_http: true,
    }
}

#[tokio::test]
async fn recordings_are_kept_in_s3() {
    let directory = tempfile::tempdir().unwrap();
    let address = server(&directory.path().join("s3")).await;
    let (store, prefix) = open_store("s3://evidence/team/a", &options(address, "key-secret")).unwrap();
    let mut config = RecorderConfig::new(directory.path().join("spool"), store, prefix, "proxy-1");
    config.bundle_max_bytes = 1 << 20;
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let small = record(&recorder, "body").await;
    let large = record(&recorder, noise(3 << 20)).await;
    recorder.close().await.unwrap();

    let archive = archive(&config);
    assert!(archive.bundles(TimeRange::ALL).await.unwrap().len() >= 3);
    assert_eq!(read(&archive, small).await.len(), 3);
    assert!(read(&archive, large).await.len() > 4);
    let report = verify(&archive).await;
    assert!(report.is_intact() && report.complete == 2, "{report}");
}

#[tokio::test]
async fn an_object_in_s3_is_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let address = server(&directory.path().join("s3")).await;
    let (store, prefix) = open_store("s3://evidence", &options(address, "key-secret")).unwrap();
    let path = prefix.join("x");
    store.put_opts(&path, "one".into(), PutMode::Create.into()).await.unwrap();
    let again = store.put_opts(&path, "two".into(), PutMode::Create.into()).await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })), "{again:?}");
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one");
}

#[tokio::test]
async fn a_wrong_secret_is_told_and_nothing_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let address = server(&directory.path().join("s3")).await;
    let config = |secret| {
        let (store, prefix) = open_store("s3://evidence", &options(address, secret)).unwrap();
        RecorderConfig::new(directory.path().join("spool"), store, prefix, "proxy-1")
    };
    let (recorder, _) = Recorder::open(config("wrong-secret")).await.unwrap();
    let exchange = record(&recorder, "body").await;
    assert!(matches!(recorder.flush().await, Err(RecordError::NotUploaded { .. })));
    let Status::Delayed { reason, .. } = recorder.status() else { panic!("{:?}", recorder.status()) };
    assert!(!reason.contains("wrong-secret"), "{reason}");
    assert!(matches!(recorder.close().await, Err(RecordError::NotUploaded { .. })));

    let (recorder, _) = Recorder::open(config("key-secret")).await.unwrap();
    recorder.close().await.unwrap();
    assert_eq!(read(&archive(&config("key-secret")), exchange).await.len(), 3);
}
