//! The layers of the pipeline, one file each, in the order of [`crate::pipeline`], and what each hands to
//! the next: a request that gains, step by step, a target, a caller, a recording, a meaning, a verdict.

pub mod authenticate;
pub mod classify;
pub mod decide;
mod early;
pub mod forward;
pub mod hold;
pub mod mask;
pub mod record;
mod redirect;
pub mod route;

use std::sync::Arc;

pub use early::Begun;
use http::{HeaderValue, Method, Request, Uri};

use crate::{
    access::{Access, Needs},
    body::Body,
    client::Client,
    credential::Wanted,
    exchange::Exchange,
    principal::Caller,
    protocol::{Dialect, Protocol},
    upstream::Upstream,
    verdict::{Permit, Verdict},
};

/// A routable upstream, with the protocol that understands it and the connections to it.
#[derive(Clone)]
pub struct Target {
    /// What and where it is.
    pub upstream: Arc<Upstream>,
    /// Who understands its requests.
    pub protocol: Arc<dyn Protocol>,
    /// The connections to it.
    pub client: Client,
}

impl Target {
    /// The resource that a request is for, by its name as it is judged.
    pub(crate) fn resource(&self, method: &Method, path: &Uri) -> Option<String> {
        self.protocol.resource(method, path).map(|resource| self.upstream.name_of(resource))
    }

    /// What a request to it needs a credential for.
    pub(crate) fn wanted(&self, method: &Method, path: &Uri) -> Wanted {
        let resource = self.resource(method, path);
        let narrowly = self.protocol.wants(method, path);
        Wanted { narrowly, ..Wanted::for_all_of(resource) }
    }

    /// Whether there is such a resource for clients.
    pub(crate) fn has(&self, method: &Method, path: &Uri) -> bool {
        self.upstream.has(self.protocol.resource(method, path))
    }
}

/// A request with a target; its path is relative to it.
pub struct Routed {
    /// Where to.
    pub target: Arc<Target>,
    /// The request.
    pub request: Request<Body>,
}

/// A request of a known caller; its credential is gone from the headers.
pub struct Authenticated {
    /// Where to.
    pub target: Arc<Target>,
    /// Whose.
    pub caller: Caller,
    /// The client's own credential, for an upstream with `auth: passthrough` alone.
    pub passthrough: Option<HeaderValue>,
    /// The request.
    pub request: Request<Body>,
}

/// A request whose every byte is recorded as it is read.
pub struct Recorded {
    /// Where to.
    pub target: Arc<Target>,
    /// Whose.
    pub caller: Caller,
    /// See [`Authenticated::passthrough`].
    pub passthrough: Option<HeaderValue>,
    /// Its recording.
    pub exchange: Exchange,
    /// The request.
    pub request: Request<Body>,
}

/// A request that was understood.
pub struct Understood {
    /// Where to.
    pub target: Arc<Target>,
    /// Whose.
    pub caller: Caller,
    /// See [`Authenticated::passthrough`].
    pub passthrough: Option<HeaderValue>,
    /// Its recording.
    pub exchange: Exchange,
    /// What it asks for; never empty.
    pub accesses: Vec<Access>,
    /// The attributes that were looked for.
    pub needs: Needs,
    /// The version of the policy under which it can't pass, so that no more was looked for.
    pub given_up: Option<String>,
    /// How its client is answered.
    pub dialect: Arc<dyn Dialect>,
    /// What would go upstream.
    pub request: Request<Body>,
    /// The same, where it was begun before its verdict.
    pub begun: Option<Begun>,
}

/// A request with a verdict that does not refuse it.
pub struct Decided {
    /// A permit, or a hold.
    pub verdict: Verdict,
    /// The request.
    pub asked: Understood,
}

/// A request that may go upstream.
pub struct Permitted {
    /// The proof.
    pub permit: Permit,
    /// The request.
    pub asked: Understood,
}
