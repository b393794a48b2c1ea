//! Packs written by hand, which may be none that git writes.

use std::io::Write as _;

use flate2::{Compression, write::ZlibEncoder};

use crate::{
    oid::{ObjectFormat, Oid},
    pack::{Kind, checksum, name},
};

/// A zlib stream.
pub(crate) fn zlib(data: &[u8]) -> Vec<u8> {
    deflated(data, 9)
}

/// The same, at a level from 0 to 9.
pub(crate) fn deflated(data: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// An entry that says of itself what the arguments say.
pub(crate) fn entry(kind: u8, size: u64, base: &[u8], stream: &[u8]) -> Vec<u8> {
    let (mut head, mut rest) = (vec![(kind << 4) | (size & 15) as u8], size >> 4);
    while rest > 0 {
        *head.last_mut().unwrap() |= 0x80;
        head.push((rest & 0x7f) as u8);
        rest >>= 7;
    }
    [&head, base, stream].concat()
}

/// A pack without its checksum.
pub(crate) fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
    let count = u32::try_from(entries.len()).unwrap().to_be_bytes();
    [b"PACK\0\0\0\x02", &count[..], &entries.concat()].concat()
}

/// A pack with its checksum.
pub(crate) fn sealed(format: ObjectFormat, entries: &[Vec<u8>]) -> Vec<u8> {
    let pack = pack(entries);
    let checksum = checksum(format, &pack).unwrap();
    [&pack, checksum.as_bytes()].concat()
}

/// An object that is what it says.
pub(crate) fn object(kind: Kind, content: &[u8]) -> Vec<u8> {
    let number = match kind {
        Kind::Commit => 1,
        Kind::Tree => 2,
        Kind::Blob => 3,
        Kind::Tag => 4,
    };
    entry(number, content.len() as u64, b"", &zlib(content))
}

/// A delta that makes `new` of whatever is `base` bytes long, and copies nothing from it.
pub(crate) fn delta(base: usize, new: &[u8]) -> Vec<u8> {
    let size =
        |size: usize| [(size & 0x7f) as u8 | 0x80, (size >> 7 & 0x7f) as u8 | 0x80, (size >> 14) as u8];
    let parts = new.chunks(127).flat_map(|part| [&[part.len() as u8], part].concat());
    [size(base), size(new.len())].concat().into_iter().chain(parts).collect()
}

/// A delta as an entry, against a named object.
pub(crate) fn ref_delta(base: &Oid, delta: &[u8]) -> Vec<u8> {
    entry(7, delta.len() as u64, base.as_bytes(), &zlib(delta))
}

pub(crate) fn named(format: ObjectFormat, kind: Kind, content: &[u8]) -> Oid {
    name(format, kind, content).unwrap()
}
