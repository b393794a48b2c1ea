//! A cluster: etcd, the real API server, and a node on which pods are local processes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, anyhow};
use serde_json::json;
use tempfile::TempDir;

use super::{KubeUser, Kubectl, PACKAGES};
use crate::leash::{Ending, Leash};
use crate::{Ca, Identity, Idp, Port, nginx, packages, wait};

/// What etcd lays out in advance, and then some.
const TMPFS_FREE: u64 = 1 << 30;

/// A running cluster; its processes and its folder are gone when it is dropped, or the test's process dies.
#[derive(Debug)]
pub struct Cluster {
    // They end in this order, so that nobody misses one that is gone.
    _kubelet: Leash,
    _api_server: Leash,
    _etcd: Leash,
    idp: Idp,
    ca: Ca,
    admin: Identity,
    port: Port,
    _other_ports: [Port; 3],
    folder: PathBuf,
    token: String,
    namespaces: AtomicU32,
}

impl Cluster {
    /// The group of those who may do everything.
    pub const ADMINS: &str = "test-admins";
    /// The group of those who may read what is no secret.
    pub const VIEWERS: &str = "test-viewers";
    /// The audience of the tokens of [`Cluster::idp`].
    pub const AUDIENCE: &str = "kubernetes";

    /// The cluster that all tests of a process share, each in a namespace of its own.
    ///
    /// # Errors
    /// When it does not come up; so it is for all then.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Cluster>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(|error| anyhow!("the shared cluster: {error:#}"))
    }

    /// Starts a cluster.
    ///
    /// # Errors
    /// When a program is missing or does not come up; the error holds the ends of the logs.
    pub fn start() -> Result<Self> {
        let programs = Self::programs()?;
        let folder = temporary_folder()?;
        let ca = Ca::new()?;
        let idp = Idp::start_with(Some(&ca.server()?))?;
        let admin = ca.client_of("admin", "system:masters")?;
        let (port, etcd_port) = (Port::reserve()?, Port::reserve()?);
        let (etcd_peers, kubelet_port) = (Port::reserve()?, Port::reserve()?);
        write_files(folder.path(), &ca, &idp)?;
        let kubelet_admin = ca.client_of("kubelet", "system:masters")?;
        let server = format!("https://{}", port.addr());
        let config =
            super::kubectl::kubeconfig(&server, &ca.pem(), KubeUser::Certificate(&kubelet_admin), "default");
        std::fs::write(folder.path().join("kubelet.kubeconfig"), config.to_string())?;
        let config = super::kubectl::kubeconfig(&server, &ca.pem(), KubeUser::Certificate(&admin), "default");
        std::fs::write(folder.path().join("admin.kubeconfig"), config.to_string())?;

        let etcd = etcd(folder.path(), &etcd_port, &etcd_peers)?;
        let etcd = Leash::start_with(&etcd, folder.path(), "etcd", ending(folder.path(), false))?;
        let folder = folder.keep();
        let api_server = api_server(&programs.join("kube-apiserver"), &folder, &port, &etcd_port);
        let api_server = Leash::start_with(&api_server, &folder, "kube-apiserver", ending(&folder, false))?;
        let kubelet = kubelet(&programs.join("kubelet"), &folder, &kubelet_port);
        let kubelet = Leash::start_with(&kubelet, &folder, "kubelet", ending(&folder, true))?;
        let mut cluster = Self {
            _kubelet: kubelet,
            _api_server: api_server,
            _etcd: etcd,
            idp,
            ca,
            admin,
            port,
            _other_ports: [etcd_port, etcd_peers, kubelet_port],
            folder,
            token: String::new(),
            namespaces: AtomicU32::new(0),
        };
        wait::until("the cluster", || cluster.folder.join("ready").exists().then_some(()))
            .with_context(|| cluster.logs())?;
        let kubectl = cluster.kubectl("default")?;
        kubectl.apply(&accounts())?;
        cluster.token = kubectl
            .get(&["create", "token", "lockgate", "--namespace=lockgate", "--duration=24h"])?
            .trim()
            .into();
        Ok(cluster)
    }

    /// The API server's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The API server, `https://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.port.addr())
    }

    /// The authority that signed the API server's certificate, and whose client certificates it takes.
    #[must_use]
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// A client certificate of one who may do everything.
    #[must_use]
    pub fn admin(&self) -> &Identity {
        &self.admin
    }

    /// The token of the ServiceAccount `lockgate`, which may impersonate everybody, and nothing else.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The issuer whose tokens for [`Cluster::AUDIENCE`] the API server takes: the user is `sub`, the groups are
    /// `groups`.
    #[must_use]
    pub fn idp(&self) -> &Idp {
        &self.idp
    }

    /// A token of that issuer.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn jwt(&self, user: &str, groups: &[&str]) -> Result<String> {
        let token = self.idp.token(user).claim("aud", json!(Self::AUDIENCE)).claim("groups", json!(groups));
        token.expires_in(3600).sign()
    }

    /// A kubectl that goes to the API server directly, as the admin.
    ///
    /// # Errors
    /// When no temporary folder can be made.
    pub fn kubectl(&self, namespace: &str) -> Result<Kubectl> {
        Kubectl::new(&self.url(), &self.ca.pem(), KubeUser::Certificate(&self.admin), namespace)
    }

    /// Makes a namespace that no other test has.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn namespace(&self) -> Result<String> {
        let name = format!("test-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.kubectl("default")?.get(&["create", "namespace", &name])?;
        Ok(name)
    }

    /// The folder of the programs, `kubectl` and `helm` among them.
    ///
    /// # Errors
    /// When they are missing.
    pub fn programs() -> Result<PathBuf> {
        packages::installed(PACKAGES)
    }

    /// The folder of a container: its commands run there, and what it mounts lies below.
    #[must_use]
    pub fn container_folder(&self, namespace: &str, pod: &str, container: &str) -> PathBuf {
        self.folder.join("pods").join(namespace).join(pod).join(container)
    }

    /// The folder of the cluster, with `admin.kubeconfig`, `ca.pem`, `audit.log` and a log of each program.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The ends of the programs' logs.
    fn logs(&self) -> String {
        let end = |name: &str| {
            let log = std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            let lines: Vec<_> = log.lines().rev().take(20).collect();
            lines.into_iter().rev().fold(format!("{name}:\n"), |text, line| text + line + "\n")
        };
        ["etcd.log", "kube-apiserver.log", "kubelet.log"].map(end).concat()
    }
}

