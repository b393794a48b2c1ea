//! What the fuzz targets of streams run; also run on random input by the tests.

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use lockgate_detect::{KnownValues, MaskOptions, Masker, RuleSet, TagKey};

use super::{
    Fault, Limits, Maskers, Purpose, StreamError, Subprotocol, Transport, Upgrade, halves,
    reader::Seen,
    readers,
    transcript::{Asciicast, Summary, Transcript},
};
use crate::parse::side::Side;

/// What each channel says.
type Said = BTreeMap<u32, Vec<u8>>;

/// Reads anything as both directions of a stream, whole and in pieces, which must come to the same: what is told of
/// the client, and what is shown of the upstream, masked. What is shown must be a stream again.
///
/// The first byte says which transport, the second how long the pieces are, the next two how much is the client's.
#[doc(hidden)]
pub fn fuzz_stream(data: &[u8]) {
    let Some(([kind, size, high, low], rest)) = data.split_first_chunk() else { return };
    let upgrade = upgrade(*kind);
    let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (client, server) = rest.split_at(length);
    let whole = run(&upgrade, client, server, usize::MAX);
    let pieces = run(&upgrade, client, server, usize::from(*size).max(1));
    assert_eq!(whole, pieces, "in pieces of {size}");
    describe(&upgrade, client, server);
}

fn upgrade(kind: u8) -> Upgrade {
    let transport = match kind % 4 {
        0 => Transport::WebSocket(Subprotocol::V4),
        1 => Transport::WebSocket(Subprotocol::V5),
        2 => Transport::WebSocket(Subprotocol::Tunnel),
        _ => Transport::Spdy,
    };
    let purpose = if kind & 4 == 0 { Purpose::Command } else { Purpose::Forward(vec![80, 5432]) };
    Upgrade { transport, purpose }
}

fn maskers() -> Maskers {
    static RULES: LazyLock<(RuleSet, KnownValues)> = LazyLock::new(|| {
        let known = KnownValues::new();
        known.add("fuzz", b"correct horse").expect("it is long enough");
        (RuleSet::only("").expect("there are none"), known)
    });
    let (rules, known) = &*RULES;
    Box::new(|_| Some(Masker::new(rules, known, &TagKey::new(b"fuzz"), MaskOptions::default())))
}

fn run(
    upgrade: &Upgrade,
    client: &[u8],
    server: &[u8],
    size: usize,
) -> (Result<(), Fault>, Result<Said, Fault>) {
    let (mut client_half, mut server_half) =
        halves(upgrade, Limits::default(), Box::new(|_| Ok(())), Some(maskers()));
    let passed = pieces(client, size).try_for_each(|piece| client_half.push(piece));
    let passed = passed.and_then(|()| client_half.finish());
    let mut shown = Vec::new();
    let mut end = Ok(());
    for piece in pieces(server, size) {
        end = server_half.push(piece);
        shown.extend(server_half.take().into_iter().flatten());
        if end.is_err() {
            break;
        }
    }
    if end.is_ok() {
        end = server_half.finish();
        shown.extend(server_half.take().into_iter().flatten());
    }
    let fault = |error: StreamError| error.fault;
    let said = end.map_err(fault).map(|()| read(upgrade, client, &shown));
    (passed.map_err(fault), said)
}

/// What each channel says to a client. What was shown is well formed, or the masking is not.
fn read(upgrade: &Upgrade, client: &[u8], shown: &[u8]) -> Said {
    let (_, [mut client_reader, mut reader]) = readers(upgrade, Limits::default());
    // What it opened until its fault was opened.
    let _ = client_reader.read(client, &mut |_| Ok(()));
    let mut said = Said::new();
    let read = reader.read(shown, &mut |seen| {
        if let Seen::Bytes { id, bytes, .. } = seen {
            said.entry(id).or_default().extend_from_slice(bytes);
        }
        Ok(())
    });
    assert_eq!(read.and_then(|()| reader.finish()), Ok(()), "{}", shown.escape_ascii());
    said
}

fn describe(upgrade: &Upgrade, client: &[u8], server: &[u8]) {
    let command = ["tar", "cf", "-"].map(str::to_owned);
    for command in [&command[..], &[]] {
        let mut transcript = Transcript::new(upgrade);
        let (mut cast, mut lines, mut summary) =
            (Asciicast::new(None, "fuzz"), String::new(), Summary::new(command, 1000));
        for (side, bytes) in [(Side::Client, client), (Side::Server, server)] {
            transcript.push(Duration::ZERO, side, bytes, &mut |moment| {
                cast.push(moment, &mut lines);
                summary.push(moment);
            });
        }
        cast.finish(&mut lines);
        for line in lines.lines() {
            assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
        }
        let _ = summary.copied();
    }
}

fn pieces(wire: &[u8], size: usize) -> impl Iterator<Item = &[u8]> {
    wire.chunks(size)
}
