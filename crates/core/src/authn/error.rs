//! Why a caller is not known, by who is at fault, and the refusal that comes of it.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{KeysError, token::MAX_TOKEN};
use crate::refusal::{Refusal, RefusalKind};

/// Why a credential is not accepted. The text of each is fit for the caller: it quotes nothing but the
/// caller's own token, shortened and without control characters, and what the caller must know.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthnError {
    /// The client: the `Authorization` header can't be read.
    #[error("the Authorization header {0}")]
    Header(&'static str),
    /// The client: the token is larger than any token should be.
    #[error("the token is larger than {MAX_TOKEN} bytes")]
    TooLarge,
    /// The client: the token is not a signed JWT, or not one that can be read in one way only.
    #[error("the token is malformed: {0}")]
    Malformed(String),
    /// The client: nobody we trust issued it.
    #[error("the token's issuer, {0}, is not one that this gateway trusts")]
    UnknownIssuer(String),
    /// The client: unsigned, symmetric, or not an algorithm that is accepted of this issuer.
    #[error("the token's algorithm, {0}, is not accepted")]
    Algorithm(String),
    /// The client: its issuer does not publish the key, or not for this algorithm.
    #[error("the token names {0}")]
    Key(&'static str),
    /// The client: the signature does not verify.
    #[error("the token's signature is not its issuer's")]
    Signature,
    /// The client: too late.
    #[error("the token expired at {0}")]
    Expired(Timestamp),
    /// The client: too early, by `nbf`.
    #[error("the token is not valid before {0}")]
    NotYetValid(Timestamp),
    /// The client: issued in the future, by `iat`.
    #[error("the token says that it was issued at {0}, which is in the future")]
    IssuedInFuture(Timestamp),
    /// The client: the token is not short-lived.
    #[error("the token lives for {lifetime:?}, this gateway accepts at most {max:?}")]
    LivesTooLong {
        /// From `iat`, or from now where there is none, to `exp`.
        lifetime: Duration,
        /// What is configured.
        max: Duration,
    },
    /// The client: a token for someone else.
    #[error("the token is for the audience {found}, this gateway wants {wanted}")]
    Audience {
        /// Whom it is for.
        found: String,
        /// Who we are.
        wanted: String,
    },
    /// The client: a claim that the configuration requires is missing or says something else.
    #[error("the token's claim {0} does not have a value that this gateway accepts")]
    Claim(String),
    /// The client: a token for a single use came again.
    #[error("the token was used before, and is for a single use")]
    Replayed,
    /// The issuer: it can't be reached or makes no sense, and there are no keys of it to go on with.
    #[error("the token can't be verified now: the keys of its issuer, {issuer}, are not available")]
    IssuerUnavailable {
        /// The issuer's configured name.
        issuer: String,
        /// What went wrong, for the log.
        #[source]
        source: Arc<KeysError>,
    },
    /// We: more tokens for a single use are alive than we remember.
    #[error("too many tokens for a single use are in use")]
    ReplayFull,
}

impl From<AuthnError> for Refusal {
    fn from(error: AuthnError) -> Self {
        let kind = match error {
            AuthnError::Header(_)
            | AuthnError::TooLarge
            | AuthnError::Malformed(_)
            | AuthnError::UnknownIssuer(_)
            | AuthnError::Algorithm(_)
            | AuthnError::Key(_)
            | AuthnError::Signature
            | AuthnError::Expired(_)
            | AuthnError::NotYetValid(_)
            | AuthnError::IssuedInFuture(_)
            | AuthnError::LivesTooLong { .. }
            | AuthnError::Audience { .. }
            | AuthnError::Claim(_)
            | AuthnError::Replayed => RefusalKind::Unauthenticated,
            AuthnError::IssuerUnavailable { .. } => RefusalKind::IssuerUnavailable,
            AuthnError::ReplayFull => RefusalKind::Internal,
        };
        Self::new(kind, error.to_string()).because(&error)
    }
}

/// Text of a token that is not verified, fit to be shown: short, on one line.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 100;
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_on_one_line() {
        assert_eq!(shown("https://a.example"), "https://a.example");
        assert_eq!(shown("a\nb\u{1b}[31m\u{202e}"), "a\\nb\\u{1b}[31m\\u{202e}");
        assert_eq!(shown(&"x".repeat(101)), format!("{}...", "x".repeat(100)));
    }

    #[test]
    fn an_issuer_that_is_down_is_no_fault_of_the_caller() {
        let source = Arc::new(KeysError::Stopped);
        let refusal = Refusal::from(AuthnError::IssuerUnavailable { issuer: "github".into(), source });
        assert_eq!((refusal.kind, refusal.kind.status().as_u16()), (RefusalKind::IssuerUnavailable, 503));
        assert!(!refusal.reason.contains("fetch"), "{}", refusal.reason);
        assert!(refusal.detail.unwrap().ends_with("the fetch was stopped"));
        let refusal = Refusal::from(AuthnError::Replayed);
        assert_eq!((refusal.kind, refusal.kind.status().as_u16()), (RefusalKind::Unauthenticated, 401));
    }
}
