//! Megabytes per CPU second over real files, each a stream of its own, as an inspection of packs sees them: a
//! scanner per file, and a masker alone. The files are those under a folder: the first argument, else the sources
//! of the dependencies. `cargo bench -p lockgate-detect --bench files -- /usr/share/doc`.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::fs;
use std::path::{Path, PathBuf};

use lockgate_detect::{Discard, KnownValues, MaskOptions, Masker, RuleSet, ScanOptions, Scanner, TagKey};

#[path = "support/clock.rs"]
mod clock;

/// How much is read at most.
const TOTAL: usize = 64 << 20;

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or_else(sources, PathBuf::from);
    let files = files(&folder);
    let total = files.iter().map(Vec::len).sum::<usize>();
    let rules = RuleSet::builtin();
    rules.prepare();
    println!(
        "{} files of {} bytes on average in {}",
        files.len(),
        total / files.len().max(1),
        folder.display()
    );
    let (known, key) = (KnownValues::new(), TagKey::new(b"key"));
    let rate = |one: &dyn Fn(&[u8]) -> usize| {
        let once = || {
            let before = clock::cpu();
            let found: usize = files.iter().map(|file| one(file)).sum();
            (total as f64 / 1e6 / (clock::cpu() - before), found)
        };
        (0..3).map(|_| once()).fold((0.0, 0), |best, this| if this.0 > best.0 { this } else { best })
    };
    let masker = rate(&|file| {
        let mut masker = Masker::new(&rules, &known, &key, MaskOptions::exact());
        masker.push(file, &mut Discard);
        masker.finish(&mut Discard);
        masker.findings().len()
    });
    let scanner = rate(&|file| {
        let mut scanner = Scanner::new(&rules, &known, &key, ScanOptions::default());
        scanner.push(file);
        scanner.finish();
        scanner.findings().len()
    });
    for (name, (rate, found)) in [("masker", masker), ("scanner", scanner)] {
        println!("{name:<10} {rate:>8.0} MB per CPU second, {found} found");
    }
}

fn sources() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    home.unwrap_or_default().join("registry/src")
}

/// The texts under `folder`, in an order that is the same in every run.
fn files(folder: &Path) -> Vec<Vec<u8>> {
    let (mut open, mut files, mut total) = (vec![folder.to_path_buf()], Vec::new(), 0);
    while let Some(path) = open.pop().filter(|_| total < TOTAL) {
        if path.is_dir() {
            let mut entries: Vec<PathBuf> =
                fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            entries.sort();
            open.append(&mut entries);
        } else if let Ok(text) = fs::read(&path)
            && !text[..text.len().min(8000)].contains(&0)
        {
            total += text.len();
            files.push(text);
        }
    }
    files
}
