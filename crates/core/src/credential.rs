//! What lockgate presents to an upstream: a fixed value, or one that is fetched and renewed; chosen by the
//! resource that a request is for.
//!
//! A request goes with the credential that is configured for it or not at all. Every value is known to the
//! mask before it is first presented, and as long after as it may come back. Of many requests that need a
//! value one fetches it, and what failed is not tried again at once. No value stands in a log, an error or
//! a `Debug`.

mod cache;
pub mod exec;
pub mod file;
pub mod github;
mod known;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::HeaderValue;
use lockgate_detect::KnownValues;

use self::{cache::Cache, known::Known};
use crate::{
    policy::Globs,
    refusal::{Refusal, RefusalKind},
    secret::{Secret, SecretError},
};

/// A credential as it is presented.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The `Authorization` header's value, marked sensitive; `None` where there is nothing to present.
    ///
    /// # Errors
    /// [`CredentialError::Header`].
    pub fn header(&self) -> Result<Option<HeaderValue>, CredentialError> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let text = match self {
            Self::None => return Ok(None),
            Self::Basic { user, password } => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose())))
            }
            Self::Bearer(token) => format!("Bearer {}", token.expose()),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| CredentialError::Header)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// The secret in it, to be masked wherever it comes back.
    fn secret(&self) -> Option<&Secret> {
        match self {
            Self::None => None,
            Self::Basic { password, .. } => Some(password),
            Self::Bearer(token) => Some(token),
        }
    }
}

/// Whence a credential comes that changes: a file, a command, a forge.
pub trait Fetch: Send + Sync + 'static {
    /// What of the resource the value depends on: requests of one scope share a value. Where a protocol asks for
    /// values that are good for some things only, the resource is what [`Wanted::narrowly`] says.
    ///
    /// # Errors
    /// [`CredentialError`] where there can be no value for the resource.
    fn scope(&self, resource: &str) -> Result<String, CredentialError>;

    /// Fetches a value, within a time of its own.
    fn fetch<'a>(&'a self, resource: &'a str) -> BoxFuture<'a, Result<Fetched, CredentialError>>;
}

/// What a request needs a credential for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The resource, by which the source is chosen; empty where it is for none.
    pub resource: String,
    /// What exactly is done, in words of the protocol, where its upstreams give credentials for that.
    pub narrowly: Option<String>,
}

impl Wanted {
    /// For whatever is done to a resource.
    pub fn for_all_of(resource: Option<String>) -> Self {
        Self { resource: resource.unwrap_or_default(), narrowly: None }
    }

    fn scope(&self) -> &str {
        self.narrowly.as_ref().unwrap_or(&self.resource)
    }
}

/// A value that was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// It.
    pub credential: Credential,
    /// How long it is presented without a thought.
    pub fresh: Duration,
    /// How long it is presented at all; from `fresh` on while another one is fetched.
    pub valid: Duration,
}

/// Whence the credential of some resources comes.
pub enum Source {
    /// It never changes.
    Fixed(Credential),
    /// It is fetched when it is needed.
    Fetched(Arc<dyn Fetch>),
}

/// The credentials of one upstream. Cheap to clone; clones share what was fetched.
#[derive(Clone)]
pub struct Credentials(Arc<Inner>);

struct Inner {
    choices: Vec<(Option<Globs>, Held)>,
    known: Arc<Known>,
}

enum Held {
    Fixed(Option<HeaderValue>),
    Fetched(Cache),
}

