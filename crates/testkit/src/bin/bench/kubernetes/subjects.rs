//! What is compared: ways to one API server.

use std::io::Write as _;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lockgate_testkit::{Cluster, Idp, KubeUser, Kubectl, Lockgate, Nginx, process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::load::Call;
use crate::figures::{middle, sorted};

/// A way to the API server, in the order of the report's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// By the caller's own token.
    Direct,
    /// Direct too, as lockgate asks: by the token of one who may speak for others, naming the caller.
    Impersonating,
    /// By the caller's own token.
    Nginx,
    /// Its recordings go to a disk first.
    Lockgate,
    /// The same, and what only reads goes upstream meanwhile (`reads: overlapped`).
    Overlapped,
    /// Its recordings go to memory first: what lockgate takes where the disk takes no time.
    Diskless,
}

/// Who runs on which processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Everything on all.
    Shared,
    /// The proxies on one, which nothing else is on: as on a machine of its own.
    Apart,
}

pub(crate) const SUBJECTS: [Subject; 6] = [
    Subject::Direct,
    Subject::Impersonating,
    Subject::Nginx,
    Subject::Lockgate,
    Subject::Overlapped,
    Subject::Diskless,
];

/// The namespace of what is listed.
pub(crate) const MANY: &str = "many";
/// The namespace of what is read alone, and of the pods.
pub(crate) const ONE: &str = "one";
/// The namespace in which nothing changes.
pub(crate) const IDLE: &str = "idle";
/// The pod whose output lockgate masks.
pub(crate) const MASKED: &str = "masked";
/// The pod whose output it records only.
pub(crate) const PLAIN: &str = "plain";

/// The API server and what stands in front of it.
pub(crate) struct Subjects {
    nginx: Nginx,
    pub(crate) gate: Lockgate,
    overlapped: Lockgate,
    diskless: Lockgate,
    /// Where that one keeps its data.
    memory: TempDir,
    idp: Idp,
    pub(crate) cluster: Cluster,
    /// How many there are.
    processors: usize,
}

