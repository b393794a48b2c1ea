//! The other clients of git that the tests use: libgit2, dulwich, isomorphic-git and JGit, each in its own
//! language, in versions that are pinned beside their drivers in `crates/testkit/clients`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cmd;

/// What copies the jars that the pom names; pinned, as they are.
const COPY_JARS: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// Installs what is missing below the target directory, where the test kit finds it.
pub(super) fn install() -> Result<()> {
    python()?;
    node()?;
    jgit()
}

fn python() -> Result<()> {
    let part = Part::new("python");
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
    let (part, files) = (Part::new("node"), ["package.json", "package-lock.json", "client.mjs"]);
    part.install(&files, "", || {
        for file in files {
            fs::copy(part.source.join(file), part.place.join(file))?;
        }
        cmd::run(super::npm_ci().current_dir(&part.place))
    })
}

/// The jars, and the driver compiled against them, for Java starts slowly enough without compiling.
fn jgit() -> Result<()> {
    let part = Part::new("jgit");
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

/// One language's clients: where their drivers are, and where their packages go.
struct Part {
    source: PathBuf,
    place: PathBuf,
}

impl Part {
    fn new(name: &str) -> Self {
        let source = cmd::root().join("crates/testkit/clients").join(name);
        Self { source, place: cmd::target().join("git-clients").join(name) }
    }

    /// Installs unless these files, and what else is said, are what was installed before.
    fn install(&self, files: &[&str], also: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut wanted = also.to_owned();
        for file in files {
            let path = self.source.join(file);
            wanted +=
                &fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        }
        let stamp = self.place.join("installed");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(());
        }
        println!("installing {}", name(&self.place));
        if self.place.exists() {
            fs::remove_dir_all(&self.place)?;
        }
        fs::create_dir_all(&self.place)?;
        install()?;
        Ok(fs::write(stamp, wanted)?)
    }
}

fn name(place: &Path) -> String {
    format!("the git clients of {}", place.file_name().unwrap_or_default().display())
}
