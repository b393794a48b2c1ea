//! A large blob pushed to a registry and pulled from it: direct, through nginx, through lockgate, and through lockgate
//! while it looks through what is pushed. Each is another blob, so that a gateway has recorded none of it before; then
//! the one that was pulled is pulled again.

use std::cell::RefCell;
use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use lockgate_testkit::{Idp, Lockgate, Nginx, Registry, image, process};
use serde_json::json;

use crate::figures::{Goal, Goals, Wanted, cell, in_turn, machine, middle, missed, sorted};

/// Throughput as a part of nginx's, without and with a look into what is pushed.
const GOAL: f64 = 0.9;
const SCANNED_GOAL: f64 = 0.6;
/// Memory at most, in MiB.
const MEMORY_GOAL: f64 = 64.0;
/// What a pull of what was recorded adds to the recordings, as a part of it.
const AGAIN_GOAL: f64 = 0.01;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The lockgate binary
    #[arg(long, default_value = "target/release/lockgate")]
    lockgate: PathBuf,
    /// The file to write
    #[arg(long, default_value = "benches/oci.md")]
    results: PathBuf,
    /// How often each is measured. Each time leaves six gigabytes on the disk until the end, of blobs of 512
    #[arg(long, default_value_t = 8)]
    rounds: usize,
    /// Megabytes of the blob
    #[arg(long, default_value_t = 512)]
    blob: u32,
}

/// A way to the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Direct,
    Nginx,
    Lockgate,
    Scanned,
}

const SUBJECTS: [Subject; 4] = [Subject::Direct, Subject::Nginx, Subject::Lockgate, Subject::Scanned];

/// What is done with a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Push,
    Pull,
    /// A pull of what was pulled before.
    Again,
}

const WORK: [Work; 3] = [Work::Push, Work::Pull, Work::Again];

/// One push or pull.
struct Sample {
    subject: Subject,
    work: Work,
    /// Megabytes a second.
    speed: f64,
    /// Processor time of the proxy, in seconds.
    time: f64,
    /// What it added to the recordings, as a part of the blob.
    stored: f64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let bench = Bench::start(args)?;
    let mut samples = Vec::new();
    for round in 0..args.rounds {
        for subject in in_turn(&SUBJECTS, round) {
            for work in WORK {
                samples.push(bench.sample(subject, work)?);
            }
        }
    }
    let report = Report::new(&bench, args, &samples)?;
    crate::finish(&args.results, &report.to_string(), missed(&report.goals))
}

struct Bench {
    registry: Registry,
    nginx: Nginx,
    gate: Lockgate,
    scanned: Lockgate,
    token: String,
    blob: Blob,
    megabytes: f64,
    _idp: Idp,
}

impl Bench {
    fn start(args: &Args) -> Result<Self> {
        let (registry, idp) = (Registry::start()?, Idp::start()?);
        let server = SERVER.replace("{upstream}", &registry.url());
        let nginx = Nginx::start("", &server, None)?;
        let token = idp.token("bench").claim("aud", json!("lockgate")).sign()?;
        let gate = registry.gate(&args.lockgate, &idp, POLICY)?;
        let scanned = registry.gate(&args.lockgate, &idp, SCANNED)?;
        let blob = Blob::make(gate.folder(), args.blob)?;
        let megabytes = f64::from(args.blob);
        Ok(Self { registry, nginx, gate, scanned, token, blob, megabytes, _idp: idp })
    }

    fn url(&self, subject: Subject) -> (String, String) {
        match subject {
            Subject::Direct => (self.registry.url(), "/v2/bench".into()),
            Subject::Nginx => (self.nginx.url(), "/v2/bench".into()),
            Subject::Lockgate => (self.gate.url(), "/v2/hub/bench".into()),
            Subject::Scanned => (self.scanned.url(), "/v2/hub/bench".into()),
        }
    }

    fn processor_time(&self, subject: Subject) -> Result<f64> {
        let process = match subject {
            Subject::Direct => return Ok(0.0),
            Subject::Nginx => self.nginx.pid(),
            Subject::Lockgate => self.gate.running()?.pid(),
            Subject::Scanned => self.scanned.running()?.pid(),
        };
        Ok(process::processor_time(process)?.as_secs_f64())
    }