impl Subjects {
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let cluster = Cluster::start()?;
        fill(&cluster)?;
        let upstream = cluster.url().replace("https://", "");
        let http = NGINX.replace("{upstream}", &upstream);
        let nginx = Nginx::start(&http, NGINX_SERVER, Some(&cluster.ca().server()?))?;
        let idp = Idp::start()?;
        let program = program.canonicalize().context("the lockgate binary")?;
        let prepare = || Lockgate::prepare(&program);
        let (gate, overlapped, diskless) = (prepare()?, prepare()?, prepare()?);
        let memory = tempfile::tempdir_in("/dev/shm")?;
        let processors = available_parallelism()?.get();
        let mut subjects = Self { nginx, gate, overlapped, diskless, memory, idp, cluster, processors };
        subjects.configure(&subjects.gate, Path::new("data"), "when_durable")?;
        subjects.configure(&subjects.overlapped, Path::new("data"), "overlapped")?;
        subjects.configure(&subjects.diskless, subjects.memory.path(), "when_durable")?;
        subjects.gate.start()?;
        subjects.overlapped.start()?;
        subjects.diskless.start()?;
        Ok(subjects)
    }

    fn configure(&self, gate: &Lockgate, data: &Path, reads: &str) -> Result<()> {
        let cluster = &self.cluster;
        cluster.ca().server()?.write(gate.folder())?;
        let ca = cluster.ca().write(gate.folder())?;
        std::fs::write(gate.folder().join("token"), cluster.token())?;
        std::fs::write(gate.folder().join("policy.yaml"), POLICY)?;
        let config = json!({
            "listen": {
                "address": gate.port().addr().to_string(),
                "tls": { "cert": "cert.pem", "key": "key.pem" },
            },
            "control": { "listen": gate.control_port().addr().to_string() },
            "data_dir": data,
            "policy": "policy.yaml",
            "upstreams": [{
                "name": "bench",
                "kind": "k8s",
                "url": cluster.url(),
                "ca": ca,
                "reads": reads,
                "credential": { "bearer": { "token_file": "token" } },
                "impersonate": { "prefix": "agent:" },
            }],
            "issuers": [{
                "name": "idp",
                "issuer": self.idp.issuer(),
                "audiences": ["lockgate"],
                "groups_claim": "groups",
            }],
        });
        gate.configure(&config.to_string())
    }

    /// Starts the gateway afresh.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.gate.stop()?;
        self.gate.start()
    }

    /// Starts the gateways afresh, and gives these and nginx the last processor for themselves, and everything else the
    /// others; or all of them to all.
    pub(crate) fn place(&mut self, placement: Placement) -> Result<()> {
        let all: Vec<_> = (0..self.processors).collect();
        let (last, others) = all.split_last().context("a processor")?;
        let (proxies, others) = match placement {
            Placement::Shared => (all.as_slice(), all.as_slice()),
            Placement::Apart => (std::slice::from_ref(last), others),
        };
        ensure!(!others.is_empty(), "one processor can't be divided");
        // How many threads a gateway starts depends on where it may run.
        process::keep_on(std::process::id(), proxies)?;
        for gate in [&mut self.gate, &mut self.overlapped, &mut self.diskless] {
            gate.stop()?;
            gate.start()?;
        }
        process::keep_on(std::process::id(), others)?;
        process::keep_on(self.nginx.pid(), proxies)?;
        for gate in [&self.gate, &self.overlapped, &self.diskless] {
            process::keep_on(gate.running()?.pid(), proxies)?;
        }
        Ok(())
    }

    /// A call of the API.
    pub(crate) fn call(&self, subject: Subject, path: &str) -> Result<Call> {
        let url = format!("{}{path}", self.server(subject));
        let mut headers = vec!["accept: application/json".into()];
        headers.push(format!("authorization: Bearer {}", self.token(subject)?));
        if subject == Subject::Impersonating {
            headers.push("impersonate-user: agent:idp:bench".into());
            headers.push("impersonate-group: agent:everybody".into());
        }
        Ok(Call { url, headers })
    }

    /// kubectl, in [`ONE`].
    pub(crate) fn kubectl(&self, subject: Subject) -> Result<Kubectl> {
        let (server, token) = (self.server(subject), self.token(subject)?);
        Kubectl::new(&server, &self.cluster.ca().pem(), KubeUser::Bearer(&token), ONE)
    }

    fn server(&self, subject: Subject) -> String {
        match subject {
            Subject::Direct | Subject::Impersonating => self.cluster.url(),
            Subject::Nginx => self.nginx.url(),
            Subject::Lockgate => format!("https://{}/k8s/bench", self.gate.port().addr()),
            Subject::Overlapped => format!("https://{}/k8s/bench", self.overlapped.port().addr()),
            Subject::Diskless => format!("https://{}/k8s/bench", self.diskless.port().addr()),
        }
    }

    fn token(&self, subject: Subject) -> Result<String> {
        match subject {
            Subject::Direct | Subject::Nginx => self.cluster.jwt("agent:idp:bench", &["agent:everybody"]),
            Subject::Impersonating => Ok(self.cluster.token().into()),
            Subject::Lockgate | Subject::Overlapped | Subject::Diskless => {
                let token = self.idp.token("bench").claim("aud", json!("lockgate"));
                token.claim("groups", json!(["everybody"])).expires_in(3600).sign()
            }
        }
    }

    /// The memory that lockgate has resident, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        process::resident_memory(self.gate.running()?.pid())
    }

    /// The processor time that the proxy has used so far; none where there is no proxy.
    pub(crate) fn processor_time(&self, subject: Subject) -> Result<Duration> {
        match subject {
            Subject::Direct | Subject::Impersonating => Ok(Duration::ZERO),
            Subject::Nginx => process::processor_time(self.nginx.pid()),
            Subject::Lockgate => process::processor_time(self.gate.running()?.pid()),
            Subject::Overlapped => process::processor_time(self.overlapped.running()?.pid()),
            Subject::Diskless => process::processor_time(self.diskless.running()?.pid()),
        }
    }
}

