//! The heads of a pack and of its entries. Pure: what is not there yet is asked for.

use super::PackError;
use crate::oid::{ObjectFormat, Oid};

/// Bytes of a pack's head.
pub(super) const HEAD: usize = 12;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    /// The word by which an object's name begins to be computed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// How an entry is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// As itself.
    Whole(Kind),
    /// As a delta against the entry at this offset.
    OffsetDelta(u64),
    /// As a delta against this object.
    RefDelta(Oid),
}

/// The head of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) stored: Stored,
    /// Bytes of the inflated object or delta.
    pub(super) size: u64,
}

/// The number of entries that the pack says it holds.
pub(super) fn count(head: [u8; HEAD]) -> Result<u32, PackError> {
    let [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3, count @ ..] = head else {
        return Err(PackError::Malformed("its header is not that of version 2 or 3"));
    };
    Ok(u32::from_be_bytes(count))
}

impl Entry {
    /// Reads the head of the entry that is `start` bytes into the pack, and how long it is; `None` where
    /// it goes on behind these bytes.
    pub(super) fn parse(
        bytes: &[u8],
        start: u64,
        format: ObjectFormat,
    ) -> Result<Option<(Self, usize)>, PackError> {
        let mut rest = bytes;
        let Some(first) = rest.split_off_first() else { return Ok(None) };
        let (mut size, mut shift, mut byte) = (u64::from(first & 0x0f), 4, *first);
        while byte & 0x80 != 0 {
            let Some(next) = rest.split_off_first() else { return Ok(None) };
            byte = *next;
            let bits = u64::from(byte & 0x7f);
            if shift > 63 || bits << shift >> shift != bits {
                return Err(PackError::Malformed("a size has too many digits"));
            }
            size |= bits << shift;
            shift += 7;
        }
        let stored = match (first >> 4) & 7 {
            1 => Some(Stored::Whole(Kind::Commit)),
            2 => Some(Stored::Whole(Kind::Tree)),
            3 => Some(Stored::Whole(Kind::Blob)),
            4 => Some(Stored::Whole(Kind::Tag)),
            6 => base_offset(&mut rest, start)?.map(Stored::OffsetDelta),
            7 => rest.split_off(..format.width()).and_then(Oid::from_bytes).map(Stored::RefDelta),
            _ => return Err(PackError::Malformed("an entry of no known type")),
        };
        Ok(stored.map(|stored| (Self { stored, size }, bytes.len() - rest.len())))
    }
}

/// The place of the base, from a distance in the form in which each has one writing only.
fn base_offset(rest: &mut &[u8], start: u64) -> Result<Option<u64>, PackError> {
    let outside = PackError::Malformed("a delta against what is before the pack");
    let Some(mut byte) = rest.split_off_first().copied() else { return Ok(None) };
    let mut distance = u64::from(byte & 0x7f);
    while byte & 0x80 != 0 {
        let Some(next) = rest.split_off_first() else { return Ok(None) };
        byte = *next;
        if distance > start {
            return Err(outside);
        }
        distance = ((distance + 1) << 7) | u64::from(byte & 0x7f);
    }
    start.checked_sub(distance).filter(|_| distance > 0).map(Some).ok_or(outside)
}
