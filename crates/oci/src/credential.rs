//! What registries are presented: they say where a token is to be had, and it is fetched there with the credential
//! that is configured (the distribution project's token specification). One for each repository and use, before any
//! request goes with it: a body that streams can't be sent again.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::future::BoxFuture;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use lockgate_core::{
    body::{self as bodies, Body},
    client::Client,
    credential::{Credential, CredentialError, Credentials, Fetch, Fetched, Wanted},
    origin::Origin,
    refusal::Refusal,
    secret::Secret,
    upstream::Upstream,
};
use serde::Deserialize;
use url::Url;

use crate::{
    body,
    parse::{
        challenge::{self, Challenge},
        route::Endpoint,
    },
    place,
};

/// Bytes of a token server's answer at most: some tokens have 60 KB.
const ANSWER: usize = 128 << 10;
/// Bytes of a registry's answer to who it is.
const PING: usize = 64 << 10;
/// How long a token is good whose server does not say it, as the specification has it.
const UNSAID: Duration = Duration::from_secs(60);
/// How long a token is believed at most.
const LONGEST: Duration = Duration::from_hours(1);
/// How long a registry is believed to ask for what it asked for.
const ASKS: Duration = Duration::from_mins(10);
/// How long it may all take.
const LIMIT: Duration = Duration::from_secs(30);

/// Fetches what one registry wants to be presented.
pub struct RegistryTokens {
    credentials: Credentials,
    registry: String,
    prefix: String,
    servers: Vec<Origin>,
    client: Client,
}

/// Why there is no token: the registry's fault or that of its token server, or of who configured either.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It can't be reached.
    #[error("{0} can't be asked")]
    Unreachable(&'static str, #[source] Refusal),
    /// It took too long.
    #[error("it took longer than {LIMIT:?}")]
    Slow,
    /// It asks for what nobody has.
    #[error("the registry answers {0}, and asks for nothing that is known")]
    Challenge(StatusCode),
    /// It asks for a user and password, and none is configured.
    #[error("the registry asks for a user and password, and none is configured")]
    NoPassword,
    /// It sends us to somebody whom nobody allowed us to tell anything.
    #[error("the registry's tokens are to be had at {}, which is not among `token_servers`", shown(.0.as_ref()))]
    Elsewhere(Option<Origin>),
    /// It gives none.
    #[error("the token server answers {0}")]
    Refused(StatusCode),
    /// Its answer makes no sense.
    #[error("the token server's answer makes no sense")]
    Nonsense,
}

fn shown(origin: Option<&Origin>) -> String {
    origin.map_or_else(|| "no address".to_owned(), ToString::to_string)
}

impl From<RegistryError> for CredentialError {
    fn from(error: RegistryError) -> Self {
        Self::Other(Box::new(error))
    }
}

/// What a request does, as it is asked for: the actions and the repository; and behind a semicolon what it does to the
/// repository from which something goes there.
pub(crate) fn wanted(method: &Method, endpoint: &Endpoint, from: Option<&str>) -> String {
    let actions = match (method, endpoint) {
        (_, Endpoint::Catalog) => return "* ".to_owned(),
        (&Method::DELETE, Endpoint::Manifest(..) | Endpoint::Blob(..)) => "delete,pull",
        // The state of an upload is part of it.
        (method, endpoint) if method.is_safe() && !matches!(endpoint, Endpoint::Upload(..)) => "pull",
        (..) => "pull,push",
    };
    let repository = endpoint.repository().unwrap_or_default();
    match (endpoint, from) {
        (Endpoint::Uploads(_), Some(from)) => format!("{actions} {repository};pull {from}"),
        _ => format!("{actions} {repository}"),
    }
}

/// What a token server gives.
#[derive(Deserialize)]
struct Answer {
    token: Option<Secret>,
    access_token: Option<Secret>,
    expires_in: Option<f64>,
}

impl RegistryTokens {
    /// For an upstream, with the credential that is configured for it. `client` goes to its own origin and to the
    /// token servers that it may send us to, and nowhere else.
    pub fn new(upstream: &Upstream, credentials: Credentials, servers: &[Uri], client: Client) -> Self {
        let (registry, prefix) = place::split(&upstream.url);
        let own = Origin::of(&upstream.url);
        let servers = servers.iter().filter_map(Origin::of).chain(own).collect();
        Self { credentials, registry, prefix, servers, client }
    }

