//! The JSON of LFS, both ways: read strictly within bounds, and written anew from what was understood.
//!
//! What goes upstream and what reaches the client is made of these values, never of the text that was
//! read: a field that is not known here is gone, a key that stands twice is an error, so that no two
//! readers see two requests. Formats: git-lfs `docs/api/batch.md`, `basic-transfers.md`, `locking.md`.

mod answer;
mod locks;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de};

pub use self::{
    answer::{Answered, AnsweredAction, BatchAnswer},
    locks::{LockRequest, LocksVerification, Unlocking},
};
use super::oid::LfsOid;
use crate::refname::{is_hidden, printable};

/// The one transfer that is understood: one request per object, with its content as the body.
const BASIC: &str = "basic";
/// The one algorithm there is.
const SHA256: &str = "sha256";
/// Header fields that one action may ask for.
const HEADERS: usize = 32;
/// Sizes are signed in many servers.
const SIZE: u64 = i64::MAX as u64;

/// Why a text is not the JSON that LFS has here. The client's fault, or the upstream's, by who sent it.
#[derive(Debug, thiserror::Error)]
pub enum LfsError {
    /// No JSON, or not of this shape.
    #[error("the LFS JSON can't be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A value that no such field has.
    #[error("the LFS request's {0} is not valid")]
    Value(&'static str),
    /// Too many objects.
    #[error("more than {0} objects in one LFS batch")]
    TooMany(usize),
    /// One object with two sizes.
    #[error("the LFS object {0} is listed with two sizes")]
    TwoSizes(LfsOid),
    /// A transfer that is not understood.
    #[error("the LFS transfer `basic` is the only one here")]
    Transfer,
    /// Another hash.
    #[error("LFS objects are named by sha256 here")]
    Hash,
}

/// What a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// To fetch objects.
    Download,
    /// To push them.
    Upload,
}

/// An object as a pointer file names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// The SHA-256 of its content.
    pub oid: LfsOid,
    /// Its bytes.
    #[serde(deserialize_with = "size")]
    pub size: u64,
}

/// The ref that a request is about: what the client says, which nothing proves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ref {
    /// Its full name.
    pub name: String,
}

/// The request of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRequest {
    /// What for.
    pub operation: Operation,
    /// The transfers that the client knows; `basic` alone once it was parsed.
    #[serde(default)]
    transfers: Vec<String>,
    /// See [`Ref`].
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<Ref>,
    /// The objects, each once.
    pub objects: Vec<Object>,
    /// How they are named; `sha256` once it was parsed.
    #[serde(default)]
    hash_algo: Option<String>,
}

impl BatchRequest {
    /// Reads a request for up to `max` objects.
    ///
    /// # Errors
    /// [`LfsError`]; the client's fault.
    pub fn parse(text: &[u8], max: usize) -> Result<Self, LfsError> {
        let mut request: Self = serde_json::from_slice(text)?;
        if !request.transfers.is_empty() && !request.transfers.iter().any(|transfer| transfer == BASIC) {
            return Err(LfsError::Transfer);
        }
        request.transfers = vec![BASIC.to_owned()];
        if request.hash_algo.is_some_and(|algorithm| algorithm != SHA256) {
            return Err(LfsError::Hash);
        }
        request.hash_algo = Some(SHA256.to_owned());
        check_ref(request.reference.as_ref())?;
        match request.objects.len() {
            0 => return Err(LfsError::Value("list of objects")),
            many if many > max => return Err(LfsError::TooMany(max)),
            _ => {}
        }
        let mut sizes = HashMap::new();
        for object in &request.objects {
            if *sizes.entry(object.oid).or_insert(object.size) != object.size {
                return Err(LfsError::TwoSizes(object.oid));
            }
        }
        request.objects.retain(|object| sizes.remove(&object.oid).is_some());
        Ok(request)
    }
}

/// An upstream's answer to a batch, as far as it is used.
#[derive(Debug, Deserialize)]
pub struct BatchResponse {
    #[serde(default)]
    transfer: Option<String>,
    /// What it says of each object.
    pub objects: Vec<Offered>,
    #[serde(default)]
    hash_algo: Option<String>,
}

/// What an upstream says of one object.
#[derive(Debug, Deserialize)]
pub struct Offered {
    /// The object.
    pub oid: LfsOid,
    /// Its bytes, where they are said.
    #[serde(default)]
    pub size: Option<u64>,
    /// Whether no credential is needed for the actions besides what stands in them.
    #[serde(default)]
    pub authenticated: Option<bool>,
    /// What to do; nothing where it is there already.
    #[serde(default)]
    pub actions: Option<Actions>,
    /// Why nothing can be done.
    #[serde(default)]
    pub error: Option<ObjectError>,
}

