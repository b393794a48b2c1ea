//! The file of the bundle that is being written: appended to in commits, each durable or to be repeated whole.

use std::{
    fs::{File, OpenOptions},
    io,
    num::NonZeroU64,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{Advice, OFlags, fadvise};

use crate::format::buffer::PAGE;

/// Commits from this length on are not kept in memory.
const LARGE: usize = 256 << 10;

/// A bundle file in the spool.
pub(crate) struct Wal {
    path: PathBuf,
    file: Option<File>,
    around: Around,
    durable: u64,
    torn: bool,
    /// Whether it is read again soon.
    is_read: bool,
}

/// The file once more, for what is written around the system's pages: without a copy into them, which would take more
/// time than all the rest of a commit, and without pushing out of memory what others read.
enum Around {
    Unopened,
    Open(File),
    /// Not every file system can do it.
    Refused,
}

impl Wal {
    /// A file that is created with its first commit, and read again when it is sealed or not.
    pub(crate) fn new(path: PathBuf, is_read: bool) -> Self {
        Self { path, file: None, around: Around::Unopened, durable: 0, torn: false, is_read }
    }

    /// A file that is there already and good up to `length`; the rest is cut off with the next commit.
    pub(crate) fn resume(path: PathBuf, length: u64) -> Self {
        Self { durable: length, torn: true, ..Self::new(path, true) }
    }

    /// Appends `bytes` and returns when they are on the disk. After an error nothing of them counts, and the same
    /// bytes are to be committed again: pages that a failed `fdatasync` may have dropped are then written anew.
    pub(crate) fn commit(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => open(&self.path)?,
        };
        let file = self.file.insert(file);
        if self.torn {
            file.set_len(self.durable)?;
        }
        self.torn = true;
        let is_large = !self.is_read && bytes.len() >= LARGE;
        let is_around = is_large && self.around.write(&self.path, file, bytes, self.durable)?;
        if !is_around {
            file.write_all_at(bytes, self.durable)?;
        }
        file.sync_data()?;
        self.torn = false;
        if is_large && !is_around {
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

impl Around {
    /// Writes `bytes` at a place of `file`: what fills whole pages around the system's, and only the ends through them.
    /// Says whether that could be done; where not, all is still to be written.
    fn write(&mut self, path: &Path, file: &File, bytes: &[u8], place: u64) -> io::Result<bool> {
        let begin = (place.next_multiple_of(PAGE as u64) - place) as usize;
        let Some((begin, rest)) = bytes.split_at_checked(begin) else { return Ok(false) };
        let (pages, end) = rest.split_at(rest.len() - rest.len() % PAGE);
        if pages.as_ptr().addr() % PAGE != 0 {
            return Ok(false);
        }
        let Some(around) = self.open(path) else { return Ok(false) };
        let pages_at = place + begin.len() as u64;
        file.write_all_at(begin, place)?;
        match around.write_all_at(pages, pages_at) {
            // Also what a write says that was cut short, for want of room: to the system's pages it says why.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                *self = Self::Refused;
                return Ok(false);
            }
            written => written?,
        }
        file.write_all_at(end, pages_at + pages.len() as u64)?;
        Ok(true)
    }

    fn open(&mut self, path: &Path) -> Option<&File> {
        if matches!(self, Self::Unopened) {
            let direct = OFlags::DIRECT.bits().cast_signed();
            let file = OpenOptions::new().write(true).custom_flags(direct).open(path);
            *self = file.map_or(Self::Refused, Self::Open);
        }
        match self {
            Self::Open(file) => Some(file),
            Self::Unopened | Self::Refused => None,
        }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::format::buffer::Buffer;

    /// Commits of these lengths, one after the other, each of other octets.
    fn write(folder: &Path, is_read: bool, lengths: &[usize]) -> (Wal, Vec<u8>) {
        let mut wal = Wal::new(folder.join("bundle"), is_read);
        let (mut all, mut buffer) = (Vec::new(), Buffer::default());
        for (count, length) in lengths.iter().enumerate() {
            // Twice: one that has grown has lost its place.
            for _ in 0..2 {
                buffer.begin(wal.length());
                buffer.end().extend((0..*length).map(|at| (at % 251 + count) as u8));
            }
            wal.commit(buffer.octets()).unwrap();
            all.extend_from_slice(buffer.octets());
        }
        assert!(fs::read(wal.path()).unwrap() == all, "{lengths:?}");
        assert_eq!(wal.length(), all.len() as u64);
        (wal, all)
    }

    const LENGTHS: [usize; 7] = [1 << 20, 5, LARGE + 4091, LARGE + 3, 2 * LARGE, LARGE - 1, LARGE + 1];

    #[test]
    fn what_is_written_around_pages_is_what_is_written_through_them() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (wal, around) = write(here.path(), false, &LENGTHS);
        assert!(!matches!(wal.around, Around::Unopened));
        let (wal, through) = write(there.path(), true, &LENGTHS);
        assert!(matches!(wal.around, Around::Unopened) && around == through);
    }

    #[test]
    fn what_lies_elsewhere_in_memory_goes_through_pages() {
        let folder = tempfile::tempdir().unwrap();
        let mut wal = Wal::new(folder.path().join("bundle"), false);
        let mut buffer = Buffer::default();
        buffer.begin(1);
        buffer.end().resize(3 * LARGE, 7);
        wal.commit(buffer.octets()).unwrap();
        assert!(matches!(wal.around, Around::Unopened));
        assert!(fs::read(wal.path()).unwrap() == buffer.octets());
    }

    #[test]
    fn a_file_system_that_refuses_gets_it_through_its_pages() {
        let folder = tempfile::tempdir().unwrap();
        let (mut wal, mut all) = write(folder.path(), false, &[LARGE]);
        // It takes nothing but numbers, and says of all else what a file system says that cannot write around pages.
        let refusing = OpenOptions::new().write(true).open("/proc/self/oom_score_adj").unwrap();
        wal.around = Around::Open(refusing);
        let mut buffer = Buffer::default();
        buffer.end().reserve(3 * LARGE);
        for count in 0..2 {
            buffer.begin(wal.length());
            buffer.end().extend(std::iter::repeat_n(7 + count, 2 * LARGE));
            wal.commit(buffer.octets()).unwrap();
            assert!(matches!(wal.around, Around::Refused));
            all.extend_from_slice(buffer.octets());
        }
        assert!(fs::read(wal.path()).unwrap() == all);
    }

    #[test]
    fn what_failed_is_not_durable_and_can_be_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let (mut wal, mut all) = write(folder.path(), false, &[LARGE + 5]);
        let before = wal.length();
        wal.around = Around::Open(OpenOptions::new().write(true).open("/dev/full").unwrap());
        let mut buffer = Buffer::default();
        buffer.end().reserve(3 * LARGE);
        buffer.begin(before);
        buffer.end().extend(std::iter::repeat_n(7, 2 * LARGE));
        let full = wal.commit(buffer.octets()).unwrap_err();
        assert_eq!((full.kind(), wal.length()), (io::ErrorKind::StorageFull, before));
        wal.around = Around::Unopened;
        wal.commit(buffer.octets()).unwrap();
        all.extend_from_slice(buffer.octets());
        assert!(fs::read(wal.path()).unwrap() == all);
    }
}
