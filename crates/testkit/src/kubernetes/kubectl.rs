//! The real kubectl and helm, kept apart from the configuration of whoever runs the tests.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::PACKAGES;
use crate::{Identity, Output, Running, packages};

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// How a client shows who it is.
#[derive(Clone, Copy, Debug)]
pub enum KubeUser<'a> {
    /// By a bearer token.
    Bearer(&'a str),
    /// By a client certificate.
    Certificate(&'a Identity),
}

/// How kubectl speaks for exec, attach, cp and port-forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// WebSocket, falling back to SPDY where that is refused: its default.
    #[default]
    WebSocket,
    /// SPDY alone.
    Spdy,
}

impl Transport {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::WebSocket, Self::Spdy];
}

/// A user of kubectl and helm: a home with one kubeconfig.
#[derive(Debug)]
pub struct Kubectl {
    home: TempDir,
    transport: Transport,
}

impl Kubectl {
    /// A user of a server, in a namespace. `ca` is in PEM.
    ///
    /// # Errors
    /// When no temporary folder can be made.
    pub fn new(server: &str, ca: &str, user: KubeUser<'_>, namespace: &str) -> Result<Self> {
        Self::with_config(&kubeconfig(server, ca, user, namespace))
    }

    /// A user with this kubeconfig.
    ///
    /// # Errors
    /// When no temporary folder can be made.
    pub fn with_config(config: &Value) -> Result<Self> {
        let kubectl = Self { home: tempfile::tempdir()?, transport: Transport::default() };
        std::fs::write(kubectl.config(), config.to_string())?;
        Ok(kubectl)
    }

    /// Speaks by this transport.
    #[must_use]
    pub fn transport(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// The kubeconfig.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.home().join("config")
    }

    /// The home, where commands run.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs kubectl to its end.
    ///
    /// # Errors
    /// When it cannot be run or hangs.
    pub fn run(&self, args: &[&str]) -> Result<Output> {
        Running::start(self.command("kubectl")?.args(args))?.finish(LIMIT)
    }

    /// As [`Kubectl::run`], with more in its environment.
    ///
    /// # Errors
    /// When it cannot be run or hangs.
    pub fn run_in(&self, environment: &[(&str, &str)], args: &[&str]) -> Result<Output> {
        Running::start(self.command("kubectl")?.envs(environment.iter().copied()).args(args))?.finish(LIMIT)
    }

    /// As [`Kubectl::run`], with something to read.
    ///
    /// # Errors
    /// When it cannot be run or hangs.
    pub fn run_with(&self, args: &[&str], stdin: &str) -> Result<Output> {
        let mut running = self.spawn(args)?;
        running.write(stdin)?;
        running.end_stdin();
        running.finish(LIMIT)
    }

    /// What a command writes to stdout.
    ///
    /// # Errors
    /// When it fails; the error holds its stderr.
    pub fn get(&self, args: &[&str]) -> Result<String> {
        succeeded(args, self.run(args)?)
    }

    /// What a command that writes JSON writes.
    ///
    /// # Errors
    /// When it fails or writes something else.
    pub fn get_json(&self, args: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.get(args)?)?)
    }

    /// Applies a manifest, in YAML or JSON.
    ///
    /// # Errors
    /// When it is refused.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        let args = ["apply", "-f", "-"];
        succeeded(&args, self.run_with(&args, manifest)?)
    }

    /// Starts kubectl, to watch it and to write to it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn spawn(&self, args: &[&str]) -> Result<Running> {
        Running::start_with_stdin(self.command("kubectl")?.args(args))
    }

    /// As [`Kubectl::spawn`], on a terminal of 24 rows and 80 columns: what is written is typed, and all output comes on stdout.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn spawn_on_terminal(&self, args: &[&str]) -> Result<Running> {
        let kubectl = self.command("kubectl")?;
        let words = std::iter::once(kubectl.get_program().to_string_lossy())
            .chain(args.iter().map(|it| (*it).into()));
        let words = words.map(|word| quoted(&word)).collect::<Vec<_>>();
        let line = format!("stty rows 24 cols 80 && exec {}", words.join(" "));
        let mut script = self.environment(Command::new("script"));
        Running::start_with_stdin(script.args(["--quiet", "--return", "--command", &line, "/dev/null"]))
    }

    /// Runs helm to its end.
    ///
    /// # Errors
    /// When it cannot be run or hangs.
    pub fn helm(&self, args: &[&str]) -> Result<Output> {
        Running::start(self.command("helm")?.args(args))?.finish(LIMIT)
    }

    /// Runs a script of Python, in which the package `kubernetes` is installed, to its end; it finds its kubeconfig by
    /// itself.
    ///
    /// # Errors
    /// When it cannot be run or hangs.
    pub fn python(&self, script: &str, args: &[&str]) -> Result<Output> {
        self.spawn_python(script, args)?.finish(LIMIT)
    }

    /// As [`Kubectl::python`], to watch it and to write to it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn spawn_python(&self, script: &str, args: &[&str]) -> Result<Running> {
        let python = packages::installed("kubernetes-python")?.join("bin/python");
        let mut command = self.environment(Command::new(python));
        Running::start_with_stdin(command.args(["-c", script]).args(args))
    }

    /// Runs a program with kube-rs to its end: `client` with a part of its own (`crates/testkit/k8s/rust/client.rs`),
    /// or kube-rs's own tests, `kube_client` and `kube`.
    ///
    /// # Errors
    /// When it cannot be run or hangs.
    pub fn kube_rs(&self, program: &str, args: &[&str]) -> Result<Output> {
        self.spawn_kube_rs(program, args)?.finish(LIMIT)
    }

    /// As [`Kubectl::kube_rs`], to watch it.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn spawn_kube_rs(&self, program: &str, args: &[&str]) -> Result<Running> {
        let program = packages::installed("kubernetes-rust")?.join(program);
        Running::start(self.environment(Command::new(program)).args(args))
    }

    /// kubectl or helm, without arguments, in its home: for who starts it otherwise.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn command(&self, program: &str) -> Result<Command> {
        Ok(self.environment(Command::new(packages::installed(PACKAGES)?.join(program))))
    }

    fn environment(&self, mut command: Command) -> Command {
        command.current_dir(self.home()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home()).env("KUBECONFIG", self.config());
        command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm").env("SHELL", "/bin/sh");
        let websocket = (self.transport == Transport::WebSocket).to_string();
        command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", &websocket);
        command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", &websocket);
        command
    }
}

/// A kubeconfig with one context.
pub(super) fn kubeconfig(server: &str, ca: &str, user: KubeUser<'_>, namespace: &str) -> Value {
    let base64 = |text: &str| BASE64_STANDARD.encode(text);
    let user = match user {
        KubeUser::Bearer(token) => json!({ "token": token }),
        KubeUser::Certificate(Identity { cert, key }) => {
            json!({ "client-certificate-data": base64(cert), "client-key-data": base64(key) })
        }
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{
            "name": "test",
            "cluster": { "server": server, "certificate-authority-data": base64(ca) },
        }],
        "users": [{ "name": "test", "user": user }],
        "contexts": [{
            "name": "test",
            "context": { "cluster": "test", "user": "test", "namespace": namespace },
        }],
    })
}

fn succeeded(args: &[&str], output: Output) -> Result<String> {
    if !output.status.success() {
        bail!("kubectl {} failed: {}{}", args.join(" "), output.stderr, output.stdout);
    }
    Ok(output.stdout)
}

/// A word that the shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
