//! The real binary, in a folder of its own.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Output, Port, Running, process, wait};

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// A gateway: its folder with the configuration and all state, its ports, and its process while it runs.
#[derive(Debug)]
pub struct Lockgate {
    running: Option<Running>,
    program: PathBuf,
    port: Port,
    control: Port,
    folder: TempDir,
}

impl Lockgate {
    /// Prepares a folder and two ports; nothing runs yet. `program` is the binary, which tests of its own crate
    /// find as `env!("CARGO_BIN_EXE_lockgate")`.
    ///
    /// # Errors
    /// When no folder or port can be had.
    pub fn prepare(program: impl Into<PathBuf>) -> Result<Self> {
        let (port, control, folder) = (Port::reserve()?, Port::reserve()?, tempfile::tempdir()?);
        Ok(Self { running: None, program: program.into(), port, control, folder })
    }

    /// The folder, for state and whatever the configuration names.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file, `lockgate.yaml` in the folder.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder().join("lockgate.yaml")
    }

    /// The port that the configuration must make it listen on: `listen.address`.
    #[must_use]
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// A port for its control plane: `control.listen`.
    #[must_use]
    pub fn control_port(&self) -> &Port {
        &self.control
    }

    /// `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.port.addr())
    }

    /// Writes the configuration.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, config: &str) -> Result<()> {
        std::fs::write(self.config(), config).context("cannot write the configuration")
    }

    /// Runs `lockgate up` and waits until it takes connections.
    ///
    /// # Errors
    /// When it ends or does not listen; the error holds its stderr.
    pub fn start(&mut self) -> Result<()> {
        let mut command = self.command();
        let mut running = Running::start(command.arg("up").arg("--config").arg(self.config()))?;
        let addr = self.port.addr();
        let listening = wait::until("lockgate to listen or to end", || {
            let ended = running.has_ended().ok()?;
            (ended || TcpStream::connect(addr).is_ok()).then_some(!ended)
        });
        if !listening.with_context(|| running.stderr())? {
            bail!("lockgate ended: {}", running.finish(LIMIT)?.stderr);
        }
        self.running = Some(running);
        Ok(())
    }

    /// The process.
    ///
    /// # Errors
    /// When it was not started.
    pub fn running(&self) -> Result<&Running> {
        self.running.as_ref().context("lockgate does not run")
    }

    /// What it wrote to stderr since it was started: its log.
    ///
    /// # Errors
    /// When it was not started.
    pub fn log(&self) -> Result<String> {
        Ok(self.running()?.stderr())
    }

    /// `kill -9`; gives its log.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<String> {
        let mut running = self.running.take().context("lockgate does not run")?;
        running.kill()?;
        Ok(running.finish(LIMIT)?.stderr)
    }

    /// Asks it to end by SIGTERM and waits until it has.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn stop(&mut self) -> Result<Output> {
        let running = self.running.take().context("lockgate does not run")?;
        running.terminate()?;
        running.finish(LIMIT)
    }

    /// The most memory that it ever had resident, in bytes.
    ///
    /// # Errors
    /// When it does not run.
    pub fn peak_memory(&self) -> Result<u64> {
        process::peak_memory(self.running()?.pid())
    }

    /// Runs another command of the binary, in its folder.
    ///
    /// # Errors
    /// When it cannot be run or hangs.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        Running::start(self.command().args(args))?.finish(LIMIT)
    }

    /// As [`Lockgate::run`], with its configuration.
    ///
    /// # Errors
    /// When it cannot be run or hangs.
    pub fn run_configured(&self, args: &[&str]) -> Result<Output> {
        let config = self.config();
        self.run(&[args, &["--config", config.to_str().context("a UTF-8 path")?]].concat())
    }

    /// As [`Lockgate::run_configured`], which must succeed with JSON.
    ///
    /// # Errors
    /// When it fails, or writes something else.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let output = self.run_configured(&[args, &["--json"]].concat())?;
        ensure!(output.status.success(), "{args:?}: {}{}", output.stdout, output.stderr);
        serde_json::from_str(&output.stdout).with_context(|| format!("{args:?}: {}", output.stdout))
    }

    /// The id of the only approval that waits.
    ///
    /// # Errors
    /// When there is none for too long, or more than one.
    pub fn pending(&self) -> Result<String> {
        wait::until("a request for approval", || {
            let list = self.json(&["approvals", "list"]).ok()?;
            let [only] = list.as_array()?.as_slice() else { return None };
            Some(only["id"].as_str()?.to_owned())
        })
    }

    /// The binary, without arguments, in its folder, with a home of its own.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(self.folder()).env("HOME", self.folder()).env_remove("RUST_LOG");
        command
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::Lockgate;
    use crate::nginx;

    /// A program that takes `up --config <file>`, as the binary does.
    fn program(folder: &Path, script: &str) -> Lockgate {
        let path = folder.join("program");
        // Written by another process: a file that this one has open, and so whatever another test's thread
        // starts meanwhile, cannot be run.
        let mut writer = Command::new("sh");
        writer.args(["-c", r#"printf '#!/bin/sh\n%s\n' "$1" >"$0"; chmod 755 "$0""#]).arg(&path).arg(script);
        assert!(writer.status().unwrap().success());
        Lockgate::prepare(path).unwrap()
    }

    #[test]
    fn a_program_that_listens_is_started_killed_and_asked_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let nginx = nginx::program("nginx").unwrap();
        let script = format!("echo \"starting $1\" >&2; exec {} -p . -e stderr -c \"$3\"", nginx.display());
        let mut lockgate = program(folder.path(), &script);
        let listen = format!("listen {};", lockgate.port().addr());
        let config = format!(
            "daemon off; pid nginx.pid; events {{}} http {{ access_log off; server {{ {listen} }} }}"
        );
        lockgate.configure(&config).unwrap();
        lockgate.start().unwrap();
        assert!(lockgate.peak_memory().unwrap() > 1 << 20);
        assert!(lockgate.kill().unwrap().starts_with("starting up"));
        assert!(lockgate.log().is_err());
        lockgate.start().unwrap();
        assert!(lockgate.stop().unwrap().status.success());
    }

    #[test]
    fn a_program_that_ends_at_once_is_an_error_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let mut lockgate = program(folder.path(), "echo 'no such key' >&2; exit 1");
        let error = lockgate.start().unwrap_err();
        assert!(error.to_string().contains("no such key"), "{error}");
        assert_eq!(lockgate.run(&["version"]).unwrap().status.code(), Some(1));
    }
}
