//! Who calls, and the session that their calls belong to.

use std::{fmt, net::SocketAddr};

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;
use serde_json::{Map, Value};

/// Who calls: from a verified token, or (by explicit configuration) from nobody we could verify.
#[derive(Clone, PartialEq, Serialize)]
pub struct Principal {
    /// The configured name of the issuer that vouches for them; `passthrough` where none does.
    pub issuer: String,
    /// The issuer's name for them: the `sub` claim, never parsed.
    pub subject: String,
    /// Groups that the configuration derives from claims.
    pub groups: Vec<String>,
    /// The token's verified claims.
    #[serde(skip)]
    pub claims: Map<String, Value>,
}

impl Principal {
    /// The issuer of those for whom nobody vouches. No configured issuer may have this name.
    pub const PASSTHROUGH: &str = "passthrough";

    /// The principal of an upstream with `auth: passthrough`: named, not verified.
    pub fn passthrough(user: Option<&str>) -> Self {
        Self {
            issuer: Self::PASSTHROUGH.into(),
            subject: user.unwrap_or("anonymous").into(),
            groups: Vec::new(),
            claims: Map::new(),
        }
    }

    /// Whether somebody vouches for them. Who is not verified may be anybody, an approver too.
    pub fn is_verified(&self) -> bool {
        self.issuer != Self::PASSTHROUGH
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.issuer, self.subject)
    }
}

impl fmt::Debug for Principal {
    /// Without the claims: they may hold personal data that no log needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal({self})")
    }
}

/// The run that an exchange belongs to. Derived from claims, so that every proxy of a fleet computes
/// the same one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SessionId(String);

impl SessionId {
    /// Derives the id from what names the run: the principal, then e.g. `run` and a CI run's number.
    pub fn derive(principal: &Principal, parts: &[&str]) -> Self {
        let mut digest = Context::new(&SHA256);
        for part in [&*principal.issuer, &*principal.subject].iter().chain(parts) {
            // The length first, so that ("ab", "c") and ("a", "bc") differ.
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        Self(hex::encode(&digest.finish().as_ref()[..16]))
    }

    /// An id that was made text before; `None` of what is none.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (text.len() == 32 && text.bytes().all(is_hex)).then(|| Self(text.to_owned()))
    }

    /// The id as text: 32 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A verified caller: what authentication hands on.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub principal: std::sync::Arc<Principal>,
    /// In which run.
    pub session: SessionId,
}

/// Where a connection came from; the listener puts it into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids_differ_where_the_parts_do() {
        let principal = Principal::passthrough(Some("ada"));
        assert!(!principal.is_verified());
        let id = |parts: &[&str]| SessionId::derive(&principal, parts);
        assert_eq!(id(&["run", "1"]), id(&["run", "1"]));
        assert_ne!(id(&["run", "1"]), id(&["run1", ""]));
        assert_eq!(id(&["run", "1"]).as_str().len(), 32);
        assert_eq!(SessionId::parse(id(&["run"]).as_str()), Some(id(&["run"])));
        assert_eq!((SessionId::parse(""), SessionId::parse(&"G".repeat(32))), (None, None));
        assert_ne!(id(&[]), SessionId::derive(&Principal::passthrough(None), &[]));
    }
}
