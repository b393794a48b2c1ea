//! Installation tokens of a GitHub App: the app signs that it is itself, GitHub answers with a token that
//! lives for an hour, for one installation and, unless configured otherwise, for one repository alone.
//!
//! Spoken to is the REST API of github.com or of an own server. Answers are bounded in size and time, and
//! redirects are not followed. Where the clocks differ it is GitHub's that counts.

mod api;
mod jwt;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;

pub use self::api::{ApiError, KeyError};
use self::{api::Api, jwt::Key};
use super::{Credential, CredentialError, Fetch, Fetched};
use crate::{
    refusal::RefusalKind,
    secret::Secret,
    web::{self, WebError},
};

/// Whose app is installed where, at most; more are found out anew.
const MAX_OWNERS: usize = 4096;
/// A private key is smaller than this.
const KEY_MAX: u64 = 64 << 10;
/// The longest that a token is believed to live.
const MAX_LIFE: Duration = Duration::from_hours(24);
/// A token is renewed so long before its end.
const EARLY: Duration = Duration::from_mins(5);
/// The user in whose name tokens are presented.
const USER: &str = "x-access-token";

/// Which app, and which tokens of it.
#[derive(Debug, Clone)]
pub struct GithubAppConfig {
    /// The app's client id, or its id.
    pub app: String,
    /// Its private key, in PEM (PKCS #1 or PKCS #8).
    pub private_key: Secret,
    /// The file that it stands in, which is read again before each token is asked for: keys are replaced.
    pub private_key_file: Option<PathBuf>,
    /// The installation; found out per owner without.
    pub installation: Option<u64>,
    /// Whether each token is for one repository alone.
    pub per_repository: bool,
    /// What the tokens may do (`contents: read`); all that the app may where it is empty.
    pub permissions: BTreeMap<String, String>,
    /// The API: `https://api.github.com`, or `https://<host>/api/v3`.
    pub api: String,
    /// PEM certificates that vouch for it besides the system's.
    pub ca: Option<Vec<u8>>,
    /// What stands before the repository in the upstream's URL: an owner, or nothing.
    pub prefix: String,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    /// The client: no repository of GitHub has such a name.
    #[error("{0} is not a repository of GitHub, which is <owner>/<name>")]
    Name(String),
    /// We, for the most part: GitHub did not give one.
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Why an app can't be used: an error of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum GithubConfigError {
    /// The private key.
    #[error("the app's private key can't be used")]
    Key(#[from] KeyError),
    /// The API's URL.
    #[error("the URL of GitHub's API {0}")]
    Url(&'static str),
    /// The client.
    #[error("GitHub's API can't be spoken to")]
    Web(#[from] WebError),
}

impl GithubError {
    /// What kind of refusal comes of it.
    pub(super) fn kind(&self) -> RefusalKind {
        match self {
            Self::Name(_) => RefusalKind::NotFound,
            Self::Api(ApiError::Unreachable(error)) if error.is_timeout() => RefusalKind::UpstreamTimeout,
            Self::Api(ApiError::Unreachable(_) | ApiError::Down(_)) => RefusalKind::UpstreamUnavailable,
            Self::Api(ApiError::Nonsense(_)) => RefusalKind::UpstreamInvalid,
            Self::Api(ApiError::Refused { .. } | ApiError::Sign) => RefusalKind::Internal,
        }
    }
}

/// An app that is installed where the repositories are.
pub struct GithubApp {
    config: GithubAppConfig,
    api: Api,
    /// The private key that is signed by.
    pem: Mutex<Secret>,
    /// By owner, in small letters: GitHub's names have no case.
    installations: Mutex<HashMap<String, u64>>,
}

impl GithubApp {
    /// Checks the key and the URL; asks nothing yet.
    ///
    /// # Errors
    /// [`GithubConfigError`].
    pub fn new(config: GithubAppConfig) -> Result<Self, GithubConfigError> {
        let key = Key::from_pem(&config.private_key, config.app.clone())?;
        let client = web::client(config.ca.as_deref())?;
        let api = Api::new(&config.api, client, key).map_err(GithubConfigError::Url)?;
        let pem = Mutex::new(config.private_key.clone());
        Ok(Self { config, api, pem, installations: Mutex::default() })
    }

    /// The owner and the name of a repository, which are then good in a URL.
    fn repository(&self, resource: &str) -> Result<(String, String), GithubError> {
        let whole = match self.config.prefix.as_str() {
            "" => resource.to_owned(),
            prefix => format!("{prefix}/{resource}"),
        };
        let fits = |part: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !part.is_empty() && part.len() <= 100 && part.bytes().all(plain) && part != "." && part != ".."
        };
        match whole.split_once('/') {
            Some((owner, name)) if fits(owner) && fits(name) => {
                Ok((owner.to_ascii_lowercase(), name.to_ascii_lowercase()))
            }
            Some(_) | None => Err(GithubError::Name(whole)),
        }
    }

    /// Takes what stands in the key's file now. What can't be used is told, and the last that could serves on.
    async fn renew_key(&self) {
        let Some(path) = self.config.private_key_file.clone() else { return };
        let pem = match tokio::task::spawn_blocking(move || read_pem(&path)).await {
            Ok(Ok(pem)) => pem,
            Ok(Err(error)) => return tracing::warn!(%error, "a GitHub App's private key can't be read again"),
            // The process is ending.
            Err(_) => return,
        };
        let mut last = self.pem.lock().unwrap_or_else(PoisonError::into_inner);
        if last.expose() == pem.expose() {
            return;
        }
        match Key::from_pem(&pem, self.config.app.clone()) {
            Ok(key) => {
                tracing::info!(app = self.config.app, "a GitHub App signs by another private key");
                self.api.set_key(key);
                *last = pem;
            }
            Err(error) => tracing::warn!(%error, "a GitHub App's private key was replaced by what is none"),
        }
    }

    async fn token(&self, owner: &str, name: &str) -> Result<Fetched, GithubError> {
        self.renew_key().await;
        let only = self.config.per_repository.then_some(name);
        if let Some(installation) = self.config.installation {
            return Ok(fetched(self.api.token(installation, only, &self.config.permissions).await?));
        }
        let known = self.installations().get(owner).copied();
        if let Some(installation) = known {
            match self.api.token(installation, only, &self.config.permissions).await {
                // It may have been installed anew.
                Err(ApiError::Refused { status, .. }) if status == 404 => {
                    self.installations().remove(owner);
                }
                token => return Ok(fetched(token?)),
            }
        }
        let installation = self.api.installation(owner, name).await?;
        let token = self.api.token(installation, only, &self.config.permissions).await?;
        let mut installations = self.installations();
        if installations.len() >= MAX_OWNERS {
            installations.clear();
        }
        installations.insert(owner.to_owned(), installation);
        Ok(fetched(token))
    }

    fn installations(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.installations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_pem(path: &Path) -> std::io::Result<Secret> {
    let mut text = String::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by take; what is cut is no key")]
    std::fs::File::open(path)?.take(KEY_MAX).read_to_string(&mut text)?;
    Ok(Secret::new(text))
}

fn fetched(token: api::Token) -> Fetched {
    let valid = token.life.min(MAX_LIFE);
    let credential = Credential::Basic { user: USER.to_owned(), password: token.secret };
    Fetched { credential, fresh: valid - (valid / 4).min(EARLY), valid }
}

impl Fetch for GithubApp {
    fn scope(&self, resource: &str) -> Result<String, CredentialError> {
        let (owner, name) = self.repository(resource)?;
        Ok(match (self.config.per_repository, self.config.installation) {
            (true, _) => format!("{owner}/{name}"),
            (false, None) => owner,
            (false, Some(_)) => String::new(),
        })
    }

    fn fetch<'a>(&'a self, resource: &'a str) -> BoxFuture<'a, Result<Fetched, CredentialError>> {
        Box::pin(async move {
            let (owner, name) = self.repository(resource)?;
            Ok(self.token(&owner, &name).await?)
        })
    }
}

impl From<GithubApp> for super::Source {
    fn from(app: GithubApp) -> Self {
        Self::Fetched(Arc::new(app))
    }
}
