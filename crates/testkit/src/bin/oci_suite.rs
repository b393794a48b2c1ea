//! The conformance suite of OCI's distribution specification, directly before a registry and once more through
//! lockgate: what passes directly must pass through it. Run by `cargo xtask oci-suite`.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use lockgate_testkit::{Idp, Registry};
use serde_json::json;

/// Everybody who is known may do everything: what passes is for the suite to say.
const POLICY: &str = "
version: 1
rules:
  - id: all
    match: { everything: true }
    decide: allow
";

/// As POLICY, with a look into all that is pushed.
const SCANNED: &str = "
version: 1
rules:
  - { id: all, match: { everything: true }, decide: allow }
  - id: no-secrets
    match: { oci: { action: push, findings: any, root: true, repositories: [nothing] } }
    decide: deny
";

#[derive(Parser)]
struct Cli {
    /// The suite's program
    #[arg(long)]
    suite: PathBuf,
    /// The lockgate binary
    #[arg(long)]
    lockgate: PathBuf,
    /// Where results are left
    #[arg(long)]
    results: PathBuf,
}

/// How often each came of the tests of one name: there are several, in an order that changes from run to run.
type Results = BTreeMap<String, BTreeMap<String, usize>>;

fn main() -> Result<()> {
    let cli = Cli::parse();
    let directly = directly(&cli)?;
    let mut lost = Vec::new();
    println!("{:10} {:>8} {:>8} {:>8}", "", "passed", "failed", "skipped");
    print("directly", &directly);
    for (name, policy) in [("through", POLICY), ("scanned", SCANNED)] {
        let through = through(&cli, name, policy)?;
        print(name, &through);
        for test in directly.keys() {
            let fewer = passed(&directly, test).saturating_sub(passed(&through, test));
            if fewer > 0 {
                lost.push(format!("{name}: {test}: {fewer} fewer"));
            }
        }
    }
    if lost.is_empty() {
        return Ok(());
    }
    bail!("what passes directly does not pass through lockgate:\n  {}", lost.join("\n  "))
}

fn passed(results: &Results, test: &str) -> usize {
    results.get(test).and_then(|of| of.get("passed")).copied().unwrap_or(0)
}

fn print(name: &str, results: &Results) {
    let count = |of: &str| results.values().filter_map(|results| results.get(of)).sum::<usize>();
    println!(
        "{name:10} {:8} {:8} {:8}",
        count("passed"),
        count("failure") + count("error"),
        count("skipped")
    );
}

fn directly(cli: &Cli) -> Result<Results> {
    let registry = Registry::start()?;
    run(cli, "directly", &registry.host(), "", None)
}

fn through(cli: &Cli, name: &str, policy: &str) -> Result<Results> {
    let (registry, idp) = (Registry::start()?, Idp::start()?);
    let gate = registry.gate(&cli.lockgate, &idp, policy)?;
    let token = idp.token("suite").claim("aud", json!("lockgate")).sign()?;
    let results = run(cli, name, &gate.port().addr().to_string(), "hub/", Some(&token))?;
    std::fs::write(cli.results.join(name).join("lockgate.log"), gate.log()?)?;
    Ok(results)
}

fn run(cli: &Cli, name: &str, host: &str, prefix: &str, token: Option<&str>) -> Result<Results> {
    let folder = cli.results.join(name);
    std::fs::create_dir_all(&folder)?;
    let mut suite = Command::new(std::path::absolute(&cli.suite)?);
    suite
        .current_dir(&folder)
        .env("OCI_RESULTS_DIR", ".")
        .env("OCI_REGISTRY", host)
        .env("OCI_TLS", "disabled");
    suite.env("OCI_REPO1", format!("{prefix}conformance/repo1"));
    suite.env("OCI_REPO2", format!("{prefix}conformance/repo2"));
    if let Some(token) = token {
        suite.env("OCI_USERNAME", "oidc").env("OCI_PASSWORD", token);
    }
    let output = suite.output().context("cannot run the suite")?;
    std::fs::write(folder.join("suite.log"), [output.stdout, output.stderr].concat())?;
    let results = read(&folder.join("junit.xml"))?;
    ensure!(!results.is_empty(), "the suite did nothing: see {}", folder.display());
    Ok(results)
}

/// The cases of a report in JUnit's form, each on a line of its own.
fn read(report: &Path) -> Result<Results> {
    let text = std::fs::read_to_string(report).with_context(|| format!("no {}", report.display()))?;
    let cases = text.lines().filter(|line| line.trim_start().starts_with("<testcase "));
    let value = |line: &str, name: &str| {
        let begin = line.find(&format!(" {name}=\""))? + name.len() + 3;
        Some(line[begin..].split('"').next()?.to_owned())
    };
    let mut results = Results::new();
    for line in cases {
        let (Some(name), Some(status)) = (value(line, "name"), value(line, "status")) else { continue };
        *results.entry(name).or_default().entry(status).or_default() += 1;
    }
    Ok(results)
}
