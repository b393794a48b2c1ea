//! A large blob pushed to a registry and pulled from it: direct, through nginx, through lockgate, and through lockgate
//! while it looks through what is pushed.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use lockgate_testkit::{Idp, Lockgate, Nginx, Registry, image, process};
use serde_json::json;

use crate::figures::{Goal, Goals, Wanted, cell, machine, middle, missed, sorted};

/// Throughput as a part of nginx's, without and with a look into what is pushed.
const GOAL: f64 = 0.9;
const SCANNED_GOAL: f64 = 0.6;
/// Memory at most, in MiB.
const MEMORY_GOAL: f64 = 64.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The lockgate binary
    #[arg(long, default_value = "target/release/lockgate")]
    lockgate: PathBuf,
    /// The file to write
    #[arg(long, default_value = "benches/registry.md")]
    results: PathBuf,
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
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

/// One push or pull.
struct Sample {
    subject: Subject,
    push: bool,
    /// Megabytes a second.
    speed: f64,
    /// Processor time of the proxy, in seconds.
    time: f64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let bench = Bench::start(args)?;
    let mut samples = Vec::new();
    for _ in 0..args.rounds {
        for subject in SUBJECTS {
            samples.push(bench.sample(subject, true)?);
            samples.push(bench.sample(subject, false)?);
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
    blob: PathBuf,
    digest: String,
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
        let (blob, digest) = blob(gate.folder(), args.blob)?;
        let megabytes = f64::from(args.blob);
        Ok(Self { registry, nginx, gate, scanned, token, blob, digest, megabytes, _idp: idp })
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

    fn sample(&self, subject: Subject, push: bool) -> Result<Sample> {
        let (before, begin) = (self.processor_time(subject)?, Instant::now());
        if push {
            self.push(subject)?
        } else {
            self.pull(subject)?
        }
        let (took, after) = (begin.elapsed().as_secs_f64(), self.processor_time(subject)?);
        Ok(Sample { subject, push, speed: self.megabytes / took, time: after - before })
    }

    fn push(&self, subject: Subject) -> Result<()> {
        let (server, repository) = self.url(subject);
        let begin = format!("{server}{repository}/blobs/uploads/");
        let place = self.curl(subject, &["--request", "POST", "--write-out", "%header{location}"], &begin)?;
        let absolute =
            |place: &str| if place.starts_with('/') { format!("{server}{place}") } else { place.to_owned() };
        let octets = "content-type: application/octet-stream";
        let file = self.blob.to_str().context("a UTF-8 path")?;
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
        self.curl(subject, &["--request", "PUT"], &format!("{place}{join}digest={}", self.digest))?;
        Ok(())
    }

    fn pull(&self, subject: Subject) -> Result<()> {
        let (server, repository) = self.url(subject);
        let length = self.curl(
            subject,
            &["--output", "/dev/null", "--write-out", "%{size_download}"],
            &format!("{server}{repository}/blobs/{}", self.digest),
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

/// A blob that can't be compressed, as layers are, and its digest.
fn blob(folder: &Path, megabytes: u32) -> Result<(PathBuf, String)> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity((megabytes as usize) << 20);
    while bytes.len() < bytes.capacity() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.write_all(&state.to_le_bytes())?;
    }
    bytes.truncate((megabytes as usize) << 20);
    let path = folder.join("blob");
    std::fs::write(&path, &bytes)?;
    Ok((path, image::sha256(&bytes)))
}

struct Report {
    machine: String,
    command: String,
    rows: Vec<String>,
    goals: Vec<Goal>,
}

impl Report {
    fn new(bench: &Bench, args: &Args, samples: &[Sample]) -> Result<Self> {
        let of = |subject, push, value: fn(&Sample) -> f64| {
            let fits = |sample: &&Sample| sample.subject == subject && sample.push == push;
            sorted(samples.iter().filter(fits).map(value))
        };
        let gigabytes = bench.megabytes / 1024.0;
        let mut rows = Vec::new();
        for subject in SUBJECTS {
            let mut row = format!("| {} |", name(subject));
            for push in [true, false] {
                let time = middle(&of(subject, push, |sample| sample.time)) / gigabytes;
                row += &format!(" {} | {time:.2} |", cell(&of(subject, push, |sample| sample.speed)));
            }
            rows.push(row);
        }
        let speed = |subject, push| middle(&of(subject, push, |sample| sample.speed));
        let ratio = |subject, push| speed(subject, push) / speed(Subject::Nginx, push);
        let goal = |what: &str, found, wanted| Goal { what: what.to_owned(), found, wanted };
        let memory = |gate: &Lockgate| gate.peak_memory().map(|bytes| bytes as f64 / 1_048_576.0);
        let goals = vec![
            goal("push, to nginx's", ratio(Subject::Lockgate, true), Wanted::AtLeast(GOAL)),
            goal("pull, to nginx's", ratio(Subject::Lockgate, false), Wanted::AtLeast(GOAL)),
            goal(
                "push that is looked through, to nginx's",
                ratio(Subject::Scanned, true),
                Wanted::AtLeast(SCANNED_GOAL),
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
        writeln!(f, "| way | push | s/GB | pull | s/GB |\n|---|---|---|---|---|")?;
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
