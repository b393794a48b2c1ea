//! What `cargo xtask setup` installs below the target directory.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// The folder that a package was installed to.
///
/// # Errors
/// When it is missing.
pub(crate) fn installed(name: &str) -> Result<PathBuf> {
    let folder = target().join(name);
    if !folder.is_dir() {
        bail!("{} is missing: run `cargo xtask setup`", folder.display());
    }
    Ok(folder.canonicalize()?)
}

/// The target directory, as `cargo xtask` sees it.
fn target() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target))
}
