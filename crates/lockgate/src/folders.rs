//! The folders of state and evidence: what stands in them is for their owner alone.

use std::{
    fs::DirBuilder,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::config::Config;

/// Makes the folder for all state, and warns of what others can look into: there are bodies of requests in it.
pub(crate) fn prepare(config: &Config) -> Result<()> {
    private(&config.data_dir())?;
    for folder in exposed(config) {
        tracing::warn!(
            folder = %folder.display(),
            "other users of this machine can look into this folder, where recordings are: `chmod 700` it"
        );
    }
    Ok(())
}

/// Makes a folder that only its owner can look into. One that is there is left as it is.
pub(crate) fn private(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot create {}", path.display()))
}

/// The folders with state or recordings that others can look into. What is in one that they can't is safe.
fn exposed(config: &Config) -> Vec<PathBuf> {
    let data = config.data_dir();
    let recordings = config.file.recording.folder(&data).filter(|folder| !folder.starts_with(&data));
    let is_exposed =
        |path: &PathBuf| path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o007 != 0);
    [Some(data), recordings].into_iter().flatten().filter(is_exposed).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn folders_that_others_can_look_into_are_named() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (data, store) = (folder.path().join("data"), folder.path().join("store"));
        let file = folder.path().join("lockgate.yaml");
        fs::write(
            &file,
            format!("data_dir: data\nrecording: {{ store: \"file://{}\" }}\n", store.display()),
        )?;
        let config = Config::load(&file, &[])?;
        private(&data)?;
        private(&store)?;
        assert_eq!(exposed(&config), <[PathBuf; 0]>::default());
        for open in [&data, &store] {
            fs::set_permissions(open, Permissions::from_mode(0o755))?;
            assert_eq!(exposed(&config), std::slice::from_ref(open));
            fs::set_permissions(open, Permissions::from_mode(0o750))?;
            assert_eq!(exposed(&config), <[PathBuf; 0]>::default(), "a group that was let in");
        }
        Ok(())
    }
}
