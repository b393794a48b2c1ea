//! Commits beside the writer: while one is on its way to the disk, the next is put together.

use std::{
    io,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Instant,
};

use super::{journal::SealedBundle, wal::Wal};
use crate::format::buffer::Buffer;

/// What is to be appended to the file of a bundle.
pub(crate) struct Commit {
    pub(crate) wal: Wal,
    pub(crate) bytes: Buffer,
    /// The bundle, if it is whole with this.
    pub(crate) sealed: Option<SealedBundle>,
}

impl Commit {
    /// Appends. Can be repeated after an error.
    pub(crate) fn run(&mut self) -> io::Result<()> {
        self.wal.commit(self.bytes.octets())
    }
}

/// One commit and how it went.
pub(crate) type Done = (Commit, io::Result<()>);

/// Does one commit at a time, on a thread that is started with the first.
#[derive(Default)]
pub(crate) struct Committer {
    thread: Option<(Sender<Commit>, Receiver<Done>)>,
    /// Since when one is under way.
    since: Option<Instant>,
}

impl Committer {
    /// Starts a commit. The one before must have been taken back. Gives it back done, where there is no thread to do it
    /// beside the caller.
    pub(crate) fn start(&mut self, mut commit: Commit) -> Option<Done> {
        if self.thread.is_none() {
            self.thread = spawn().inspect_err(|error| tracing::warn!(%error, "no thread for commits")).ok();
        }
        let refused = match &self.thread {
            Some((jobs, _)) => jobs.send(commit).err().map(|unsent| unsent.0),
            None => Some(commit),
        };
        match refused {
            None => {
                self.since = Some(Instant::now());
                None
            }
            Some(refused) => {
                commit = refused;
                let result = commit.run();
                Some((commit, result))
            }
        }
    }

    /// Waits for the commit that is under way, if there is one, and takes it back.
    pub(crate) fn finish(&mut self) -> Option<Done> {
        self.since.take()?;
        let (_, done) = self.thread.as_ref()?;
        Some(done.recv().expect("the thread answers every commit: it neither ends before this nor panics"))
    }

    /// Since when a commit is under way.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }
}

/// The thread ends when the committer is dropped.
fn spawn() -> io::Result<(Sender<Commit>, Receiver<Done>)> {
    let (jobs, commits) = channel::<Commit>();
    let (answers, done) = channel();
    thread::Builder::new().name("recorder-disk".to_owned()).spawn(move || {
        for mut commit in commits {
            let result = commit.run();
            if answers.send((commit, result)).is_err() {
                break;
            }
        }
    })?;
    Ok((jobs, done))
}
