//! git's own HTTP test scripts, run directly against their web server and once more through lockgate:
//! whatever passes directly must pass through it.
//!
//! The scripts and their helpers come from a source tree of git that is built (`make`); nothing of it is in
//! this repository. One line of its `lib-httpd.sh` is changed, so that the web server can have a port of its
//! own while the scripts' URLs lead to the gateway.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cmd;

/// The line that starts the web server, before and after.
const LISTEN: &str = "\"Listen 127.0.0.1:$LIB_HTTPD_PORT\"";
const LISTEN_APART: &str = "\"Listen 127.0.0.1:${HTTPD_OWN_PORT:-$LIB_HTTPD_PORT}\"";

/// A hostname by which a script of git's reaches its server.
const HOSTNAME: &str = "gitbogusexamplehost.invalid";

/// Runs the scripts, all that use HTTP where none is named, and prints a table.
pub(crate) fn run(source: &Path, installed: Option<&Path>, scripts: &[String]) -> Result<()> {
    let tests = source.join("t").canonicalize().context("this is no source tree of git")?;
    ensure!(
        tests.join("helper/test-tool").is_file(),
        "the tree is not built: run make in {}",
        source.display()
    );
    cmd::run(&mut cmd::cargo(&["build", "--package", "lockgate"]))?;
    let suite =
        Suite { tests, installed: installed.map(Path::to_owned), place: cmd::target().join("git-suite") };
    suite.prepare()?;
    let scripts = if scripts.is_empty() { suite.scripts()? } else { scripts.to_vec() };
    println!("{:44} {:>8} {:>8}", "script", "directly", "through");
    let mut lost = Vec::new();
    for script in scripts {
        let (directly, through) = (suite.directly(&script)?, suite.through(&script)?);
        println!("{script:44} {:8} {:8}", directly.len(), through.len());
        lost.extend(directly.difference(&through).map(|test| format!("{script}: {test}")));
    }
    if lost.is_empty() {
        return Ok(());
    }
    bail!("what passes directly fails through lockgate:\n  {}", lost.join("\n  "));
}

struct Suite {
    /// git's folder `t`.
    tests: PathBuf,
    /// The folder of the git to test, where it is not that of the tree.
    installed: Option<PathBuf>,
    /// For logs.
    place: PathBuf,
}

impl Suite {
    fn prepare(&self) -> Result<()> {
        for run in ["directly", "through"] {
            fs::create_dir_all(self.place.join(run))?;
        }
        let path = self.tests.join("lib-httpd.sh");
        let text = fs::read_to_string(&path).context("cannot read lib-httpd.sh")?;
        ensure!(
            text.contains(LISTEN) || text.contains(LISTEN_APART),
            "lib-httpd.sh starts its server otherwise"
        );
        Ok(fs::write(path, text.replace(LISTEN, LISTEN_APART))?)
    }

    fn scripts(&self) -> Result<Vec<String>> {
        let mut scripts = Vec::new();
        for entry in fs::read_dir(&self.tests)? {
            let path = entry?.path();
            let is_script = path.extension().is_some_and(|kind| kind == "sh");
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if is_script && name.starts_with("t5") && fs::read_to_string(&path)?.contains("lib-httpd.sh") {
                scripts.push(name);
            }
        }
        scripts.sort();
        Ok(scripts)
    }

    fn directly(&self, script: &str) -> Result<BTreeSet<String>> {
        let port = free_port()?.to_string();
        self.tests_passed("directly", script, &[("LIB_HTTPD_PORT", &port)])
    }

    fn through(&self, script: &str) -> Result<BTreeSet<String>> {
        let (gate, httpd) = (free_port()?, free_port()?);
        let gateway = Gateway::start(&self.place.join("through"), script, gate, httpd)?;
        let (gate, httpd) = (gate.to_string(), httpd.to_string());
        let passed =
            self.tests_passed("through", script, &[("LIB_HTTPD_PORT", &gate), ("HTTPD_OWN_PORT", &httpd)]);
        drop(gateway);
        passed
    }

    /// Runs a script, whose tests may fail, and gives the names of those that passed.
    fn tests_passed(&self, run: &str, script: &str, env: &[(&str, &str)]) -> Result<BTreeSet<String>> {
        let (trash, log) = (tempfile::tempdir()?, self.place.join(run).join(format!("{script}.log")));
        // They refuse to run as root.
        let mut command = if super::setup::is_root()? {
            cmd::run(&mut cmd::command("chown", &["nobody", &trash.path().to_string_lossy()]))?;
            let mut command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "/bin/sh"]);
            command
        } else {
            Command::new("/bin/sh")
        };
        command.arg(format!("./{script}.sh")).arg("-v").arg(format!("--root={}", trash.path().display()));
        command.current_dir(&self.tests).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("HOME", trash.path()).env("GIT_TEST_HTTPD", "true").envs(env.iter().copied());
        if let Some(installed) = &self.installed {
            command.env("GIT_TEST_INSTALLED", installed);
        }
        let output = File::create(&log)?;
        command.stdout(output.try_clone()?).stderr(output).status().context("cannot run a script")?;
        let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        Ok(text.lines().filter_map(|line| line.strip_prefix("ok ")).map(str::to_owned).collect())
    }
}

/// A gateway that records everything, refuses nothing and has no credential.
struct Gateway {
    process: Child,
    _folder: tempfile::TempDir,
}

impl Gateway {
    fn start(logs: &Path, script: &str, port: u16, upstream: u16) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("lockgate.yaml");
        let policy = cmd::root().join("examples/policies/record-only.yaml");
        let entry = |name: &str, host: &str| {
            format!(
                "- {{ name: {name}, kind: git, url: \"http://127.0.0.1:{upstream}/\", auth: passthrough, host: \"{host}:{port}\" }}\n"
            )
        };
        let text = format!(
            "listen: {{ address: 127.0.0.1:{port} }}\n\
             data_dir: data\n\
             policy: {}\n\
             control: {{ listen: 127.0.0.1:{} }}\n\
             upstreams:\n{}{}",
            policy.display(),
            free_port()?,
            entry("httpd", "127.0.0.1"),
            entry("named", HOSTNAME),
        );
        fs::write(&config, text)?;
        let log = File::create(logs.join(format!("{script}.gateway.log")))?;
        let mut command = Command::new(cmd::target().join("debug/lockgate"));
        command.arg("up").arg("--config").arg(config).stdout(log.try_clone()?).stderr(log);
        let process = command.env("HOME", folder.path()).spawn().context("cannot run lockgate")?;
        let gateway = Self { process, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            ensure!(Instant::now() < deadline, "lockgate does not listen: see its log in {}", logs.display());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(gateway)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