    /// The gateway, where a way leads through one.
    fn gate(&self, subject: Subject) -> Option<&Lockgate> {
        match subject {
            Subject::Direct | Subject::Nginx => None,
            Subject::Lockgate => Some(&self.gate),
            Subject::Scanned => Some(&self.scanned),
        }
    }

    /// Bytes in the recordings of a gateway, which has closed none of them for a while.
    fn stored(&self, subject: Subject) -> Result<u64> {
        let Some(gate) = self.gate(subject) else { return Ok(0) };
        let data = gate.folder().join("data");
        Ok(size(&data.join("recordings"))? + size(&data.join("spool"))?)
    }

    fn sample(&self, subject: Subject, work: Work) -> Result<Sample> {
        match work {
            Work::Push => self.blob.renew()?,
            Work::Pull => {
                self.blob.renew()?;
                self.push(Subject::Direct)?;
            }
            Work::Again => {}
        }
        let stored = self.stored(subject)?;
        let (before, begin) = (self.processor_time(subject)?, Instant::now());
        match work {
            Work::Push => self.push(subject)?,
            Work::Pull | Work::Again => self.pull(subject)?,
        }
        let (took, after) = (begin.elapsed().as_secs_f64(), self.processor_time(subject)?);
        let stored = self.stored(subject)?.saturating_sub(stored) as f64 / (self.megabytes * 1_048_576.0);
        Ok(Sample { subject, work, speed: self.megabytes / took, time: after - before, stored })
    }

    fn push(&self, subject: Subject) -> Result<()> {
        let (server, repository) = self.url(subject);
        let begin = format!("{server}{repository}/blobs/uploads/");
        let place = self.curl(subject, &["--request", "POST", "--write-out", "%header{location}"], &begin)?;
        let absolute =
            |place: &str| if place.starts_with('/') { format!("{server}{place}") } else { place.to_owned() };
        let octets = "content-type: application/octet-stream";
        let file = self.blob.path.to_str().context("a UTF-8 path")?;
        let patch = [
            "--request",
            "PATCH",
            "--header",
            octets,
            "--upload-file",
            file,
            "--write-out",
            "%header{location}",
        ];
        let place = absolute(&self.curl(subject, &patch, &absolute(&place))?);
        let join = if place.contains('?') { '&' } else { '?' };
        self.curl(subject, &["--request", "PUT"], &format!("{place}{join}digest={}", self.blob.digest()))?;
        Ok(())
    }

    fn pull(&self, subject: Subject) -> Result<()> {
        let (server, repository) = self.url(subject);
        let length = self.curl(
            subject,
            &["--output", "/dev/null", "--write-out", "%{size_download}"],
            &format!("{server}{repository}/blobs/{}", self.blob.digest()),
        )?;
        ensure!(length.parse::<f64>()? == self.megabytes * 1_048_576.0, "{length} bytes came");
        Ok(())
    }

