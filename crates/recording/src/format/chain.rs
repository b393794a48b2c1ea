//! The hash chain of a bundle.
//!
//! ```text
//! link of the header   SHA-256("lockgate bundle header\n" preamble payload)
//! link of chunk n      SHA-256("lockgate bundle chunk\n" link before, n as u64, payload)
//! ```
//! Payloads are hashed before compression, so that the chain outlives any change of their packing. The link of
//! the last chunk is the root of the bundle; the next bundle of the same proxy names it in its header.

use std::fmt;

use crate::sha256::Sha256;

const HEADER: &[u8] = b"lockgate bundle header\n";
const CHUNK: &[u8] = b"lockgate bundle chunk\n";

/// One link of the chain, or the root of a bundle.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link(pub [u8; 32]);

impl Link {
    pub(crate) fn of_header(preamble: &[u8], payload: &[u8]) -> Self {
        Self(begun(&[HEADER, preamble, payload]).finish())
    }

    pub(crate) fn of_chunk(self, sequence: u64, payload: &[u8]) -> Self {
        let mut next = self.next(sequence);
        next.update(payload);
        Self(next.finish())
    }

    /// What makes the link of the next chunk, by its payload.
    pub(crate) fn next(self, sequence: u64) -> Sha256 {
        begun(&[CHUNK, &self.0, &sequence.to_le_bytes()])
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({self})")
    }
}

fn begun(parts: &[&[u8]]) -> Sha256 {
    let mut sha256 = Sha256::default();
    parts.iter().for_each(|part| sha256.update(part));
    sha256
}
