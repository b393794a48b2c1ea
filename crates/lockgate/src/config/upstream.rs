//! The targets that clients reach through the gateway.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lockgate_core::upstream::{Auth as CoreAuth, Credential as CoreCredential, Upstream as CoreUpstream};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    ConfigError,
    scalar::{Host, HttpUrl, Name},
    secret::{Source, read_text},
};

/// Certificates of authorities are smaller than this.
const CA_MAX: u64 = 1 << 20;

/// An entry of `upstreams:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// Its name, in URLs (`/git/<name>/...`), policies and recordings.
    pub(crate) name: Spanned<Name>,
    /// The protocol that it speaks: `git`.
    pub(crate) kind: Spanned<String>,
    /// Its base URL; the path of a request is appended.
    pub(crate) url: HttpUrl,
    /// What lockgate presents to it; nothing.
    pub(crate) credential: Option<Spanned<Credential>>,
    /// How its callers are known: `oidc` (the default) or `passthrough`.
    #[serde(default)]
    pub(crate) auth: Auth,
    /// A hostname by which clients reach it, besides the path.
    pub(crate) host: Option<Spanned<Host>>,
    /// PEM certificates that vouch for it, besides the system's.
    pub(crate) ca: Option<PathBuf>,
}

/// What lockgate presents to an upstream.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Credential {
    /// HTTP Basic.
    Basic(Basic),
    /// A bearer token.
    Bearer(Bearer),
}

/// `basic:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Basic {
    /// The user.
    user: String,
    /// A file with the password or token.
    password_file: Option<PathBuf>,
    /// An environment variable with it.
    password_env: Option<String>,
}

/// `bearer:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bearer {
    /// A file with the token.
    token_file: Option<PathBuf>,
    /// An environment variable with it.
    token_env: Option<String>,
}

/// How the callers of an upstream are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Auth {
    /// By a token of a configured issuer.
    #[default]
    Oidc,
    /// Not at all: the client's own credential goes on to the upstream.
    Passthrough,
}

impl Credential {
    fn source(&self) -> Result<Source, String> {
        match self {
            Self::Basic(basic) => {
                Source::of("password", basic.password_file.as_ref(), basic.password_env.as_ref())
            }
            Self::Bearer(bearer) => {
                Source::of("token", bearer.token_file.as_ref(), bearer.token_env.as_ref())
            }
        }
    }

    fn read(&self, base: &Path) -> Result<CoreCredential> {
        let secret = self.source().map_err(anyhow::Error::msg)?.read(base)?;
        Ok(match self {
            Self::Basic(basic) => CoreCredential::Basic { user: basic.user.clone(), password: secret },
            Self::Bearer(_) => CoreCredential::Bearer(secret),
        })
    }
}

impl Upstream {
    /// What can be wrong within one entry. `kinds` are the protocols that there are.
    pub(crate) fn check(&self, path: &Path, kinds: &[&str]) -> Result<(), ConfigError> {
        if !kinds.contains(&self.kind.value.as_str()) {
            let message = format!("there is no protocol `{}`", self.kind.value);
            let known = format!("known: {}", kinds.join(", "));
            return Err(ConfigError::new(path, message).at(self.kind.referenced).hint(known));
        }
        let Some(credential) = &self.credential else { return Ok(()) };
        let wrong = |message: String| ConfigError::new(path, message).at(credential.referenced);
        credential.value.source().map_err(wrong)?;
        if self.auth == Auth::Passthrough {
            let message =
                "`auth: passthrough` sends the client's own credential: one of lockgate's is never used";
            return Err(wrong(message.into()));
        }
        if let Credential::Basic(basic) = &credential.value
            && basic.user.contains(|c: char| c == ':' || c.is_control())
        {
            return Err(wrong("a user of Basic has no colon and no control characters".into()));
        }
        Ok(())
    }

    /// Reads what it refers to. Paths are relative to `base`.
    pub(crate) fn resolve(&self, base: &Path) -> Result<CoreUpstream> {
        let name = &self.name.value.0;
        let context = || format!("upstream {name}");
        let credential = match &self.credential {
            None => CoreCredential::None,
            Some(credential) => credential.value.read(base).with_context(context)?,
        };
        let ca = self.ca.as_ref().map(|file| read_text(&base.join(file), CA_MAX));
        Ok(CoreUpstream {
            name: name.clone(),
            kind: self.kind.value.clone(),
            url: self.url.0.clone(),
            credential,
            auth: match self.auth {
                Auth::Oidc => CoreAuth::Oidc,
                Auth::Passthrough => CoreAuth::Passthrough,
            },
            host: self.host.as_ref().map(|host| host.value.0.clone()),
            ca: ca.transpose().with_context(context)?.map(String::into_bytes),
        })
    }
}
