//! The demo's folder, servers and gateway, all gone when it ends.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use lockgate_core::secret::Secret;
use tempfile::TempDir;

use super::{
    git_server::{self, GitServer},
    idp::{AUDIENCE, Idp},
};
use crate::{config::Config, serve::Up, wiring};

/// The subject of the agent's tokens.
pub(super) const AGENT: &str = "agent:ada";
/// Where the repository would be without lockgate: what stands in the agent's remote.
pub(super) const FORGE: &str = "https://git.example.com/";

/// Everything that runs.
pub(super) struct World {
    pub(super) git_server: GitServer,
    pub(super) idp: Idp,
    pub(super) gateway: Up,
    pub(super) git_config: PathBuf,
    pub(super) lockgate_config: PathBuf,
    folder: TempDir,
}

impl World {
    /// Starts it all.
    pub(super) async fn start() -> Result<Self> {
        check_git()?;
        let folder = tempfile::Builder::new().prefix("lockgate-demo-").tempdir()?;
        let at = |name: &str| folder.path().join(name);
        make_repository(&at("upstream/team/app.git"))?;
        fs::create_dir(at("work"))?;
        let password = password()?;
        write_private(&at("upstream-password"), password.expose())?;
        let git_server = GitServer::start(at("upstream"), &password).await?;
        let idp = Idp::start().await?;
        write_private(&at("agent-token"), &idp.token(AGENT, "run-1")?)?;
        fs::write(at("policy.yaml"), POLICY)?;
        let lockgate_config = at("lockgate.yaml");
        fs::write(&lockgate_config, config(&git_server.url(), &idp.issuer()))?;
        let config = Config::load(&lockgate_config, &wiring::kinds())?;
        let gateway = Up::start(config).await?;
        let git_config = at("gitconfig");
        fs::write(&git_config, gitconfig(gateway.url(), &at("agent-token").display().to_string()))?;
        Ok(Self { git_server, idp, gateway, git_config, lockgate_config, folder })
    }

    /// A path in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a ref of the upstream's repository is, seen from behind its back.
    pub(super) fn upstream_ref(&self, name: &str) -> Result<Option<String>> {
        let mut command = git(&["rev-parse", "--quiet", "--verify", name]);
        let output = command.current_dir(self.path("upstream/team/app.git")).output()?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }
}

/// The only thing that the demo needs besides this program.
fn check_git() -> Result<()> {
    let Ok(output) =
        Command::new("git").args(["http-backend", "--version"]).env_clear().envs(path()).output()
    else {
        bail!("the demo needs git, and there is none: install it and try again");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !said.contains("is not a git command"),
        "the demo needs `git http-backend`, which this installation of git lacks: install all of git"
    );
    Ok(())
}

fn path() -> Option<(&'static str, std::ffi::OsString)> {
    Some(("PATH", std::env::var_os("PATH")?))
}

/// Git without anybody's configuration.
fn git(args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(args)
        .env_clear()
        .envs(path())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

/// A bare repository with one commit on main.
fn make_repository(path: &std::path::Path) -> Result<()> {
    fs::create_dir_all(path)?;
    let run = |command: &mut Command| -> Result<String> {
        let output = command.current_dir(path).output().context("cannot run git")?;
        ensure!(output.status.success(), "git: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    run(&mut git(&["init", "--quiet", "--bare", "--initial-branch=main", "."]))?;
    run(&mut git(&["config", "http.receivepack", "true"]))?;
    let tree = run(&mut git(&["write-tree"]))?;
    let who = [("NAME", "Grace"), ("EMAIL", "grace@example.com"), ("DATE", "2026-01-05T09:00:00Z")];
    let mut commit = git(&["commit-tree", "-m", "The beginning", &tree]);
    for (name, value) in who {
        commit.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    let commit = run(&mut commit)?;
    run(&mut git(&["update-ref", "refs/heads/main", &commit]))?;
    Ok(())
}

fn password() -> Result<Secret> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).context("the system gives no random bytes")?;
    Ok(Secret::new(random.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

fn write_private(path: &std::path::Path, text: &str) -> Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(writeln!(file, "{text}")?)
}

fn config(upstream: &str, issuer: &str) -> String {
    let user = git_server::USER;
    format!(
        "listen: {{ address: 127.0.0.1:0 }}
data_dir: data
upstreams:
  - name: forge
    kind: git
    url: {upstream}/
    credential: {{ basic: {{ user: {user}, password_file: upstream-password }} }}
issuers:
  - {{ name: demo, issuer: {issuer}, audiences: [{AUDIENCE}] }}
policy: policy.yaml
recording: {{ bundle_age: 1s }}
control: {{ operator: {{ roles: [admin], groups: [release] }} }}
"
    )
}

/// Sends the forge's URLs through the gateway, with a token as the password.
fn gitconfig(gateway: &str, token: &str) -> String {
    format!(
        "[url \"{gateway}/git/forge/\"]
\tinsteadOf = {FORGE}
[credential]
\thelper = \"!f() {{ echo username=token; echo password=$(cat '{token}'); }}; f\"
[user]
\tname = Ada
\temail = ada@example.com
[init]
\tdefaultBranch = main
[advice]
\tdetachedHead = false
"
    )
}

/// The demo's policy.
pub(super) const POLICY: &str = include_str!("policy.yaml");