/// Why there is no credential to present.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// We: the configuration has none for this resource.
    #[error("no credential of this upstream is for {0}")]
    NoneFor(String),
    /// We: a value has characters that no header may hold.
    #[error("the credential has characters that no header may hold")]
    Header,
    /// We: there are more values in use than can be masked.
    #[error("more credentials are in use than can be masked")]
    Unmaskable,
    /// We: the file is not there, or is no secret.
    #[error("the credential's file can't be used")]
    File(#[from] SecretError),
    /// We: the command failed, or what it printed makes no sense.
    #[error("the credential's command failed")]
    Exec(#[from] exec::ExecError),
    /// The forge that issues it, or we.
    #[error("no token of the GitHub App can be had")]
    Github(#[from] github::GithubError),
    /// Whoever gives what is presented, or we: a protocol's own way of getting it failed.
    #[error("no credential can be had")]
    Other(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// We: the process is ending.
    #[error("the gateway is ending")]
    Stopped,
}

impl From<&CredentialError> for Refusal {
    fn from(error: &CredentialError) -> Self {
        let kind = match error {
            CredentialError::Github(error) => error.kind(),
            CredentialError::NoneFor(_)
            | CredentialError::Header
            | CredentialError::Unmaskable
            | CredentialError::File(_)
            | CredentialError::Exec(_)
            | CredentialError::Other(_)
            | CredentialError::Stopped => RefusalKind::Internal,
        };
        let reason = "this gateway has no credential for the upstream now; its operator must look at it";
        Self::new(kind, reason).because(error)
    }
}

impl Credentials {
    /// Credentials by resource: the first whose globs match is taken, one without globs for all.
    ///
    /// # Errors
    /// [`CredentialError::Header`] for a fixed one that can't be presented.
    pub fn new(choices: impl IntoIterator<Item = (Option<Globs>, Source)>) -> Result<Self, CredentialError> {
        let known = Arc::new(Known::default());
        let held = |source| -> Result<Held, CredentialError> {
            match source {
                Source::Fixed(credential) => {
                    credential.secret().map_or(Ok(()), |secret| known.add(secret, None))?;
                    Ok(Held::Fixed(credential.header()?))
                }
                Source::Fetched(source) => Ok(Held::Fetched(Cache::new(source, Arc::clone(&known)))),
            }
        };
        let choices = choices.into_iter().map(|(globs, source)| Ok((globs, held(source)?)));
        let choices = choices.collect::<Result<_, CredentialError>>()?;
        Ok(Self(Arc::new(Inner { choices, known })))
    }

    /// One fixed credential for all.
    ///
    /// # Errors
    /// [`CredentialError::Header`].
    pub fn fixed(credential: Credential) -> Result<Self, CredentialError> {
        Self::new([(None, Source::Fixed(credential))])
    }

    /// Nothing is ever presented.
    pub fn none() -> Self {
        let choices = vec![(None, Held::Fixed(None))];
        Self(Arc::new(Inner { choices, known: Arc::default() }))
    }

    /// The `Authorization` of a request; what it is wanted for is asked only where it matters.
    ///
    /// # Errors
    /// [`CredentialError`]: then the request must not go.
    pub async fn header(
        &self,
        wanted: impl FnOnce() -> Wanted,
    ) -> Result<Option<HeaderValue>, Arc<CredentialError>> {
        if let [(None, Held::Fixed(header))] = &*self.0.choices {
            return Ok(header.clone());
        }
        let wanted = wanted();
        match self.choose(&wanted.resource) {
            Some(Held::Fixed(header)) => Ok(header.clone()),
            Some(Held::Fetched(cache)) => cache.get(wanted.scope()).await,
            None => Err(Arc::new(CredentialError::NoneFor(wanted.resource))),
        }
    }

    /// The upstream refused what was presented: where it was fetched a while ago, another one is.
    pub fn refused(&self, wanted: impl FnOnce() -> Wanted) {
        if let [(None, Held::Fixed(_))] = &*self.0.choices {
            return;
        }
        let wanted = wanted();
        if let Some(Held::Fetched(cache)) = self.choose(&wanted.resource) {
            cache.refused(wanted.scope());
        }
    }

    /// Whether there can be anything to mask.
    pub fn is_none(&self) -> bool {
        self.0.choices.iter().all(|(_, held)| matches!(held, Held::Fixed(None)))
    }

    /// Every value that is or was presented, also those to come.
    pub fn known(&self) -> &KnownValues {
        self.0.known.values()
    }

    fn choose(&self, resource: &str) -> Option<&Held> {
        let fits =
            |(globs, _): &&(Option<Globs>, Held)| globs.as_ref().is_none_or(|globs| globs.matches(resource));
        self.0.choices.iter().find(fits).map(|(_, held)| held)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.0.choices.len())
    }
}
