//! Developer commands of lockgate, the one entry point for people and CI: `cargo xtask --help`.
//!
//! Each command is a module with a `run` function; `cmd` runs programs, `step` times and names what is
//! done. Nothing here depends on a crate of the workspace, so that it works while they do not compile.

#![expect(clippy::print_stdout, reason = "a program for the terminal: its output is what it is for")]

mod ci;
mod cmd;
mod codegen;
mod fuzz;
mod git_suite;
mod kubectl_suite;
mod oci_suite;
mod setup;
mod test;
mod tidy;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of lockgate")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that must pass before a change is merged: format, lints, licences, docs, tests
    Ci,
    /// Set up what the tests need, then run every test of the workspace, doc tests included
    Test {
        /// Passed on to `cargo test`, for example `-p lockgate-git` or `-- --nocapture`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Install what the tests run against: git, nginx, fcgiwrap, Apache, node, an OpenID provider, Kubernetes, cargo-deny
    Setup,
    /// Check what a person would forget: crate arrows, lints, versions, file sizes, docs
    Tidy,
    /// Compile `proto/` to the Rust files that are committed
    Codegen {
        /// Change nothing; fail when the committed files differ
        #[arg(long)]
        check: bool,
    },
    /// Measure clone and push: direct, through nginx, through lockgate; writes benches/RESULTS.md. With `k8s`, the
    /// same for the Kubernetes API; writes benches/k8s.md. With `oci`, for blobs of a registry; writes
    /// benches/oci.md
    Bench {
        /// `git`, which may be left out, `k8s` or `oci`; the rest is passed on to the bench, for example `--rounds 3`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Fuzz a crate's targets, one after the other, with libFuzzer
    Fuzz {
        /// The crate, for example `detect`
        name: String,
        /// Only this target
        target: Option<String>,
        /// How long to run each target
        #[arg(long, value_name = "N", default_value_t = 600)]
        seconds: u32,
    },
    /// Run git's own HTTP test scripts directly and through lockgate: a source tree of git, built, and apache2
    GitSuite {
        /// The source tree
        #[arg(long, value_name = "DIR")]
        git_source: PathBuf,
        /// Test the git in this folder instead of the tree's own, for example `/usr/bin`
        #[arg(long, value_name = "DIR")]
        installed: Option<PathBuf>,
        /// Only these, for example `t5541-http-push-smart`
        scripts: Vec<String>,
    },
    /// Run Kubernetes' own tests of kubectl directly and through lockgate
    KubectlSuite {
        /// Mask Secrets on the way: what reads them fails then, and nothing else
        #[arg(long)]
        masked: bool,
        /// Only these, for example `configmap` for `run_configmap_tests`
        functions: Vec<String>,
    },
    /// Run OCI's conformance suite of registries directly and through lockgate
    OciSuite,
    /// Run what the tests run against, until Ctrl-C
    Rig {
        #[command(subcommand)]
        rig: Rig,
    },
    /// Run the demo in release mode
    Demo {
        /// Passed on to `lockgate demo`, for example `--yes --exit`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

#[derive(Subcommand)]
enum Rig {
    /// etcd, a Kubernetes API server, and a node whose pods are local processes
    K8s,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Ci => ci::run(),
        Command::Test { args } => test::run(&args),
        Command::Setup => setup::run(),
        Command::Tidy => tidy::run(),
        Command::Codegen { check } => codegen::run(check),
        Command::Bench { args } => bench(&args),
        Command::Fuzz { name, target, seconds } => fuzz::run(&name, target.as_deref(), seconds),
        Command::GitSuite { git_source, installed, scripts } => {
            git_suite::run(&git_source, installed.as_deref(), &scripts)
        }
        Command::KubectlSuite { masked, functions } => kubectl_suite::run(masked, &functions),
        Command::OciSuite => oci_suite::run(),
        Command::Rig { rig: Rig::K8s } => kubernetes(),
        Command::Demo { args } => cmd::run(cmd::cargo(&["run", "--release", "--", "demo"]).args(args)),
    }
}

fn bench(args: &[String]) -> Result<()> {
    setup::for_tests()?;
    cmd::run(&mut cmd::cargo(&["build", "--release", "--package", "lockgate"]))?;
    let mut bench =
        cmd::cargo(&["run", "--release", "--package", "lockgate-testkit", "--bin", "bench", "--"]);
    let target = cmd::target();
    let (name, args) = match args {
        [name, args @ ..] if ["git", "k8s", "oci"].contains(&name.as_str()) => (name.as_str(), args),
        args => ("git", args),
    };
    bench.arg(name).arg("--lockgate").arg(target.join("release/lockgate"));
    if name == "git" {
        bench.arg("--cache").arg(target.join("bench"));
    }
    cmd::run(bench.args(args))
}

fn kubernetes() -> Result<()> {
    setup::for_kubernetes()?;
    cmd::run(&mut cmd::cargo(&["run", "--package", "lockgate-testkit", "--bin", "rig", "--", "k8s"]))
}
