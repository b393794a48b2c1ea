//! The last good policy, on disk: a proxy that starts while the control plane is away goes on where it was.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

const FILE: &str = "policy.last-good.json";

/// More than the largest policy takes in JSON.
const MAX_BYTES: u64 = 8 << 20;

/// Where the policy is kept.
#[derive(Debug, Clone)]
pub(super) struct LastGood {
    path: PathBuf,
}

/// A policy's text and the hash that it must have.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) version: String,
    pub(super) text: String,
}

impl LastGood {
    pub(super) fn new(folder: &Path) -> Self {
        Self { path: folder.join(FILE) }
    }

    /// The policy that was kept, if one was. Whoever uses it checks that it is the one it says it is.
    pub(super) fn load(&self) -> io::Result<Option<Kept>> {
        let file = match fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        #[expect(clippy::disallowed_methods, reason = "bounded by take")]
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        serde_json::from_str(&text).map(Some).map_err(io::Error::other)
    }

    /// Keeps a policy: after a crash there is this one or the one before, whole.
    pub(super) fn save(&self, kept: &Kept) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(".policy").tempfile_in(folder)?;
        file.write_all(&serde_json::to_vec(kept).map_err(io::Error::other)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path).map_err(|error| error.error)?;
        fs::File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_last_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let last_good = LastGood::new(folder.path());
        assert_eq!(last_good.load().unwrap(), None);
        for text in ["one", "two"] {
            let kept = Kept { version: text.into(), text: text.into() };
            last_good.save(&kept).unwrap();
            assert_eq!(last_good.load().unwrap(), Some(kept));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_broken_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let last_good = LastGood::new(folder.path());
        for broken in ["", "{", r#"{"version": "x"}"#, r#"{"version": "x", "text": "", "more": 1}"#] {
            fs::write(&last_good.path, broken).unwrap();
            assert!(last_good.load().is_err(), "{broken}");
        }
    }
}
