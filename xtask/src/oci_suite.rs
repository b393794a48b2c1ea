//! OCI's own conformance suite of its distribution specification: `cargo xtask oci-suite` builds it, of one version so
//! that every machine judges alike, and runs it directly and through lockgate.

use std::path::PathBuf;

use anyhow::{Result, ensure};

use crate::{cmd, setup};

/// The suite, a Go program.
const SUITE: &str = "github.com/opencontainers/distribution-spec/conformance";
const VERSION: &str = "v0.0.0-20260831232431-97274622c111";

/// Runs it.
pub(crate) fn run() -> Result<()> {
    setup::for_tests()?;
    let suite = suite()?;
    cmd::run(&mut cmd::cargo(&[
        "build",
        "--package",
        "lockgate",
        "--package",
        "lockgate-testkit",
        "--bins",
    ]))?;
    let programs = cmd::target().join("debug");
    let mut run = cmd::command(programs.join("oci_suite"), &["--suite"]);
    run.arg(suite).arg("--lockgate").arg(programs.join("lockgate"));
    cmd::run(run.arg("--results").arg(cmd::target().join("oci-suite")))
}

/// The suite's program, built once.
fn suite() -> Result<PathBuf> {
    let folder = cmd::target().join("tools").join(format!("oci-conformance-{VERSION}"));
    let program = folder.join("conformance");
    if !program.is_file() {
        ensure!(cmd::on_path("go"), "the suite is a Go program: install go");
        println!("building {SUITE} {VERSION} (once)");
        let mut install = cmd::command("go", &["install"]);
        cmd::run(install.arg(format!("{SUITE}@{VERSION}")).env("GOBIN", std::path::absolute(&folder)?))?;
    }
    Ok(program)
}
