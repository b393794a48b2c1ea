//! What stands in the extensions of requests and answers: what the pipeline and protocols tell each other of one.

use http::{HeaderMap, HeaderValue, Uri};

use crate::origin::Origin;

/// The URL by which the client reached its upstream, in the extensions of every request: an address that
/// leads back to this gateway begins with it. It does not end with a slash.
#[derive(Debug, Clone)]
pub struct Called(pub String);

/// Where a request goes instead of below the upstream's URL: to an address that the upstream itself gave.
/// A protocol puts it into the extensions of the request that it makes; nothing that a client sends can. It
/// leads no further than to the upstream's own origin and its [`Upstream::storage`](crate::upstream::Upstream::storage).
#[derive(Clone)]
pub struct Direct {
    /// The address.
    pub url: Uri,
    /// The headers that the upstream gave with it, credentials among them.
    pub headers: HeaderMap,
    /// Whether the upstream's credential goes along, where the address is of its own origin and `headers`
    /// holds no other.
    pub credential: bool,
}

impl std::fmt::Debug for Direct {
    /// The address may be signed and the headers are credentials: neither is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Direct({:?})", Origin::of(&self.url))
    }
}

/// The protocol that the connection to the upstream is to become a stream of, as `Upgrade` names it: a protocol puts
/// it into the extensions of the request that it makes, once it has understood what [`Protocol::upgrades`](super::Protocol::upgrades) saw.
#[derive(Debug, Clone)]
pub struct Upgrade(pub HeaderValue);

/// In the extensions of a request that a protocol makes: its answer may be silent for as long as it likes, and its head
/// goes to the client before there is anything more of it. The client puts it into those of the answer.
#[derive(Debug, Clone, Copy)]
pub struct LongRunning;

/// In the extensions of an answer of known length: the SHA-256 that its body must have. What has another does not reach the
/// client whole. The recording makes the digest of every body anyway; nothing between here and there may change this one.
#[derive(Debug, Clone, Copy)]
pub struct Expected(pub [u8; 32]);

/// Headers that the protocol itself sets on a request, whatever the client's were; it puts them into the extensions of
/// the request that it makes. For who the caller is, where the upstream trusts this gateway to say so.
#[derive(Debug, Clone, Default)]
pub struct Sets(pub HeaderMap);
