//! A client of the Kubernetes API with kube-rs, and kube-rs's own tests that want a cluster: the client's sources are in
//! `crates/testkit/k8s/rust`, the tests come with the crates, of which copies are built beside it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::part::Part;
use crate::cmd;

/// The crates whose tests are built.
const TESTED: [&str; 2] = ["kube-client", "kube"];

/// The workspace in the client's manifest, and what comes to it, and behind it, once the copies are there.
const WORKSPACE: &str = "[workspace]\n";
const MEMBERS: &str = "members = [\"kube-client\", \"kube\"]\n";
const PATCHES: &str = "
[patch.crates-io]
kube-client = { path = \"kube-client\" }
kube = { path = \"kube\" }
";

/// A crate that the tests of kube-client need, and that is left out of what is published.
const LEFT_OUT: &str = "\n[dev-dependencies.kube]\nversion = \"*\"\n";

/// Builds what is missing below the target directory, where the test kit finds it.
pub(super) fn install() -> Result<()> {
    let part = Part::new("k8s/rust", "kubernetes-rust");
    part.install(&["Cargo.toml", "client.rs"], "", || {
        println!("building a client with kube-rs, and kube-rs's own tests (once; it takes minutes)");
        let sources = part.place.join("sources");
        fs::create_dir(&sources)?;
        for file in ["Cargo.toml", "client.rs"] {
            fs::copy(part.source.join(file), sources.join(file))?;
        }
        // As far as crates are ours too, in the same versions.
        fs::copy(cmd::root().join("Cargo.lock"), sources.join("Cargo.lock"))?;
        copy(&sources)?;
        build(&sources, &part.place)?;
        Ok(fs::remove_dir_all(sources)?)
    })
}

/// Makes the crates whose tests are built members of the client's workspace.
fn copy(sources: &Path) -> Result<()> {
    let manifest = sources.join("Cargo.toml");
    let mut metadata = cmd::cargo(&["metadata", "--format-version=1", "--manifest-path"]);
    let metadata: Value = serde_json::from_str(&cmd::output(metadata.arg(&manifest))?)?;
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    for name in TESTED {
        let package = packages.iter().find(|package| package["name"] == name);
        let manifest = package.and_then(|package| package["manifest_path"].as_str());
        let folder = manifest.and_then(|path| Path::new(path).parent());
        let mut copy = cmd::command("cp", &["--recursive", "--no-preserve=mode"]);
        cmd::run(copy.arg(folder.with_context(|| format!("{name} is missing"))?).arg(sources.join(name)))?;
    }
    let client = sources.join("kube-client/Cargo.toml");
    fs::write(&client, fs::read_to_string(&client)? + LEFT_OUT)?;
    let text = fs::read_to_string(&manifest)?.replacen(WORKSPACE, &[WORKSPACE, MEMBERS].concat(), 1);
    Ok(fs::write(&manifest, text + PATCHES)?)
}

/// Builds the programs: `client`, and the tests as `kube_client` and `kube`.
fn build(sources: &Path, place: &Path) -> Result<()> {
    let mut build = cmd::cargo(&["build", "--quiet", "--workspace", "--bins", "--lib", "--tests"]);
    build.args([
        "--features",
        "kube-client/rustls-tls,kube-client/ws,kube-client/unstable-client",
        "--message-format=json",
    ]);
    build.arg("--manifest-path").arg(sources.join("Cargo.toml"));
    let told = cmd::output(build.arg("--target-dir").arg(sources.join("target")))?;
    for line in told.lines() {
        let built: Value = serde_json::from_str(line)?;
        let name = built["target"]["name"].as_str().unwrap_or_default();
        if let Some(program) = built["executable"].as_str()
            && (name == "client") != (built["profile"]["test"] == true)
        {
            fs::copy(program, place.join(name))?;
        }
    }
    Ok(())
}
