//! What is compared: five ways to one server.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use lockgate_testkit::{GitServer, Idp, Lockgate, Nginx, process};

/// A way to the server, in the order of the report's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Direct,
    Nginx,
    /// Records and decides; nothing is asked about what pushes bring.
    Lockgate,
    /// Searches every object of a push for secrets, too.
    Inspecting,
    /// The same, where pushes are begun upstream before their verdict.
    Early,
}

pub(crate) const SUBJECTS: [Subject; 5] =
    [Subject::Direct, Subject::Nginx, Subject::Lockgate, Subject::Inspecting, Subject::Early];

/// The server and what stands in front of it.
pub(crate) struct Subjects {
    pub(crate) server: GitServer,
    nginx: Nginx,
    lockgate: Lockgate,
    inspecting: Lockgate,
    early: Lockgate,
    idp: Idp,
}

impl Subjects {
    pub(crate) fn start(program: &Path) -> Result<Self> {
        let server = GitServer::start()?;
        let nginx = Nginx::start("", &NGINX.replace("{upstream}", &server.url()), None)?;
        let idp = Idp::start()?;
        let start = |policy: &str, forward: &str| {
            let mut lockgate = Lockgate::prepare(program.canonicalize()?)?;
            configure(&lockgate, &server, &idp, policy, forward)?;
            lockgate.start()?;
            anyhow::Ok(lockgate)
        };
        let inspects = [POLICY, NO_SECRETS].concat();
        let lockgate = start(POLICY, "after_verdict")?;
        let (inspecting, early) = (start(&inspects, "after_verdict")?, start(&inspects, "early")?);
        Ok(Self { server, nginx, lockgate, inspecting, early, idp })
    }

    /// The URL of a repository of the server.
    pub(crate) fn url(&self, subject: Subject, repository: &str) -> String {
        match subject {
            Subject::Direct => format!("{}/{repository}", self.server.url()),
            Subject::Nginx => format!("{}/{repository}", self.nginx.url()),
            Subject::Lockgate => format!("{}/git/bench/{repository}", self.lockgate.url()),
            Subject::Inspecting => format!("{}/git/bench/{repository}", self.inspecting.url()),
            Subject::Early => format!("{}/git/bench/{repository}", self.early.url()),
        }
    }

    /// Starts the gateways afresh.
    pub(crate) fn restart(&mut self) -> Result<()> {
        for lockgate in [&mut self.lockgate, &mut self.inspecting, &mut self.early] {
            lockgate.stop()?;
            lockgate.start()?;
        }
        Ok(())
    }

    /// The most memory that a gateway has used since it was started, in bytes; none where there is none.
    pub(crate) fn peak_memory(&self, subject: Subject) -> Result<u64> {
        match subject {
            Subject::Direct | Subject::Nginx => Ok(0),
            Subject::Lockgate => self.lockgate.peak_memory(),
            Subject::Inspecting => self.inspecting.peak_memory(),
            Subject::Early => self.early.peak_memory(),
        }
    }

    /// The processor time that the proxy has used so far; none where there is no proxy.
    pub(crate) fn processor_time(&self, subject: Subject) -> Result<Duration> {
        match subject {
            Subject::Direct => Ok(Duration::ZERO),
            Subject::Nginx => process::processor_time(self.nginx.pid()),
            Subject::Lockgate => process::processor_time(self.lockgate.running()?.pid()),
            Subject::Inspecting => process::processor_time(self.inspecting.running()?.pid()),
            Subject::Early => process::processor_time(self.early.running()?.pid()),
        }
    }

    /// A token that lasts for the whole run. All subjects are sent it, though only one looks at it.
    pub(crate) fn token(&self) -> Result<String> {
        self.idp.token("bench").expires_in(12 * 3600).sign()
    }
}

/// What the manual says for bodies of any size that stream.
const NGINX: &str = "
location / {
    proxy_pass {upstream};
    proxy_http_version 1.1;
    proxy_request_buffering off;
    proxy_buffering off;
    proxy_read_timeout 600s;
}
";

fn configure(lockgate: &Lockgate, server: &GitServer, idp: &Idp, policy: &str, forward: &str) -> Result<()> {
    std::fs::write(lockgate.folder().join("policy.yaml"), policy)?;
    lockgate.configure(&format!(
        "listen: {{ address: \"{}\" }}\n\
         control: {{ listen: \"{}\" }}\n\
         data_dir: data\n\
         policy: policy.yaml\n\
         upstreams: [{{ name: bench, kind: git, url: \"{}\", forward: {forward} }}]\n\
         issuers: [{{ name: bench, issuer: \"{}\", audiences: [lockgate] }}]\n",
        lockgate.port().addr(),
        lockgate.control_port().addr(),
        server.url(),
        idp.issuer(),
    ))
}

const POLICY: &str = "
version: 1
rules:
  - id: everything
    match: { git: { action: [fetch, push] } }
    decide: allow
";

/// A rule more.
const NO_SECRETS: &str = "  - id: no-secrets
    match: { git: { action: push, findings: any } }
    decide: deny
";