/// The actions for one object.
#[derive(Debug, Default, Deserialize)]
pub struct Actions {
    /// How to upload it.
    #[serde(default)]
    pub upload: Option<Action>,
    /// How to say that it was uploaded.
    #[serde(default)]
    pub verify: Option<Action>,
    /// How to download it.
    #[serde(default)]
    pub download: Option<Action>,
}

/// One request that the client shall make.
#[derive(Deserialize)]
pub struct Action {
    /// The address.
    pub href: String,
    /// Headers to send.
    #[serde(default)]
    header: Option<BTreeMap<String, String>>,
    /// For how many seconds from now.
    #[serde(default)]
    expires_in: Option<i64>,
    /// Until when.
    #[serde(default)]
    expires_at: Option<String>,
}

impl fmt::Debug for Action {
    /// The address may be signed, and the headers are credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Action(..)")
    }
}

impl BatchResponse {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`LfsError`]; the upstream's fault.
    pub fn parse(text: &[u8]) -> Result<Self, LfsError> {
        let response: Self = serde_json::from_slice(text)?;
        if response.transfer.as_ref().is_some_and(|transfer| transfer != BASIC) {
            return Err(LfsError::Transfer);
        }
        if response.hash_algo.as_ref().is_some_and(|algorithm| algorithm != SHA256) {
            return Err(LfsError::Hash);
        }
        Ok(response)
    }
}

impl Action {
    /// The headers that it asks for.
    ///
    /// # Errors
    /// [`LfsError::Value`] for what no header can be.
    pub fn headers(&self) -> Result<HeaderMap, LfsError> {
        let invalid = || LfsError::Value("action header");
        let mut headers = HeaderMap::new();
        let given = self.header.iter().flatten();
        for (name, value) in given {
            if headers.len() == HEADERS {
                return Err(invalid());
            }
            let name: HeaderName = name.parse().map_err(|_| invalid())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// Until when it can be used, in seconds since 1970; `None` where nothing is said.
    ///
    /// # Errors
    /// [`LfsError::Value`] for what is no time.
    pub fn expires(&self, now: i64) -> Result<Option<i64>, LfsError> {
        // 0 and the year 1 are how Go writes that there is none.
        match (self.expires_in.filter(|seconds| *seconds != 0), self.expires_at.as_deref()) {
            (Some(seconds), _) => Ok(Some(now.saturating_add(seconds))),
            (None, None | Some("" | "0001-01-01T00:00:00Z")) => Ok(None),
            (None, Some(at)) => {
                let at: Timestamp = at.parse().map_err(|_| LfsError::Value("time of expiry"))?;
                Ok(Some(at.as_second()))
            }
        }
    }
}

/// Why nothing can be done about one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectError {
    /// As an HTTP status.
    pub code: u16,
    /// For people.
    #[serde(default)]
    pub message: String,
}

impl ObjectError {
    /// One that shows nothing but text.
    pub fn new(code: u16, message: &str) -> Self {
        Self { code, message: printable(message) }
    }
}

/// The answer of a server that refuses.
#[derive(Debug, Deserialize)]
pub struct Message {
    /// For people.
    pub message: String,
}

fn check_ref(reference: Option<&Ref>) -> Result<(), LfsError> {
    reference.map_or(Ok(()), |reference| check("ref", &reference.name))
}

fn check(what: &'static str, text: &str) -> Result<(), LfsError> {
    if text.is_empty() || text.chars().any(is_hidden) { Err(LfsError::Value(what)) } else { Ok(()) }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    if size > SIZE { Err(de::Error::custom("no object has this size")) } else { Ok(size) }
}

/// Reads anything as everything that is read here. For fuzzing.
#[doc(hidden)]
pub fn fuzz_lfs(text: &[u8]) {
    if let Ok(request) = BatchRequest::parse(text, 1000) {
        let written = serde_json::to_vec(&request).expect("a request can be written");
        assert_eq!(BatchRequest::parse(&written, 1000).expect("what was understood is valid"), request);
    }
    if let Ok(response) = BatchResponse::parse(text) {
        let actions = response.objects.iter().filter_map(|object| object.actions.as_ref());
        for action in actions.flat_map(|all| [&all.upload, &all.verify, &all.download]).flatten() {
            // Whether they are valid does not matter here: only that it ends, and without panic.
            let _ = (action.headers(), action.expires(1_700_000_000));
        }
    }
    let _ = (LockRequest::parse(text), LocksVerification::parse(text), Unlocking::parse(text));
}

#[cfg(test)]
mod tests;
