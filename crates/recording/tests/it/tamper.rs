//! What someone can do to an archive who can write to the store.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lockgate_recording::{
    ExchangeFault, Head, Link, Location, ProblemKind, ReadError, Recorder, Report, Scope, TimeRange,
    bundle_path,
};
use uuid::Uuid;

use crate::support::{archive, config, opened, record, verify};

/// An archive of four bundles with an exchange in each.
struct Evidence {
    folder: tempfile::TempDir,
    bundles: Vec<Uuid>,
    exchanges: Vec<Uuid>,
}

impl Evidence {
    async fn record() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
        let mut exchanges = Vec::new();
        for _ in 0..4 {
            exchanges.push(record(&recorder, "evidence").await);
            recorder.flush().await.unwrap();
        }
        recorder.close().await.unwrap();
        let listed = archive(&config).bundles(TimeRange::ALL).await.unwrap();
        let evidence =
            Self { folder, bundles: listed.iter().map(|bundle| bundle.bundle).collect(), exchanges };
        assert!(evidence.verify().await.is_intact());
        evidence
    }

    fn path(&self, bundle: usize) -> PathBuf {
        let name = bundle_path(&config(self.folder.path()).prefix, self.bundles[bundle]);
        self.folder.path().join("store").join(Path::new(name.as_ref()))
    }

    fn head(&self) -> Option<Head> {
        Head::read(&config(self.folder.path()).spool_dir).unwrap()
    }

    async fn verify(&self) -> Report {
        verify(&archive(&config(self.folder.path()))).await
    }

    /// The first problem.
    async fn problem(&self) -> ProblemKind {
        self.verify().await.problems.remove(0).kind
    }
}

#[tokio::test]
async fn a_bundle_that_is_removed_is_missed() {
    for removed in 0..3 {
        let evidence = Evidence::record().await;
        fs::remove_file(evidence.path(removed)).unwrap();
        let last = evidence.bundles[removed];
        assert!(
            matches!(evidence.problem().await, ProblemKind::Missing { count: 1, last: l, .. } if l == last)
        );
    }
}

#[tokio::test]
async fn where_the_recorder_is_known_a_missing_end_is_missed() {
    for left in 0..4 {
        let evidence = Evidence::record().await;
        let head = evidence.head().expect("it has stored bundles");
        assert_eq!((head.number, head.bundle), (3, evidence.bundles[3]));
        let archive = archive(&config(evidence.folder.path()));
        assert!(archive.verify_up_to(head).await.unwrap().is_intact());
        (left..4).for_each(|bundle| fs::remove_file(evidence.path(bundle)).unwrap());
        let report = archive.verify_up_to(head).await.unwrap();
        let missing = ProblemKind::MissingEnd {
            chain: head.chain,
            first: left as u64,
            last: 3,
            bundle: evidence.bundles[3],
        };
        assert!(report.problems.iter().any(|problem| problem.kind == missing), "{report}");
        // By itself the store can't know, unless nothing is left.
        assert_eq!(evidence.verify().await.is_intact(), left > 0);
    }
}

#[tokio::test]
async fn a_chain_that_was_replaced_is_noticed_where_the_recorder_is_known() {
    let evidence = Evidence::record().await;
    let head = evidence.head().expect("it has stored bundles");
    let forged = Head { root: Link([7; 32]), ..head };
    let report = archive(&config(evidence.folder.path())).verify_up_to(forged).await.unwrap();
    let kind = ProblemKind::OtherHead { number: 3, recorded: head.bundle };
    assert_eq!(report.problems[0].kind, kind, "{report}");
}

#[tokio::test]
async fn nothing_is_not_intact() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    assert_eq!(verify(&archive(&config)).await.problems[0].kind, ProblemKind::NoBundle);
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    assert_eq!(Head::read(&config.spool_dir).unwrap(), None);
    record(&recorder, "evidence").await;
    recorder.close().await.unwrap();
    let session = Scope::Session { session: "another".into(), range: TimeRange::ALL };
    let report = archive(&config).verify(&session).await.unwrap();
    assert_eq!(report.problems[0].kind, ProblemKind::NoExchange { session: "another".into() });
    assert_eq!(Head::read(&folder.path().join("nowhere")).unwrap(), None);
}

#[tokio::test]
async fn bundles_that_change_places_are_noticed() {
    let evidence = Evidence::record().await;
    let (one, two) = (evidence.path(1), evidence.path(2));
    let aside = evidence.folder.path().join("aside");
    fs::rename(&one, &aside).unwrap();
    fs::rename(&two, &one).unwrap();
    fs::rename(&aside, &two).unwrap();
    assert_eq!(evidence.problem().await, ProblemKind::OtherName { named: evidence.bundles[1] });
}

#[tokio::test]
async fn what_does_not_belong_there_is_noticed() {
    let evidence = Evidence::record().await;
    let day = evidence.path(0).parent().unwrap().to_owned();
    for stranger in [day.join("x.lgr"), day.join("../x"), day.join("../../../x"), day.join("sub/y")] {
        fs::create_dir_all(stranger.parent().unwrap()).unwrap();
        fs::copy(evidence.path(0), &stranger).unwrap();
        assert!(matches!(evidence.problem().await, ProblemKind::Stranger(_)));
        fs::remove_file(&stranger).unwrap();
    }
    assert!(evidence.verify().await.is_intact());
}

#[tokio::test]
async fn one_bit_is_noticed_wherever_one_looks() {
    let evidence = Evidence::record().await;
    let path = evidence.path(1);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|window| window == b"evidence").unwrap();
    bytes[at] ^= 0x20;
    fs::write(&path, &bytes).unwrap();

    let archive = archive(&config(evidence.folder.path()));
    let report = evidence.verify().await;
    assert_eq!((report.problems.len(), report.complete), (1, 3), "{report}");
    assert_eq!(report.problems[0].bundle, Some(evidence.bundles[1]));
    let [_, damaged, intact, _] = evidence.exchanges[..] else { panic!("four") };
    for (exchange, is_intact) in [(damaged, false), (intact, true)] {
        let report = archive.verify(&Scope::Exchange { exchange, location: None }).await.unwrap();
        assert_eq!(report.is_intact(), is_intact, "{report}");
    }
    let mut reader = archive.exchange(damaged, None).await.unwrap();
    assert!(
        matches!(reader.next().await, Err(ReadError::Damaged { bundle, .. }) if bundle == evidence.bundles[1])
    );
    assert!(!reader.is_complete());
    let session = Scope::Session { session: opened().session, range: TimeRange::ALL };
    assert!(!archive.verify(&session).await.unwrap().is_intact());
}

#[tokio::test]
async fn a_location_that_leaves_something_out_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.bundle_max_bytes = 50_000;
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let exchange = record(&recorder, crate::support::noise(3 << 20)).await;
    recorder.close().await.unwrap();
    let archive = archive(&config);
    let mut bundles = archive.find(exchange).await.unwrap();
    bundles.remove(1);
    let location = Location { bundles };
    let mut reader = archive.exchange(exchange, Some(&location)).await.unwrap();
    let error = loop {
        match reader.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("not noticed"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReadError::Exchange { fault: ExchangeFault::Sequence { .. }, .. }), "{error}");
    let gone = Location { bundles: vec![Uuid::now_v7()] };
    let report = archive.verify(&Scope::Exchange { exchange, location: Some(gone) }).await.unwrap();
    assert_eq!(report.problems[0].kind, ProblemKind::NotThere);
}
