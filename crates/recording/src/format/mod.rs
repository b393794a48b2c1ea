//! The bytes of a `.lgr` bundle: frames, the chain that links them, the index at the end. No I/O here.
//!
//! ```text
//! preamble  "\x89LGR\r\n\x1a\n", version u32
//! header    one frame: BundleHeader
//! chunks    frames of at most 1 MiB before compression: Records, each after its length as a varint
//! footer    one frame: Footer, an index that can be rebuilt from the chunks
//! trailer   offset of the footer u64, length of the footer frame u32, crc32c of these u32, "LGR\x89END\n"
//!
//! frame     magic "LGRH" | "LGRC" | "LGRF"
//!           codec u8 (0 stored, 1 zstd), 3 zero bytes
//!           raw length u32, stored length u32
//!           sequence u64: 0 for the header, from 0 for chunks, the number of chunks for the footer
//!           link: 32 bytes of SHA-256
//!           the payload as stored
//!           crc32c u32 of everything in the frame before it
//! ```
//! Integers are little-endian. Links cover what the payloads say, not how they are compressed; see [`chain`].

pub(crate) mod buffer;
pub(crate) mod builder;
pub(crate) mod bundle;
pub(crate) mod chain;
pub(crate) mod fault;
pub(crate) mod frame;
pub(crate) mod index;
pub(crate) mod pack;
pub(crate) mod records;
pub(crate) mod scan;

/// The first bytes of every bundle. Not text, and broken by whoever translates line ends.
pub(crate) const MAGIC: [u8; 8] = *b"\x89LGR\r\n\x1a\n";
/// The version of the format.
pub(crate) const VERSION: u32 = 1;
/// The preamble: magic and version.
pub(crate) const PREAMBLE_LEN: usize = 12;
/// The last bytes of every sealed bundle.
pub(crate) const END: [u8; 8] = *b"LGR\x89END\n";
/// The trailer: footer offset, footer length, checksum, end.
pub(crate) const TRAILER_LEN: usize = 24;

/// The preamble that this version writes.
pub(crate) fn preamble() -> [u8; PREAMBLE_LEN] {
    let mut bytes = [0; PREAMBLE_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..].copy_from_slice(&VERSION.to_le_bytes());
    bytes
}

/// The trailer of a bundle whose footer frame has this place and length.
pub(crate) fn trailer(footer_offset: u64, footer_len: u32) -> [u8; TRAILER_LEN] {
    let mut bytes = [0; TRAILER_LEN];
    bytes[..8].copy_from_slice(&footer_offset.to_le_bytes());
    bytes[8..12].copy_from_slice(&footer_len.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    bytes[16..].copy_from_slice(&END);
    bytes
}

/// Offset and length of the footer frame, from the last bytes of a bundle.
pub(crate) fn parse_trailer(bytes: &[u8; TRAILER_LEN]) -> Option<(u64, u32)> {
    let offset = u64::from_le_bytes(*bytes.first_chunk()?);
    let length = u32::from_le_bytes(*bytes[8..].first_chunk()?);
    (trailer(offset, length) == *bytes).then_some((offset, length))
}