    fn curl(&self, subject: Subject, args: &[&str], url: &str) -> Result<String> {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail"]).args(args);
        if matches!(subject, Subject::Lockgate | Subject::Scanned) {
            curl.args(["--header", &format!("authorization: Bearer {}", self.token)]);
        }
        let output = curl.arg(url).output().context("cannot run curl")?;
        ensure!(output.status.success(), "{subject:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// A blob that can't be compressed, as layers are, in a file.
struct Blob {
    path: PathBuf,
    now: RefCell<Content>,
}

struct Content {
    bytes: Vec<u8>,
    digest: String,
    /// How often it was changed.
    count: u64,
}

impl Blob {
    fn make(folder: &Path, megabytes: u32) -> Result<Self> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let length = (megabytes as usize) << 20;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.write_all(&state.to_le_bytes())?;
        }
        let path = folder.join("blob");
        std::fs::write(&path, &bytes)?;
        let digest = image::sha256(&bytes);
        Ok(Self { path, now: Content { bytes, digest, count: 0 }.into() })
    }

    /// Makes another of it, which begins otherwise.
    fn renew(&self) -> Result<()> {
        let mut now = self.now.borrow_mut();
        now.count += 1;
        let beginning = now.count.to_le_bytes();
        now.bytes[..beginning.len()].copy_from_slice(&beginning);
        now.digest = image::sha256(&now.bytes);
        let file = std::fs::File::options().write(true).open(&self.path)?;
        Ok(file.write_all_at(&beginning, 0)?)
    }

    fn digest(&self) -> String {
        self.now.borrow().digest.clone()
    }
}

/// The bytes of all files below a folder.
fn size(folder: &Path) -> Result<u64> {
    let mut all = 0;
    for entry in folder.read_dir().with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        // It may have moved meanwhile.
        let Ok(metadata) = entry.metadata() else { continue };
        all += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(all)
}

struct Report {
    machine: String,
    command: String,
    rows: Vec<String>,
    goals: Vec<Goal>,
}

impl Report {
    fn new(bench: &Bench, args: &Args, samples: &[Sample]) -> Result<Self> {
        let of = |subject, work, value: fn(&Sample) -> f64| {
            let fits = |sample: &&Sample| sample.subject == subject && sample.work == work;
            sorted(samples.iter().filter(fits).map(value))
        };
        let gigabytes = bench.megabytes / 1024.0;
        let mut rows = Vec::new();
        for subject in SUBJECTS {
            let mut row = format!("| {} |", name(subject));
            for work in WORK {
                let time = middle(&of(subject, work, |sample| sample.time)) / gigabytes;
                row += &format!(" {} | {time:.2} |", cell(&of(subject, work, |sample| sample.speed)));
            }
            rows.push(row);
        }
        let speed = |subject, work| middle(&of(subject, work, |sample| sample.speed));
        let ratio = |subject, work| speed(subject, work) / speed(Subject::Nginx, work);
        let goal = |what: &str, found, wanted| Goal { what: what.to_owned(), found, wanted };
        let memory = |gate: &Lockgate| gate.peak_memory().map(|bytes| bytes as f64 / 1_048_576.0);
        let goals = vec![
            goal("push, to nginx's", ratio(Subject::Lockgate, Work::Push), Wanted::AtLeast(GOAL)),
            goal("pull, to nginx's", ratio(Subject::Lockgate, Work::Pull), Wanted::AtLeast(GOAL)),
            goal("pull again, to nginx's", ratio(Subject::Lockgate, Work::Again), Wanted::AtLeast(GOAL)),
            goal(
                "push that is looked through, to nginx's",
                ratio(Subject::Scanned, Work::Push),
                Wanted::AtLeast(SCANNED_GOAL),
            ),
            goal(
                "recorded of a pull again, of its bytes",
                middle(&of(Subject::Lockgate, Work::Again, |sample| sample.stored)),
                Wanted::AtMost(AGAIN_GOAL),
            ),
            goal("memory, MiB", memory(&bench.gate)?, Wanted::AtMost(MEMORY_GOAL)),
            goal("memory, looking through, MiB", memory(&bench.scanned)?, Wanted::AtMost(MEMORY_GOAL)),
        ];
        let Args { rounds, blob, .. } = args;
        let command = format!("cargo xtask bench oci --rounds {rounds} --blob {blob}");
        Ok(Self { machine: machine()?, command, rows, goals })
    }
}

fn name(subject: Subject) -> &'static str {
    match subject {
        Subject::Direct => "direct",
        Subject::Nginx => "nginx, unbuffered",
        Subject::Lockgate => "lockgate",
        Subject::Scanned => "lockgate, looking through",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, command, rows, goals } = self;
        writeln!(f, "# A blob pushed and pulled\n\n{machine}. `{command}`.\n")?;
        writeln!(
            f,
            "Megabytes a second, and processor seconds of the proxy for each gigabyte. Medians (least–greatest).\n"
        )?;
        writeln!(f, "| way | push | s/GB | pull | s/GB | again | s/GB |\n|---|---|---|---|---|---|---|")?;
        rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
        write!(f, "\n{}", Goals(goals))
    }
}

const SERVER: &str = "
location / {
    proxy_pass {upstream};
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_request_buffering off;
    proxy_buffering off;
    client_max_body_size 0;
}
";

const POLICY: &str = "
version: 1
rules:
  - { id: all, match: { everything: true }, decide: allow }
";

const SCANNED: &str = "
version: 1
rules:
  - { id: all, match: { everything: true }, decide: allow }
  - { id: no-secrets, match: { oci: { action: push, findings: any } }, decide: deny }
";
