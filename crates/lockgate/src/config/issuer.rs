//! Whose tokens are accepted.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use lockgate_core::authn::{Algorithm, AuthnConfigError, IssuerConfig, KeySource, SessionFrom};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::{
    Config, ConfigError,
    scalar::{HttpUrl, Name, Span},
};

/// Key sets and certificates are smaller than this.
const FILE_MAX: u64 = 1 << 20;

/// An entry of `issuers:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Issuer {
    /// Its name here: in principals, policies and logs.
    pub(crate) name: Spanned<Name>,
    /// The exact `iss` of its tokens.
    pub(crate) issuer: Spanned<String>,
    /// Who we are: a token must be for one of these.
    pub(crate) audiences: Spanned<Vec<String>>,
    /// Where its keys are named, unless that is below `issuer`.
    pub(crate) discovery_url: Option<Spanned<HttpUrl>>,
    /// Where its keys are, for an issuer without discovery.
    pub(crate) jwks_url: Option<Spanned<HttpUrl>>,
    /// A file with its keys (RFC 7517); nothing is fetched.
    pub(crate) jwks_file: Option<Spanned<PathBuf>>,
    /// The algorithms accepted of it; all asymmetric ones.
    pub(crate) algorithms: Option<Vec<Spanned<String>>>,
    /// The claim whose strings become groups; none.
    pub(crate) groups_claim: Option<String>,
    /// Claims that a token must have, with the values that are accepted; none.
    #[serde(default)]
    pub(crate) required: BTreeMap<String, BTreeSet<String>>,
    /// The claims that tell one run from another; known ones of GitHub, GitLab and Kubernetes, else `jti`.
    pub(crate) session: Option<Vec<String>>,
    /// Tokens that live longer are refused; 24 h.
    pub(crate) max_lifetime: Option<Span>,
    /// Whether a token is accepted once only. Not for git, which sends each token twice. `false`.
    #[serde(default)]
    pub(crate) single_use: bool,
    /// Reads its keys over plain HTTP from another host, so that anyone on the way can make tokens. `false`.
    #[serde(default)]
    pub(crate) allow_http: bool,
    /// PEM certificates that vouch for it, besides the system's.
    pub(crate) ca: Option<Spanned<PathBuf>>,
}

impl Issuer {
    pub(crate) fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let sources = [self.discovery_url.is_some(), self.jwks_url.is_some(), self.jwks_file.is_some()];
        if sources.into_iter().filter(|given| *given).count() > 1 {
            let message = "`discovery_url`, `jwks_url` and `jwks_file` exclude each other";
            return Err(ConfigError::new(path, message).at(self.name.referenced));
        }
        if self.audiences.value.is_empty() || self.audiences.value.iter().any(String::is_empty) {
            let message = "a token is for somebody: `audiences` names us, in one way at least";
            return Err(ConfigError::new(path, message).at(self.audiences.referenced));
        }
        for name in self.algorithms.iter().flatten() {
            if algorithm(&name.value).is_none() {
                let known = Algorithm::ALL.map(Algorithm::name).join(", ");
                let message = format!("`{}` is not an algorithm for tokens", name.value);
                let error = ConfigError::new(path, message).at(name.referenced);
                return Err(
                    error.hint(format!("known: {known}; symmetric ones and `none` are never accepted"))
                );
            }
        }
        Ok(())
    }

    /// Reads what it refers to.
    pub(crate) fn resolve(&self, file: &Config) -> Result<IssuerConfig, ConfigError> {
        let read = |path: &Spanned<PathBuf>| file.text(path, FILE_MAX).map(String::into_bytes);
        let mut config = IssuerConfig::new(&self.name.value.0, &self.issuer.value, &self.audiences.value);
        config.keys = match (&self.discovery_url, &self.jwks_url, &self.jwks_file) {
            (Some(url), _, _) => KeySource::DiscoverAt(url.value.0.to_string()),
            (_, Some(url), _) => KeySource::JwksAt(url.value.0.to_string()),
            (_, _, Some(file)) => KeySource::Fixed(read(file)?),
            (None, None, None) => KeySource::Discover,
        };
        if let Some(names) = &self.algorithms {
            config.algorithms = names.iter().filter_map(|name| algorithm(&name.value)).collect();
        }
        config.groups_claim = self.groups_claim.clone();
        config.required = self.required.clone();
        config.session = self.session.clone().map_or(SessionFrom::Auto, SessionFrom::Claims);
        config.max_lifetime = self.max_lifetime.map_or(config.max_lifetime, |span| span.0);
        (config.single_use, config.allow_http) = (self.single_use, self.allow_http);
        config.ca = self.ca.as_ref().map(read).transpose()?;
        Ok(config)
    }

    /// Where the value stands for which it can't be used.
    pub(crate) fn place(&self, error: &AuthnConfigError) -> Location {
        let place = match error {
            AuthnConfigError::Url { .. } => {
                let elsewhere = self.discovery_url.as_ref().or(self.jwks_url.as_ref());
                Some(elsewhere.map_or(self.issuer.referenced, |url| url.referenced))
            }
            AuthnConfigError::Keys { .. } => self.jwks_file.as_ref().map(|file| file.referenced),
            AuthnConfigError::Tls { .. } => self.ca.as_ref().map(|file| file.referenced),
            AuthnConfigError::Issuer { .. } | AuthnConfigError::Http(_) => None,
        };
        place.unwrap_or(self.name.referenced)
    }
}

fn algorithm(name: &str) -> Option<Algorithm> {
    Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
}
