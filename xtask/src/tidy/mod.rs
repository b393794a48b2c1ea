//! Checks what a person would forget and a compiler does not see.
//!
//! `manifests` reads the Cargo.toml files, `sources` every text file, `pages` the documents that must keep up
//! with the code; `allow` lists the exceptions, each with its reason. All of them are pure functions from
//! text to problems, so that each check is itself tested to fail.

mod allow;
mod manifests;
mod pages;
mod sources;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cmd;

/// What is wrong, as `path: what`.
type Problems = Vec<String>;

/// A text file of the repository: its path from the root, with `/`, and its content.
struct File {
    path: String,
    text: String,
}

/// Folders that hold no source of ours.
const SKIPPED: [&str; 4] = [".git", "target", "node_modules", "generated"];

/// What is read: everything that a person writes.
const EXTENSIONS: [&str; 10] = ["rs", "toml", "md", "proto", "yml", "yaml", "js", "mjs", "sql", "sh"];

/// Runs every check and reports all that they found.
pub(crate) fn run() -> Result<()> {
    let files = read_all(cmd::root())?;
    let mut problems = manifests::check(&files);
    problems.extend(sources::check(&files, &allow::ALLOWED));
    problems.extend(pages::check(&files));
    if problems.is_empty() {
        println!("tidy: {} files", files.len());
        return Ok(());
    }
    for problem in &problems {
        println!("{problem}");
    }
    bail!("{} problems", problems.len())
}

fn read_all(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let skipped = SKIPPED.iter().any(|name| entry.file_name() == *name);
            if kind.is_dir() && !skipped {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|it| EXTENSIONS.iter().any(|e| it == *e))
            {
                let text =
                    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                files.push(File { path: relative(root, &path), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn relative(root: &Path, path: &Path) -> String {
    let parts = path.strip_prefix(root).unwrap_or(path).components();
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
fn file(path: &str, text: &str) -> File {
    File { path: path.into(), text: text.into() }
}
