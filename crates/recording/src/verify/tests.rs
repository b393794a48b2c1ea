//! Every way of changing a bundle is found.

use bytes::Bytes;
use proptest::prelude::*;
use uuid::Uuid;

use super::{Part, ProblemKind, Report, Verifier, fuzz_bundle, verify_bundle};
use crate::{
    archive::ExchangeFault,
    convert,
    event::{Closed, Direction, Outcome},
    format::{
        TRAILER_LEN,
        builder::{Builder, Tools},
        chain::Link,
        fault::FaultKind,
        frame::{self, FrameHead, FrameKind, HEAD_LEN},
        pack::Packer,
        parse_trailer,
    },
    generated::v1::{BundleHeader, Data, Opened, Sealed, record::Event},
    recorder::live::Live,
};

/// Writes the bundles of one chain.
struct Author {
    chain: Uuid,
    number: u64,
    previous: Option<(Uuid, Link)>,
}

impl Author {
    fn new() -> Self {
        Self { chain: Uuid::new_v4(), number: 0, previous: None }
    }

    /// A bundle with an exchange for each list of bodies, and a chunk for each body.
    fn bundle(&mut self, exchanges: &[&[&[u8]]]) -> (Uuid, Vec<u8>) {
        let mut lives: Vec<Live> = exchanges.iter().map(|_| live()).collect();
        let (id, mut builder) = self.begin();
        for (live, bodies) in lives.iter_mut().zip(exchanges) {
            open(&mut builder, live, id);
            send(&mut builder, live, bodies);
            close(&mut builder, live);
        }
        self.end(id, builder)
    }

    fn begin(&self) -> (Uuid, Builder) {
        let id = Uuid::now_v7();
        let bytes = |id: Uuid| Bytes::copy_from_slice(id.as_bytes());
        let header = BundleHeader {
            proxy: "proxy-1".into(),
            bundle: bytes(id),
            chain: bytes(self.chain),
            number: self.number,
            previous_bundle: self.previous.map(|(id, _)| bytes(id)).unwrap_or_default(),
            previous_root: self.previous.map(|(_, root)| Bytes::copy_from_slice(&root.0)).unwrap_or_default(),
            ..BundleHeader::default()
        };
        (id, Builder::new(&header, &mut Tools::default()))
    }

    fn end(&mut self, id: Uuid, mut builder: Builder) -> (Uuid, Vec<u8>) {
        let root = builder.seal(Sealed::default());
        self.number += 1;
        self.previous = Some((id, root));
        (id, builder.ready().to_vec())
    }
}

fn live() -> Live {
    Live::new(Uuid::now_v7(), "session-1".into(), 0, Uuid::nil())
}

fn open(builder: &mut Builder, live: &mut Live, bundle: Uuid) {
    live.continue_in(bundle, 0);
    *live = Live::new(live.id(), "session-1".into(), 0, bundle);
    builder.push(&live.record(0, Event::Opened(Opened { session: "session-1".into(), ..Opened::default() })));
}

fn send(builder: &mut Builder, live: &mut Live, bodies: &[&[u8]]) {
    for body in bodies {
        live.digests.update(Direction::Request, body);
        builder.push(&live.record(1, Event::RequestData(Data { data: Bytes::copy_from_slice(body) })));
        builder.finish_chunk();
    }
}

fn close(builder: &mut Builder, live: &mut Live) {
    let (request, response) = live.digests.finish();
    let closed = Closed { outcome: Outcome::Complete, request, response };
    builder.push(&live.record(2, Event::Closed(convert::closed_to_proto(closed))));
}

fn small() -> Vec<u8> {
    Author::new().bundle(&[&[b"hello", b"world"], &[b"again"]]).1
}

/// Packs, as `git push` sends them, compress badly; JSON well. This has both.
fn large() -> Vec<u8> {
    let json = br#"{"kind":"Pod"}"#.repeat(40_000);
    let mut noise = vec![0; 600_000];
    aws_lc_rs::rand::fill(&mut noise).unwrap();
    Author::new().bundle(&[&[&json, &noise, &json], &[&noise]]).1
}

fn check(bytes: &[u8]) -> Report {
    verify_bundle(bytes).unwrap()
}

