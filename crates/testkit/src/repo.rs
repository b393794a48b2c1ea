//! A bare repository on the server's disk, seen from behind the server's back.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::generate;
use crate::git::isolated;

/// The hash that names objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObjectFormat {
    /// SHA-1, 40 hex digits.
    #[default]
    Sha1,
    /// SHA-256, 64 hex digits.
    Sha256,
}

/// A bare repository that a server serves.
#[derive(Clone, Debug)]
pub struct Repo {
    path: PathBuf,
    url: String,
}

impl Repo {
    /// Makes a bare repository at `path`, whose default branch is `main` and which takes every push.
    pub(crate) fn init(path: &Path, url: &str, format: ObjectFormat) -> Result<Self> {
        let repo = Self { path: path.to_owned(), url: url.to_owned() };
        let format = match format {
            ObjectFormat::Sha1 => "sha1",
            ObjectFormat::Sha256 => "sha256",
        };
        std::fs::create_dir_all(path)?;
        repo.git(&["init", "--quiet", "--bare", "--initial-branch=main", "--object-format", format, "."])?;
        repo.configured()
    }

    /// As [`Repo::init`], with the content of another repository, sharing its files where the disk allows it.
    pub(crate) fn copy(path: &Path, url: &str, source: &Path) -> Result<Self> {
        let repo = Self { path: path.to_owned(), url: url.to_owned() };
        std::fs::create_dir_all(path)?;
        repo.git(&["clone", "--quiet", "--bare", "--local", &source.display().to_string(), "."])?;
        repo.configured()
    }

    fn configured(self) -> Result<Self> {
        for (key, value) in [
            ("http.receivepack", "true"),
            ("receive.advertisePushOptions", "true"),
            ("receive.autogc", "false"),
            ("receive.denyDeleteCurrent", "ignore"),
            ("uploadpack.allowFilter", "true"),
            ("gc.auto", "0"),
        ] {
            self.git(&["config", key, value])?;
        }
        Ok(self)
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it is on disk.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes `refs/heads/main` a history of so many small commits, always the same.
    ///
    /// # Errors
    /// When git fails.
    pub fn seed(&self, commits: u32) -> Result<()> {
        generate::history(&self.path, commits * generate::OBJECTS_PER_COMMIT)
    }

    /// The object id of a revision, or none when there is no such thing.
    ///
    /// # Errors
    /// When git cannot be run.
    pub fn rev(&self, revision: &str) -> Result<Option<String>> {
        let mut command = self.command(&["rev-parse", "--quiet", "--verify", "--end-of-options", revision]);
        let output = command.stderr(Stdio::inherit()).output().context("cannot run git")?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned()))
    }

    /// Every ref and its object id.
    ///
    /// # Errors
    /// When git fails.
    pub fn refs(&self) -> Result<BTreeMap<String, String>> {
        let list = self.git(&["for-each-ref", "--format=%(refname) %(objectname)"])?;
        let pairs = list.lines().map(|line| line.split_once(' ').context("a name and an object id"));
        pairs.map(|pair| pair.map(|(name, id)| (name.to_owned(), id.to_owned()))).collect()
    }

    /// Checks that every object is whole and every reference leads to one.
    ///
    /// # Errors
    /// When something is broken or missing.
    pub fn fsck(&self) -> Result<()> {
        self.git(&["fsck", "--full", "--strict", "--no-dangling"]).map(drop)
    }

    /// Installs a hook, a shell script without its first line: the means to make the server slow or unwilling.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn hook(&self, name: &str, script: &str) -> Result<()> {
        let path = self.path.join("hooks").join(name);
        std::fs::create_dir_all(self.path.join("hooks"))?;
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Runs git in the repository and gives what it wrote to stdout.
    ///
    /// # Errors
    /// When it fails; the error holds its stderr.
    pub fn git(&self, args: &[&str]) -> Result<String> {
        let output = self.command(args).output().context("cannot run git")?;
        if !output.status.success() {
            bail!("git {} failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = isolated(&self.path);
        command.args(args).current_dir(&self.path).stdin(Stdio::null());
        command
    }
}
