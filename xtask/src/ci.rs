//! Everything that must pass before a change is merged, the quick steps first.

use anyhow::Result;

use crate::{cmd, codegen, setup, test, tidy};

/// Runs every step, stopping at the first that fails; the tests' total is the last line.
pub(crate) fn run() -> Result<()> {
    cmd::step("fmt", || cmd::run(&mut cmd::cargo(&["fmt", "--all", "--check"])))?;
    cmd::step("tidy", tidy::run)?;
    cmd::step("codegen", || codegen::run(true))?;
    cmd::step("clippy", clippy)?;
    cmd::step("doc", doc)?;
    cmd::step("deny", deny)?;
    let mut total = test::Total::default();
    cmd::step("test", || {
        total = test::run_all(&[])?;
        Ok(())
    })?;
    total.finish()
}

fn clippy() -> Result<()> {
    cmd::run(&mut cmd::cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
}

fn doc() -> Result<()> {
    let mut doc = cmd::cargo(&["doc", "--workspace", "--no-deps"]);
    cmd::run(doc.env("RUSTDOCFLAGS", "--deny warnings"))
}

/// Licences, bans and sources always; advisories when their database can be fetched, which needs a network
/// that a build machine may not have.
fn deny() -> Result<()> {
    let program = setup::cargo_deny()?;
    cmd::run(&mut cmd::command(&program, &["--workspace", "check", "licenses", "bans", "sources"]))?;
    if let Err(error) = cmd::run(&mut cmd::command(&program, &["fetch", "db"])) {
        println!("SKIPPED advisories: their database cannot be fetched from here ({error})");
        return Ok(());
    }
    cmd::run(&mut cmd::command(&program, &["--workspace", "check", "--disable-fetch", "advisories"]))
}
