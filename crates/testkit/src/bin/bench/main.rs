//! Clone and push side by side: direct, through nginx as a plain reverse proxy, through lockgate, and through
//! lockgate with a policy that looks into pushes: before they go upstream, and while they do; and the same for
//! calls of the Kubernetes API, and for blobs of a registry.
//!
//! All serve the same repositories of the same server, or the same cluster; rounds are interleaved, so that
//! whatever else the machine does hits all of them alike, and what is compared are medians of one run. Run by
//! `cargo xtask bench`.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

mod figures;
mod kubernetes;
mod measure;
mod registry;
mod report;
mod repositories;
mod subjects;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use measure::Bench;
use report::Report;

/// What stands between these lines of the results is this program's to write; the rest is kept by hand.
const BEGIN: &str = "<!-- begin: cargo xtask bench -->";
const END: &str = "<!-- end: cargo xtask bench -->";

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    bench: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// Clone and push
    Git(Args),
    /// GET, LIST, watch and exec
    K8s(kubernetes::Args),
    /// Push and pull of a large blob
    Oci(registry::Args),
}

#[derive(Debug, clap::Args)]
struct Args {
    /// The lockgate binary
    #[arg(long, default_value = "target/release/lockgate")]
    lockgate: PathBuf,
    /// Where generated repositories are kept from one run to the next
    #[arg(long, default_value = "target/bench")]
    cache: PathBuf,
    /// The file to write
    #[arg(long, default_value = "benches/RESULTS.md")]
    results: PathBuf,
    /// How often each is measured
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Objects in the repositories that are cloned and pushed
    #[arg(long, value_delimiter = ',', default_values_t = [50_000, 200_000])]
    objects: Vec<u32>,
    /// Megabytes of the big push
    #[arg(long, default_value_t = 500)]
    bulk: u32,
}

fn main() -> Result<()> {
    match Cli::parse().bench {
        Which::Git(args) => git(&args),
        Which::K8s(args) => kubernetes::run(&args),
        Which::Oci(args) => registry::run(&args),
    }
}

fn git(args: &Args) -> Result<()> {
    let bulk = repositories::bulk(&args.cache, args.bulk)?;
    let mut bench = Bench::start(&args.lockgate)?;
    for &objects in &args.objects {
        bench.history(objects, &repositories::history(&args.cache, objects)?, args.rounds)?;
    }
    bench.bulk(args.bulk, &bulk)?;
    let report = Report::new(&bench, args)?;
    finish(&args.results, &report.to_string(), report.missed())
}

/// Prints and writes what was found.
fn finish(results: &Path, report: &str, missed: usize) -> Result<()> {
    println!("\n{report}");
    if let Some(folder) = results.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let before = std::fs::read_to_string(results).unwrap_or_default();
    std::fs::write(results, with_section(&before, report))?;
    println!("written to {}", results.display());
    match missed {
        0 => Ok(()),
        missed => bail!("{missed} goals are missed"),
    }
}

/// `text` with `section` in the place of the one that it had, or before everything else.
fn with_section(text: &str, section: &str) -> String {
    let parts = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.unwrap_or(("", text));
    let gap = if parts.is_none() && !after.is_empty() { "\n\n" } else { "" };
    let after = if after.is_empty() { "\n" } else { after };
    format!("{before}{BEGIN}\n{}\n{END}{gap}{after}", section.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(with_section(text, "# New\n"), expected);
    }

    #[test]
    fn only_its_own_section_is_rewritten() {
        check("", &format!("{BEGIN}\n# New\n{END}\n"));
        check("# By hand\n", &format!("{BEGIN}\n# New\n{END}\n\n# By hand\n"));
        check(
            &format!("# Before\n{BEGIN}\n# Old\n{END}\n# After\n"),
            &format!("# Before\n{BEGIN}\n# New\n{END}\n# After\n"),
        );
    }
}
