//! Frames: the head with its lengths, sequence and link, the payload, the checksum.

use bytes::Bytes;

use super::{chain::Link, fault::FaultKind, pack, pack::Packer};

/// The length of a frame before its payload.
pub(crate) const HEAD_LEN: usize = 56;
/// The length of the checksum after the payload.
pub(crate) const SUM_LEN: usize = 4;
/// The most that a chunk holds before compression.
pub(crate) const CHUNK_MAX: usize = 1 << 20;
/// The most that a header holds before compression.
const HEADER_MAX: usize = 1 << 20;
/// The most that a footer holds before compression.
pub(crate) const FOOTER_MAX: usize = 64 << 20;

const STORED: u8 = 0;
const ZSTD: u8 = 1;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Header,
    Chunk,
    Footer,
}

impl FrameKind {
    fn magic(self) -> [u8; 4] {
        match self {
            Self::Header => *b"LGRH",
            Self::Chunk => *b"LGRC",
            Self::Footer => *b"LGRF",
        }
    }

    fn limit(self) -> usize {
        match self {
            Self::Header => HEADER_MAX,
            Self::Chunk => CHUNK_MAX,
            Self::Footer => FOOTER_MAX,
        }
    }
}

/// The head of a frame, its lengths within the limits of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) kind: FrameKind,
    packed: bool,
    raw_len: u32,
    stored_len: u32,
    pub(crate) sequence: u64,
    pub(crate) link: Link,
}

impl FrameHead {
    /// Reads the head of a frame. Sizes are checked here, before anyone allocates for them.
    pub(crate) fn parse(bytes: &[u8; HEAD_LEN]) -> Result<Self, FaultKind> {
        let kind = [FrameKind::Header, FrameKind::Chunk, FrameKind::Footer]
            .into_iter()
            .find(|kind| bytes[..4] == kind.magic())
            .ok_or(FaultKind::NoFrame)?;
        let raw_len = u32_at(bytes, 8);
        let stored_len = u32_at(bytes, 12);
        if raw_len as usize > kind.limit() {
            return Err(FaultKind::FrameTooLarge { size: raw_len.into(), limit: kind.limit() as u64 });
        }
        let packed = match (bytes[4], stored_len.cmp(&raw_len)) {
            (STORED, std::cmp::Ordering::Equal) => false,
            (ZSTD, std::cmp::Ordering::Less) => true,
            _ => return Err(FaultKind::BadFrameHead),
        };
        if raw_len == 0 || bytes[5..8] != [0; 3] {
            return Err(FaultKind::BadFrameHead);
        }
        let mut sequence = [0; 8];
        sequence.copy_from_slice(&bytes[16..24]);
        let mut link = [0; 32];
        link.copy_from_slice(&bytes[24..56]);
        Ok(Self {
            kind,
            packed,
            raw_len,
            stored_len,
            sequence: u64::from_le_bytes(sequence),
            link: Link(link),
        })
    }

    /// The length of the whole frame.
    pub(crate) fn frame_len(&self) -> usize {
        HEAD_LEN + self.stored_len as usize + SUM_LEN
    }

    /// Checks a whole frame, whose head this is, and gives its payload as it was before compression.
    pub(crate) fn payload(&self, frame: &Bytes) -> Result<Bytes, FaultKind> {
        let (body, sum) = frame.split_at(frame.len().saturating_sub(SUM_LEN));
        if frame.len() != self.frame_len() || crc32c::crc32c(body).to_le_bytes() != sum {
            return Err(FaultKind::Checksum);
        }
        let stored = frame.slice(HEAD_LEN..HEAD_LEN + self.stored_len as usize);
        if !self.packed {
            return Ok(stored);
        }
        pack::unpack(&stored, self.raw_len as usize).map(Bytes::from).ok_or(FaultKind::Compression)
    }
}

/// Appends a frame to `out` and says how long it is.
pub(crate) fn write(
    out: &mut Vec<u8>,
    packer: &mut Packer,
    hurried: bool,
    kind: FrameKind,
    sequence: u64,
    link: Link,
    raw: &[u8],
) -> usize {
    let start = begin(out);
    out.extend_from_slice(raw);
    finish(out, start, packer, hurried, kind, sequence, link)
}

/// Begins a frame at the end of `out`, and says where: its payload is to be appended.
pub(crate) fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + HEAD_LEN, 0);
    start
}

/// Finishes the frame that begins here and whose payload is there to the end of `out`. Says how long it is. The payload
/// stays where it is, unless it is packed.
pub(crate) fn finish(
    out: &mut Vec<u8>,
    start: usize,
    packer: &mut Packer,
    hurried: bool,
    kind: FrameKind,
    sequence: u64,
    link: Link,
) -> usize {
    let payload = start + HEAD_LEN;
    let raw = &out[payload..];
    debug_assert!(!raw.is_empty() && raw.len() <= kind.limit(), "a frame stays in its limits");
    let raw_len = len32(raw);
    let packed = packer.pack(raw, hurried);
    if let Some(packed) = &packed {
        out.truncate(payload);
        out.extend_from_slice(packed);
    }
    let stored_len = len32(&out[payload..]);
    let head = &mut out[start..payload];
    head[..4].copy_from_slice(&kind.magic());
    head[4..8].copy_from_slice(&[if packed.is_some() { ZSTD } else { STORED }, 0, 0, 0]);
    head[8..12].copy_from_slice(&raw_len.to_le_bytes());
    head[12..16].copy_from_slice(&stored_len.to_le_bytes());
    head[16..24].copy_from_slice(&sequence.to_le_bytes());
    head[24..].copy_from_slice(&link.0);
    let sum = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
    out.len() - start
}

fn len32(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("frames are bounded far below 4 GiB")
}

fn u32_at(bytes: &[u8; HEAD_LEN], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
