//! Packs, read in one pass with bounded memory: the only door to the libraries of git objects.
//!
//! Of a pack only the commits are kept, and of those only names and parents: about 100 bytes each,
//! however large the pack. Trees and blobs are inflated to find their end, and dropped. A name is always
//! computed from the content, so what is found here is true whatever the sender says. Format:
//! gitformat-pack.

mod commits;
mod delta;
mod describe;
mod input;
mod scan;

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

pub(crate) use commits::Commits;
pub use describe::{Commit, Person};
pub(crate) use scan::{Event, scan};

use crate::oid::ObjectFormat;

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

/// What a pass over a pack may cost.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    /// Commits that are kept.
    pub(crate) commits: usize,
    /// When it ends at the latest.
    pub(crate) until: Instant,
    /// Set when nobody waits for it any more.
    pub(crate) cancelled: Arc<AtomicBool>,
}

impl Budget {
    /// # Errors
    /// [`PackError::Stopped`] when the time is up.
    pub(crate) fn check(&self) -> Result<(), PackError> {
        if self.cancelled.load(Ordering::Relaxed) || Instant::now() > self.until {
            return Err(PackError::Stopped);
        }
        Ok(())
    }
}

/// Why a pack was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Its sender: it is no pack.
    #[error("the pack is malformed: {0}")]
    Malformed(&'static str),
    /// Its sender: zlib can't read it.
    #[error("an object of the pack can't be inflated")]
    Inflate(#[source] flate2::DecompressError),
    /// Its sender: larger or more than the limits.
    #[error("the pack exceeds the limit of {0}")]
    TooLarge(&'static str),
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

/// Reads anything as a pack, and its commits as commits. For fuzzing.
#[doc(hidden)]
pub fn fuzz_pack(bytes: &[u8]) {
    let until = Instant::now() + std::time::Duration::from_secs(1);
    let budget = Budget { commits: 1000, until, cancelled: Arc::default() };
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        // Whether it is one does not matter here: only that it ends, and without panic.
        let _ = scan(&bytes, format, &budget, |event| {
            if let Event::Commit(name, content) = event {
                Commit::parse(*name, content);
            }
            std::ops::ControlFlow::Continue(())
        });
    }
}

#[cfg(test)]
mod tests;
