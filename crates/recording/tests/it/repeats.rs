//! Bodies that are recorded already.

use std::path::Path;

use bytes::Bytes;
use lockgate_recording::{
    Archive, Direction, Event, ExchangeRecorder, Outcome, ProblemKind, Recorder, RecorderConfig, Scope,
    TimeRange, What, bundle_path, verify_bundle,
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::support::{archive, config, noise, opened, read, until, verify};

/// Octets after which a segment ends.
const SEGMENT: usize = 128 << 10;

/// Records a body in pieces of this length; gives its exchange, which is not ended.
async fn carry(recorder: &Recorder, direction: Direction, body: &Bytes, piece: usize) -> ExchangeRecorder {
    let exchange = recorder.begin(opened()).await.unwrap();
    for piece in body.chunks(piece) {
        let piece = Bytes::copy_from_slice(piece);
        let event = match direction {
            Direction::Request => Event::RequestData(piece),
            Direction::Response => Event::ResponseData(piece),
        };
        exchange.append(event).await.unwrap();
    }
    exchange
}

/// Records a whole exchange with it.
async fn record(recorder: &Recorder, direction: Direction, body: &Bytes, piece: usize) -> Uuid {
    let exchange = carry(recorder, direction, body, piece).await;
    let end = match direction {
        Direction::Request => Event::RequestEnd,
        Direction::Response => Event::ResponseEnd { outcome: None },
    };
    exchange.append(end).await.unwrap();
    exchange.close(Outcome::Complete).await.unwrap();
    exchange.id()
}

/// All octets of an exchange.
async fn body(archive: &Archive, exchange: Uuid) -> Vec<u8> {
    let mut all = Vec::new();
    for recorded in read(archive, exchange).await {
        if let What::Event(Event::RequestData(data) | Event::ResponseData(data)) = recorded.what {
            all.extend_from_slice(&data);
        }
    }
    all
}

/// Octets in the store.
async fn size(archive: &Archive) -> u64 {
    let bundles = archive.bundles(TimeRange::ALL).await.unwrap();
    bundles.iter().map(|bundle| bundle.size).sum()
}

async fn start(folder: &Path) -> (RecorderConfig, Recorder, Archive) {
    let config = config(folder);
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let archive = archive(&config);
    (config, recorder, archive)
}

#[tokio::test]
async fn a_body_that_stands_there_already_takes_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let (_, recorder, archive) = start(folder.path()).await;
    let layer = noise((20 << 20) + 70_000);
    let pushed = record(&recorder, Direction::Request, &layer, 70_001).await;
    recorder.flush().await.unwrap();
    let before = size(&archive).await;
    assert!(before > layer.len() as u64);
    let mut pulled = Vec::new();
    for piece in [13_000, 1 << 20, SEGMENT] {
        pulled.push(record(&recorder, Direction::Response, &layer, piece).await);
        recorder.flush().await.unwrap();
    }
    let more = size(&archive).await - before;
    assert!(more < 64 << 10, "{more} octets for what stands there already");
    for exchange in pulled.iter().chain([&pushed]) {
        assert!(body(&archive, *exchange).await == layer);
    }
    let report = verify(&archive).await;
    assert!(report.is_intact(), "{report}");
    assert_eq!((report.complete, report.repeating, report.unchecked), (4, 0, 0), "{report}");
    let alone = Scope::Exchange { exchange: pulled[0], location: None };
    let report = archive.verify(&alone).await.unwrap();
    assert!(report.is_intact() && report.complete == 1, "{report}");
    recorder.close().await.unwrap();
}

#[tokio::test]
async fn a_bundle_names_those_that_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let (config, recorder, archive) = start(folder.path()).await;
    let layer = noise(3 * SEGMENT);
    record(&recorder, Direction::Response, &layer, 10_000).await;
    recorder.flush().await.unwrap();
    record(&recorder, Direction::Response, &layer, 20_000).await;
    recorder.close().await.unwrap();
    let bundles = archive.bundles(TimeRange::ALL).await.unwrap();
    let [first, second] = [bundles[0].bundle, bundles[1].bundle];
    assert_eq!(archive.contents(first).await.unwrap().repeats, Vec::<Uuid>::new());
    assert_eq!(archive.contents(second).await.unwrap().repeats, [first]);
    let path = |bundle| folder.path().join("store").join(bundle_path(&config.prefix, bundle).as_ref());
    let report = verify_bundle(std::fs::File::open(path(second)).unwrap()).unwrap();
    assert!(report.is_intact() && report.complete == 0 && report.repeating == 1, "{report}");
    std::fs::remove_file(path(first)).unwrap();
    let report = archive.verify(&Scope::Bundle(second)).await.unwrap();
    let missing: Vec<_> =
        report.problems.iter().map(|problem| (problem.bundle, problem.kind.clone())).collect();
    assert_eq!(missing, [(Some(first), ProblemKind::NotThere)], "{report}");
}

#[tokio::test]
async fn what_goes_on_otherwise_is_recorded_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let (_, recorder, archive) = start(folder.path()).await;
    let (one, rest) = (noise(10 * SEGMENT), noise(2 * SEGMENT));
    let other = Bytes::from([&one[..9 * SEGMENT + 5], &rest[..]].concat());
    // Nothing is the same but what both begin with.
    let shifted = Bytes::from([&b"x"[..], &one[..]].concat());
    let bodies = [&one, &other, &shifted];
    let mut exchanges = Vec::new();
    for body in bodies {
        exchanges.push(record(&recorder, Direction::Response, body, 100_000).await);
    }
    recorder.flush().await.unwrap();
    for (exchange, expected) in exchanges.into_iter().zip(bodies) {
        assert!(body(&archive, exchange).await == *expected);
    }
    let all = (one.len() + shifted.len() + rest.len() + 5) as u64;
    let size = size(&archive).await;
    assert!((all..all + (64 << 10)).contains(&size), "{size} of {all}");
    assert!(verify(&archive).await.is_intact());
    recorder.close().await.unwrap();
}

