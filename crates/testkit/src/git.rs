//! The real `git`, kept apart from the configuration of whoever runs the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tempfile::TempDir;

use crate::Running;

/// A git command that takes longer hangs: pushes of hundreds of megabytes on a loaded machine stay below.
const LIMIT: Duration = Duration::from_secs(600);

/// A user of git: a home of its own, and a way to authenticate. Clones share the home.
#[derive(Clone, Debug)]
pub struct Git {
    home: Arc<TempDir>,
    config: Vec<(String, String)>,
    env: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Git {
    /// A user with nothing configured.
    ///
    /// # Errors
    /// When no temporary folder can be made.
    pub fn new() -> Result<Self> {
        let git = Self { home: Arc::new(tempfile::tempdir()?), config: Vec::new(), env: Vec::new() };
        Ok(git
            .config("gc.auto", "0")
            .config("init.defaultBranch", "main")
            .config("advice.detachedHead", "false"))
    }

    /// Sets a configuration value, which stands in no command line: secrets may be in it.
    #[must_use]
    pub fn config(mut self, key: &str, value: &str) -> Self {
        self.config.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Speaks this version of the wire protocol: 0, 1 or 2.
    #[must_use]
    pub fn protocol(self, version: u8) -> Self {
        self.config("protocol.version", &version.to_string())
    }

    /// Sends a bearer token, as `http.extraHeader`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.config("http.extraHeader", &format!("Authorization: Bearer {token}"))
    }

    /// Answers a challenge with a user and password, by a credential helper.
    #[must_use]
    pub fn credentials(self, user: &str, password: &str) -> Self {
        let helper = r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$TEST_USER" "$TEST_PASSWORD"; }; f"#;
        self.config("credential.helper", helper).env("TEST_USER", user).env("TEST_PASSWORD", password)
    }

    /// Trusts servers whose certificates this authority signed.
    #[must_use]
    pub fn ca(self, pem: &Path) -> Self {
        self.config("http.sslCAInfo", &pem.display().to_string())
    }

    /// The user's home: a place for work trees.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs git to its end, however that is.
    ///
    /// # Errors
    /// When it cannot be run or hangs.
    pub fn run(&self, folder: &Path, args: &[&str]) -> Result<Output> {
        self.spawn(folder, args)?.finish(LIMIT)
    }

    /// Runs git and gives what it wrote.
    ///
    /// # Errors
    /// When it fails; the error holds what it wrote.
    pub fn ok(&self, folder: &Path, args: &[&str]) -> Result<Output> {
        let output = self.run(folder, args)?;
        if !output.status.success() {
            bail!("git {} failed: {}{}", args.join(" "), output.stdout, output.stderr);
        }
        Ok(output)
    }

    /// Runs git, which must fail.
    ///
    /// # Errors
    /// When it succeeds; the error holds what it wrote.
    pub fn fails(&self, folder: &Path, args: &[&str]) -> Result<Output> {
        let output = self.run(folder, args)?;
        if output.status.success() {
            bail!("git {} succeeded: {}{}", args.join(" "), output.stdout, output.stderr);
        }
        Ok(output)
    }

    /// Starts git, to watch it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn spawn(&self, folder: &Path, args: &[&str]) -> Result<Running> {
        Running::start(self.command().args(args).current_dir(folder))
    }

    /// The command, without arguments, for what the other functions do not offer.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = isolated(self.home());
        command.env("GIT_CONFIG_COUNT", self.config.len().to_string());
        for (index, (key, value)) in self.config.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Clones to a folder of that name in the home.
    ///
    /// # Errors
    /// When git fails.
    pub fn clone_to(&self, url: &str, name: &str) -> Result<PathBuf> {
        self.ok(self.home(), &["clone", "--quiet", url, name])?;
        Ok(self.home().join(name))
    }

    /// Writes a file and commits it; gives the commit's object id. Times are fixed: the same content on the
    /// same parents is the same commit.
    ///
    /// # Errors
    /// When git fails.
    pub fn commit(&self, work: &Path, file: &str, content: &str) -> Result<String> {
        let path = work.join(file);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, content)?;
        self.ok(work, &["add", "--", file])?;
        self.ok(work, &["commit", "--quiet", "--message", file])?;
        Ok(self.ok(work, &["rev-parse", "HEAD"])?.stdout.trim_end().to_owned())
    }
}

/// Puts a user and password into a URL.
#[must_use]
pub fn with_user(url: &str, user: &str, password: &str) -> String {
    url.replacen("://", &format!("://{user}:{password}@"), 1)
}

/// git with nothing of the caller's environment but the PATH.
pub(crate) fn isolated(home: &Path) -> Command {
    let mut command = Command::new("git");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home).env("LC_ALL", "C").env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "false");
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "Ada Test")
            .env(format!("GIT_{role}_EMAIL"), "ada@test.example");
        command.env(format!("GIT_{role}_DATE"), "2024-05-01T12:00:00Z");
    }
    command
}
