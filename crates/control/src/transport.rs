//! How the control plane is reached: by TLS with client certificates for proxies, by TLS, loopback or a Unix
//! socket for people, and by memory within one process. Everything has a limit.

mod connect;
mod limit;
mod listen;

use std::time::Duration;

use lockgate_core::secret::Secret;

pub(crate) use connect::in_memory;
pub use connect::{ConnectError, Endpoint, connect};
pub use listen::{Listener, ServeError};
pub(crate) use listen::{serve, serve_in_memory};

/// How large a question may be.
pub(crate) const MAX_REQUEST: usize = 4 << 20;
/// How large an answer may be: a page of a list, and one item that is larger than a page.
pub(crate) const MAX_ANSWER: usize = 16 << 20;
/// How long a call may take; streams are not calls in this sense.
pub(crate) const CALL_WITHIN: Duration = Duration::from_secs(30);
/// How long a connection may be silent before it is asked whether it lives.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to connect, and to agree on TLS.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A certificate with the key that proves it is ours.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate and the chain up to, without, the authority: PEM.
    pub certificate: String,
    /// The key: PEM.
    pub key: Secret,
}

impl Identity {
    fn tonic(&self) -> tonic::transport::Identity {
        tonic::transport::Identity::from_pem(&self.certificate, self.key.expose())
    }
}
