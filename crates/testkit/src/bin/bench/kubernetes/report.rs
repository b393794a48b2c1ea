//! The report: medians, ratios and goals, in Markdown.

use std::fmt;

use anyhow::Result;
use lockgate_testkit::Transport;

use super::Args;
use super::measure::{Bench, EXECS, Exec, SHARED, Sample, WORKS, Work};
use super::subjects::{Placement, SUBJECTS, Subject, sync_time};
use crate::figures::{Goal, Goals, Wanted, cell, machine, middle, missed, sorted};

/// What lockgate adds to a call at most, in milliseconds.
const ADDED_GOAL: f64 = 0.3;

/// Calls a second, as a part of those through nginx.
const CALLS_GOAL: f64 = 0.8;

/// Memory of a watch that shares a connection with others, in KiB.
const SHARED_GOAL: f64 = 20.0;

/// The same on a connection of its own.
const OWN_GOAL: f64 = 50.0;

/// Throughput of exec, as a part of that without lockgate.
const EXEC_GOAL: f64 = 0.5;

/// What was found, ready to print.
pub(crate) struct Report {
    machine: String,
    command: String,
    calls: Vec<(Placement, Calls)>,
    least: Vec<String>,
    watches: Vec<String>,
    exec: Vec<String>,
    goals: Vec<Goal>,
}

/// Rows on the calls of a placement.
#[derive(Default)]
struct Calls {
    latency: Vec<String>,
    throughput: Vec<String>,
}

impl Report {
    pub(crate) fn new(bench: &Bench, args: &Args) -> Result<Self> {
        let version = bench.subjects.cluster.kubectl("default")?.get_json(&["version", "-o", "json"])?;
        let version = version["serverVersion"]["gitVersion"].as_str().unwrap_or("unknown").to_owned();
        let Args { rounds, exec_rounds, watches, output, .. } = args;
        let sync = sync_time(bench.subjects.gate.folder())?;
        let mut report = Self {
            machine: format!(
                "{}, kube-apiserver {version}; the disk takes {sync:.2} ms for an `fdatasync`",
                machine()?,
            ),
            command: format!(
                "cargo xtask bench k8s --rounds {rounds} --exec-rounds {exec_rounds} --watches {watches} --output {output}"
            ),
            calls: Vec::new(),
            least: Vec::new(),
            watches: Vec::new(),
            exec: Vec::new(),
            goals: Vec::new(),
        };
        for placement in [Placement::Apart, Placement::Shared] {
            let samples = Samples { all: &bench.samples, placement };
            let mut calls = Calls::default();
            for work in WORKS {
                report.calls(work, &samples, &mut calls);
            }
            report.calls.push((placement, calls));
        }
        for work in WORKS {
            let samples = Samples { all: &bench.samples, placement: Placement::Apart };
            report.least(work, &samples, sync);
        }
        for (streams, limit, what) in [
            (SHARED, SHARED_GOAL, format!("{SHARED} on each connection")),
            (1, OWN_GOAL, "each on a connection of its own".to_owned()),
        ] {
            let each = bench.watches.iter().find(|it| it.streams == streams).map(|it| it.each / 1024.0);
            let each = each.unwrap_or(f64::NAN);
            report.watches.push(format!("| {what} | {each:.1} |"));
            let what = format!("memory of one of {watches} watches, {what}, in KiB");
            report.goals.push(Goal { what, found: each, wanted: Wanted::AtMost(limit) });
        }
        for transport in Transport::ALL {
            report.exec(transport, &bench.execs);
        }
        Ok(report)
    }

    /// What would be added by a proxy that takes no more time than nginx, asks for another, and waits for the disk.
    fn least(&mut self, work: Work, samples: &Samples<'_>, sync: f64) {
        let p50 = |subject| middle(&samples.of(work, subject, |sample| sample.p50));
        let direct = p50(Subject::Direct);
        // Of two medians that hardly differ either may be the greater.
        let [proxy, other] =
            [Subject::Nginx, Subject::Impersonating].map(|subject| (p50(subject) - direct).max(0.0));
        let row = [(Subject::Lockgate, 2.0), (Subject::Overlapped, 1.0), (Subject::Diskless, 0.0)]
            .map(|(gateway, waits)| (proxy + other + waits * sync, p50(gateway) - direct))
            .map(|(least, found)| format!("{least:.2} | {found:.2}"));
        self.least.push(format!("| {} | {} |", name(work, samples.all), row.join(" | ")));
    }

    fn calls(&mut self, work: Work, samples: &Samples<'_>, calls: &mut Calls) {
        let name = name(work, samples.all);
        let how = how(samples.placement);
        let values = |subject, value: fn(&Sample) -> f64| samples.of(work, subject, value);
        let middle = |subject, value| middle(&values(subject, value));
        let row = |what: &str, value: fn(&Sample) -> f64| {
            let cells = SUBJECTS.map(|subject| cell(&values(subject, value)));
            format!("| {what} | {} |", cells.join(" | "))
        };
        let p50: fn(&Sample) -> f64 = |sample| sample.p50;
        let p99: fn(&Sample) -> f64 = |sample| sample.p99;
        let per_second: fn(&Sample) -> f64 = |sample| sample.per_second;
        let processor: fn(&Sample) -> f64 = |sample| sample.processor;
        calls
            .latency
            .extend([("p50", p50), ("p99", p99)].map(|(what, value)| row(&format!("{name}, {what}"), value)));
        calls.throughput.push(row(&name, per_second));
        calls.throughput.push(row("— processor time of the proxy for each, in ms", processor));
        for (gateway, what) in [
            (Subject::Lockgate, ""),
            (Subject::Overlapped, ", overlapped"),
            (Subject::Diskless, ", diskless"),
        ] {
            self.goals.push(Goal {
                what: format!("{name}{what}{how}: added p50, in ms"),
                found: middle(gateway, p50) - middle(Subject::Direct, p50),
                wanted: Wanted::AtMost(ADDED_GOAL),
            });
            self.goals.push(Goal {
                what: format!("{name}{what}{how}: calls a second, lockgate / nginx"),
                found: middle(gateway, per_second) / middle(Subject::Nginx, per_second),
                wanted: Wanted::AtLeast(CALLS_GOAL),
            });
        }
    }

