//! The repositories that are measured with, generated once and kept.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lockgate_testkit::{Git, generate};

/// A bare repository with so many objects, packed and with a bitmap, as a well-kept server has it.
pub(crate) fn history(cache: &Path, objects: u32) -> Result<PathBuf> {
    cached(cache, &format!("history-{objects}"), |git, path| {
        generate::history(path, objects)?;
        git.ok(path, &["repack", "-a", "-d", "-b", "--quiet"])?;
        Ok(())
    })
}

/// A bare repository whose pack is a little larger than so many megabytes.
pub(crate) fn bulk(cache: &Path, megabytes: u32) -> Result<PathBuf> {
    cached(cache, &format!("bulk-{megabytes}"), |_, path| {
        generate::incompressible(path, megabytes.div_ceil(10), 10 << 20)
    })
}

fn cached(cache: &Path, name: &str, generate: impl FnOnce(&Git, &Path) -> Result<()>) -> Result<PathBuf> {
    std::fs::create_dir_all(cache)?;
    let path = cache.canonicalize().context("the cache")?.join(format!("{name}.git"));
    if !path.exists() {
        println!("generating {name}");
        // Renamed when it is whole: an interrupted run leaves nothing that looks like a result.
        let unfinished = tempfile::tempdir_in(cache)?;
        let git = Git::new()?;
        git.ok(unfinished.path(), &["init", "--quiet", "--bare", "."])?;
        generate(&git, unfinished.path())?;
        std::fs::rename(unfinished.keep(), &path)?;
    }
    Ok(path)
}
