//! What a client is told of a batch.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{BASIC, Object, ObjectError, SHA256};

/// What the client is told of a batch.
#[derive(Debug, Serialize)]
pub struct BatchAnswer {
    transfer: &'static str,
    objects: Vec<Answered>,
    hash_algo: &'static str,
}

impl BatchAnswer {
    /// With this of each object.
    pub fn new(objects: Vec<Answered>) -> Self {
        Self { transfer: BASIC, objects, hash_algo: SHA256 }
    }
}

/// What the client is told of one object. That it must authenticate for every action is not said: it is so.
#[derive(Debug, Serialize)]
pub struct Answered {
    /// The object.
    #[serde(flatten)]
    pub object: Object,
    /// What to do.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub actions: BTreeMap<&'static str, AnsweredAction>,
    /// Why nothing can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ObjectError>,
}

/// A request to this gateway.
#[derive(Debug, Serialize)]
pub struct AnsweredAction {
    /// The address.
    pub href: String,
    /// Headers to send.
    pub header: BTreeMap<&'static str, String>,
    /// For how many seconds.
    pub expires_in: i64,
}
