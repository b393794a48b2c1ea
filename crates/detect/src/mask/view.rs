//! The bytes that the engine can still see: what it kept of earlier input, and the input of this call.

use std::borrow::Cow;

/// Bytes kept from earlier input. The front is dropped by moving an index, and the space is taken back once
/// more is dropped than kept, so that keeping costs the same however small the steps are.
#[derive(Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    dropped: usize,
    /// The position of the first byte kept.
    base: u64,
}

impl Kept {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.dropped..]
    }

    /// Keeps what is at `from` and later, of what was kept and of `input`, which follows it.
    pub(super) fn keep(&mut self, from: u64, input: &[u8]) {
        let kept = self.as_slice().len();
        let drop = usize::try_from(from - self.base).unwrap_or(usize::MAX);
        self.base = from;
        if drop >= kept {
            self.bytes.clear();
            self.dropped = 0;
            self.bytes.extend_from_slice(&input[(drop - kept).min(input.len())..]);
        } else {
            self.dropped += drop;
            if self.dropped > self.bytes.len() / 2 {
                self.bytes.drain(..self.dropped);
                self.dropped = 0;
            }
            self.bytes.extend_from_slice(input);
        }
        if self.bytes.capacity() > 4096 && self.bytes.len() < 1024 {
            self.bytes.shrink_to(2048);
        }
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Positions count from the beginning of the stream.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub kept: &'a [u8],
    pub base: u64,
    pub input: &'a [u8],
}

impl<'a> View<'a> {
    /// The position of the first byte of the input.
    pub(super) fn seam(&self) -> u64 {
        self.base + self.kept.len() as u64
    }

    pub(super) fn byte(&self, at: u64) -> Option<u8> {
        if at >= self.seam() {
            self.input.get((at - self.seam()) as usize).copied()
        } else {
            self.kept.get(at.checked_sub(self.base)? as usize).copied()
        }
    }

    /// The bytes in `from..to`, as far as they are there, in two parts.
    pub(super) fn parts(&self, from: u64, to: u64) -> (&'a [u8], &'a [u8]) {
        (cut(self.kept, self.base, from, to), cut(self.input, self.seam(), from, to))
    }

    pub(super) fn slice(&self, from: u64, to: u64) -> Cow<'a, [u8]> {
        match self.parts(from, to) {
            (kept, []) => Cow::Borrowed(kept),
            ([], input) => Cow::Borrowed(input),
            (kept, input) => Cow::Owned([kept, input].concat()),
        }
    }
}

fn cut(bytes: &[u8], base: u64, from: u64, to: u64) -> &[u8] {
    let clamp = |at: u64| at.saturating_sub(base).min(bytes.len() as u64) as usize;
    &bytes[clamp(from)..clamp(to).max(clamp(from))]
}
