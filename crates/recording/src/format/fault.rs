//! What can be wrong with the bytes of a bundle.

use std::fmt;

/// Something wrong in one bundle: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The offset in the file of the frame or record where it shows.
    pub offset: u64,
    /// The number of the chunk, where it is in one.
    pub chunk: Option<u64>,
    /// What is wrong.
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(chunk) = self.chunk {
            write!(f, "chunk {chunk}, ")?;
        }
        write!(f, "offset {}: {}", self.offset, self.kind)
    }
}

impl std::error::Error for Fault {}

/// The ways in which a bundle can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// The file does not begin like a bundle.
    #[error("not a recording bundle")]
    NotABundle,
    /// The version is not one that this software reads.
    #[error("format version {0} is not known here")]
    UnknownVersion(u32),
    /// A frame does not begin like one.
    #[error("no frame begins here")]
    NoFrame,
    /// A frame has reserved bytes set or a codec that does not exist.
    #[error("a frame head has impossible values")]
    BadFrameHead,
    /// A frame says to be larger than its kind can be.
    #[error("a frame of {size} bytes is over the limit of {limit}")]
    FrameTooLarge {
        /// What it says.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The bytes of a frame are not those that were written.
    #[error("the checksum is wrong")]
    Checksum,
    /// The payload does not decompress to what its frame says.
    #[error("the payload does not decompress")]
    Compression,
    /// A frame is not the one that should stand here: some are missing, inserted or in another order.
    #[error("frame {found} stands where {expected} should")]
    Sequence {
        /// Which should be here.
        expected: u64,
        /// Which is here.
        found: u64,
    },
    /// The content does not match the hash chain.
    #[error("the hash chain is broken")]
    Chain,
    /// The file ends too early.
    #[error("the bundle is cut off")]
    Truncated,
    /// There are bytes after the end.
    #[error("bytes follow the end of the bundle")]
    TrailingBytes,
    /// The trailer is not the one that belongs to the footer.
    #[error("the trailer is wrong")]
    Trailer,
    /// The footer is not the one that belongs to the chunks.
    #[error("the footer does not match the chunks")]
    Footer,
    /// A header does not parse or lacks what it must have.
    #[error("the header is malformed")]
    Header,
    /// A record does not parse, or holds impossible values.
    #[error("a record is malformed: {0}")]
    Record(&'static str),
    /// The bundle does not end with its seal, or has one before its end.
    #[error("the seal is missing or not at the end")]
    Seal,
}
