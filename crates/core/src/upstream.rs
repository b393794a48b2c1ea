//! A named target: what it is, where it is, and the credential that only lockgate holds.

use std::sync::Arc;

use http::{Uri, uri::Authority};

pub use crate::credential::{Credential, Credentials};
use crate::{origin::Origin, policy::Globs, secret::Secret};

/// A target that clients reach through lockgate.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name, in routes, policies and the index.
    pub name: String,
    /// The protocol that it speaks: `git`, `oci`, `k8s`.
    pub kind: String,
    /// Its base URL; the request's path is appended to its path.
    pub url: Uri,
    /// What lockgate presents.
    pub credentials: Credentials,
    /// How callers are known.
    pub auth: Auth,
    /// The hostname by which clients reach it, besides `/<kind>/<name>/`.
    pub host: Option<Authority>,
    /// PEM certificates that vouch for it besides the system's.
    pub ca: Option<Vec<u8>>,
    /// By what this gateway shows itself to it in TLS, besides its credential.
    pub client_certificate: Option<ClientCertificate>,
    /// The resources that there are for clients; all.
    pub resources: Option<Arc<Globs>>,
    /// Whether it takes names for the same that differ in the case of ASCII letters alone. They are then
    /// judged in small letters.
    pub ignore_case: bool,
    /// As whom callers are known to it.
    pub identity: Identity,
    /// What becomes of its redirects.
    pub redirects: Redirects,
    /// When requests whose content must be seen first go to it.
    pub forward: Forwarding,
    /// When requests that only read go to it.
    pub reads: Reads,
    /// URLs of the other origins where it keeps content, e.g. its object storage. Requests go to its own
    /// origin and to these, wherever else it may point; never with its credential to these.
    pub storage: Vec<Uri>,
}

/// A certificate of this gateway's own.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// PEM: the certificate, and those between it and the authority.
    pub chain: Vec<u8>,
    /// PEM: the private key.
    pub key: Secret,
}

/// As whom callers are known to an upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Identity {
    /// As this gateway, by its credential.
    #[default]
    Own,
    /// As themselves: the upstream lets this gateway speak for others, where its protocol can.
    Caller {
        /// What their names and those of their groups begin with there.
        prefix: String,
    },
}

/// What becomes of an upstream's redirects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Redirects {
    /// One within the upstream leads the client there through the gateway, where it is judged anew.
    #[default]
    Follow,
    /// They are refused, with where they lead.
    Refuse,
}

/// When a request whose content must be seen first, such as a push, goes upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Forwarding {
    /// After its verdict: no byte of what is refused reaches the upstream.
    #[default]
    AfterVerdict,
    /// While it is looked at, where nobody may have to approve it; its end is withheld until the verdict. What is
    /// refused has reached the upstream then, without its end, and is cut off there: nobody can see it, and the
    /// upstream throws it away, if not at once (git: at the latest with its next garbage collection). Faster, and right where the upstream itself may see what is forbidden.
    Early,
}

/// When a request that only reads, and brings nothing, goes upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reads {
    /// When it and its verdict are durable, as every other.
    #[default]
    WhenDurable,
    /// At once. No byte of the answer leaves before these are durable; but the upstream may have been read without a
    /// trace here, by a gateway that crashed before and told nobody what was read. What is not answered within 10 ms is
    /// made durable meanwhile; a short answer becomes durable together with its request. Faster by one wait for the disk.
    Overlapped,
}

/// How the callers of an upstream are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// By a token of a configured issuer.
    Oidc,
    /// Not at all: the client's own credential goes on to the upstream, and the principal is only a
    /// name. For recording before enforcing; warned of at every start.
    Passthrough,
}

impl Upstream {
    /// One that is reached by its name alone, without a credential, for callers with a token.
    pub fn new(name: impl Into<String>, kind: impl Into<String>, url: Uri) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            url,
            credentials: Credentials::none(),
            auth: Auth::Oidc,
            host: None,
            ca: None,
            client_certificate: None,
            resources: None,
            ignore_case: false,
            identity: Identity::default(),
            redirects: Redirects::default(),
            forward: Forwarding::default(),
            reads: Reads::default(),
            storage: Vec::new(),
        }
    }

    /// Whether this origin is its own.
    pub fn is_own(&self, origin: &Origin) -> bool {
        Origin::of(&self.url).as_ref() == Some(origin)
    }

    /// Whether requests may go to this origin: its own, or that of its storage.
    pub fn reaches(&self, origin: &Origin) -> bool {
        self.is_own(origin) || self.storage.iter().any(|url| Origin::of(url).as_ref() == Some(origin))
    }

    /// Whether there is such a resource for clients; of what is for none, whether there is everything.
    pub fn has(&self, resource: Option<String>) -> bool {
        let listed =
            |globs: &Arc<Globs>| resource.is_some_and(|resource| globs.matches(&self.name_of(resource)));
        self.resources.as_ref().is_none_or(listed)
    }

    /// A resource's name as it is judged.
    pub fn name_of(&self, resource: String) -> String {
        if self.ignore_case { resource.to_ascii_lowercase() } else { resource }
    }
}
