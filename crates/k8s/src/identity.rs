//! As whom a request goes upstream, and by what its trace there is found again.

use http::{HeaderMap, HeaderName, HeaderValue};
use lockgate_core::{protocol::Context, upstream::Identity};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");

/// Names that Kubernetes keeps for itself, and gives rights to.
const RESERVED: &str = "system:";

/// A caller can't be named to the upstream: its issuer gives names that no header can hold, or that Kubernetes takes
/// for its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the upstream can't be told who you are: {0:?} is no name there")]
pub struct IdentityError(String);

/// Whether a client asks to be somebody else. Only the API server could say whether it may; here that is always the
/// caller, and dropping the wish silently would have something done as whom it was not meant to be.
pub(crate) fn is_somebody_else(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("impersonate-"))
}

/// The headers that say so: `Audit-ID`, which the API server writes into its own audit log, is the session's id and
/// the exchange's behind it; and, where the upstream lets this gateway speak for callers, who calls.
///
/// # Errors
/// [`IdentityError`].
pub fn headers(context: Context<'_>) -> Result<HeaderMap, IdentityError> {
    let mut headers = HeaderMap::new();
    headers.insert(AUDIT_ID, value(format!("{}{}", context.session, context.exchange.simple()))?);
    match &context.upstream.identity {
        Identity::Own => {}
        Identity::Caller { prefix } => {
            let principal = context.principal;
            headers.insert(USER, name(format!("{prefix}{}:{}", principal.issuer, principal.subject))?);
            for group in &principal.groups {
                headers.append(GROUP, name(format!("{prefix}{group}"))?);
            }
        }
    }
    Ok(headers)
}

fn name(name: String) -> Result<HeaderValue, IdentityError> {
    if name.starts_with(RESERVED) { Err(IdentityError(name)) } else { value(name) }
}

fn value(text: String) -> Result<HeaderValue, IdentityError> {
    // Other bytes than these could be taken apart, or trimmed.
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') && text.trim() == text;
    match HeaderValue::from_str(&text) {
        Ok(value) if plain && !text.is_empty() => Ok(value),
        Ok(_) | Err(_) => Err(IdentityError(text)),
    }
}
