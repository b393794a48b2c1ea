//! A registry and a gateway before it.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lockgate_testkit::{Idp, Image, ImageClient, ImageTool, Lockgate, Output, Registry, RegistryOptions};
use serde_json::{Value, json};

/// What the tests' gateway lets pass.
pub(crate) const POLICY: &str = r#"
version: 1
groups:
  agents: [ { issuer: idp, claim: { role: agent } } ]
rules:
  - id: agents
    match: { who: agents, oci: { action: [pull, pull-blob, push-blob, list, push, delete] } }
    decide: allow
  - id: closed
    match: { oci: { action: [pull, push, list, delete], repositories: ["closed/app"] } }
    decide: deny
    reason: "{repository} is closed"
  - id: closed-blobs
    match: { oci: { action: push-blob, repositories: ["closed/blobs"] } }
    decide: deny
    reason: "{repository} takes nothing"
  - id: production
    match: { oci: { action: push, tags: [prod, "*-prod"] } }
    decide: require_approval
    approval: { hold: 60s, ttl: 1h }
"#;

/// A registry, a gateway before it, and who vouches for its callers.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) idp: Idp,
    pub(crate) gate: Lockgate,
}

impl World {
    /// A running gateway with [`POLICY`].
    pub(crate) fn start() -> Result<Self> {
        Self::start_under(POLICY)
    }

    /// As [`World::start`], with another policy.
    pub(crate) fn start_under(policy: &str) -> Result<Self> {
        Self::begin(policy, RegistryOptions::default(), &json!({}), &json!({}), &[])
    }

    /// As [`World::start`], within other bounds.
    pub(crate) fn start_within(limits: &Value) -> Result<Self> {
        Self::begin(POLICY, RegistryOptions::default(), &json!({}), limits, &[])
    }

    /// As [`World::start`], with another registry, and more said of the upstream.
    pub(crate) fn start_before(options: RegistryOptions, upstream: &Value) -> Result<Self> {
        Self::begin(POLICY, options, upstream, &json!({}), &[])
    }

    /// As [`World::start_under`], with more said of the upstream, and files beside that.
    pub(crate) fn start_knowing(policy: &str, upstream: &Value, files: &[(&str, &str)]) -> Result<Self> {
        Self::begin(policy, RegistryOptions::default(), upstream, &json!({}), files)
    }

    fn begin(
        policy: &str,
        options: RegistryOptions,
        more: &Value,
        limits: &Value,
        files: &[(&str, &str)],
    ) -> Result<Self> {
        let gate = Lockgate::prepare(env!("CARGO_BIN_EXE_lockgate"))?;
        let (idp, registry) = (Idp::start()?, Registry::start_with(options)?);
        let mut world = Self { registry, idp, gate };
        let folder = world.gate.folder();
        std::fs::write(folder.join("policy.yaml"), policy)?;
        std::fs::write(folder.join("password"), Registry::PASSWORD)?;
        for (name, content) in files {
            std::fs::write(folder.join(name), content)?;
        }
        let mut upstream = json!({ "name": "hub", "kind": "oci", "url": world.registry.url() });
        for (name, value) in more.as_object().into_iter().flatten() {
            upstream[name] = value.clone();
        }
        let config = json!({
            "listen": { "address": world.gate.port().addr().to_string(), "tls": "off" },
            "data_dir": "data",
            "policy": "policy.yaml",
            "upstreams": [upstream],
            "issuers": [{
                "name": "idp",
                "issuer": world.idp.issuer(),
                "audiences": ["lockgate"],
            }],
            "control": { "listen": world.gate.control_port().addr().to_string() },
            "limits": limits,
        });
        world.gate.configure(&config.to_string())?;
        world.gate.start()?;
        Ok(world)
    }

    /// A name of an image behind the gateway.
    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}/hub/{rest}", self.gate.port().addr())
    }

    /// A token of that agent for this gateway.
    pub(crate) fn token(&self, subject: &str) -> Result<String> {
        self.idp.token(subject).claim("aud", json!("lockgate")).claim("role", json!("agent")).sign()
    }

    /// A client with the token of that agent.
    pub(crate) fn client(&self, tool: ImageTool, subject: &str) -> Result<ImageClient> {
        ImageClient::new(tool, Some(&format!("oidc:{}", self.token(subject)?)))
    }

    /// Status, head and body of the answer to a request through the gateway, with a token of `ada`.
    pub(crate) fn curl(&self, args: &[&str], path: &str) -> Result<Answer> {
        let header = format!("authorization: Bearer {}", self.token("ada")?);
        self.curl_plainly(&[args, &["--header", &header]].concat(), path)
    }

    /// As [`World::curl`], without a credential.
    pub(crate) fn curl_plainly(&self, args: &[&str], path: &str) -> Result<Answer> {
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--path-as-is", "--globoff", "--max-time", "30", "--include"]);
        let output = curl.args(args).arg(format!("{}{path}", self.gate.url())).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut rest = text.as_str();
        loop {
            let (head, body) = rest.split_once("\r\n\r\n").with_context(|| format!("no head: {text}"))?;
            let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("a status")?;
            if status == 100 {
                rest = body;
                continue;
            }
            return Ok(Answer { status, head: head.to_owned(), body: body.to_owned() });
        }
    }
}

/// An answer to curl.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header field.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        values.next()
    }
}

/// Writes a small image, and gives its digest.
pub(crate) fn image(folder: &Path, content: &str) -> Result<String> {
    Image::new().layer(&[("etc/motd", content.as_bytes())])?.write(folder)
}

/// That a client succeeded.
pub(crate) fn succeeded(output: &Output) -> Result<()> {
    ensure!(output.status.success(), "{}{}", output.stdout, output.stderr);
    Ok(())
}
