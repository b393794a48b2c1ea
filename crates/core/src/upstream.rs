//! A named target: what it is, where it is, and the credential that only lockgate holds.

use http::{HeaderValue, Uri, uri::Authority};

use crate::secret::Secret;

/// A target that clients reach through lockgate.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name, in routes, policies and the index.
    pub name: String,
    /// The protocol that it speaks: `git`, `oci`, `k8s`.
    pub kind: String,
    /// Its base URL; the request's path is appended to its path.
    pub url: Uri,
    /// The credential that lockgate presents.
    pub credential: Credential,
    /// How callers are known.
    pub auth: Auth,
    /// The hostname by which clients reach it, besides `/<kind>/<name>/`.
    pub host: Option<Authority>,
    /// PEM certificates that vouch for it besides the system's.
    pub ca: Option<Vec<u8>>,
}

/// What lockgate presents to an upstream.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Nothing.
    None,
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user.
        user: String,
        /// The password or token.
        password: Secret,
    },
    /// A bearer token (RFC 6750).
    Bearer(Secret),
}

impl Credential {
    /// The `Authorization` header's value, marked sensitive; `None` where there is no credential or
    /// it has characters that no header may hold.
    pub fn header(&self) -> Option<HeaderValue> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let text = match self {
            Self::None => return None,
            Self::Basic { user, password } => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose())))
            }
            Self::Bearer(token) => format!("Bearer {}", token.expose()),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The secrets in it, to be masked wherever they come back.
    pub fn secrets(&self) -> Vec<&Secret> {
        match self {
            Self::None => Vec::new(),
            Self::Basic { password, .. } => vec![password],
            Self::Bearer(token) => vec![token],
        }
    }
}

/// How the callers of an upstream are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// By a token of a configured issuer.
    Oidc,
    /// Not at all: the client's own credential goes on to the upstream, and the principal is only a
    /// name. For recording before enforcing; warned of at every start.
    Passthrough,
}
