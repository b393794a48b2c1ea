//! The measurements: time of calls, processor time of the proxy, memory of watches, throughput of exec.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lockgate_testkit::{Transport, wait};

use super::load::Load;
use super::subjects::{IDLE, MANY, MASKED, ONE, PLAIN, Placement, SUBJECTS, Subject, Subjects};
use crate::figures::in_turn;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Get,
    List,
    GetSecret,
    ListSecrets,
}

pub(crate) const WORKS: [Work; 4] = [Work::Get, Work::List, Work::GetSecret, Work::ListSecrets];

/// One round of one work through one subject.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) placement: Placement,
    pub(crate) work: Work,
    pub(crate) subject: Subject,
    /// Milliseconds, of one request after the other on one connection.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Requests a second, on four connections with ten at once each.
    pub(crate) per_second: f64,
    /// Milliseconds of the proxy's processor time for each of these.
    pub(crate) processor: f64,
    /// Bytes of an answer's body.
    pub(crate) size: usize,
}

/// What open watches take of lockgate's memory, in bytes each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watches {
    pub(crate) streams: u32,
    pub(crate) each: f64,
}

/// One run of a command that writes much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exec {
    pub(crate) subject: Subject,
    pub(crate) pod: &'static str,
    pub(crate) transport: Transport,
    pub(crate) megabytes_per_second: f64,
    /// Seconds of the proxy's processor time.
    pub(crate) processor: f64,
}

/// The ways of exec that are compared, in the order of the report's columns.
pub(crate) const EXECS: [(Subject, &str); 3] =
    [(Subject::Direct, PLAIN), (Subject::Lockgate, PLAIN), (Subject::Lockgate, MASKED)];

/// A watch from a version that the API server has in memory, as that of a client that has listed. Without one the API
/// server waits until etcd says that nothing is newer, which Debian's etcd never does by itself: it ends such a watch
/// after 3 s, and turns others away (429) while many wait.
const WATCH: &str = "watch=true&timeoutSeconds=3600&resourceVersion=0";

/// Streams on a connection of watches that share them.
pub(crate) const SHARED: u32 = 100;

/// The bench: what stands ready, and what was measured so far.
pub(crate) struct Bench {
    pub(crate) subjects: Subjects,
    pub(crate) samples: Vec<Sample>,
    pub(crate) watches: Vec<Watches>,
    pub(crate) execs: Vec<Exec>,
}

impl Work {
    fn path(self) -> String {
        match self {
            Self::Get => format!("/api/v1/namespaces/{ONE}/configmaps/one"),
            Self::List => format!("/api/v1/namespaces/{MANY}/configmaps"),
            Self::GetSecret => format!("/api/v1/namespaces/{ONE}/secrets/one"),
            Self::ListSecrets => format!("/api/v1/namespaces/{MANY}/secrets"),
        }
    }

    /// How many requests are sent, one after the other and at once.
    fn requests(self) -> (u32, u32) {
        match self {
            Self::Get | Self::GetSecret => (200, 1000),
            Self::List | Self::ListSecrets => (80, 240),
        }
    }
}

impl Bench {
    pub(crate) fn start(lockgate: &Path) -> Result<Self> {
        let subjects = Subjects::start(lockgate)?;
        Ok(Self { subjects, samples: Vec::new(), watches: Vec::new(), execs: Vec::new() })
    }

    /// Calls so many times through each, beginning with another one each time.
    pub(crate) fn calls(&mut self, placement: Placement, rounds: usize) -> Result<()> {
        self.subjects.place(placement)?;
        // What is made at a first request is no part of any.
        for subject in SUBJECTS {
            for work in WORKS {
                Load { connections: 4, streams: 10, requests: 200 }
                    .send(&self.subjects.call(subject, &work.path())?)?;
            }
        }
        for round in 0..rounds {
            println!("calls, {placement:?}, round {} of {rounds}", round + 1);
            for work in WORKS {
                for subject in in_turn(&SUBJECTS, round) {
                    let sample = self.sample(placement, work, subject)?;
                    self.samples.push(sample);
                }
            }
        }
        Ok(())
    }

    fn sample(&self, placement: Placement, work: Work, subject: Subject) -> Result<Sample> {
        let call = self.subjects.call(subject, &work.path())?;
        let (alone, at_once) = work.requests();
        let answers = Load { connections: 1, streams: 1, requests: alone }.send(&call)?;
        let part = |of: usize| answers.latencies[answers.latencies.len() * of / 100];
        let (p50, p99, size) = (part(50), part(99), answers.size);
        let before = self.subjects.processor_time(subject)?;
        let answers = Load { connections: 4, streams: 10, requests: at_once }.send(&call)?;
        let processor = self.subjects.processor_time(subject)?.saturating_sub(before);
        let processor = processor.as_secs_f64() * 1000.0 / f64::from(at_once);
        let per_second = answers.per_second;
        println!("{work:?}, {subject:?}: p50 {p50:.2} ms, p99 {p99:.2} ms, {per_second:.0} a second");
        Ok(Sample { placement, work, subject, p50, p99, per_second, processor, size })
    }