fn check_all(bundles: &[&(Uuid, Vec<u8>)]) -> Report {
    let mut verifier = Verifier::new("test", Part::AllSince(0));
    for (id, bytes) in bundles {
        verifier.begin(Some(*id));
        verifier.feed(bytes);
        verifier.end();
    }
    verifier.finish()
}

/// The frames of a bundle, as ranges.
fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut frames = Vec::new();
    let mut at = crate::format::PREAMBLE_LEN;
    while at + TRAILER_LEN < bytes.len() {
        let head = FrameHead::parse(bytes[at..at + HEAD_LEN].try_into().unwrap()).unwrap();
        frames.push(at..at + head.frame_len());
        at += head.frame_len();
    }
    frames
}

#[test]
fn what_was_written_is_intact() {
    let report = check(&small());
    assert!(report.is_intact(), "{report}");
    assert_eq!((report.complete, report.incomplete.len(), report.chunks), (2, 0, 4));
    assert!(check(&large()).is_intact());
}

#[test]
fn every_flipped_bit_is_found() {
    let good = small();
    for at in 0..good.len() {
        for bit in [0x01, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            assert!(!check(&bad).is_intact(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn every_cut_is_found() {
    let good = small();
    for length in 0..good.len() {
        let report = check(&good[..length]);
        assert!(!report.is_intact(), "cut to {length}");
    }
}

#[test]
fn every_removed_or_inserted_byte_is_found() {
    let good = small();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad.remove(at);
        assert!(!check(&bad).is_intact(), "byte {at} removed");
        let mut bad = good.clone();
        bad.insert(at, good[at]);
        assert!(!check(&bad).is_intact(), "byte {at} doubled");
    }
    let mut longer = good.clone();
    longer.push(0);
    assert!(
        matches!(&check(&longer).problems[0].kind, ProblemKind::Bundle(f) if f.kind == FaultKind::TrailingBytes)
    );
}

#[test]
fn removed_repeated_and_exchanged_frames_are_found() {
    let good = small();
    let frames = frames(&good);
    assert_eq!(frames.len(), 6);
    let rebuild = |order: &[usize]| {
        let mut bytes = good[..frames[0].start].to_vec();
        order.iter().for_each(|frame| bytes.extend_from_slice(&good[frames[*frame].clone()]));
        bytes.extend_from_slice(&good[good.len() - TRAILER_LEN..]);
        bytes
    };
    assert!(check(&rebuild(&[0, 1, 2, 3, 4, 5])).is_intact());
    for order in [
        &[1, 2, 3, 4, 5][..],
        &[0, 2, 3, 4, 5],
        &[0, 1, 2, 3, 5],
        &[0, 1, 2, 3, 4],
        &[0, 1, 1, 2, 3, 4, 5],
        &[0, 2, 1, 3, 4, 5],
        &[0, 1, 2, 4, 3, 5],
        &[0, 0, 1, 2, 3, 4, 5],
        &[0, 1, 2, 3, 4, 5, 5],
    ] {
        assert!(!check(&rebuild(order)).is_intact(), "{order:?}");
    }
}

/// Someone who knows the format forges a frame that is right in itself: checksum, sequence, lengths.
#[test]
fn a_forged_chunk_breaks_the_chain() {
    let good = small();
    let frames = frames(&good);
    let parse = |at: usize| FrameHead::parse(good[at..at + HEAD_LEN].try_into().unwrap()).unwrap();
    let head = parse(frames[2].start);
    let payload = head.payload(&Bytes::copy_from_slice(&good[frames[2].clone()])).unwrap();
    let forged: Vec<u8> = payload.iter().map(|byte| if *byte == b'w' { b'W' } else { *byte }).collect();
    assert_ne!(payload, forged);
    let before = parse(frames[1].start).link;

    for link in [head.link, before.of_chunk(head.sequence, &forged)] {
        let mut bad = good[..frames[2].start].to_vec();
        frame::write(&mut bad, &mut Packer::default(), false, FrameKind::Chunk, head.sequence, link, &forged);
        bad.extend_from_slice(&good[frames[2].end..]);
        let report = check(&bad);
        let is_chain =
            |kind: &ProblemKind| matches!(kind, ProblemKind::Bundle(f) if f.kind == FaultKind::Chain);
        assert!(report.problems.iter().any(|problem| is_chain(&problem.kind)), "{report}");
    }
}

/// The footer is checked against the chunks, not only against its own checksum.
#[test]
fn a_forged_footer_is_found() {
    let good = small();
    let place = frames(&good).pop().unwrap();
    let head = FrameHead::parse(good[place.start..place.start + HEAD_LEN].try_into().unwrap()).unwrap();
    let mut footer = head.payload(&Bytes::copy_from_slice(&good[place.clone()])).unwrap().to_vec();
    let at = footer.windows(9).position(|window| window == b"session-1").unwrap();
    footer[at] = b'S';
    let mut bad = good[..place.start].to_vec();
    let length = frame::write(
        &mut bad,
        &mut Packer::default(),
        false,
        FrameKind::Footer,
        head.sequence,
        head.link,
        &footer,
    );
    bad.extend_from_slice(&crate::format::trailer(place.start as u64, length.try_into().unwrap()));
    assert!(parse_trailer(bad.last_chunk().unwrap()).is_some());
    let report = check(&bad);
    assert!(
        matches!(&report.problems[0].kind, ProblemKind::Bundle(f) if f.kind == FaultKind::Footer),
        "{report}"
    );
}

#[test]
fn missing_exchanged_and_foreign_bundles_are_found() {
    let mut author = Author::new();
    let [a, b, c] = [author.bundle(&[&[b"a"]]), author.bundle(&[&[b"b"]]), author.bundle(&[&[b"c"]])];
    let report = check_all(&[&a, &b, &c]);
    assert!(report.is_intact(), "{report}");
    assert_eq!((report.chains[0].first, report.chains[0].last), (0, 2));

    let kind = |bundles: &[&(Uuid, Vec<u8>)]| check_all(bundles).problems.remove(0).kind;
    assert_eq!(kind(&[&a, &c]), ProblemKind::Missing { chain: author.chain, last: b.0, count: 1 });
    assert_eq!(kind(&[&b, &c]), ProblemKind::Missing { chain: author.chain, last: a.0, count: 1 });
    assert_eq!(kind(&[&c]), ProblemKind::Missing { chain: author.chain, last: b.0, count: 2 });
    assert_eq!(kind(&[&a, &c, &b]), ProblemKind::Missing { chain: author.chain, last: b.0, count: 1 });
    assert_eq!(kind(&[&a, &b, &b]), ProblemKind::Order { number: 1, after: 1 });
    assert_eq!(kind(&[&a, &(b.0, c.1.clone())]), ProblemKind::OtherName { named: b.0 });

    // A bundle written anew with other content, right in itself: the next one tells.
    let mut forger = Author { chain: author.chain, number: 1, previous: None };
    forger.previous = Some((a.0, check_all(&[&a]).chains[0].root.unwrap()));
    let forged = forger.bundle(&[&[b"B"]]);
    assert!(check_all(&[&a, &forged]).is_intact(), "right in itself");
    assert_eq!(kind(&[&a, &forged, &c]), ProblemKind::OtherPrevious { previous: b.0 });
}

#[test]
fn what_expired_is_not_missing() {
    let mut author = Author::new();
    let [a, b] = [author.bundle(&[&[b"a"]]), author.bundle(&[&[b"b"]])];
    let since = |millis| {
        let mut verifier = Verifier::new("test", Part::AllSince(millis));
        verifier.begin(Some(b.0));
        verifier.feed(&b.1);
        verifier.end();
        verifier.finish().is_intact()
    };
    let opened = crate::store::id_millis(a.0);
    assert!(!since(opened));
    assert!(since(opened + 1));
}

#[test]
fn an_exchange_is_followed_across_bundles() {
    let mut author = Author::new();
    let mut live = live();
    let (first, mut builder) = author.begin();
    open(&mut builder, &mut live, first);
    send(&mut builder, &mut live, &[b"one"]);
    let one = author.end(first, builder);

    let (second, mut builder) = author.begin();
    builder.push(&live.continue_in(second, 5).unwrap());
    send(&mut builder, &mut live, &[b"two"]);
    let without_end = check_all(&[&one]);
    assert!(without_end.is_intact());
    assert_eq!(without_end.incomplete[0].exchange, live.id());
    close(&mut builder, &mut live);
    let two = author.end(second, builder);

    let report = check_all(&[&one, &two]);
    assert!(report.is_intact() && report.complete == 1 && report.incomplete.is_empty(), "{report}");
    let report = check(&two.1);
    assert!(report.is_intact() && report.unchecked == 1 && report.complete == 0, "{report}");
}

#[test]
fn an_exchange_that_lies_about_itself_is_found() {
    let kind = |write: &dyn Fn(&mut Builder, &mut Live)| {
        let mut author = Author::new();
        let mut live = live();
        let (id, mut builder) = author.begin();
        open(&mut builder, &mut live, id);
        write(&mut builder, &mut live);
        let bundle = author.end(id, builder);
        let ProblemKind::Exchange(fault) = check_all(&[&bundle]).problems.remove(0).kind else { panic!() };
        fault
    };
    let unsent = kind(&|builder, live| {
        live.digests.update(Direction::Response, b"never recorded");
        close(builder, live);
    });
    assert_eq!(unsent, ExchangeFault::Digest(Direction::Response));
    let twice = kind(&|builder, live| builder.push(&live.record(0, Event::Opened(Opened::default()))));
    assert_eq!(twice, ExchangeFault::Opening);
    let skipped = kind(&|builder, live| {
        live.record(0, Event::Forwarded(Default::default()));
        close(builder, live);
    });
    assert_eq!(skipped, ExchangeFault::Sequence { expected: 1, found: 2 });
    let reopened = kind(&|builder, live| {
        close(builder, live);
        builder.push(&live.record(9, Event::Forwarded(Default::default())));
    });
    assert_eq!(reopened, ExchangeFault::Sequence { expected: 0, found: 2 });
}

#[test]
fn reports_are_for_people() {
    let mut author = Author::new();
    author.chain = Uuid::nil();
    let mut live = live();
    let (id, mut builder) = author.begin();
    open(&mut builder, &mut live, id);
    let root = builder.seal(Sealed { recovered: true, cut_bytes: 17, at_micros: 0 });
    let one = (id, builder.ready().to_vec());
    author.number = 2;
    author.previous = Some((Uuid::nil(), root));
    let (second, mut bytes) = author.bundle(&[&[b"x"]]);
    let at = frames(&bytes)[1].end - 5;
    bytes[at] ^= 1;
    let text = check_all(&[&one, &(second, bytes)]).to_string();
    let text = text
        .replace(&id.to_string(), "<first>")
        .replace(&second.to_string(), "<second>")
        .replace(&live.id().to_string(), "<exchange>");
    insta::assert_snapshot!(text, @r"
    checked     test: bundles 2, chunks 1, records 2, bytes 935
    chain       00000000-0000-0000-0000-000000000000 of proxy proxy-1: bundles 0 to 2
    exchanges   complete 0, incomplete 1, not checked 0
    incomplete  exchange <exchange> of session session-1: no end, last seen in bundle <first>
    recovered   bundle <first>: sealed after a crash, 17 bytes of an unfinished write cut off
    WRONG       bundle <second>: missing before it in chain 00000000-0000-0000-0000-000000000000: 1, the last of them 00000000-0000-0000-0000-000000000000
    WRONG       bundle <second>: chunk 0, offset 157: the checksum is wrong
    result      DAMAGED
    ");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn flips_in_a_large_bundle_are_found(places in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4)) {
        let mut bytes = LARGE.with(Clone::clone);
        let good = bytes.clone();
        for (place, bit) in places {
            let at = place.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        prop_assert_eq!(check(&bytes).is_intact(), bytes == good);
    }

    #[test]
    fn nonsense_is_refused(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz_bundle(&data);
        prop_assert!(!check(&data).is_intact());
    }

    #[test]
    fn changed_bundles_never_panic(
        place in any::<prop::sample::Index>(),
        patch in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut data = small();
        let at = place.index(data.len());
        let end = data.len().min(at + patch.len());
        data.splice(at..end, patch);
        fuzz_bundle(&data);
    }
}

thread_local! {
    static LARGE: Vec<u8> = large();
}