    fn exec(&mut self, transport: Transport, execs: &[Exec]) {
        let name = match transport {
            Transport::WebSocket => "WebSocket",
            Transport::Spdy => "SPDY",
        };
        let values = |way: (Subject, &str), value: fn(&Exec) -> f64| {
            let fitting =
                execs.iter().filter(move |it| (it.subject, it.pod) == way && it.transport == transport);
            sorted(fitting.map(value))
        };
        let speed: fn(&Exec) -> f64 = |exec| exec.megabytes_per_second;
        let row = |what: &str, value: fn(&Exec) -> f64| {
            let cells = EXECS.map(|way| cell(&values(way, value)));
            format!("| {what} | {} |", cells.join(" | "))
        };
        let [direct, plain, masked] = EXECS.map(|way| middle(&values(way, speed)));
        self.exec.push(format!("{} {:.2} | {:.2} |", row(name, speed), plain / direct, masked / direct));
        self.exec.push(format!("{} | |", row("— processor time of lockgate, in s", |exec| exec.processor)));
        for (what, found) in [("recorded", plain / direct), ("masked", masked / direct)] {
            let what = format!("exec by {name}, {what}: lockgate / direct");
            self.goals.push(Goal { what, found, wanted: Wanted::AtLeast(EXEC_GOAL) });
        }
    }

    /// How many goals are missed.
    pub(crate) fn missed(&self) -> usize {
        missed(&self.goals)
    }
}

/// All samples, of which those of a placement are looked at.
struct Samples<'a> {
    all: &'a [Sample],
    placement: Placement,
}

impl Samples<'_> {
    fn of(&self, work: Work, subject: Subject, value: fn(&Sample) -> f64) -> Vec<f64> {
        let asked = (self.placement, work, subject);
        let fitting = self.all.iter().filter(|it| (it.placement, it.work, it.subject) == asked);
        sorted(fitting.map(value))
    }
}

/// What is said of a placement.
fn how(placement: Placement) -> &'static str {
    match placement {
        Placement::Apart => "",
        Placement::Shared => ", all on all processors",
    }
}

/// What a work is called, with the size of what is sent directly.
fn name(work: Work, samples: &[Sample]) -> String {
    let of = |sample: &&Sample| sample.work == work && sample.subject == Subject::Direct;
    let size = samples.iter().find(of).map_or(0.0, |sample| sample.size as f64 / 1000.0);
    match work {
        Work::Get => format!("GET of a ConfigMap, {size:.1} KB"),
        Work::List => format!("LIST of 100 ConfigMaps, {size:.0} KB"),
        Work::GetSecret => format!("GET of a Secret, {size:.1} KB, masked"),
        Work::ListSecrets => format!("LIST of 100 Secrets, {size:.0} KB, masked"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, command, calls, least, watches, exec, goals } = self;
        writeln!(f, "# Kubernetes, side by side\n\nWritten by `{command}`.\n\n{METHOD}\n\n{machine}.\n")?;
        let mut table = |head: &str, columns: usize, rows: &[String]| {
            writeln!(f, "| {head} |\n|{}", "---|".repeat(columns))?;
            rows.iter().try_for_each(|row| writeln!(f, "{row}"))?;
            writeln!(f)
        };
        let ways =
            "direct | direct, for another | nginx | lockgate | lockgate, overlapped | lockgate, diskless";
        for (placement, Calls { latency, throughput }) in calls {
            let how = how(*placement);
            table(&format!("ms, one after the other{how} | {ways}"), 7, latency)?;
            table(&format!("calls a second, 4 connections of 10{how} | {ways}"), 7, throughput)?;
        }
        let ways = "the least | lockgate | the least | overlapped | the least | diskless";
        table(&format!("ms that are added to one after the other | {ways}"), 7, least)?;
        table("idle watches | KiB each", 2, watches)?;
        let ways = "direct | lockgate | lockgate, masked | lockgate / direct | masked / direct";
        table(&format!("exec, MB/s | {ways}"), 6, exec)?;
        write!(f, "{}", Goals(goals))
    }
}

const METHOD: &str = "\
Medians of interleaved rounds in one run, the least and the greatest in brackets. The API server is a real one,
the same for all, and takes most of the time of a call; calls are sent by h2load over TLS. The proxies have the last
processor for themselves, as on a machine of their own, and everything else has the others; where *all on all processors* is said,
nobody has any for itself, and what a proxy takes is taken from the API server. *Direct* and *nginx* ask by
the caller's own token. *lockgate* authenticates the caller, decides, records everything, and asks as the API
server's own impersonation has it, which costs the API server more: *direct, for another* is that request without
lockgate. Before a request is sent on, and before an answer ends, all of it is on the disk. *overlapped* (`reads:
overlapped`) asks the API server before the request is durable, and *diskless* is lockgate with its
recordings in memory instead. *The least* is what nginx adds, what asking for another adds, and what the disk takes: two
waits for it where the request is durable before it is sent on, one where only the answer waits, none without a disk. *nginx* is a plain TLS reverse proxy that keeps its connections to the API server. Masking
looks for known values and for all patterns of secrets. Memory is what lockgate has resident, less what it had before the
watches. Exec is `kubectl exec` of `cat` on a file of lines as of a log.";
