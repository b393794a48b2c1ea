//! Megabytes of pack per CPU second: what an inspection costs, by what is wanted, beside `git index-pack` in
//! the same run. `cargo bench -p lockgate-git --bench inspect`, with a repository to take another history
//! than that of the sources which Cargo keeps on this machine.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use lockgate_git::{
    InspectConfig,
    facts::{Facts, Wanted},
    measure_pack,
    oid::Oid,
};

/// Bytes of sources of which the history is made.
const SOURCES: u64 = 200 << 20;

fn main() {
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let repository = given.map_or_else(|| history(folder.path()), PathBuf::from);
    let tip = git(&repository, &["rev-parse", "HEAD"], b"");
    let tip = Oid::from_hex(tip.trim_ascii()).expect("git names a commit");
    let pack =
        git(&repository, &["pack-objects", "--revs", "--stdout", "-q", "--delta-base-offset"], b"HEAD\n");
    let objects = pack[8..12].iter().fold(0, |count, byte| count << 8 | u32::from(*byte));
    // Once per process: not what a push costs.
    InspectConfig::default().rules.prepare();
    println!("{:.0} MB, {objects} objects", pack.len() as f64 / 1e6);
    println!("{:<24} {:>10} {:>12}", "", "MB/CPU-s", "resident MB");
    let index = folder.path().join("index.pack");
    row("git index-pack", &pack, || {
        let index = index.to_str().expect("a path of plain text");
        git(&repository, &["index-pack", "--stdin", "--threads=1", index], &pack);
    });
    let history = Wanted { history: true, ..Wanted::default() };
    let paths = Wanted { paths: true, ..history };
    let content = Wanted { content: true, ..paths };
    for (name, wanted) in [("names and history", history), ("+ paths", paths), ("+ content", content)] {
        let mut facts = Facts::default();
        row(name, &pack, || {
            let config =
                InspectConfig { wanted, findings: 1_000_000, paths: 10_000_000, ..InspectConfig::default() };
            facts = measure_pack(&pack, tip, config).expect("a pack of git");
        });
        let Facts { commits, paths, findings, .. } = &facts;
        println!("{:24} {commits} commits, {} paths, {} findings", "", paths.len(), findings.len());
    }
}

fn row(name: &str, pack: &[u8], mut work: impl FnMut()) {
    let before = cpu();
    work();
    let rate = pack.len() as f64 / 1e6 / (cpu() - before);
    println!("{name:<24} {rate:>10.1} {:>12}", resident());
}

/// A repository in which each crate was committed version by version.
fn history(folder: &Path) -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let registries = fs::read_dir(home.expect("Cargo has a home").join("registry/src")).expect("sources");
    let mut crates: Vec<PathBuf> = registries
        .flatten()
        .flat_map(|registry| fs::read_dir(registry.path()).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .collect();
    crates.sort();
    let repository = folder.join("history");
    fs::create_dir(&repository).expect("a folder");
    git(&repository, &["init", "-q"], b"");
    let mut left = SOURCES;
    for source in crates {
        let name = source.file_name().and_then(|name| name.to_str()).expect("a crate has a name");
        let crate_name = name.rsplit_once('-').map_or(name, |(name, _)| name);
        left = left.saturating_sub(copy(&source, &repository.join(crate_name), left));
        git(&repository, &["add", "-A"], b"");
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
        git(&repository, &[&who[..], &["commit", "-q", "--allow-empty", "-m", name]].concat(), b"");
        if left == 0 {
            break;
        }
    }
    repository
}

/// Copies a folder, up to so many bytes; says how many.
fn copy(from: &Path, to: &Path, max: u64) -> u64 {
    let mut copied = 0;
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        if copied >= max {
            break;
        }
        let target = to.join(entry.file_name());
        copied += match entry.path().is_dir() {
            true => copy(&entry.path(), &target, max - copied),
            false => fs::copy(entry.path(), target).expect("a file that can be copied"),
        };
    }
    copied
}

fn git(repository: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("git");
    command.current_dir(repository).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("git is there");
    let mut stdin = child.stdin.take().expect("it was asked for");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // One that does not read all of it fails by its status.
            let _ = std::io::Write::write_all(&mut stdin, input);
        });
        child.wait_with_output().expect("git ends")
    });
    assert!(output.status.success(), "git {arguments:?}");
    output.stdout
}

/// CPU seconds of this process and of those it waited for.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux tells the time a process ran");
    let fields = stat.rsplit(')').next().unwrap_or_default().split(' ');
    let ticks: f64 = fields.skip(12).take(4).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// The most that was resident so far, in megabytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().split(' ').next().and_then(|kilobytes| kilobytes.parse().ok()).unwrap_or(0u64) / 1024
}
