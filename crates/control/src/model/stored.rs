//! How the core's types that an approval holds are written into a store: serde's remote definitions.

use std::{collections::BTreeSet, time::Duration};

use lockgate_core::{
    principal::Principal,
    verdict::{ApprovalTerms, OnDisconnect},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Principal")]
pub(super) struct StoredPrincipal {
    issuer: String,
    subject: String,
    groups: Vec<String>,
    #[serde(skip)]
    claims: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ApprovalTerms")]
pub(super) struct StoredTerms {
    from: BTreeSet<String>,
    count: u32,
    hold: Duration,
    ttl: Duration,
    on_disconnect: OnDisconnect,
}
