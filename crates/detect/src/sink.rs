//! Where masked bytes go and how they come in: `Input` and `Sink` let one masker serve plain slices and
//! shared `Bytes`, and pass on unmasked parts of a `Bytes` without copying them.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

/// Bytes to be masked.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Borrowed: a sink that keeps it must copy.
    Slice(&'a [u8]),
    /// Shared: a sink can keep a part of it without a copy.
    Shared(&'a Bytes),
}

impl<'a> Input<'a> {
    pub(crate) fn as_slice(self) -> &'a [u8] {
        match self {
            Input::Slice(slice) => slice,
            Input::Shared(bytes) => bytes,
        }
    }

    pub(crate) fn part(self, range: Range<usize>) -> Piece<'a> {
        match self {
            Input::Slice(slice) => Piece::Slice(&slice[range]),
            Input::Shared(bytes) => Piece::Shared(bytes, range),
        }
    }
}

impl<'a> From<&'a [u8]> for Input<'a> {
    fn from(slice: &'a [u8]) -> Self {
        Input::Slice(slice)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Input<'a> {
    fn from(slice: &'a [u8; N]) -> Self {
        Input::Slice(slice)
    }
}

impl<'a> From<&'a Vec<u8>> for Input<'a> {
    fn from(slice: &'a Vec<u8>) -> Self {
        Input::Slice(slice)
    }
}

impl<'a> From<&'a str> for Input<'a> {
    fn from(text: &'a str) -> Self {
        Input::Slice(text.as_bytes())
    }
}

impl<'a> From<&'a Bytes> for Input<'a> {
    fn from(bytes: &'a Bytes) -> Self {
        Input::Shared(bytes)
    }
}

/// One piece of output, in order.
#[derive(Clone, Debug)]
pub enum Piece<'a> {
    /// Bytes that live only for this call.
    Slice(&'a [u8]),
    /// A part of the shared input, untouched.
    Shared(&'a Bytes, Range<usize>),
}

impl Piece<'_> {
    /// The bytes of this piece.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Piece::Slice(slice) => slice,
            Piece::Shared(bytes, range) => &bytes[range.clone()],
        }
    }

    /// The piece as `Bytes`: shared where the input was shared, copied where not.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Piece::Slice(slice) => Bytes::copy_from_slice(slice),
            Piece::Shared(bytes, range) => bytes.slice(range.clone()),
        }
    }
}

impl Piece<'_> {
    /// The piece as input for the next stage, shared where it was shared.
    pub(crate) fn with_input<T>(&self, next: impl FnOnce(Input<'_>) -> T) -> T {
        match self {
            Piece::Slice(slice) => next(Input::Slice(slice)),
            Piece::Shared(bytes, range) => next(Input::Shared(&bytes.slice(range.clone()))),
        }
    }
}

/// Takes the masked stream.
pub trait Sink {
    /// Takes the next piece; pieces are never empty.
    fn put(&mut self, piece: Piece<'_>);
}

impl Sink for Vec<u8> {
    fn put(&mut self, piece: Piece<'_>) {
        self.extend_from_slice(piece.as_slice());
    }
}

impl Sink for Vec<Bytes> {
    fn put(&mut self, piece: Piece<'_>) {
        self.push(piece.to_bytes());
    }
}

impl Sink for VecDeque<Bytes> {
    fn put(&mut self, piece: Piece<'_>) {
        self.push_back(piece.to_bytes());
    }
}

/// Throws the output away: for a masker that is used to find only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Sink for Discard {
    fn put(&mut self, _: Piece<'_>) {}
}
