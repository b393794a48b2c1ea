//! What is installed from files of the test kit, and again when they change.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cmd;

/// Something to install: where its files are, and where it goes.
pub(super) struct Part {
    pub(super) source: PathBuf,
    pub(super) place: PathBuf,
}

impl Part {
    /// From a folder of the test kit to one of the target directory.
    pub(super) fn new(source: &str, place: &str) -> Self {
        let source = cmd::root().join("crates/testkit").join(source);
        Self { source, place: cmd::target().join(place) }
    }

    /// Installs unless these files, and what else is said, are what was installed before.
    pub(super) fn install(
        &self,
        files: &[impl AsRef<str>],
        also: &str,
        install: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut wanted = also.to_owned();
        for file in files {
            let path = self.source.join(file.as_ref());
            wanted +=
                &fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        }
        let stamp = self.place.join("installed");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        println!("installing {}", self.place.display());
        if self.place.exists() {
            fs::remove_dir_all(&self.place)?;
        }
        fs::create_dir_all(&self.place)?;
        install()?;
        Ok(fs::write(stamp, wanted)?)
    }
}