    async fn ask(&self, scope: &str) -> Result<Fetched, CredentialError> {
        let first = scope.split(';').next().unwrap_or_default();
        let repository = first.split_once(' ').map(|(_, name)| name.to_owned());
        let presented = self.credentials.header(|| Wanted::for_all_of(repository)).await;
        // The cause is logged by who asked first; here it is enough that there is none.
        let presented = presented.map_err(|error| CredentialError::Other(Box::new(Shared(error))))?;
        let own =
            presented.as_ref().map_or(Some(Credential::None), credential).ok_or(RegistryError::Nonsense)?;
        if matches!(own, Credential::Bearer(_)) {
            // It is what the registry itself takes.
            return Ok(Fetched { credential: own, fresh: UNSAID, valid: UNSAID });
        }
        let asks = |credential| Ok(Fetched { credential, fresh: ASKS, valid: ASKS });
        let request = Request::get(format!("{}/", self.registry)).body(bodies::empty());
        let response = self.send(request, "the registry").await?;
        let (status, challenges) = (response.status(), challenge::read(response.headers()));
        // Read, so that the connection can be used again.
        drop(body::read(response.into_body(), PING).await);
        if status != StatusCode::UNAUTHORIZED {
            return asks(own);
        }
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service } => Some((realm, service.as_deref())),
            Challenge::Basic => None,
        });
        match (bearer, challenges.contains(&Challenge::Basic), &own) {
            (Some((realm, service)), ..) => self.token(realm, service, scope, presented.as_ref()).await,
            (None, true, Credential::Basic { .. }) => asks(own),
            (None, true, Credential::None | Credential::Bearer(_)) => Err(RegistryError::NoPassword.into()),
            (None, false, _) => Err(RegistryError::Challenge(status).into()),
        }
    }

    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        presented: Option<&HeaderValue>,
    ) -> Result<Fetched, CredentialError> {
        let base = Url::parse(&format!("{}/", self.registry)).map_err(|_| RegistryError::Nonsense)?;
        let mut url = base.join(realm).map_err(|_| RegistryError::Elsewhere(None))?;
        let origin = url.as_str().parse::<Uri>().ok().as_ref().and_then(Origin::of);
        if !origin.as_ref().is_some_and(|origin| self.servers.contains(origin)) || !url.username().is_empty()
        {
            return Err(RegistryError::Elsewhere(origin).into());
        }
        let service = service.map(|service| ("service", service.to_owned()));
        let scopes = scope.split(';').filter_map(|wanted| Some(("scope", self.scope(wanted)?)));
        url.query_pairs_mut().extend_pairs(service.into_iter().chain(scopes));
        let mut request = Request::get(url.as_str());
        if let Some(presented) = presented {
            request = request.header(header::AUTHORIZATION, presented);
        }
        let response = self.send(request.body(bodies::empty()), "the token server").await?;
        if response.status() != StatusCode::OK {
            return Err(RegistryError::Refused(response.status()).into());
        }
        let bytes =
            body::read(response.into_body(), ANSWER).await.ok().flatten().ok_or(RegistryError::Nonsense)?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| RegistryError::Nonsense)?;
        let token = answer.token.filter(|token| !token.expose().is_empty()).or(answer.access_token);
        let token = token.filter(|token| !token.expose().is_empty()).ok_or(RegistryError::Nonsense)?;
        let said = answer.expires_in.filter(|seconds| seconds.is_finite() && *seconds > 0.0);
        let valid =
            said.map_or(UNSAID, |seconds| Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())));
        Ok(Fetched { credential: Credential::Bearer(token), fresh: valid * 3 / 4, valid })
    }

    /// What is asked of a token server, by the upstream's own names.
    fn scope(&self, wanted: &str) -> Option<String> {
        let (actions, repository) = wanted.split_once(' ')?;
        match (actions, repository) {
            ("*", "") => Some("registry:catalog:*".to_owned()),
            (_, "") => None,
            _ => Some(format!("repository:{}{repository}:{actions}", self.prefix)),
        }
    }

    async fn send(
        &self,
        request: http::Result<Request<Body>>,
        whom: &'static str,
    ) -> Result<http::Response<Body>, RegistryError> {
        let request = request.map_err(|_| RegistryError::Nonsense)?;
        let sent = self.client.send(request).await;
        sent.map_err(|error| RegistryError::Unreachable(whom, Refusal::from(error)))
    }
}

impl Fetch for RegistryTokens {
    fn scope(&self, wanted: &str) -> Result<String, CredentialError> {
        Ok(wanted.to_owned())
    }

    fn fetch<'a>(&'a self, wanted: &'a str) -> BoxFuture<'a, Result<Fetched, CredentialError>> {
        Box::pin(async move {
            let asked = tokio::time::timeout(LIMIT, self.ask(wanted)).await;
            asked.unwrap_or_else(|_| Err(RegistryError::Slow.into()))
        })
    }
}

/// An error that others have, too.
#[derive(Debug)]
struct Shared(Arc<CredentialError>);

impl std::fmt::Display for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Shared {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.0)
    }
}

/// A credential out of the header in which it is presented.
fn credential(header: &HeaderValue) -> Option<Credential> {
    let (scheme, value) = header.to_str().ok()?.split_once(' ')?;
    match scheme {
        "Bearer" => Some(Credential::Bearer(Secret::new(value))),
        "Basic" => {
            let text = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
            let (user, password) = text.split_once(':')?;
            Some(Credential::Basic { user: user.to_owned(), password: Secret::new(password) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