/// In memory where there is room: this etcd syncs every write, and there is no way to tell it not to.
fn temporary_folder() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let free = rustix::fs::statvfs(memory).map_or(0, |stat| stat.f_bavail * stat.f_frsize);
    let place = if free > TMPFS_FREE { memory } else { &std::env::temp_dir() };
    Ok(tempfile::Builder::new().prefix("lockgate-cluster-").tempdir_in(place)?)
}

fn ending(folder: &Path, ask: bool) -> Ending<'_> {
    Ending { ask, sweep: Some(folder) }
}

fn write_files(folder: &Path, ca: &Ca, idp: &Idp) -> Result<()> {
    ca.write(folder)?;
    let front_proxies = Ca::new()?;
    std::fs::write(folder.join("front-proxy-ca.pem"), front_proxies.pem())?;
    for (name, identity) in [
        ("api-server", ca.server()?),
        ("kubelet", ca.server()?),
        ("kubelet-client", ca.client("api-server")?),
        ("front-proxy", front_proxies.client("front-proxy")?),
        ("service-accounts", ca.client("service-accounts")?),
    ] {
        std::fs::write(folder.join(format!("{name}.pem")), identity.cert)?;
        std::fs::write(folder.join(format!("{name}-key.pem")), identity.key)?;
    }
    std::fs::write(folder.join("audit-policy.json"), audit_policy())?;
    std::fs::write(folder.join("authentication.json"), authentication(ca, idp))?;
    Ok(())
}

/// All that is asked by others than the cluster itself, at every stage.
fn audit_policy() -> String {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "rules": [
            { "level": "None", "users": ["kubelet", "system:apiserver"] },
            { "level": "Metadata" },
        ],
    })
    .to_string()
}

fn authentication(ca: &Ca, idp: &Idp) -> String {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": [{
            "issuer": {
                "url": idp.issuer(),
                "audiences": [Cluster::AUDIENCE],
                "certificateAuthority": ca.pem(),
            },
            "claimMappings": {
                "username": { "claim": "sub", "prefix": "" },
                "groups": { "claim": "groups", "prefix": "" },
            },
        }],
        "anonymous": { "enabled": true },
    })
    .to_string()
}

