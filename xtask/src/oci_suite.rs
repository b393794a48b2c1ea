//! OCI's own conformance suite of its distribution specification, of one version so that every machine judges alike:
//! `cargo xtask oci-suite` runs it directly and through lockgate.

use anyhow::Result;

use crate::{cmd, setup};

/// Runs it.
pub(crate) fn run() -> Result<()> {
    let suite = setup::for_oci_suite()?;
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
