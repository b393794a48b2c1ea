//! The session index: one searchable entry per exchange, beside the recording that proves it.
//!
//! The recording is the truth and the index can be rebuilt from it; so an entry is handed over without
//! waiting, and one that is lost costs a search result, never evidence.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::access::Access;

/// What can be searched of one exchange.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The exchange's UUIDv7.
    pub exchange: String,
    /// The session that it belongs to.
    pub session: String,
    /// The principal's issuer.
    pub issuer: String,
    /// The principal's subject.
    pub subject: String,
    /// The upstream's name.
    pub upstream: String,
    /// `git`, `oci`, `k8s`.
    pub protocol: String,
    /// What was asked for, one per access; empty where the request was not understood.
    pub accesses: Vec<EntryAccess>,
    /// `permit`, `hold`, `deny`; or `none` where it did not come to a verdict.
    pub verdict: String,
    /// The deciding rules.
    pub rules: Vec<String>,
    /// The approval that released it, if one did.
    pub approval: Option<String>,
    /// How it ended: the word of the recording's outcome.
    pub outcome: String,
    /// The status that the client saw; 0 where it saw none.
    pub status: u16,
    /// Microseconds since 1970.
    pub started: u64,
    /// Microseconds since 1970.
    pub ended: u64,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// The bundles that hold its recording, in order.
    pub bundles: Vec<String>,
}

/// One access in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryAccess {
    /// The action.
    pub action: String,
    /// The resource, e.g. a repository.
    pub resource: String,
    /// What is bound by an approval: for a push `refs/heads/main 1234..5678`.
    pub binding: String,
    /// The protocol's attributes as text, by name (`ref` -> `refs/heads/main`).
    pub attributes: Vec<(String, String)>,
    /// The effect that the policy gave it: `allow`, `require_approval`, `deny`, or empty.
    pub effect: String,
}

impl From<&Access> for EntryAccess {
    fn from(access: &Access) -> Self {
        let attributes = access.attributes.iter().map(|(name, value)| (name.into(), value.to_string()));
        Self {
            action: access.action.into(),
            resource: access.resource.clone(),
            binding: access.binding.clone(),
            attributes: attributes.collect(),
            effect: String::new(),
        }
    }
}

/// Takes entries.
pub trait Index: Send + Sync {
    /// Hands an entry over; a later entry of the same exchange replaces the earlier. It is called on the thread that
    /// writes recordings, mostly, which it must not keep.
    fn put(&self, entry: Entry);
}

impl<T: Index + ?Sized> Index for Arc<T> {
    fn put(&self, entry: Entry) {
        (**self).put(entry);
    }
}
