//! Anything as a pack: what the fuzz targets in `fuzz/` run; the tests run it on random input, too.

use std::{
    io::Write as _,
    ops::ControlFlow,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use flate2::{Compression, write::ZlibEncoder};

use super::alone::through;
use crate::{
    config::InspectConfig,
    facts::Wanted,
    oid::{ObjectFormat, Oid},
    pack::{self, Budget, Commit, Event, Kind},
};

/// Reads anything as a pack: its commits alone; then, with a checksum that is right, all of it, and what each
/// of its objects would bring as the new tip of a ref. Whether it is a pack does not matter, only that it
/// ends, and without panic.
#[doc(hidden)]
pub fn fuzz_pack(bytes: &[u8]) {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let _ = pack::scan(&bytes, format, &budget(), |event| {
            if let Event::Commit(name, content) = event {
                Commit::parse(*name, content);
            }
            ControlFlow::Continue(())
        });
        inspect(bytes, format);
    }
}

/// Reads anything as a list of objects and deltas, of which a pack is made that holds them as they are: few
/// inputs of [`fuzz_pack`] get past zlib.
///
/// Each begins with its type as packs number them, and two bytes of its length. The first byte of a delta
/// says how many entries before it its base is.
#[doc(hidden)]
pub fn fuzz_objects(bytes: &[u8]) {
    let (mut rest, mut entries, mut bases) = (bytes, Vec::new(), Vec::new());
    while let Some([kind, high, low]) = rest.split_off(..3) {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (content, after) = rest.split_at(length);
        rest = after;
        let start = entries.len() as u64;
        let Ok(name) = entry(&mut entries, kind & 7, content, &bases) else { return };
        bases.push((start, name));
    }
    let count = (bases.len() as u32).to_be_bytes();
    inspect(&[b"PACK\0\0\0\x02", &count[..], &entries].concat(), ObjectFormat::Sha1);
}

fn entry(
    entries: &mut Vec<u8>,
    kind: u8,
    content: &[u8],
    bases: &[(u64, Oid)],
) -> Result<Oid, pack::PackError> {
    let start = entries.len() as u64;
    let base = content.first().and_then(|back| bases.len().checked_sub(usize::from(*back)));
    let (kind, base, content) = match (kind, base.and_then(|base| bases.get(base))) {
        (6, Some((offset, _))) => (6, distance(start - offset), &content[1..]),
        (7, Some((_, name))) => (7, name.as_bytes().to_vec(), &content[1..]),
        (1..=4, _) => (kind, Vec::new(), content),
        _ => (3, Vec::new(), content),
    };
    let size = content.len();
    entries.extend([
        0x80 | kind << 4 | (size & 15) as u8,
        0x80 | (size >> 4 & 0x7f) as u8,
        (size >> 11) as u8,
    ]);
    entries.extend(base);
    let mut zlib = ZlibEncoder::new(entries, Compression::none());
    zlib.write_all(content).and_then(|()| zlib.try_finish())?;
    // No other delta can stand on what a delta makes by its name, but by its place.
    let kinds = [Kind::Commit, Kind::Tree, Kind::Blob, Kind::Tag];
    let kind = kinds.get(usize::from(kind) - 1).copied().unwrap_or(Kind::Blob);
    pack::name(ObjectFormat::Sha1, kind, content)
}

/// A distance as offset deltas have it: each digit but the last stands for one more than it says.
fn distance(distance: u64) -> Vec<u8> {
    let (mut left, mut digits) = (distance >> 7, vec![(distance & 0x7f) as u8]);
    while left > 0 {
        left -= 1;
        digits.insert(0, 0x80 | (left & 0x7f) as u8);
        left >>= 7;
    }
    digits
}

fn inspect(pack: &[u8], format: ObjectFormat) {
    let Ok(checksum) = pack::checksum(format, pack) else { return };
    let wanted = Wanted { history: true, paths: true, content: true };
    let limits = InspectConfig { objects: 1000, object: 1 << 20, held: 1 << 20, ..InspectConfig::default() };
    let config = InspectConfig { wanted, paths: 100, path: 100, findings: 10, ..limits };
    let pack = [pack, checksum.as_bytes()].concat();
    let _ = through(&*pack, format, &Arc::new(config), &budget(), None);
}

/// One that makes anything end soon.
fn budget() -> Budget {
    let inflate = Arc::new(AtomicU64::new(16 << 20));
    Budget { inflate, ..Budget::new(1000, Instant::now() + Duration::from_secs(1)) }
}
