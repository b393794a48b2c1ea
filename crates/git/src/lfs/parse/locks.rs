//! The requests about locks.

use serde::{Deserialize, Serialize};

use super::{LfsError, Ref, check, check_ref};

/// The request to lock a file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRequest {
    /// Its path in the repository.
    pub path: String,
    /// See [`Ref`].
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<Ref>,
}

/// The request to list one's own locks and those of others before a push.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocksVerification {
    /// Where the list goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// How many at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    /// See [`Ref`].
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<Ref>,
}

/// The request to give a lock up.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlocking {
    /// Also somebody else's.
    #[serde(default)]
    pub force: bool,
    /// See [`Ref`].
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    reference: Option<Ref>,
}

impl LockRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// [`LfsError`]; the client's fault.
    pub fn parse(text: &[u8]) -> Result<Self, LfsError> {
        let request: Self = serde_json::from_slice(text)?;
        check_ref(request.reference.as_ref())?;
        check("path", &request.path)?;
        Ok(request)
    }
}

impl LocksVerification {
    /// Reads a request.
    ///
    /// # Errors
    /// [`LfsError`]; the client's fault.
    pub fn parse(text: &[u8]) -> Result<Self, LfsError> {
        let request: Self = serde_json::from_slice(text)?;
        check_ref(request.reference.as_ref())?;
        Ok(request)
    }
}

impl Unlocking {
    /// Reads a request.
    ///
    /// # Errors
    /// [`LfsError`]; the client's fault.
    pub fn parse(text: &[u8]) -> Result<Self, LfsError> {
        let request: Self = serde_json::from_slice(text)?;
        check_ref(request.reference.as_ref())?;
        Ok(request)
    }
}
