//! The clients of git that are not git: libraries in three languages, each behind the same command line.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::{Output, Running, nginx, packages};

/// Where `cargo xtask setup` installs them.
const PACKAGES: &str = "git-clients";

/// A command that takes longer hangs; on a loaded machine Java takes its time.
const LIMIT: Duration = Duration::from_secs(300);

/// A git library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// libgit2, in C, by its Python binding pygit2.
    Libgit2,
    /// dulwich, in Python.
    Dulwich,
    /// isomorphic-git, in JavaScript, under node.
    Isomorphic,
    /// JGit, in Java.
    Jgit,
}

/// How a client presents its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// As the password of Basic, when it is asked for one.
    Basic,
    /// As a bearer in a header that it was told to send.
    Bearer,
}

/// A user of a library: a home, and a token. Their work trees can be used with git, too.
#[derive(Debug)]
pub struct Client {
    library: Library,
    scheme: Scheme,
    token: String,
    home: TempDir,
}

impl Client {
    /// A user with nothing configured.
    ///
    /// # Errors
    /// When no temporary folder can be made.
    pub fn new(library: Library, scheme: Scheme, token: &str) -> Result<Self> {
        Ok(Self { library, scheme, token: token.to_owned(), home: tempfile::tempdir()? })
    }

    /// Runs `clone URL DIR`, `fetch DIR` or `push DIR REFSPEC` to its end. What the server said, and the
    /// library's errors, are on stderr.
    ///
    /// # Errors
    /// When it cannot be run or hangs.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        self.spawn(args)?.finish(LIMIT)
    }

    /// As [`Client::run`], to watch it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn spawn(&self, args: &[&str]) -> Result<Running> {
        let mut command = self.library.command()?;
        command.args(args).current_dir(self.home.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path()).env("LC_ALL", "C.UTF-8");
        let scheme = match self.scheme {
            Scheme::Basic => "basic",
            Scheme::Bearer => "bearer",
        };
        Running::start(command.env("SCHEME", scheme).env("TOKEN", &self.token))
    }

    /// A place for work trees.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

impl Library {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Libgit2, Self::Dulwich, Self::Isomorphic, Self::Jgit];

    fn command(self) -> Result<Command> {
        let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
        let python = |driver: &str| -> Result<Command> {
            let mut command = Command::new(packages::installed(PACKAGES)?.join("python/bin/python"));
            // Compiled, the driver would leave files beside itself.
            command.arg("-B").arg(drivers.join("python").join(driver));
            Ok(command)
        };
        match self {
            Self::Libgit2 => python("libgit2_client.py"),
            Self::Dulwich => python("dulwich_client.py"),
            Self::Isomorphic => {
                let mut command = Command::new(nginx::program("node")?);
                // node looks for packages from where the script is.
                command.arg(packages::installed(PACKAGES)?.join("node/client.mjs"));
                Ok(command)
            }
            Self::Jgit => {
                let place = packages::installed(PACKAGES)?.join("jgit");
                let classes =
                    format!("{}:{}", place.join("classes").display(), place.join("jars/*").display());
                let mut command = Command::new(nginx::program("java")?);
                // It runs for a second: better started quickly than optimized.
                command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp"]);
                command.arg(classes).arg("Client");
                Ok(command)
            }
        }
    }
}