#[tokio::test]
async fn what_breaks_off_is_recorded_up_to_there() {
    let folder = tempfile::tempdir().unwrap();
    let (_, recorder, archive) = start(folder.path()).await;
    let layer = noise(4 * SEGMENT);
    record(&recorder, Direction::Response, &layer, 50_000).await;
    let part = layer.slice(..2 * SEGMENT + 70_000);
    let exchange = carry(&recorder, Direction::Response, &part, 50_000).await;
    exchange.close(Outcome::ClientGone).await.unwrap();
    recorder.close().await.unwrap();
    assert!(body(&archive, exchange.id()).await == part);
    assert!(verify(&archive).await.is_intact());
}

#[tokio::test]
async fn nothing_is_held_back_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let (config, recorder, archive) = start(folder.path()).await;
    let layer = noise(SEGMENT);
    let exchange = carry(&recorder, Direction::Response, &layer.slice(..20_000), 5_000).await;
    let mut reader = archive.follow(exchange.id(), Some(&config.spool_dir));
    let mut octets = Vec::new();
    until("it is durable though nobody asks", async || {
        reader.look().await.unwrap();
        while let Some(recorded) = reader.next().await.unwrap() {
            if let What::Event(Event::ResponseData(data)) = recorded.what {
                octets.extend_from_slice(&data);
            }
        }
        octets.len() == 20_000
    })
    .await;
    exchange.append(Event::ResponseData(layer.slice(20_000..))).await.unwrap();
    exchange.durable().await.unwrap();
    exchange.close(Outcome::Complete).await.unwrap();
    // And a repeat of what is in the spool is read there.
    let again = carry(&recorder, Direction::Response, &Bytes::from(vec![7; SEGMENT]), SEGMENT).await;
    let repeat = carry(&recorder, Direction::Response, &Bytes::from(vec![7; SEGMENT]), SEGMENT).await;
    repeat.durable().await.unwrap();
    let mut reader = archive.follow(repeat.id(), Some(&config.spool_dir));
    reader.look().await.unwrap();
    let mut length = 0;
    while let Some(recorded) = reader.next().await.unwrap() {
        if let What::Event(Event::ResponseData(data)) = recorded.what {
            assert!(data.iter().all(|byte| *byte == 7));
            length += data.len();
        }
    }
    assert_eq!(length, SEGMENT);
    drop((again, repeat));
    recorder.close().await.unwrap();
    assert!(body(&archive, exchange.id()).await == layer);
    assert!(verify(&archive).await.is_intact());
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let folder = tempfile::tempdir().unwrap();
    let config = RecorderConfig { known_bytes: 0, ..config(folder.path()) };
    let (recorder, _) = Recorder::open(config.clone()).await.unwrap();
    let layer = noise(4 * SEGMENT);
    for _ in 0..2 {
        record(&recorder, Direction::Response, &layer, 50_000).await;
    }
    recorder.close().await.unwrap();
    let archive = archive(&config);
    assert!(size(&archive).await > 2 * layer.len() as u64);
    assert_eq!(verify(&archive).await.complete, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Bodies of few different parts, in any cuts, two at a time, with commits in between.
    #[test]
    fn whatever_repeats_is_read_back(
        bodies in proptest::collection::vec((proptest::collection::vec(0u8..3, 1..5), 0usize..SEGMENT), 2..6),
        cuts in proptest::collection::vec(1usize..200_000, 1..6),
        syncs in proptest::collection::vec(any::<bool>(), 1..7),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (_, recorder, archive) = start(folder.path()).await;
            let bodies: Vec<Bytes> = bodies
                .into_iter()
                .map(|(parts, cut)| {
                    let all: Vec<u8> = parts.into_iter().flat_map(|part| vec![part; SEGMENT]).collect();
                    Bytes::from(all[..all.len() - cut].to_vec())
                })
                .collect();
            let (mut cuts, mut syncs) = (cuts.into_iter().cycle(), syncs.into_iter().cycle());
            let mut open = Vec::new();
            for body in &bodies {
                open.push((recorder.begin(opened()).await.unwrap(), body.clone(), body));
            }
            let mut done = Vec::new();
            while !open.is_empty() {
                for at in (0..open.len().min(2)).rev() {
                    let (exchange, left, body) = &mut open[at];
                    let cut = cuts.next().unwrap().min(left.len());
                    exchange.append(Event::ResponseData(left.split_to(cut))).await.unwrap();
                    if syncs.next().unwrap() {
                        exchange.durable().await.unwrap();
                    }
                    if left.is_empty() {
                        exchange.append(Event::ResponseEnd { outcome: None }).await.unwrap();
                        exchange.close(Outcome::Complete).await.unwrap();
                        done.push((exchange.id(), (*body).clone()));
                        open.remove(at);
                    }
                }
            }
            recorder.close().await.unwrap();
            let report = verify(&archive).await;
            assert!(report.is_intact() && report.complete == done.len() as u64, "{report}");
            for (exchange, expected) in done {
                assert!(body(&archive, exchange).await == expected);
            }
        });
    }
}
