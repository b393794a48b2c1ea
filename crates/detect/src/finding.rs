//! What is told about a secret that was found: everything but the secret.

use std::sync::Arc;

use crate::tag::Tag;

/// A secret was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The id of the rule, or the name of the known value.
    pub rule: Arc<str>,
    /// Where the secret begins, in bytes from the beginning of the stream as it came in; where what is
    /// decoded begins, for one found within.
    pub offset: u64,
    /// The secret's length in bytes.
    pub length: u64,
    /// The line on which it begins, from 1; zero for one found within what is decoded.
    pub line: u64,
    /// The keyed tag; none for personal data.
    pub tag: Option<Tag>,
    /// Shannon entropy in bits per byte; of the first 8 KiB of a longer secret.
    pub entropy: f32,
    /// What had to be decoded to find it.
    pub within: Option<Wrapping>,
}

/// An encoding that a scanner looks into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrapping {
    /// Base64 of either alphabet.
    Base64,
    /// A gzip stream.
    Gzip,
    /// Percent-encoding.
    Percent,
}
