//! A control plane to test: on a folder of its own, with an identity provider, reached as in earnest.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use lockgate_control::{
    client::ControlClient,
    operator::{self, Operator},
    people::{Client, Publish},
    roles::{Role, RoleGroups},
    server::{Control, Settings},
    store::SqliteStore,
    transport::{Endpoint, Identity, Listener},
};
use lockgate_core::{
    access::{Access, Action, Attribute, Attributes, Schema},
    approval::Ask,
    authn::{Authenticator, IssuerConfig},
    index::{Entry, EntryAccess},
    principal::{Caller, Principal, SessionId},
    secret::Secret,
    verdict::{ApprovalTerms, OnDisconnect},
};
use lockgate_testkit::{Ca, Idp};
use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

/// What `git` can say here.
pub(crate) static GIT: Schema = Schema {
    protocol: "git",
    actions: &[Action { name: "push", mutates: true, maskable: false, parts: None }],
    attributes: &[Attribute::glob("repository", "repositories", ""), Attribute::glob("ref", "refs", "")],
    masks: &[],
};

/// A policy that loads, different by its comment.
pub(crate) fn policy(comment: &str) -> String {
    format!(
        "# {comment}
version: 1
groups: {{ release: [ {{ issuer: corp, claim: {{ team: release }} }} ] }}
rules:
  - id: main
    match: {{ git: {{ action: push, refs: [refs/heads/main] }} }}
    decide: require_approval
    approval: {{ from: [release] }}
"
    )
}

pub(crate) struct Plane {
    pub(crate) folder: TempDir,
    pub(crate) idp: Idp,
    pub(crate) control: Control,
    serving: JoinHandle<()>,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), Idp::start().unwrap()).await
    }

    /// The control plane of a folder, started (again).
    pub(crate) async fn start_in(folder: TempDir, idp: Idp) -> Self {
        let store = SqliteStore::open(&folder.path().join("control.db")).await.unwrap();
        let issuer = IssuerConfig {
            groups_claim: Some("groups".into()),
            ..IssuerConfig::new("corp", idp.issuer(), ["lockgate"])
        };
        let group = |name: &str| vec![name.to_owned()];
        let settings = Settings {
            schemas: vec![&GIT],
            approvals_url: Some("https://gate.example/approvals/".into()),
            authenticator: Some(Authenticator::new(vec![issuer]).unwrap()),
            operator: Some(Operator {
                token: operator::read_or_make_token(folder.path()).unwrap(),
                groups: vec![],
                roles: vec![Role::Admin],
            }),
            roles: RoleGroups {
                viewer: group("viewers"),
                approver: vec!["approvers".into(), "release".into()],
                auditor: group("auditors"),
                admin: group("admins"),
            },
        };
        let control = Control::open(Arc::new(store), settings).await.unwrap();
        let listener = Listener::unix(&folder.path().join("control.sock")).unwrap();
        let serving = serve(&control, listener);
        Self { folder, idp, control, serving }
    }

    /// Ends it, as an orderly stop of the process does; its folder stays.
    pub(crate) async fn stop(self) -> (TempDir, Idp) {
        self.control.shutdown().await;
        self.serving.await.unwrap();
        (self.folder, self.idp)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("control.sock")
    }

    /// A person by their token; `claims` besides the usual.
    pub(crate) fn person_with(&self, subject: &str, claims: &[(&str, serde_json::Value)]) -> Client {
        let mut token = self.idp.token(subject);
        for (name, value) in claims {
            token = token.claim(name, value.clone());
        }
        self.holder(&token.sign().unwrap())
    }

    /// A person in these groups.
    pub(crate) fn person(&self, subject: &str, groups: &[&str]) -> Client {
        self.person_with(subject, &[("groups", json!(groups))])
    }

    /// Whoever holds this token.
    pub(crate) fn holder(&self, token: &str) -> Client {
        Client::connect(&Endpoint::Unix(self.socket()), &Secret::new(token)).unwrap()
    }

    pub(crate) fn operator(&self) -> Client {
        self.holder(operator::read_token(self.folder.path()).unwrap().expose())
    }

    /// A proxy in this process.
    pub(crate) async fn proxy(&self) -> ControlClient {
        ControlClient::new(self.control.in_memory().await, "here")
    }

    /// Publishes, as the operator; gives the version.
    pub(crate) async fn publish(&self, text: &str) -> String {
        let publish = Publish { text: text.into(), ..Publish::default() };
        self.operator().publish_policy(publish).await.unwrap().version
    }

    /// Serves proxies by TLS at this address.
    pub(crate) async fn serve_proxies(&self, ca: &Ca, address: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind(address).await.unwrap();
        let bound = listener.local_addr().unwrap();
        let identity = identity(&ca.server().unwrap());
        serve(&self.control, Listener::Proxies { listener, identity, client_ca: ca.pem() });
        bound
    }
}

/// Serves until the control plane is shut down.
pub(crate) fn serve(control: &Control, listener: Listener) -> JoinHandle<()> {
    let control = control.clone();
    tokio::spawn(async move { control.serve(listener).await.unwrap() })
}

pub(crate) fn identity(of: &lockgate_testkit::Identity) -> Identity {
    Identity { certificate: of.cert.clone(), key: Secret::new(&of.key) }
}

/// Any free port of this machine.
pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// `corp:agent` asks to push `content` to main.
pub(crate) fn ask(content: &str) -> Ask {
    let principal = Principal {
        issuer: "corp".into(),
        subject: "agent".into(),
        groups: vec![],
        claims: serde_json::Map::new(),
    };
    let session = SessionId::derive(&principal, &["run", "1"]);
    let caller = Caller { principal: Arc::new(principal), session };
    let accesses = vec![Access {
        protocol: "git",
        action: "push",
        resource: "team/app".into(),
        attributes: Attributes::new().with("repository", "team/app").with("ref", "refs/heads/main"),
        binding: format!("refs/heads/main 0..{content}"),
    }];
    Ask {
        key: Ask::key(&caller, "forge", &accesses),
        caller,
        upstream: "forge".into(),
        accesses,
        rules: vec!["main".into()],
        terms: ApprovalTerms {
            from: ["release".to_owned()].into(),
            count: 1,
            hold: Duration::from_secs(60),
            ttl: Duration::from_hours(1),
            on_disconnect: OnDisconnect::Cancel,
        },
        exchange: exchange(),
    }
}

pub(crate) fn exchange() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// An exchange of `subject`'s that pushed to `resource`.
pub(crate) fn entry(subject: &str, resource: &str) -> Entry {
    Entry {
        exchange: exchange(),
        session: format!("session of {subject}"),
        issuer: "corp".into(),
        subject: subject.into(),
        upstream: "forge".into(),
        protocol: "git".into(),
        accesses: vec![EntryAccess {
            action: "push".into(),
            resource: resource.into(),
            binding: "refs/heads/main 0..1".into(),
            attributes: vec![("ref".into(), "refs/heads/main".into())],
            effect: "allow".into(),
        }],
        verdict: "permit".into(),
        rules: vec![],
        approval: None,
        outcome: "complete".into(),
        status: 200,
        started: 1_750_000_000_000_000,
        ended: 1_750_000_001_000_000,
        bytes_in: 1,
        bytes_out: 2,
        bundles: vec![],
    }
}
