//! The other clients of git that the tests use: libgit2, dulwich, isomorphic-git and JGit, each in its own
//! language, in versions that are pinned beside their drivers in `crates/testkit/clients`.

use std::fs;

use anyhow::{Context, Result};

use super::part::Part;
use crate::cmd;

/// What copies the jars that the pom names; pinned, as they are.
const COPY_JARS: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// Installs what is missing below the target directory, where the test kit finds it.
pub(super) fn install() -> Result<()> {
    python(&part("python"))?;
    node()?;
    jgit()
}

/// The packages of `requirements.txt`, in an environment of their own.
pub(super) fn python(part: &Part) -> Result<()> {
    // Moved to another Python, packages are found no more.
    let version = cmd::output(&mut cmd::command("python3", &["--version"]))?;
    part.install(&["requirements.txt"], &version, || {
        let place = part.place.to_str().context("the target directory is not UTF-8")?;
        cmd::run(&mut cmd::command("python3", &["-m", "venv", "--clear", place]))
            .context("Python cannot make an environment: install python3-venv")?;
        let mut pip = cmd::command(part.place.join("bin/pip"), &["install", "--quiet", "--no-input"]);
        pip.args(["--disable-pip-version-check", "--only-binary=:all:", "--requirement"]);
        cmd::run(pip.arg(part.source.join("requirements.txt")))
    })
}

fn node() -> Result<()> {
    let (part, files) = (part("node"), ["package.json", "package-lock.json", "client.mjs"]);
    part.install(&files, "", || {
        for file in files {
            fs::copy(part.source.join(file), part.place.join(file))?;
        }
        cmd::run(super::npm_ci().current_dir(&part.place))
    })
}

/// The jars, and the driver compiled against them, for Java starts slowly enough without compiling.
fn jgit() -> Result<()> {
    let part = part("jgit");
    part.install(&["pom.xml", "Client.java"], "", || {
        let (jars, pom) = (part.place.join("jars"), part.source.join("pom.xml"));
        let mut maven = cmd::command("mvn", &["--quiet", "--batch-mode", "--file"]);
        maven.arg(pom).arg(COPY_JARS).arg(format!("-DoutputDirectory={}", jars.display()));
        cmd::run(&mut maven)?;
        let mut javac = cmd::command("javac", &["--class-path"]);
        javac.arg(jars.join("*")).arg("-d").arg(part.place.join("classes"));
        cmd::run(javac.arg(part.source.join("Client.java")))
    })
}

fn part(language: &str) -> Part {
    Part::new(&format!("clients/{language}"), &format!("git-clients/{language}"))
}
