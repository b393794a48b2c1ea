//! A Git server that only the gateway has the password of, an identity provider, and a gateway between.

use std::path::PathBuf;

use anyhow::{Context, Result};
use lockgate_testkit::{
    Auth, Git, GitServer, GitServerOptions, Idp, Lockgate, ObjectFormat, Output, Repo, Token,
};
use serde_json::{Value, json};

/// The password of the upstream: must never be seen anywhere but there.
pub(crate) const UPSTREAM_PASSWORD: &str = "upstream-password-83b1";

/// What the tests' gateway lets pass: `main` needs a human, what is protected is not rewritten.
pub(crate) const POLICY: &str = r#"
version: 1
groups:
  agents: [ { issuer: idp, claim: { role: agent } } ]
rules:
  - id: agents
    match: { who: agents, git: { action: [fetch, push], repositories: ["team/**"] } }
    decide: allow
  - id: production
    match: { who: agents, git: { action: push, refs: [refs/heads/main] } }
    decide: require_approval
    reason: "{ref} is production"
    approval: { hold: 60s, ttl: 1h }
  - id: short
    match: { who: agents, git: { action: push, refs: [refs/heads/short] } }
    decide: require_approval
    approval: { hold: 1s, ttl: 1h }
  - id: stubborn
    match: { who: agents, git: { action: push, refs: [refs/heads/stubborn] } }
    decide: require_approval
    approval: { hold: 60s, ttl: 1h, on_disconnect: continue }
  - id: protected
    match: { git: { change: [force, delete], refs: ["refs/heads/protected/**"] } }
    decide: deny
    reason: "{ref} is protected"
"#;

/// Everything that a test needs.
pub(crate) struct World {
    pub(crate) server: GitServer,
    pub(crate) idp: Idp,
    pub(crate) gate: Lockgate,
}

impl World {
    /// A running gateway with [`POLICY`].
    pub(crate) fn start() -> Result<Self> {
        Self::start_with("")
    }

    /// As [`World::start`], with another policy.
    pub(crate) fn start_under(policy: &str) -> Result<Self> {
        let mut world = Self::prepare(GitServerOptions::default())?;
        let operator = "control: { operator: { roles: [admin], groups: [release] }, ";
        world.configure(&world.config("").replace("control: { ", operator))?;
        world.policy(policy)?;
        world.gate.start()?;
        Ok(world)
    }

    /// As [`World::start`], with more lines in the configuration.
    pub(crate) fn start_with(config: &str) -> Result<Self> {
        let mut world = Self::prepare(GitServerOptions::default())?;
        world.configure(&world.config(config))?;
        world.gate.start()?;
        Ok(world)
    }

    /// The server and the identity provider; the gateway does not run yet. The server asks for a password.
    pub(crate) fn prepare(mut options: GitServerOptions) -> Result<Self> {
        options.auth = Auth::Basic { user: "gate".into(), password: UPSTREAM_PASSWORD.into() };
        let server = GitServer::start_with(&options)?;
        let gate = Lockgate::prepare(env!("CARGO_BIN_EXE_lockgate"))?;
        Ok(Self { server, idp: Idp::start()?, gate })
    }

    /// Writes the configuration, the policy and the upstream's password.
    pub(crate) fn configure(&self, config: &str) -> Result<()> {
        std::fs::write(self.gate.folder().join("password"), UPSTREAM_PASSWORD)?;
        self.policy(POLICY)?;
        self.gate.configure(config)
    }

    /// Writes the policy's file.
    pub(crate) fn policy(&self, text: &str) -> Result<()> {
        std::fs::write(self.gate.folder().join("policy.yaml"), text).context("cannot write the policy")
    }

    /// The configuration for one upstream, `forge`, and the lines in `more`.
    pub(crate) fn config(&self, more: &str) -> String {
        let (address, control) = (self.gate.port().addr(), self.gate.control_port().addr());
        let (upstream, issuer) = (self.server.url(), self.idp.issuer());
        format!(
            "listen: {{ address: {address} }}\n\
             data_dir: data\n\
             policy: policy.yaml\n\
             upstreams:\n\
             - name: forge\n  \
               kind: git\n  \
               url: {upstream}\n  \
               credential: {{ basic: {{ user: gate, password_file: password }} }}\n\
             issuers:\n\
             - {{ name: idp, issuer: {issuer}, audiences: [lockgate] }}\n\
             control: {{ listen: {control} }}\n\
             {more}\n"
        )
    }

    /// A repository on the server with some commits on `main`.
    pub(crate) fn repo(&self, name: &str) -> Result<Repo> {
        self.repo_with(name, ObjectFormat::Sha1)
    }

    pub(crate) fn repo_with(&self, name: &str, format: ObjectFormat) -> Result<Repo> {
        let repo = self.server.create_with(name, format)?;
        repo.seed(3)?;
        Ok(repo)
    }

    /// A repository's URL for clients of the gateway.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}/git/forge/{name}", self.gate.url())
    }

    /// A token of that agent for this gateway.
    pub(crate) fn token(&self, subject: &str) -> Token {
        self.idp.token(subject).claim("aud", json!("lockgate")).claim("role", json!("agent"))
    }

    /// git as an agent uses it.
    pub(crate) fn git(&self, subject: &str) -> Result<Git> {
        Ok(Git::new()?.bearer(&self.token(subject).sign()?))
    }

    /// A work tree of an agent, cloned through the gateway.
    pub(crate) fn work(&self, git: &Git, name: &str) -> Result<PathBuf> {
        git.clone_to(&self.url(name), &name.replace('/', "-"))
    }

    /// The exchanges that the index has for these filters, newest first; waits until there are so many.
    pub(crate) fn exchanges(&self, filter: &[&str], count: usize) -> Result<Vec<Value>> {
        let args = [&["sessions", "search"], filter].concat();
        let what = format!("{count} exchanges for {filter:?}");
        lockgate_testkit::wait::until(&what, || {
            let found = self.gate.json(&args).ok()?.as_array()?.clone();
            (found.len() == count).then_some(found)
        })
    }

    /// Answers an approval as the operator.
    pub(crate) fn approve(&self, id: &str) -> Result<Output> {
        self.gate.run_configured(&["approvals", "approve", id])
    }

    /// Verifies all recordings after a clean end of the gateway.
    pub(crate) fn stop_and_verify(&mut self) -> Result<()> {
        let ended = self.gate.stop()?;
        anyhow::ensure!(ended.status.success(), "lockgate ended with {}", ended.stderr);
        self.verify()
    }

    pub(crate) fn verify(&self) -> Result<()> {
        let verified = self.gate.run_configured(&["verify"])?;
        anyhow::ensure!(verified.status.success(), "{}{}", verified.stdout, verified.stderr);
        Ok(())
    }

    /// Nothing that only the gateway and the provider may know stands in its log.
    pub(crate) fn no_secrets_in(&self, text: &str, token: &str) {
        let signature = token.rsplit('.').next().unwrap_or_default();
        for secret in [UPSTREAM_PASSWORD, signature] {
            assert!(!text.contains(secret), "a secret is in: {text}");
        }
    }
}
