//! A Kubernetes cluster to test against: kube-apiserver, kubectl and helm from their Go modules, and the test
//! kit's kubelet, in the versions that `crates/testkit/k8s/go.mod` pins.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{clients, go, part::Part, rust};
use crate::cmd;

/// What is built; the kubelet is the module's own.
const PROGRAMS: [&str; 4] = [
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kubectl",
    "helm.sh/helm/v4/cmd/helm",
    "./kubelet",
];

/// What its own tests need besides.
const FOR_SUITE: [&str; 2] =
    ["k8s.io/kubernetes/cmd/kube-controller-manager", "k8s.io/kubernetes/cmd/kubectl-convert"];

/// Builds what is missing below the target directory, where the test kit finds it; and clients in other languages.
pub(super) fn install() -> Result<()> {
    clients::python(&Part::new("k8s/python", "kubernetes-python"))?;
    rust::install()?;
    let part = Part::new("k8s", "kubernetes");
    part.install(&sources(&part.source)?, "", || {
        println!("building kube-apiserver, kubectl and helm (once; it takes minutes)");
        build(&part, &PROGRAMS)
    })
}

/// Builds what Kubernetes' own tests of kubectl need, and gives the folders of all programs and of its sources.
pub(super) fn install_suite() -> Result<Suite> {
    let part = Part::new("k8s", "kubernetes-suite");
    part.install(&["go.mod", "go.sum"], "", || {
        println!("building kube-controller-manager and kubectl-convert (once; it takes minutes)");
        build(&part, &FOR_SUITE)
    })?;
    let mut list = cmd::command(go::program()?, &["list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"]);
    let source = cmd::output(list.env("GOTOOLCHAIN", "local").current_dir(&part.source))?;
    Ok(Suite { source: source.trim().into(), programs: [cmd::target().join("kubernetes"), part.place] })
}

/// What Kubernetes' own tests of kubectl are, and what they run.
pub(crate) struct Suite {
    /// The module `k8s.io/kubernetes`.
    pub(crate) source: PathBuf,
    /// The folders of the programs.
    pub(crate) programs: [PathBuf; 2],
}

fn build(part: &Part, programs: &[&str]) -> Result<()> {
    go::build(part, &flags(&part.source)?, programs)
}

/// The files of the module.
fn sources(folder: &Path) -> Result<Vec<String>> {
    let mut files = vec!["go.mod".to_owned(), "go.sum".to_owned()];
    for entry in folder.join("kubelet").read_dir().context("cannot list the kubelet's sources")? {
        files.push(format!("kubelet/{}", entry?.file_name().display()));
    }
    files.sort();
    Ok(files)
}

/// Smaller programs, that know their version: clients and servers compare theirs.
fn flags(folder: &Path) -> Result<String> {
    let module = fs::read_to_string(folder.join("go.mod"))?;
    let version = module.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "));
    let version = version.and_then(|it| it.split(' ').next()).context("go.mod names no k8s.io/kubernetes")?;
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let set = |name: &str, value: &str| format!(" -X k8s.io/component-base/version.{name}={value}");
    Ok(["-s -w", &set("gitVersion", version), &set("gitMajor", major), &set("gitMinor", minor)].concat())
}
