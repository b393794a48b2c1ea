//! Files looked through for secrets beside the reading of the pack, on other threads where there are any.
//!
//! Small files are gathered, and a piece of work is made of some hundred kilobytes of them. No thread waits for
//! anything: work that finds no place is done by whoever brings it. What is found does not depend on where.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, TryRecvError, sync_channel},
    },
};

use tokio::runtime::Handle;

use super::content::{self, Hit};
use crate::{config::InspectConfig, oid::Oid, pack::PackError};

/// Bytes of files for which a piece of work is made.
const PIECE: usize = 128 * 1024;
/// Bytes of the largest file that is gathered.
pub(super) const SMALL: u64 = 1 << 20;

/// What was found in one piece.
#[derive(Default)]
pub(super) struct Found {
    pub(super) hits: Vec<(u32, Hit)>,
    /// A file that decodes to more than can be looked through.
    pub(super) limited: Option<Oid>,
}

/// The files of one pack.
pub(super) struct Batches {
    config: Arc<InspectConfig>,
    files: Files,
    /// Never locked: a receiver alone could not be shared.
    running: VecDeque<Mutex<Receiver<Found>>>,
}

/// Some files, one behind the other.
#[derive(Default)]
struct Files {
    bytes: Vec<u8>,
    /// Of each its place and name, and where it ends.
    ends: Vec<(u32, Oid, usize)>,
}

impl Batches {
    pub(super) fn new(config: &Arc<InspectConfig>) -> Self {
        Self { config: Arc::clone(config), files: Files::default(), running: VecDeque::new() }
    }

    /// The next part of a file.
    pub(super) fn part(&mut self, part: &[u8]) {
        self.files.bytes.extend_from_slice(part);
    }

    /// Ends a file. Returns what was found meanwhile, in this or in others.
    pub(super) fn end(&mut self, place: u32, name: Oid) -> Result<Found, PackError> {
        self.files.ends.push((place, name, self.files.bytes.len()));
        if self.files.bytes.len() < PIECE {
            return Ok(Found::default());
        }
        let mut found = self.done()?;
        let files = std::mem::take(&mut self.files);
        match Handle::try_current().ok().filter(|_| self.running.len() < self.config.threads) {
            Some(runtime) => {
                let (config, (sender, receiver)) = (Arc::clone(&self.config), sync_channel(1));
                // Nobody is there to take it where the push was refused meanwhile.
                runtime.spawn_blocking(move || drop(sender.send(files.look_through(&config))));
                self.running.push_back(Mutex::new(receiver));
            }
            None => {
                found.add(files.look_through(&self.config));
                self.files = files.emptied();
            }
        }
        Ok(found)
    }

    /// Waits for all that is under way.
    pub(super) fn settle(&mut self) -> Result<Found, PackError> {
        let files = std::mem::take(&mut self.files);
        let mut found = files.look_through(&self.config);
        for piece in self.running.drain(..) {
            let piece = piece.into_inner().unwrap_or_else(PoisonError::into_inner);
            found.add(piece.recv().map_err(|_| gone())?);
        }
        Ok(found)
    }

    /// What is done, of the pieces that were begun first.
    fn done(&mut self) -> Result<Found, PackError> {
        let mut found = Found::default();
        while let Some(piece) = self.running.front_mut() {
            match piece.get_mut().unwrap_or_else(PoisonError::into_inner).try_recv() {
                Ok(other) => found.add(other),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Err(gone()),
            }
            self.running.pop_front();
        }
        Ok(found)
    }
}

impl Files {
    fn look_through(&self, config: &InspectConfig) -> Found {
        let (mut found, mut start) = (Found::default(), 0);
        for (place, name, end) in &self.ends {
            let (hits, limited) = content::look_through(config, &self.bytes[start..*end]);
            found.hits.extend(hits.into_iter().map(|hit| (*place, hit)));
            found.limited = found.limited.or(limited.then_some(*name));
            start = *end;
        }
        found
    }

    /// The same memory for others.
    fn emptied(mut self) -> Self {
        self.bytes.clear();
        self.ends.clear();
        self
    }
}

impl Found {
    fn add(&mut self, other: Self) {
        self.hits.extend(other.hits);
        self.limited = self.limited.or(other.limited);
    }
}

/// The thread that looked through a piece is gone.
fn gone() -> PackError {
    PackError::Io(std::io::Error::other("a thread that looked through files is gone"))
}