/// How long the disk of a folder takes to have what was appended to a file, in milliseconds: the median.
pub(crate) fn sync_time(folder: &Path) -> Result<f64> {
    let mut file = tempfile::tempfile_in(folder)?;
    let mut times = Vec::new();
    for _ in 0..100 {
        let start = Instant::now();
        file.write_all(&[0; 1000])?;
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(middle(&sorted(times.into_iter())))
}

/// Connections to the API server are kept, and answers of the sizes of the bench fit the buffers.
const NGINX: &str = "
upstream api {
    server {upstream};
    keepalive 64;
    keepalive_requests 1000000000;
}
keepalive_requests 1000000000;
";

const NGINX_SERVER: &str = "
location / {
    proxy_pass https://api;
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    proxy_ssl_session_reuse on;
    proxy_buffer_size 16k;
    proxy_buffers 16 16k;
}
";

const POLICY: &str = "
version: 1
rules:
  - id: everything
    match: { k8s: { action: [read, write, connect] } }
    decide: allow
  - id: secrets
    match: { k8s: { resources: [secrets] } }
    decide: allow
    oblige: { mask: [all] }
  - id: output
    match: { k8s: { resources: [pods/exec], names: [masked] } }
    decide: allow
    oblige: { mask: [all] }
";

/// Puts what is asked for into the cluster, and gives the caller its rights there.
fn fill(cluster: &Cluster) -> Result<()> {
    let object =
        |kind: &str, name: &str| json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name } });
    let data = |kind: &str, namespace: &str, name: &str, count: u64| {
        let mut object = object(kind, name);
        object["metadata"]["namespace"] = json!(namespace);
        let values = (0..count).map(|key| (format!("key-{key}"), json!(value(name, key))));
        let field = if kind == "Secret" { "stringData" } else { "data" };
        object[field] = Value::Object(values.collect());
        object
    };
    let rbac = "rbac.authorization.k8s.io";
    let mut rights = object("ClusterRoleBinding", "agents");
    rights["apiVersion"] = json!(format!("{rbac}/v1"));
    rights["roleRef"] = json!({ "apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin" });
    rights["subjects"] = json!([{ "apiGroup": rbac, "kind": "Group", "name": "agent:everybody" }]);
    let mut items = vec![rights];
    items.extend([ONE, MANY, IDLE].map(|name| object("Namespace", name)));
    for kind in ["ConfigMap", "Secret"] {
        items.push(data(kind, ONE, "one", 5));
        items.extend((0..100).map(|number| data(kind, MANY, &format!("one-of-many-{number}"), 1)));
    }
    items.extend([PLAIN, MASKED].map(|name| {
        let mut pod = object("Pod", name);
        pod["metadata"]["namespace"] = json!(ONE);
        let command = ["sh", "-c", "exec sleep 100000"];
        let container = json!({ "name": "main", "image": "none", "command": command });
        pod["spec"] = json!({ "terminationGracePeriodSeconds": 0, "containers": [container] });
        pod
    }));
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
    let kubectl = cluster.kubectl(ONE)?;
    let created = kubectl.run_with(&["create", "-f", "-"], &list)?;
    anyhow::ensure!(created.status.success(), "{}", created.stderr);
    let ready = ["wait", "--for=condition=Ready", "--timeout=60s", "pod/plain", "pod/masked"];
    kubectl.get(&ready).map(drop)
}

/// A value that no other object or key has.
fn value(name: &str, key: u64) -> String {
    let start = name.bytes().fold(key + 1, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    format!(
        "{:016x}{:016x}",
        start.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        start.wrapping_mul(0xc2b2_ae3d_27d4_eb4f)
    )
}
