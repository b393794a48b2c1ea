//! Calls, watches and exec of the Kubernetes API: direct, through nginx, through lockgate.

mod load;
mod measure;
mod report;
mod subjects;

use std::path::PathBuf;

use anyhow::Result;

use measure::Bench;
use report::Report;
use subjects::Placement;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The lockgate binary
    #[arg(long, default_value = "target/release/lockgate")]
    lockgate: PathBuf,
    /// The file to write
    #[arg(long, default_value = "benches/k8s.md")]
    results: PathBuf,
    /// How often each call is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How often each exec is measured
    #[arg(long, default_value_t = 3)]
    exec_rounds: usize,
    /// Watches that are open at once
    #[arg(long, default_value_t = 1000)]
    watches: u32,
    /// Megabytes that a command in a pod writes
    #[arg(long, default_value_t = 100)]
    output: u32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut bench = Bench::start(&args.lockgate)?;
    bench.calls(Placement::Apart, args.rounds)?;
    bench.calls(Placement::Shared, args.rounds)?;
    bench.watches(args.watches)?;
    bench.exec(args.output, args.exec_rounds)?;
    let report = Report::new(&bench, args)?;
    crate::finish(&args.results, &report.to_string(), report.missed())
}