    /// Opens watches on which nothing happens: some on each connection, and then one.
    pub(crate) fn watches(&mut self, count: u32) -> Result<()> {
        for streams in [SHARED, 1] {
            println!("{count} watches, {streams} on each connection");
            self.subjects.restart()?;
            let warm = self.subjects.call(Subject::Lockgate, &Work::Get.path())?;
            Load { connections: 4, streams: 10, requests: 1000 }.send(&warm)?;
            let (before, open) = (self.subjects.memory()?, self.open_watches()?);
            let path = format!("/api/v1/namespaces/{IDLE}/configmaps?{WATCH}");
            let call = self.subjects.call(Subject::Lockgate, &path)?;
            let load = Load { connections: count.div_ceil(streams), streams, requests: count };
            let mut client = load.hold(&call)?;
            wait::until("the watches to be open", || {
                (self.open_watches().ok()? >= open + f64::from(count)).then_some(())
            })
            .with_context(|| client.stdout() + &client.stderr())?;
            let memory = self.subjects.memory()?.saturating_sub(before);
            client.kill()?;
            let each = memory as f64 / f64::from(count);
            println!("{:.1} KiB each", each / 1024.0);
            self.watches.push(Watches { streams, each });
        }
        Ok(())
    }

    /// The watches of ConfigMaps that the API server knows of.
    fn open_watches(&self) -> Result<f64> {
        let metrics = self.subjects.cluster.kubectl(ONE)?.get(&["get", "--raw", "/metrics"])?;
        let lines = metrics.lines().filter(|line| {
            let watch = line.contains("resource=\"configmaps\"") && line.contains("verb=\"WATCH\"");
            line.starts_with("apiserver_longrunning_requests{") && watch
        });
        Ok(lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }

    /// Has a command in a pod write so many megabytes.
    pub(crate) fn exec(&mut self, megabytes: u32, rounds: usize) -> Result<()> {
        for pod in [PLAIN, MASKED] {
            let folder = self.subjects.cluster.container_folder(ONE, pod, "main");
            write_log(&folder.join("output"), u64::from(megabytes) * 1_000_000)?;
        }
        self.subjects.restart()?;
        for round in 0..rounds {
            println!("exec, round {} of {rounds}", round + 1);
            for transport in Transport::ALL {
                for (subject, pod) in in_turn(&EXECS, round) {
                    let exec = self.one_exec(subject, pod, transport, megabytes)?;
                    self.execs.push(exec);
                }
            }
        }
        Ok(())
    }

    fn one_exec(
        &self,
        subject: Subject,
        pod: &'static str,
        transport: Transport,
        megabytes: u32,
    ) -> Result<Exec> {
        let kubectl = self.subjects.kubectl(subject)?.transport(transport);
        let before = self.subjects.processor_time(subject)?;
        let start = Instant::now();
        let mut command = kubectl.command("kubectl")?;
        command.args(["exec", pod, "--", "cat", "output"]).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let written = std::io::copy(child.stdout.as_mut().context("it is piped")?, &mut std::io::sink())?;
        let (status, wall) = (child.wait()?, start.elapsed());
        ensure!(status.success() && written == u64::from(megabytes) * 1_000_000, "{written} bytes, {status}");
        let processor = self.subjects.processor_time(subject)?.saturating_sub(before);
        let megabytes_per_second = f64::from(megabytes) / wall.max(Duration::from_nanos(1)).as_secs_f64();
        println!("{subject:?}, {pod}, {transport:?}: {megabytes_per_second:.1} MB/s");
        Ok(Exec { subject, pod, transport, megabytes_per_second, processor: processor.as_secs_f64() })
    }
}

/// Writes lines as of a log, no two of which are alike, to exactly that size.
fn write_log(path: &Path, size: u64) -> Result<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let (mut left, mut state) = (size, 1_u64);
    while left > 0 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (id, took) = (state >> 16, state >> 52);
        let line =
            format!("level=info msg=\"request served\" id={id:012x} path=/api/items/{took} took={took}us\n");
        let part = &line.as_bytes()[..line.len().min(usize::try_from(left)?)];
        file.write_all(part)?;
        left -= part.len() as u64;
    }
    Ok(file.flush()?)
}
