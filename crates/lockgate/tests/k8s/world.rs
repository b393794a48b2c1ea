//! The cluster that all tests share, and a gateway before it that alone may speak for others there.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use lockgate_testkit::{Cluster, Idp, KubeUser, Kubectl, Lockgate, wait};
use serde_json::{Value, json};

/// What the tests' gateway lets pass: the API server's own rules say the rest.
pub(crate) const POLICY: &str = r#"
version: 1
groups:
  agents: [ { issuer: idp, claim: { role: agent } } ]
rules:
  - id: agents
    match: { who: agents, k8s: { action: [read, write, connect] } }
    decide: allow
  - id: secrets
    match: { k8s: { resources: [secrets, "secrets/**"] } }
    decide: allow
    oblige: { mask: [all-but-helm] }
  - id: no-nodes
    match: { k8s: { resources: ["nodes/**", "*/proxy"] } }
    decide: deny
    reason: "nobody goes around the gateway"
  - id: protected
    match: { k8s: { names: [protected] } }
    decide: deny
    reason: "{name} is protected"
  - id: production
    match: { k8s: { names: [production], verbs: [create, update, patch, delete] } }
    decide: require_approval
    approval: { hold: 60s, ttl: 1h }
"#;

/// Agents may do everything there: what they may not is for the gateway to say.
fn rights() -> Value {
    let group =
        json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "agent:everybody" });
    let admin =
        json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" });
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": { "name": "agents" },
        "roleRef": admin,
        "subjects": [group],
    })
}

/// By which of its own credentials the gateway asks the API server, and as whom.
fn impersonating() -> Value {
    json!({ "credential": { "bearer": { "token_file": "token" } }, "impersonate": { "prefix": "agent:" } })
}

/// Whether [`rights`] are given.
static GIVEN: Mutex<bool> = Mutex::new(false);

/// A gateway before the cluster, and a namespace in it.
pub(crate) struct World {
    pub(crate) cluster: &'static Cluster,
    pub(crate) namespace: String,
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
        Self::begin(policy, &impersonating())
    }

    /// As [`World::start`], with the API server at this address.
    pub(crate) fn start_before(url: &str) -> Result<Self> {
        let mut upstream = impersonating();
        upstream["url"] = json!(url);
        Self::begin(POLICY, &upstream)
    }

    /// As [`World::start`], with this of the upstream instead of a token and impersonation.
    pub(crate) fn start_with(upstream: &Value) -> Result<Self> {
        Self::begin(POLICY, upstream)
    }

    fn begin(policy: &str, upstream: &Value) -> Result<Self> {
        let cluster = Cluster::shared()?;
        let gate = Lockgate::prepare(env!("CARGO_BIN_EXE_lockgate"))?;
        let (idp, namespace) = (Idp::start()?, cluster.namespace()?);
        let mut world = Self { cluster, namespace, idp, gate };
        // Once for all, who share the cluster: of two at once one would find that the other made it.
        let mut are_given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if !*are_given {
            world.admin()?.apply(&rights().to_string())?;
            *are_given = true;
        }
        drop(are_given);
        world.configure(policy, upstream)?;
        world.gate.start()?;
        Ok(world)
    }

    fn configure(&self, policy: &str, more: &Value) -> Result<()> {
        let (folder, cluster) = (self.gate.folder(), self.cluster);
        cluster.ca().server()?.write(folder)?;
        let ca = cluster.ca().write(folder)?;
        std::fs::write(folder.join("token"), cluster.token())?;
        std::fs::write(folder.join("policy.yaml"), policy)?;
        std::fs::create_dir_all(folder.join("admin"))?;
        cluster.admin().write(&folder.join("admin"))?;
        let mut upstream = json!({ "name": "prod", "kind": "k8s", "url": cluster.url(), "ca": ca });
        for (name, value) in more.as_object().into_iter().flatten() {
            upstream[name] = value.clone();
        }
        let config = json!({
            "listen": {
                "address": self.gate.port().addr().to_string(),
                "tls": { "cert": "cert.pem", "key": "key.pem" },
            },
            "data_dir": "data",
            "policy": "policy.yaml",
            "upstreams": [upstream],
            "issuers": [{
                "name": "idp",
                "issuer": self.idp.issuer(),
                "audiences": ["lockgate"],
                "groups_claim": "groups",
            }],
            "control": { "listen": self.gate.control_port().addr().to_string() },
        });
        self.gate.configure(&config.to_string())
    }

    /// kubectl directly, as the admin.
    pub(crate) fn admin(&self) -> Result<Kubectl> {
        self.cluster.kubectl(&self.namespace)
    }

    /// kubectl through the gateway, as that agent.
    pub(crate) fn kubectl(&self, subject: &str) -> Result<Kubectl> {
        let server = format!("https://{}/k8s/prod", self.gate.port().addr());
        Kubectl::new(
            &server,
            &self.cluster.ca().pem(),
            KubeUser::Bearer(&self.token(subject)?),
            &self.namespace,
        )
    }

    /// The head of the answer to a request through the gateway.
    pub(crate) fn curl(&self, method: &str, path: &str) -> Result<String> {
        let body = ["content-type: application/json", "--data", "{}"];
        let more: &[&str] = if matches!(method, "POST" | "PUT") { &body } else { &[] };
        self.curl_with(method, path, more)
    }

    /// As [`World::curl`], with more header fields (`name: value`), and with curl's own options.
    pub(crate) fn curl_with(&self, method: &str, path: &str, more: &[&str]) -> Result<String> {
        let url = format!("https://{}/k8s/prod{path}", self.gate.port().addr());
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--path-as-is", "--globoff", "--max-time", "30", "--request", method]);
        match method {
            "HEAD" => curl.arg("--head"),
            _ => curl.args(["--dump-header", "-", "--output", "/dev/null"]),
        };
        for word in more {
            if word.contains(": ") && !word.contains('\n') {
                curl.arg("--header");
            }
            curl.arg(word);
        }
        curl.arg("--cacert").arg(self.cluster.folder().join("ca.pem"));
        let output = curl.args(["--header", &self.authorization("ada")?, &url]).output()?;
        String::from_utf8(output.stdout).context("a head of text")
    }

    /// The last exchange that a search finds, once there is one.
    pub(crate) fn found(&self, terms: &[&str]) -> Result<Value> {
        wait::until("the exchange", || {
            let found = self.gate.json(&[&["sessions", "search"], terms].concat());
            found.ok()?.as_array()?.first().cloned()
        })
    }

    /// The header by which that agent is known.
    pub(crate) fn authorization(&self, subject: &str) -> Result<String> {
        Ok(format!("authorization: Bearer {}", self.token(subject)?))
    }

    /// A token of that agent for this gateway.
    fn token(&self, subject: &str) -> Result<String> {
        let token = self.idp.token(subject).claim("aud", json!("lockgate")).claim("role", json!("agent"));
        token.claim("groups", json!(["everybody"])).sign()
    }
}

/// A ConfigMap, as it is applied.
pub(crate) fn config_map(name: &str, colour: &str) -> String {
    let data = json!({ "colour": colour });
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data }).to_string()
}

/// A pod with one container, `main`, which runs this with a shell; waits until it runs.
pub(crate) fn pod(kubectl: &Kubectl, name: &str, script: &str) -> Result<()> {
    let container =
        json!({ "name": "main", "image": "none", "stdin": true, "command": ["sh", "-c", script] });
    let manifest = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": { "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container] },
    });
    kubectl.apply(&manifest.to_string())?;
    kubectl.get(&["wait", "--for=condition=Ready", "--timeout=60s", &format!("pod/{name}")])?;
    Ok(())
}
