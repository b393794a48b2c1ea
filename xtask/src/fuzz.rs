//! Fuzzing: `cargo xtask fuzz detect` runs each target of `crates/detect/fuzz` in turn, with libFuzzer.
//!
//! It works with the stable toolchain: the sanitizers, which want a nightly one, would look for the misuse of
//! memory, while our crates forbid `unsafe` and the targets look for broken promises.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{cmd, setup};

/// What a target may take for one input, in seconds, and of memory in all, in MiB.
const LIMITS: [&str; 2] = ["-timeout=20", "-rss_limit_mb=2048"];

/// Runs one target of a crate, or all of them, each for so many seconds.
///
/// Inputs that libFuzzer makes up are kept in `fuzz/corpus/<target>`, which git ignores; it begins with those in
/// `fuzz/seeds/<target>` and with the words of `fuzz/<target>.dict`, where there are such. What makes a target
/// fail is left in `fuzz/artifacts/<target>`.
pub(crate) fn run(name: &str, target: Option<&str>, seconds: u32) -> Result<()> {
    let folder = cmd::root().join("crates").join(name).join("fuzz");
    let mut targets = targets(&folder)?;
    if let Some(wanted) = target {
        targets.retain(|target| target == wanted);
        if targets.is_empty() {
            bail!("crates/{name}/fuzz has no target {wanted}");
        }
    }
    let program = setup::cargo_fuzz()?;
    // The fuzz crate is a workspace of its own; it is fuzzed with the versions that are built elsewhere.
    fs::copy(cmd::root().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    for target in targets {
        cmd::step(&format!("fuzz {name} {target}"), || fuzz(&program, &folder, &target, seconds))?;
    }
    Ok(())
}

/// The targets of a fuzz crate, by their file names.
fn targets(folder: &Path) -> Result<Vec<String>> {
    let folder = folder.join("fuzz_targets");
    let files = fs::read_dir(&folder).with_context(|| format!("there is no {}", folder.display()))?;
    let paths = files.map(|file| file.map(|file| file.path())).collect::<Result<Vec<_>, _>>()?;
    let mut targets: Vec<_> = paths
        .iter()
        .filter(|path| path.extension() == Some(OsStr::new("rs")))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    targets.sort();
    Ok(targets)
}

fn fuzz(program: &Path, folder: &Path, target: &str, seconds: u32) -> Result<()> {
    let corpus = folder.join("corpus").join(target);
    fs::create_dir_all(&corpus)?;
    let mut run = cmd::command(program, &["fuzz", "run", "--sanitizer", "none", "--fuzz-dir"]);
    run.arg(folder).arg("--target-dir").arg(cmd::target().join("fuzz")).arg(target).arg(corpus);
    run.args(existing(folder.join("seeds").join(target)));
    run.arg("--").args(LIMITS).arg(format!("-max_total_time={seconds}"));
    run.args(existing(folder.join(format!("{target}.dict"))).map(|path| format!("-dict={}", path.display())));
    cmd::run(&mut run)
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.exists().then_some(path)
}