/// lockgate's account, and groups for those whom it impersonates.
fn accounts() -> String {
    let object = |group: &str, kind: &str, name: &str| json!({ "apiVersion": group, "kind": kind, "metadata": { "name": name } });
    let rbac = "rbac.authorization.k8s.io/v1";
    let binding = |name: &str, role: &str, subject: serde_json::Value| {
        let mut binding = object(rbac, "ClusterRoleBinding", name);
        binding["roleRef"] =
            json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role });
        binding["subjects"] = json!([subject]);
        binding
    };
    let group = |name| json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": name });
    let mut account = object("v1", "ServiceAccount", "lockgate");
    account["metadata"]["namespace"] = json!("lockgate");
    let mut role = object(rbac, "ClusterRole", "impersonator");
    role["rules"] = json!([
        { "apiGroups": [""], "resources": ["users", "groups", "serviceaccounts"], "verbs": ["impersonate"] },
        {
            "apiGroups": ["authentication.k8s.io"],
            "resources": ["uids", "userextras/*"],
            "verbs": ["impersonate"],
        },
    ]);
    // The roles that Kubernetes brings are put together by a controller, and there is none.
    let mut viewer = object(rbac, "ClusterRole", "viewer");
    let core =
        ["configmaps", "events", "namespaces", "nodes", "pods", "pods/log", "services", "serviceaccounts"];
    let verbs = ["get", "list", "watch"];
    viewer["rules"] = json!([
        { "apiGroups": [""], "resources": core, "verbs": verbs },
        { "apiGroups": ["apps", "batch", "rbac.authorization.k8s.io"], "resources": ["*"], "verbs": verbs },
    ]);
    let lockgate = json!({ "kind": "ServiceAccount", "namespace": "lockgate", "name": "lockgate" });
    let items = [
        object("v1", "Namespace", "lockgate"),
        account,
        role,
        binding("lockgate", "impersonator", lockgate),
        binding("admins", "cluster-admin", group(Cluster::ADMINS)),
        viewer,
        binding("viewers", "viewer", group(Cluster::VIEWERS)),
    ];
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

fn etcd(folder: &Path, clients: &Port, peers: &Port) -> Result<Command> {
    let (clients, peers) = (format!("http://{}", clients.addr()), format!("http://{}", peers.addr()));
    let mut etcd = Command::new(nginx::program("etcd")?);
    etcd.arg("--data-dir").arg(folder.join("etcd"));
    etcd.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    etcd.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    etcd.args(["--initial-cluster", &format!("default={peers}"), "--logger=zap", "--log-level=warn"]);
    Ok(etcd)
}

fn api_server(program: &Path, folder: &Path, port: &Port, etcd: &Port) -> Command {
    let mut command = Command::new(program);
    let mut option = |name: &str, value: &str| {
        command.arg(format!("--{name}={value}"));
    };
    let file = |name: &str| folder.join(name).display().to_string();
    option("etcd-servers", &format!("http://{}", etcd.addr()));
    option("bind-address", "127.0.0.1");
    option("secure-port", &port.number().to_string());
    // It must not be loopback, and nobody comes by it.
    option("advertise-address", "192.0.2.1");
    option("endpoint-reconciler-type", "none");
    option("service-cluster-ip-range", "10.0.0.0/16");
    option("tls-cert-file", &file("api-server.pem"));
    option("tls-private-key-file", &file("api-server-key.pem"));

    option("client-ca-file", &file("ca.pem"));
    option("authentication-config", &file("authentication.json"));
    option("authorization-mode", "RBAC");
    option("service-account-issuer", "https://kubernetes.default.svc");
    option("service-account-signing-key-file", &file("service-accounts-key.pem"));
    option("service-account-key-file", &file("service-accounts.pem"));
    option("requestheader-client-ca-file", &file("front-proxy-ca.pem"));
    option("requestheader-allowed-names", "front-proxy");
    option("requestheader-username-headers", "X-Remote-User");
    option("requestheader-group-headers", "X-Remote-Group");
    option("requestheader-extra-headers-prefix", "X-Remote-Extra-");
    option("proxy-client-cert-file", &file("front-proxy.pem"));
    option("proxy-client-key-file", &file("front-proxy-key.pem"));

    option("kubelet-client-certificate", &file("kubelet-client.pem"));
    option("kubelet-client-key", &file("kubelet-client-key.pem"));
    option("kubelet-certificate-authority", &file("ca.pem"));
    option("kubelet-preferred-address-types", "InternalIP");
    option("allow-privileged", "true");
    // It waits for accounts that a controller makes, and there is none.
    option("disable-admission-plugins", "ServiceAccount");

    option("audit-policy-file", &file("audit-policy.json"));
    option("audit-log-path", &file("audit.log"));
    option("audit-log-mode", "blocking");
    command
}

fn kubelet(program: &Path, folder: &Path, port: &Port) -> Command {
    let mut command = Command::new(program);
    command.arg("--address").arg(port.addr().to_string());
    for (option, file) in [
        ("--kubeconfig", "kubelet.kubeconfig"),
        ("--folder", "pods"),
        ("--ready", "ready"),
        ("--cert", "kubelet.pem"),
        ("--key", "kubelet-key.pem"),
        ("--client-ca", "ca.pem"),
    ] {
        command.arg(option).arg(folder.join(file));
    }
    command
}
