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
/// Bytes that a file takes besides its content.
const FILE: usize = 128;
/// Bytes of the largest file that waits for another thread: what a delta makes may be much larger.
const WAITING: usize = 1 << 20;

/// A file that is there.
pub(super) struct File {
    pub(super) place: u32,
    pub(super) name: Oid,
    pub(super) content: Arc<[u8]>,
}

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
    files: Vec<File>,
    /// Bytes of these.
    size: usize,
    /// Never locked: a receiver alone could not be shared.
    running: VecDeque<Mutex<Receiver<Found>>>,
}

impl Batches {
    pub(super) fn new(config: &Arc<InspectConfig>) -> Self {
        let config = Arc::clone(config);
        Self { config, files: Vec::new(), size: 0, running: VecDeque::new() }
    }

    /// Takes a file. Returns what was found meanwhile, in this or in others.
    pub(super) fn add(&mut self, file: File) -> Result<Found, PackError> {
        if file.content.len() > WAITING {
            let (config, file) = (&self.config, [file]);
            return Ok(look_through(config, &file));
        }
        self.size += file.content.len() + FILE;
        self.files.push(file);
        if self.size < PIECE {
            return Ok(Found::default());
        }
        let mut found = self.done()?;
        let work = self.work();
        match Handle::try_current().ok().filter(|_| self.running.len() < self.config.threads) {
            Some(runtime) => {
                let (sender, receiver) = sync_channel(1);
                // Nobody is there to take it where the push was refused meanwhile.
                runtime.spawn_blocking(move || drop(sender.send(work())));
                self.running.push_back(Mutex::new(receiver));
            }
            None => found.add(work()),
        }
        Ok(found)
    }

    /// To look through the files that are gathered.
    fn work(&mut self) -> impl FnOnce() -> Found + Send + 'static {
        self.size = 0;
        let files = std::mem::take(&mut self.files);
        let config = Arc::clone(&self.config);
        move || look_through(&config, &files)
    }

    /// Waits for all that is under way.
    pub(super) fn settle(&mut self) -> Result<Found, PackError> {
        let mut found = self.work()();
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

fn look_through(config: &InspectConfig, files: &[File]) -> Found {
    let mut found = Found::default();
    for file in files {
        let (hits, limited) = content::look_through(config, &file.content);
        found.hits.extend(hits.into_iter().map(|hit| (file.place, hit)));
        found.limited = found.limited.or(limited.then_some(file.name));
    }
    found
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
