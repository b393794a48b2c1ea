//! A recorder to record on, and what it has recorded.

use std::sync::Arc;

use http::Request;
use lockgate_recording::{Archive, Recorded, Recorder, RecorderConfig};
use object_store::{memory::InMemory, path::Path};
use tempfile::TempDir;
use uuid::Uuid;

use super::{Entries, Toy, ToyDialect, access, caller, target, upstream};
use crate::{
    body::Body,
    exchange::{Closing, Evidence, Exchange},
    index::Entry,
    layers::Understood,
    upstream::Auth,
    verdict::RecordTerms,
};

/// A recorder on a temporary folder.
pub(crate) struct Rig {
    pub(crate) evidence: Evidence,
    pub(crate) entries: Arc<Entries>,
    store: Arc<InMemory>,
    dir: TempDir,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let (dir, store) = (tempfile::tempdir().unwrap(), Arc::new(InMemory::new()));
        let config = RecorderConfig::new(dir.path(), store.clone(), Path::default(), "test");
        let (recorder, _) = Recorder::open(config).await.unwrap();
        let entries = Arc::new(Entries::default());
        let evidence = Evidence { recorder, index: entries.clone(), closing: Closing::new() };
        Self { evidence, entries, store, dir }
    }

    pub(crate) async fn exchange(&self) -> Exchange {
        self.exchange_on(RecordTerms::default()).await
    }

    pub(crate) async fn exchange_on(&self, terms: RecordTerms) -> Exchange {
        let (caller, upstream) = (caller(), upstream(Auth::Oidc));
        Exchange::begin(&self.evidence, terms, &caller, &upstream, None).await.unwrap()
    }

    pub(crate) async fn asked(&self, request: Request<Body>) -> Understood {
        Understood {
            target: target(Auth::Oidc),
            caller: caller(),
            passthrough: None,
            exchange: self.exchange().await,
            accesses: vec![access(&request)],
            needs: ["path"].into_iter().collect(),
            given_up: None,
            dialect: Arc::new(ToyDialect { hold: Toy::default().hold }),
            request,
            begun: None,
        }
    }

    /// What of an exchange that is under way a crash would leave.
    pub(crate) async fn durable(&self, exchange: Uuid) -> Vec<Recorded> {
        let archive = Archive::new(self.store.clone(), Path::default());
        let mut reader = archive.follow(exchange, Some(self.dir.path()));
        reader.look().await.unwrap();
        let mut events = Vec::new();
        while let Some(event) = reader.next().await.unwrap() {
            events.push(event);
        }
        events
    }

    /// Ends the recorder and returns what was recorded and indexed of the only exchange.
    pub(crate) async fn finish(self) -> (Vec<Recorded>, Entry) {
        self.evidence.closing.ended().await;
        self.evidence.recorder.close().await.unwrap();
        let entry = self.entries.0.lock().unwrap().pop().expect("one entry");
        let archive = Archive::new(self.store, Path::default());
        let mut reader = archive.exchange(entry.exchange.parse().unwrap(), None).await.unwrap();
        let mut events = Vec::new();
        while let Some(event) = reader.next().await.unwrap() {
            events.push(event);
        }
        (events, entry)
    }
}
