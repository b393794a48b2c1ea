//! Packs, read with bounded memory: the only door to the libraries of git objects.
//!
//! There are two ways through a pack. [`scan`] looks for its commits alone and ends as soon as it may; the
//! rest is inflated to find its end, and dropped. A [`Pass`] takes a pack in pieces, as it arrives, names
//! every object, and leaves an [`Index`] of about 60 bytes for each; [`resolve`] does the same for those
//! that come as deltas upon what was not at hand, and [`Objects`] gives the content of any of them afterwards.
//! An object in a file of its own is read by [`verify`]. A name is always computed from the content, so what is
//! found here is true whatever the sender says. Format:
//! gitformat-pack.

mod commits;
mod delta;
mod describe;
mod entry;
mod index;
mod inflate;
mod input;
mod kept;
mod loose;
mod name;
mod objects;
mod pass;
mod resolve;
mod scan;
mod window;

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

pub(crate) use commits::Commits;
pub(crate) use describe::Details;
pub use describe::{Commit, Person};
pub(crate) use entry::Kind;
pub(crate) use index::Index;
#[doc(hidden)]
pub use inflate::fuzz_inflate;
#[doc(hidden)]
pub use loose::fuzz_loose;
pub(crate) use loose::{LooseError, verify};
pub(crate) use name::{checksum, name};
pub(crate) use objects::{Objects, Origin, Place};
pub(crate) use pass::{Object, Pass, Upon, Visit, pass};
pub(crate) use resolve::resolve;
pub(crate) use scan::{Event, scan};

/// A pack that can be read from any place, any number of times.
pub(crate) trait Source {
    /// A reader from an offset in the pack.
    fn reader(&self, offset: u64) -> impl Read;
}

impl Source for &[u8] {
    fn reader(&self, offset: u64) -> impl Read {
        usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default()
    }
}

/// How large what a pack holds may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Objects.
    pub(crate) objects: u32,
    /// Bytes of one inflated object.
    pub(crate) object: u64,
    /// Bytes of one inflated object that must be held: all but blobs that come whole.
    pub(crate) held: u64,
}

/// Bytes that are made between two looks at the clock.
const BETWEEN: u64 = 64 * 1024;

/// What a pass over a pack may cost.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    /// Commits that are kept.
    pub(crate) commits: usize,
    /// Bytes that may still be inflated, by all that share it.
    pub(crate) inflate: Arc<AtomicU64>,
    /// When it ends at the latest.
    pub(crate) until: Instant,
    /// Set when nobody waits for it any more.
    pub(crate) cancelled: Arc<AtomicBool>,
}

impl Budget {
    /// One that nobody cancels, and that may inflate whatever there is.
    pub(crate) fn new(commits: usize, until: Instant) -> Self {
        Self { commits, inflate: Arc::new(AtomicU64::new(u64::MAX)), until, cancelled: Arc::default() }
    }

    /// # Errors
    /// [`PackError::Stopped`] when the time is up.
    pub(crate) fn check(&self) -> Result<(), PackError> {
        if self.cancelled.load(Ordering::Relaxed) || Instant::now() > self.until {
            return Err(PackError::Stopped);
        }
        Ok(())
    }

    /// Counts bytes that were inflated, or made by a delta. Now and then, looks whether the time is up.
    pub(crate) fn spend(&self, bytes: u64) -> Result<(), PackError> {
        let before = self.inflate.fetch_sub(bytes, Ordering::Relaxed);
        let Some(left) = before.checked_sub(bytes) else {
            self.inflate.store(0, Ordering::Relaxed);
            return Err(PackError::TooLarge("bytes to inflate"));
        };
        // To ask the clock for every small object would take a fiftieth of what that takes.
        if before / BETWEEN == left / BETWEEN { Ok(()) } else { self.check() }
    }
}

/// Why a pack was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Its sender: it is no pack.
    #[error("the pack is malformed: {0}")]
    Malformed(&'static str),
    /// Its sender: it is no zlib stream.
    #[error("an object of the pack can't be inflated")]
    Inflate(#[from] inflate::InflateError),
    /// Its sender: larger or more than the limits.
    #[error("the pack exceeds the limit of {0}")]
    TooLarge(&'static str),
    /// Its sender: an object that no git may take.
    #[error("the {kind} {name} {fault}")]
    Object {
        /// What it is.
        kind: &'static str,
        /// Which one.
        name: crate::oid::Oid,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Its sender: an object made to have the name of another.
    #[error("an object of the pack was made for a hash collision")]
    Collision,
    /// It took too long, or nobody waits for it any more.
    #[error("reading the pack was stopped")]
    Stopped,
    /// We: it could not be read.
    #[error("the pack can't be read")]
    Io(#[from] std::io::Error),
}

#[cfg(test)]
mod tests;
