//! The report: medians, ratios and goals, in Markdown.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use crate::Args;
use crate::figures::{Goal, Goals, NONE, Wanted, cell, machine, middle, missed, sorted};
use crate::measure::{Bench, Sample, Work};
use crate::subjects::{SUBJECTS, Subject};

/// A clone through lockgate takes at most so many times what it takes through nginx.
const CLONE_GOAL: f64 = 1.05;

/// A push that is looked into takes at most so many times what it takes directly.
const INSPECTED_GOAL: f64 = 1.25;

/// lockgate's peak memory during the big push, in megabytes.
const MEMORY_GOAL: f64 = 100.0;

/// The same, where it is looked into.
const INSPECTED_MEMORY_GOAL: f64 = 128.0;

/// What was found, ready to print.
pub(crate) struct Report {
    machine: String,
    command: String,
    rows: Vec<String>,
    goals: Vec<Goal>,
}

impl Report {
    pub(crate) fn new(bench: &Bench, args: &Args) -> Result<Self> {
        let histories = args.objects.iter().flat_map(|&objects| {
            [
                (Work::Clone(objects), format!("clone of {objects} objects")),
                (Work::Push(objects), format!("push of {objects} objects")),
            ]
        });
        let bulk = args.bulk;
        let works: Vec<_> = histories.chain([(Work::Bulk(bulk), format!("push of {bulk} MB"))]).collect();
        let rows = works.iter().flat_map(|(work, name)| {
            let wall = |subject| values(&bench.samples, *work, subject, |sample| sample.wall);
            // The kernel counts processor time in hundredths: a mean says more than a median.
            let processor =
                |subject| mean(&values(&bench.samples, *work, subject, |sample| sample.processor));
            [row(name, wall), row("— processor time of the proxy", processor)]
        });
        let rows = rows.collect();
        let middle = |work, subject| middle(&values(&bench.samples, work, subject, |sample| sample.wall));
        let mut goals = Vec::new();
        for &objects in &args.objects {
            let (clone, push) = (Work::Clone(objects), Work::Push(objects));
            goals.push(Goal {
                what: format!("clone of {objects} objects: lockgate / nginx"),
                found: middle(clone, Subject::Lockgate) / middle(clone, Subject::Nginx),
                wanted: Wanted::AtMost(CLONE_GOAL),
            });
            goals.push(Goal {
                what: format!("push of {objects} objects: early / direct"),
                found: middle(push, Subject::Early) / middle(push, Subject::Direct),
                wanted: Wanted::AtMost(INSPECTED_GOAL),
            });
        }
        for (subject, what, limit) in [
            (Subject::Lockgate, "peak memory of lockgate", MEMORY_GOAL),
            (Subject::Inspecting, "the same, inspected", INSPECTED_MEMORY_GOAL),
            (Subject::Early, "the same, early", INSPECTED_MEMORY_GOAL),
        ] {
            let peak = bench.peak_memory.iter().find(|(of, _)| *of == subject);
            goals.push(Goal {
                what: format!("{what} during a push of {bulk} MB, in MB"),
                found: peak.map_or(f64::NAN, |(_, bytes)| *bytes as f64 / 1e6),
                wanted: Wanted::AtMost(limit),
            });
        }
        let objects = args.objects.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let command = format!("cargo xtask bench --rounds {} --objects {objects} --bulk {bulk}", args.rounds);
        Ok(Self { machine: machine()?, command, rows, goals })
    }

    /// How many goals are missed.
    pub(crate) fn missed(&self) -> usize {
        missed(&self.goals)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, machine, rows, goals } = self;
        writeln!(
            f,
            "# Clone and push, side by side\n\nWritten by `{command}`. The detection of secrets and the inspection of packs have their own pages: [detect.md](detect.md), [git.md](git.md).\n\n{METHOD}\n\n{machine}.\n"
        )?;
        writeln!(
            f,
            "| seconds | direct | nginx | lockgate | inspected | early | lockgate / nginx | inspected / direct | early / direct |\n\
             |---|---|---|---|---|---|---|---|---|"
        )?;
        for row in rows {
            writeln!(f, "{row}")?;
        }
        write!(f, "\n{}", Goals(goals))
    }
}

const METHOD: &str = "\
Medians of interleaved rounds in one run, the fastest and the slowest in brackets; processor times are means.
The server is `git http-backend` behind nginx and fcgiwrap, the same for all; *nginx* is a second nginx in
front of it, a plain unbuffered reverse proxy; *lockgate* authenticates, decides and records everything; *inspected*
is lockgate with a rule that has every object of a push searched for secrets, and *early* the same with
`forward: early`, which sends a push on while it is searched, but for its end. Plain HTTP on loopback; the big push is
measured once.";

/// One line of the table, from the sorted values of each subject.
fn row(name: &str, values: impl Fn(Subject) -> Vec<f64>) -> String {
    let cells = SUBJECTS.map(|subject| cell(&values(subject)));
    let ratio = |of, to| {
        let ratio = middle(&values(of)) / middle(&values(to));
        if ratio.is_finite() { format!("{ratio:.2}") } else { NONE.into() }
    };
    let gateway = ratio(Subject::Lockgate, Subject::Nginx);
    let inspected = ratio(Subject::Inspecting, Subject::Direct);
    let early = ratio(Subject::Early, Subject::Direct);
    format!("| {name} | {} | {gateway} | {inspected} | {early} |", cells.join(" | "))
}

/// The values in seconds, in order.
fn values(samples: &[Sample], work: Work, subject: Subject, value: impl Fn(&Sample) -> Duration) -> Vec<f64> {
    let fitting = samples.iter().filter(|sample| sample.work == work && sample.subject == subject);
    sorted(fitting.map(|sample| value(sample).as_secs_f64()))
}

/// The mean, as the only value; none when there is none.
fn mean(values: &[f64]) -> Vec<f64> {
    if values.is_empty() { Vec::new() } else { vec![values.iter().sum::<f64>() / values.len() as f64] }
}
