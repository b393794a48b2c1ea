//! `kill -9` at any moment loses nothing that was acknowledged.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    sync::Arc,
};

use lockgate_recording::{
    Archive, Event, FaultKind, Outcome, Recorder, TimeRange, What, bundle_path, verify_bundle,
};
use object_store::{ObjectStoreExt, memory::InMemory};
use uuid::Uuid;

use crate::{
    process::{Process, folder, say},
    support::{archive, config, config_with, noise, opened, read, record, verify},
};

/// The process: many tasks record exchanges and say what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the tests below"]
async fn victim() {
    let Some(folder) = folder() else { return };
    let mut config = config(&folder);
    config.bundle_max_bytes = 300_000;
    let (recorder, recovered) = Recorder::open(config).await.unwrap();
    say(format!("recovered {}", recovered.bundles.len()));
    let tasks = (0..8usize).map(|number| tokio::spawn(record_for_ever(recorder.clone(), number)));
    futures::future::join_all(tasks).await;
}

async fn record_for_ever(recorder: Recorder, events: usize) {
    loop {
        let exchange = recorder.begin(opened()).await.unwrap();
        for event in 1..=events {
            exchange.append(Event::RequestData(noise(1 + 3000 * events))).await.unwrap();
            exchange.durable().await.unwrap();
            say(format!("durable {} {event}", exchange.id()));
        }
        exchange.close(Outcome::Complete).await.unwrap();
        say(format!("closed {}", exchange.id()));
    }
}

/// What a victim has said.
#[derive(Default)]
struct Acknowledged {
    events: HashMap<Uuid, usize>,
    closed: HashSet<Uuid>,
}

impl Acknowledged {
    fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["durable", exchange, events] => {
                self.events.insert(exchange.parse().unwrap(), events.parse().unwrap());
            }
            ["closed", exchange] => {
                self.closed.insert(exchange.parse().unwrap());
            }
            ["recovered", _] => {}
            _ => panic!("{line}"),
        }
    }

    async fn check(&self, archive: &Archive) {
        for (exchange, acknowledged) in &self.events {
            let recorded = read(archive, *exchange).await;
            let is_data = |what: &What| matches!(what, What::Event(Event::RequestData(_)));
            let found = recorded.iter().filter(|recorded| is_data(&recorded.what)).count();
            assert!(found >= *acknowledged, "{exchange}: {found} of {acknowledged}");
        }
        for exchange in &self.closed {
            let last = read(archive, *exchange).await.pop().map(|recorded| recorded.what);
            assert!(matches!(last, Some(What::Closed(_))), "{exchange}");
        }
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_killed() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let mut acknowledged = Acknowledged::default();
    for round in 0..6 {
        let mut victim = Process::start("crash::victim", directory.path(), "");
        let moment = 1 + usize::from(noise(1)[0]) * (round + 1) / 3;
        for _ in 0..moment {
            acknowledged.hear(&victim.heard().expect("it lives"));
        }
        victim.kill().iter().for_each(|line| acknowledged.hear(line));
    }
    assert!(!acknowledged.events.is_empty());

    let (recorder, recovered) = Recorder::open(config.clone()).await.unwrap();
    let named: HashSet<Uuid> =
        recovered.bundles.iter().flat_map(|b| &b.exchanges).map(|e| e.exchange).collect();
    record(&recorder, "after").await;
    recorder.close().await.unwrap();

    let archive = archive(&config);
    let report = verify(&archive).await;
    assert!(report.is_intact(), "{report}");
    assert_eq!(report.chains.len(), 1, "{report}");
    assert!(report.complete > acknowledged.closed.len() as u64, "{report}");
    let closed_but_incomplete =
        report.incomplete.iter().find(|open| acknowledged.closed.contains(&open.exchange));
    assert_eq!(closed_but_incomplete, None);
    let last_crash = recovered.bundles.last().map(|bundle| bundle.bundle);
    for open in report.incomplete.iter().filter(|open| Some(open.last_bundle) == last_crash) {
        assert!(named.contains(&open.exchange), "the caller is told of {}", open.exchange);
    }
    acknowledged.check(&archive).await;
}

/// A spool with one bundle that was being written: two exchanges ended, one open.
async fn torn(folder: &Path) -> Vec<u8> {
    let mut config = config(folder);
    config.bundle_max_age = std::time::Duration::from_secs(3600);
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    record(&recorder, "one").await;
    record(&recorder, noise(3000)).await;
    let open = recorder.begin(opened()).await.unwrap();
    open.append(Event::Forwarded).await.unwrap();
    open.durable().await.unwrap();
    let bytes = fs::read(spooled(folder)).unwrap();
    drop(open);
    recorder.close().await.unwrap();
    bytes
}

fn spooled(folder: &Path) -> std::path::PathBuf {
    let entries = fs::read_dir(folder.join("spool")).unwrap().map(|entry| entry.unwrap().path());
    entries.into_iter().find(|path| path.extension().is_some_and(|e| e == "lgr")).expect("a bundle")
}

