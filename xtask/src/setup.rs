//! What the tests run against and cargo does not bring: system packages, a certified OpenID provider, an LFS
//! server, other clients of git and of registries, a Kubernetes cluster, cargo-deny.
//!
//! Each is installed only when it is missing, so a second run does nothing and takes no time.

mod clients;
mod go;
mod images;
mod kubernetes;
mod part;
mod rust;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub(crate) use kubernetes::Suite as KubectlSuite;

use crate::cmd;

/// Programs of the tests and benches, and the Debian package that brings each.
const PROGRAMS: &[(&str, &str)] = &[
    ("git", "git"),
    ("git-lfs", "git-lfs"),
    ("nginx", "nginx-light"),
    ("fcgiwrap", "fcgiwrap"),
    ("apache2", "apache2-bin"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("ssh-keygen", "openssh-client"),
    ("python3", "python3-venv"),
    ("javac", "default-jdk-headless"),
    ("mvn", "maven"),
    ("etcd", "etcd-server"),
    ("script", "bsdutils"),
    ("h2load", "nghttp2-client"),
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("podman", "podman"),
    ("buildah", "buildah"),
    ("crun", "crun"),
    ("dockerd", "docker.io"),
    ("containerd", "containerd"),
];

/// Built from source, for want of a package: one version of each, so that every machine judges alike.
const CARGO_DENY: (&str, &str) = ("cargo-deny", "0.20.2");
const CARGO_FUZZ: (&str, &str) = ("cargo-fuzz", "0.13.2");

/// Sets up everything.
pub(crate) fn run() -> Result<()> {
    for_tests()?;
    cargo_deny().map(drop)
}

/// Sets up what the tests need.
pub(crate) fn for_tests() -> Result<()> {
    system_packages()?;
    openid_provider()?;
    lfs_server()?;
    clients::install()?;
    images::install()?;
    kubernetes::install()
}

/// Sets up what a Kubernetes cluster needs.
pub(crate) fn for_kubernetes() -> Result<()> {
    system_packages()?;
    kubernetes::install()
}

/// Sets up what OCI's conformance suite of registries needs, and gives its path.
pub(crate) fn for_oci_suite() -> Result<PathBuf> {
    system_packages()?;
    images::suite()
}

/// Sets up what Kubernetes' own tests of kubectl need.
pub(crate) fn for_kubectl_suite() -> Result<KubectlSuite> {
    for_kubernetes()?;
    kubernetes::install_suite()
}

/// The path of cargo-deny.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    built(CARGO_DENY)
}

/// The path of cargo-fuzz.
pub(crate) fn cargo_fuzz() -> Result<PathBuf> {
    built(CARGO_FUZZ)
}

/// The path of a cargo command, which is built once and kept in the target directory.
fn built((name, version): (&str, &str)) -> Result<PathBuf> {
    let tools = cmd::target().join("tools").join(format!("{name}-{version}"));
    let program = tools.join("bin").join(name);
    if !program.is_file() {
        println!("building {name} {version} (once)");
        let mut install = cmd::cargo(&["install", "--quiet", "--locked", "--debug", name]);
        // It runs for a second and is built for minutes: the build is what to make fast.
        install.env("CARGO_PROFILE_DEV_DEBUG", "0").env_remove("CARGO_TARGET_DIR");
        cmd::run(install.arg("--version").arg(version).arg("--root").arg(&tools))?;
    }
    Ok(program)
}

fn system_packages() -> Result<()> {
    let missing: Vec<_> =
        PROGRAMS.iter().filter(|(program, _)| !is_installed(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install --yes --no-install-recommends {}", missing.join(" "));
    if !cmd::on_path("apt-get") || !is_root()? {
        bail!("the tests need programs that are missing here; install them as root: {install}");
    }
    println!("installing {}", missing.join(" "));
    let words: Vec<_> = install.split(' ').collect();
    if cmd::run(&mut apt(&words)).is_err() {
        // The lists of packages are absent on a fresh machine, or older than the archive.
        cmd::run(&mut apt(&["apt-get", "update"]))?;
        cmd::run(&mut apt(&words))?;
    }
    Ok(())
}

/// Debian keeps nginx and fcgiwrap in sbin, which is not on everyone's PATH.
fn is_installed(program: &str) -> bool {
    cmd::on_path(program) || Path::new("/usr/sbin").join(program).is_file()
}

fn apt(words: &[&str]) -> std::process::Command {
    let mut command = cmd::command(words[0], &words[1..]);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

pub(crate) fn is_root() -> Result<bool> {
    Ok(cmd::output(&mut cmd::command("id", &["-u"]))?.trim() == "0")
}

/// Installs the provider's npm packages below the target directory, where the test kit finds them.
fn openid_provider() -> Result<()> {
    let source = cmd::root().join("crates/testkit/js");
    let place = cmd::target().join("oidc-provider");
    let lock =
        fs::read(source.join("package-lock.json")).context("cannot read the lock of the OpenID provider")?;
    let stamp = place.join("installed.json");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    println!("installing the OpenID provider");
    fs::create_dir_all(&place)?;
    fs::copy(source.join("package.json"), place.join("package.json"))?;
    fs::write(place.join("package-lock.json"), &lock)?;
    cmd::run(npm_ci().current_dir(&place))?;
    fs::write(stamp, lock)?;
    Ok(())
}

/// Installs exactly what the lock in the current folder names.
fn npm_ci() -> std::process::Command {
    cmd::command("npm", &["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
}

/// Installs the LFS server in a virtual environment below the target directory, where the test kit finds it.
fn lfs_server() -> Result<()> {
    let place = cmd::target().join("lfs-server");
    let requirements = cmd::root().join("crates/testkit/py/requirements.txt");
    let pinned = fs::read(&requirements).context("cannot read what the LFS server needs")?;
    let stamp = place.join("installed.txt");
    if fs::read(&stamp).is_ok_and(|installed| installed == pinned) {
        return Ok(());
    }
    println!("installing the LFS server");
    cmd::run(cmd::command("python3", &["-m", "venv", "--clear"]).arg(&place))?;
    let pip = place.join("bin/pip").display().to_string();
    // Every package is pinned: what giftless itself declares is not complete.
    let options = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"];
    cmd::run(cmd::command(&pip, &options).arg(&requirements))?;
    fs::write(stamp, pinned)?;
    Ok(())
}
