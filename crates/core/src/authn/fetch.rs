//! Fetches what an issuer publishes: over TLS, from where the configuration says, without redirects, in
//! bounded size and time.

use reqwest::{Client, StatusCode, Url, header::ACCEPT};
use serde_json::Value;

use super::{AuthnConfigError, IssuerConfig, JwksError};
use crate::json;
use crate::web::{self, MAX_DOCUMENT, WebError, is_loopback};

/// Why an issuer's keys can't be had. The issuer is at fault, or the way to it.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It can't be reached, or broke off.
    #[error("{0} can't be fetched")]
    Request(Url, #[source] reqwest::Error),
    /// It answered, but not with a document. A redirect is such an answer.
    #[error("{0} answered {1}")]
    Status(Url, StatusCode),
    /// The document is too large.
    #[error("{0} is larger than {MAX_DOCUMENT} bytes")]
    TooLarge(Url),
    /// The discovery document is not JSON that can be read in one way only.
    #[error("the discovery document is not valid JSON")]
    Discovery(#[source] serde_json::Error),
    /// The discovery document is another issuer's.
    #[error("the discovery document is not of this issuer")]
    OtherIssuer,
    /// The discovery document names no place for keys, or one that must not be used.
    #[error("the discovery document's jwks_uri {0}")]
    Place(&'static str),
    /// The key set makes no sense.
    #[error("the key set can't be used")]
    Jwks(#[from] JwksError),
    /// The process is ending.
    #[error("the fetch was stopped")]
    Stopped,
}

/// Where the keys are.
pub(super) enum Place {
    Discovery(Url),
    Jwks(Url),
}

/// Fetches one issuer's key set.
pub(super) struct Fetcher {
    client: Client,
    place: Place,
    issuer: String,
    plain: Plain,
}

/// From where plain HTTP is accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plain {
    Nowhere,
    Loopback,
    Anywhere,
}

impl Fetcher {
    /// Checks the URL, that of the discovery document or that of the key set.
    pub(super) fn new(
        config: &IssuerConfig,
        url: &str,
        place: impl FnOnce(Url) -> Place,
    ) -> Result<Self, AuthnConfigError> {
        let plain = if config.allow_http { Plain::Anywhere } else { Plain::Loopback };
        let url = parse(url, plain).map_err(|problem| AuthnConfigError::Url {
            issuer: config.name.clone(),
            url: url.to_owned(),
            problem,
        })?;
        // A document that came over TLS does not send us to what is not protected by it.
        let plain = if plain == Plain::Loopback && url.scheme() == "https" { Plain::Nowhere } else { plain };
        Ok(Self { client: client(config)?, place: place(url), issuer: config.issuer.clone(), plain })
    }

    /// The key set as it is published now.
    pub(super) async fn key_set(&self) -> Result<Vec<u8>, KeysError> {
        match &self.place {
            Place::Jwks(url) => self.get(url).await,
            Place::Discovery(url) => {
                let document = self.get(url).await?;
                self.get(&self.jwks_uri(&document)?).await
            }
        }
    }

    fn jwks_uri(&self, document: &[u8]) -> Result<Url, KeysError> {
        let document = json::object(document).map_err(KeysError::Discovery)?;
        if document.get("issuer").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(KeysError::OtherIssuer);
        }
        let uri = document.get("jwks_uri").and_then(Value::as_str).ok_or(KeysError::Place("is missing"))?;
        parse(uri, self.plain).map_err(KeysError::Place)
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>, KeysError> {
        let failed = |error: reqwest::Error| KeysError::Request(url.clone(), error.without_url());
        let request =
            self.client.get(url.clone()).header(ACCEPT, "application/json, application/jwk-set+json");
        let response = request.send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(KeysError::Status(url.clone(), response.status()));
        }
        web::document(response).await.map_err(failed)?.ok_or_else(|| KeysError::TooLarge(url.clone()))
    }
}

fn parse(text: &str, plain: Plain) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    let plain = match plain {
        Plain::Nowhere => false,
        Plain::Loopback => is_loopback(&url),
        Plain::Anywhere => true,
    };
    match url.scheme() {
        "https" => {}
        "http" if plain => {}
        "http" => return Err("is not https, without which anyone on the way can make tokens"),
        _ => return Err("is not https"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user or a password in it");
    }
    if url.fragment().is_some() {
        return Err("has a fragment");
    }
    Ok(url)
}

fn client(config: &IssuerConfig) -> Result<Client, AuthnConfigError> {
    web::client(config.ca.as_deref()).map_err(|error| match error {
        WebError::Tls(source) => AuthnConfigError::Tls { issuer: config.name.clone(), source },
        WebError::Http(source) => AuthnConfigError::Http(source),
    })
}
