//! Megabytes of pack per CPU second, and memory: what an inspection costs, by what is wanted, beside
//! `git index-pack` in the same run.
//!
//! `cargo bench -p lockgate-git --bench inspect -- 50000 path/to/repository`: a number stands for a generated
//! history of so many objects; with nothing, a history is made of the sources that Cargo keeps on this machine.

#![allow(clippy::print_stdout, reason = "a bench prints its table")]

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use lockgate_core::spool::{Spool, Spools};
use lockgate_git::{
    InspectConfig,
    facts::{Facts, Wanted},
    measure_pack,
    oid::Oid,
};
use lockgate_testkit::generate;
use tikv_jemallocator::Jemalloc;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Bytes of sources of which the history is made.
const SOURCES: u64 = 200 << 20;

fn main() {
    let mut given: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if given.is_empty() {
        given.push(String::new());
    }
    // Once per process: not what a push costs.
    InspectConfig::default().rules.prepare();
    for what in given {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let repository = match (what.parse(), &*what) {
            (Ok(objects), _) => generated(folder.path(), objects),
            (Err(_), "") => history(folder.path()),
            (Err(_), path) => PathBuf::from(path),
        };
        measure(&repository, folder.path());
    }
}

fn measure(repository: &Path, folder: &Path) {
    let tip = git(repository, &["rev-parse", "HEAD"], Stdio::null());
    let tip = Oid::from_hex(tip.trim_ascii()).expect("git names a commit");
    let (pack, tips) = (folder.join("pack"), folder.join("tips"));
    fs::write(&tips, "HEAD\n").expect("a file");
    let arguments = ["pack-objects", "--revs", "--stdout", "-q", "--delta-base-offset"];
    let mut command = Command::new("git");
    command.current_dir(repository).args(arguments).stdin(open(&tips));
    let status = command.stdout(File::create(&pack).expect("a file")).status().expect("git is there");
    assert!(status.success(), "git {arguments:?}");
    let mut head = [0; 12];
    open(&pack).read_exact(&mut head).expect("a pack");
    let objects = head[8..].iter().fold(0, |count, byte| count << 8 | u32::from(*byte));
    let size = pack.metadata().expect("a file").len() as f64 / 1e6;
    let spool = spool(&pack, folder);

    println!("\n{size:.0} MB, {objects} objects");
    println!("{:<24} {:>10} {:>12}", "", "MB/CPU-s", "resident MB");
    let before = cpu();
    let index = folder.join("index.pack");
    let index = index.to_str().expect("a path of plain text");
    git(repository, &["index-pack", "--stdin", "--threads=1", index], open(&pack).into());
    println!("{:<24} {:>10.1}", "git index-pack", size / (cpu() - before));
    let history = Wanted { history: true, ..Wanted::default() };
    let paths = Wanted { paths: true, ..history };
    let content = Wanted { content: true, ..paths };
    for (name, wanted) in [("names and history", history), ("+ paths", paths), ("+ content", content)] {
        let (before, start) = (cpu(), reset());
        let config =
            InspectConfig { wanted, paths: 10_000_000, facts: usize::MAX, ..InspectConfig::default() };
        let facts = measure_pack(spool.clone(), tip, config).expect("a pack of git");
        println!("{name:<24} {:>10.1} {:>12}", size / (cpu() - before), resident());
        let Facts { commits, paths, findings, .. } = &facts;
        let found = (paths.len(), findings.len());
        println!("{:24} {commits} commits, {} paths, {} findings; {start} MB before", "", found.0, found.1);
    }
}

/// A file as the proxy keeps what was pushed.
fn spool(file: &Path, dir: &Path) -> Spool {
    let spools = Spools { dir: dir.to_owned(), memory: 64 * 1024, max: u64::MAX };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (mut writer, mut reader, mut buffer) = (spools.create(), open(file), vec![0; 128 * 1024]);
        loop {
            match reader.read(&mut buffer).expect("a file that can be read") {
                0 => return writer.finish().await.expect("a spool"),
                read => writer.write(&buffer[..read].to_vec().into()).await.expect("a spool"),
            }
        }
    })
}

fn generated(folder: &Path, objects: u32) -> PathBuf {
    let repository = folder.join("generated");
    fs::create_dir(&repository).expect("a folder");
    git(&repository, &["init", "-q", "--bare", "-b", "main"], Stdio::null());
    generate::history(&repository, objects).expect("git takes it");
    git(&repository, &["repack", "-a", "-d", "-q"], Stdio::null());
    repository
}

fn open(path: &Path) -> File {
    File::open(path).expect("a file that can be read")
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
    git(&repository, &["init", "-q"], Stdio::null());
    let mut left = SOURCES;
    for source in crates {
        let name = source.file_name().and_then(|name| name.to_str()).expect("a crate has a name");
        let crate_name = name.rsplit_once('-').map_or(name, |(name, _)| name);
        left = left.saturating_sub(copy(&source, &repository.join(crate_name), left));
        git(&repository, &["add", "-A"], Stdio::null());
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
        git(&repository, &[&who[..], &["commit", "-q", "--allow-empty", "-m", name]].concat(), Stdio::null());
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

fn git(repository: &Path, arguments: &[&str], input: Stdio) -> Vec<u8> {
    let mut command = Command::new("git");
    let output = command.current_dir(repository).args(arguments).stdin(input).output().expect("git is there");
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

/// Forgets the most that was resident; says what is resident now, in megabytes.
fn reset() -> u64 {
    // To be found in proc(5); where it can't be written, the figures are of all work so far.
    let _ = fs::write("/proc/self/clear_refs", "5");
    resident()
}

/// The most that was resident, in megabytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().split(' ').next().and_then(|kilobytes| kilobytes.parse().ok()).unwrap_or(0u64) / 1024
}
