//! The hash chain of a bundle.
//!
//! ```text
//! link of the header   SHA-256("lockgate bundle header\n" preamble payload)
//! link of chunk n      SHA-256("lockgate bundle chunk\n" link before, n as u64, payload)
//! ```
//! Payloads are hashed before compression, so that the chain outlives any change of their packing. The link of
//! the last chunk is the root of the bundle; the next bundle of the same proxy names it in its header.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

const HEADER: &[u8] = b"lockgate bundle header\n";
const CHUNK: &[u8] = b"lockgate bundle chunk\n";

/// One link of the chain, or the root of a bundle.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link(pub [u8; 32]);

impl Link {
    pub(crate) fn of_header(preamble: &[u8], payload: &[u8]) -> Self {
        Self(sha256(&[HEADER, preamble, payload]))
    }

    pub(crate) fn of_chunk(self, sequence: u64, payload: &[u8]) -> Self {
        Self(sha256(&[CHUNK, &self.0, &sequence.to_le_bytes(), payload]))
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

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}
