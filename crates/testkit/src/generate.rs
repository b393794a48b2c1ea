//! Repositories of a wanted size, the same every time: streamed to `git fast-import`, never held in memory.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::git::isolated;

/// What one commit of [`history`] adds: itself, the root tree, a folder's tree, a file.
pub const OBJECTS_PER_COMMIT: u32 = 4;

const FOLDERS: u32 = 50;
const FILES: u32 = 40;
const WORDS: [&str; 16] = [
    "alpha", "bearer", "commit", "delta", "event", "fetch", "graph", "hash", "index", "join", "key", "local",
    "merge", "note", "object", "push",
];

/// Makes `refs/heads/main` a history of exactly `objects` objects (rounded down to whole commits): many small
/// text files, one changed per commit, which compress as source code does.
///
/// # Errors
/// When git fails.
pub fn history(repository: &Path, objects: u32) -> Result<()> {
    fast_import(repository, |out| {
        let mut random = Random(0);
        for number in 0..objects / OBJECTS_PER_COMMIT {
            let text = text(&mut random, number);
            let path = format!("{:02}/{:02}.txt", number % FOLDERS, number / FOLDERS % FILES);
            commit(out, number, &path, text.as_bytes())?;
        }
        Ok(())
    })
}

/// Makes `refs/heads/main` one commit with `files` files of `size` bytes that do not compress: the pack is a
/// little larger than their sum.
///
/// # Errors
/// When git fails.
pub fn incompressible(repository: &Path, files: u32, size: usize) -> Result<()> {
    fast_import(repository, |out| {
        let mut random = Random(1);
        writeln!(out, "commit refs/heads/main\ncommitter {COMMITTER} 1700000000 +0000\ndata 4\nbulk")?;
        let mut content = vec![0; size];
        for number in 0..files {
            random.fill(&mut content);
            writeln!(out, "M 100644 inline bulk/{number:04}.bin\ndata {size}")?;
            out.write_all(&content)?;
            writeln!(out)?;
        }
        Ok(())
    })
}

const COMMITTER: &str = "Ada Test <ada@test.example>";

fn commit(out: &mut dyn Write, number: u32, path: &str, content: &[u8]) -> Result<()> {
    let message = format!("change {number}");
    let time = 1_700_000_000 + u64::from(number) * 60;
    writeln!(out, "commit refs/heads/main\ncommitter {COMMITTER} {time} +0000")?;
    writeln!(out, "data {}\n{message}\nM 100644 inline {path}\ndata {}", message.len(), content.len())?;
    out.write_all(content)?;
    writeln!(out)?;
    Ok(())
}

/// Lines of words, 200 to 2,000 bytes, never the same twice since the number stands in them.
fn text(random: &mut Random, number: u32) -> String {
    let mut text = format!("file {number}\n");
    let length = 200 + random.next() as usize % 1800;
    while text.len() < length {
        let bits = random.next();
        let words = (0..8).map(|place| WORDS[(bits >> (place * 4)) as usize & 15]);
        text.push_str(&words.collect::<Vec<_>>().join(" "));
        text.push('\n');
    }
    text
}

fn fast_import(repository: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut command = isolated(repository);
    command.args(["-c", "fastimport.unpackLimit=0", "fast-import", "--quiet", "--force"]);
    command.current_dir(repository).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().context("cannot run git fast-import")?;
    let mut out = BufWriter::with_capacity(1 << 20, child.stdin.take().context("stdin is piped")?);
    write(&mut out)?;
    writeln!(out, "done")?;
    drop(out.into_inner().context("git fast-import closed its input")?);
    ensure!(child.wait()?.success(), "git fast-import failed");
    Ok(())
}

/// SplitMix64: short, fast, and the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