/// The name of the only bundle that was written to a folder.
async fn name(folder: &Path) -> Uuid {
    archive(&config(folder)).bundles(TimeRange::ALL).await.unwrap()[0].bundle
}

#[tokio::test]
async fn a_bundle_torn_at_any_byte_is_recovered() {
    let source = tempfile::tempdir().unwrap();
    let bytes = torn(source.path()).await;
    let name = name(source.path()).await;
    let mut most = 0;
    for length in (0..=bytes.len()).rev().step_by(11) {
        let directory = tempfile::tempdir().unwrap();
        let spool = directory.path().join("spool");
        fs::create_dir(&spool).unwrap();
        fs::write(spool.join(format!("{name}.lgr")), &bytes[..length]).unwrap();
        let config = config_with(directory.path(), Arc::new(InMemory::new()));
        let (recorder, recovered) = Recorder::open(config.clone()).await.unwrap();
        recorder.flush().await.unwrap();
        recorder.close().await.unwrap();
        let report = verify(&archive(&config)).await;
        assert!(recovered.unreadable.is_empty());
        let Some(bundle) = recovered.bundles.first() else {
            assert_eq!(report.bundles, 0);
            continue;
        };
        assert!(report.is_intact(), "{length}: {report}");
        assert_eq!(report.recovered[0].cut_bytes, bundle.cut_bytes.unwrap());
        assert_eq!(bundle.cut_file, None, "a torn write needs not be kept");
        let ended = bundle.exchanges.iter().filter(|exchange| exchange.closed.is_some()).count();
        assert_eq!(report.complete, ended as u64);
        assert_eq!(report.incomplete.len(), bundle.exchanges.len() - ended);
        assert!(
            bundle.exchanges.iter().all(|e| e.opened.is_some() && e.session.as_deref() == Some("session-1"))
        );
        most = most.max(bundle.exchanges.len());
    }
    assert_eq!(most, 3);
}

#[tokio::test]
async fn what_is_damaged_in_the_spool_is_kept_aside() {
    let source = tempfile::tempdir().unwrap();
    let bytes = torn(source.path()).await;
    let name = name(source.path()).await;
    let directory = tempfile::tempdir().unwrap();
    let spool = directory.path().join("spool");
    fs::create_dir(&spool).unwrap();
    let mut damaged = bytes.clone();
    let at = bytes.len() - 30;
    damaged[at] ^= 1;
    fs::write(spool.join(format!("{name}.lgr")), &damaged).unwrap();
    fs::write(spool.join(format!("{}.lgr", Uuid::now_v7())), "no bundle at all").unwrap();

    let config = config(directory.path());
    let (recorder, recovered) = Recorder::open(config.clone()).await.unwrap();
    let [bundle] = &recovered.bundles[..] else { panic!("{recovered:?}") };
    let cut = fs::read(bundle.cut_file.as_ref().unwrap()).unwrap();
    assert_eq!(cut.len() as u64, bundle.cut_bytes.unwrap());
    assert!(damaged.ends_with(&cut));
    assert_eq!(fs::read(&recovered.unreadable[0]).unwrap(), b"no bundle at all");
    recorder.close().await.unwrap();
    assert!(verify(&archive(&config)).await.is_intact());
}

/// Recovery that is itself interrupted, and bundles that were uploaded but not deleted.
#[tokio::test]
async fn recovery_can_be_repeated() {
    let source = tempfile::tempdir().unwrap();
    let bytes = torn(source.path()).await;
    let name = name(source.path()).await;
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let path = config.spool_dir.join(format!("{name}.lgr"));
    fs::create_dir(&config.spool_dir).unwrap();
    fs::write(&path, &bytes).unwrap();
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    recorder.flush().await.unwrap();
    recorder.close().await.unwrap();
    assert!(!path.exists());

    let archive = archive(&config);
    let stored = config.store.get(&bundle_path(&config.prefix, name)).await.unwrap();
    let sealed = stored.bytes().await.unwrap();
    for length in (bytes.len()..=sealed.len()).step_by(11).chain([sealed.len()]) {
        fs::write(&path, &sealed[..length]).unwrap();
        let (recorder, recovered) = Recorder::open(config.clone()).await.unwrap();
        assert_eq!(recovered.bundles.len(), 1);
        let uploaded = recorder.close().await;
        // Cut before its seal, it is sealed anew with another time: that is another bundle, which is not uploaded
        // over the first.
        let report = verify_bundle(&fs::read(&path).unwrap_or(sealed.to_vec())[..]).unwrap();
        assert!(report.is_intact(), "{report}");
        assert_eq!(uploaded.is_ok(), !path.exists());
        let _ = fs::remove_file(&path);
    }
    assert!(verify(&archive).await.is_intact());
    assert!(
        verify_bundle(&sealed[..sealed.len() - 1]).unwrap().problems[0]
            .to_string()
            .contains(&FaultKind::Truncated.to_string())
    );
}
