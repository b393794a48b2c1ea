//! The file of the bundle that is being written: appended to in commits, each durable or to be repeated whole.

use std::{
    fs::{File, OpenOptions},
    io,
    num::NonZeroU64,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Advice, fadvise};

/// Commits from this length on are not kept in memory.
const LARGE: usize = 256 << 10;

/// A bundle file in the spool.
pub(crate) struct Wal {
    path: PathBuf,
    file: Option<File>,
    durable: u64,
    torn: bool,
    /// Whether it is read again soon.
    is_read: bool,
}

impl Wal {
    /// A file that is created with its first commit, and read again when it is sealed or not.
    pub(crate) fn new(path: PathBuf, is_read: bool) -> Self {
        Self { path, file: None, durable: 0, torn: false, is_read }
    }

    /// A file that is there already and good up to `length`; the rest is cut off with the next commit.
    pub(crate) fn resume(path: PathBuf, length: u64) -> Self {
        Self { path, file: None, durable: length, torn: true, is_read: true }
    }

    /// Appends `bytes` and returns when they are on the disk. After an error nothing of them counts, and the same
    /// bytes are to be committed again: pages that a failed `fdatasync` may have dropped are then written anew.
    pub(crate) fn commit(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(open(&self.path)?),
        };
        if self.torn {
            file.set_len(self.durable)?;
        }
        self.torn = true;
        file.write_all_at(bytes, self.durable)?;
        file.sync_data()?;
        self.torn = false;
        if !self.is_read && bytes.len() >= LARGE {
            // The system may go on with the same few pages: fresh ones for all that passes would cost more than the
            // copy into them, and push out what others read.
            let length = NonZeroU64::new(bytes.len() as u64);
            if let Err(error) = fadvise(file, self.durable, length, Advice::DontNeed) {
                tracing::debug!(%error, "the system takes no advice on pages");
            }
        }
        self.durable += bytes.len() as u64;
        Ok(())
    }

    /// The length of what is durable.
    pub(crate) fn length(&self) -> u64 {
        self.durable
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Opens or creates a file that only we may read, its name durable.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(file)
}
