//! Entries that could not be sent yet, on disk: a proxy that ends while the control plane is away sends them after
//! its next start.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use lockgate_proto::v1;
use prost::Message;

const FILE: &str = "index.backlog";

/// Where the entries are kept.
#[derive(Debug, Clone)]
pub(super) struct Backlog {
    path: PathBuf,
}

impl Backlog {
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE) }
    }

    /// The entries that were kept, if any; not more than these bytes are read.
    pub(super) fn load(&self, max_bytes: u64) -> io::Result<Vec<v1::Entry>> {
        let file = match fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        #[expect(clippy::disallowed_methods, reason = "bounded by take")]
        file.take(max_bytes).read_to_end(&mut bytes)?;
        let kept = v1::PutEntriesRequest::decode(&*bytes).map_err(io::Error::other)?;
        Ok(kept.entries)
    }

    /// Keeps these entries in the place of those before: after a crash there are these or those, whole.
    pub(super) fn save(&self, entries: Vec<v1::Entry>) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(".index").tempfile_in(folder)?;
        file.write_all(&v1::PutEntriesRequest { entries }.encode_to_vec())?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        fs::File::open(folder)?.sync_all()
    }

    /// Everything was sent.
    pub(super) fn clear(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{convert::IntoProto, samples::entry};

    #[test]
    fn entries_are_kept_until_they_are_sent() {
        let folder = tempfile::tempdir().unwrap();
        let backlog = Backlog::new(folder.path());
        assert_eq!(backlog.load(1000).unwrap(), []);
        let entries = ["a", "b"].map(|name| entry(name, "refs/heads/main", 0).into_proto()).to_vec();
        backlog.save(entries.clone()).unwrap();
        assert_eq!(backlog.load(10_000).unwrap(), entries);
        backlog.save(entries[..1].to_vec()).unwrap();
        assert_eq!(backlog.load(10_000).unwrap(), entries[..1]);
        assert!(backlog.load(20).is_err(), "cut off");
        backlog.clear().unwrap();
        backlog.clear().unwrap();
        assert_eq!(backlog.load(1000).unwrap(), []);
    }
}
