//! Who calls: short-lived OIDC tokens of several issuers, verified by the keys that each publishes.
//!
//! A token is accepted only when a configured issuer signed it, for us, for now, with a key and an
//! algorithm that belong together; everything else is refused, and the caller is told what to repair.
//! The unverified `iss` chooses the issuer and is trusted with nothing else. Signatures are checked by
//! aws-lc-rs; what a token and a key set may say is checked here, because libraries accept too much.
//! [`crate::layers::authenticate`] is the layer on top.

mod cache;
mod claims;
mod config;
mod credential;
mod error;
mod fetch;
mod jwk;
mod keys;
mod replay;
mod session;
mod token;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use http::HeaderMap;
use jiff::Timestamp;

use self::{
    cache::{TokenId, Verified},
    keys::Keys,
    replay::Replay,
    token::Token,
};
pub use self::{
    config::{AuthnConfigError, IssuerConfig, KeySource},
    credential::Presented,
    error::AuthnError,
    fetch::KeysError,
    jwk::{Algorithm, JwksError},
    session::SessionFrom,
    token::MAX_TOKEN,
};
use crate::{
    principal::{Caller, Principal},
    secret::Secret,
};

/// How long a verified token is believed without looking at its issuer's keys again.
const BELIEVED: Duration = Duration::from_mins(5);

/// Verifies the tokens of the configured issuers. Clones share caches.
#[derive(Clone)]
pub struct Authenticator(Arc<Shared>);

struct Shared {
    issuers: Vec<Issuer>,
    verified: Verified,
}

struct Issuer {
    config: IssuerConfig,
    keys: Keys,
    replay: Option<Replay>,
}

impl Authenticator {
    /// Checks the configuration; touches no network.
    pub fn new(issuers: Vec<IssuerConfig>) -> Result<Self, AuthnConfigError> {
        config::check(&issuers)?;
        let issuers = issuers.into_iter().map(Issuer::new).collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Shared { issuers, verified: Verified::default() })))
    }

    /// The credential in a request's headers, if there is one.
    pub fn credential(headers: &HeaderMap) -> Result<Option<Presented>, AuthnError> {
        credential::read(headers)
    }

    /// Fetches every issuer's keys, so that the first caller need not wait. What fails is logged, and
    /// tried again when it is needed.
    pub async fn warm(&self) {
        join_all(self.0.issuers.iter().map(|issuer| issuer.keys.warm())).await;
    }

    /// The caller that a token vouches for.
    pub async fn verify(&self, token: &Secret) -> Result<Caller, AuthnError> {
        let text = token.expose();
        token::check_size(text)?;
        let (id, now) = (TokenId::of(text), Timestamp::now().as_second());
        if let Some(caller) = self.0.verified.get(&id, now) {
            return Ok(caller);
        }
        self.0.verify(text, id, now).await
    }
}

impl Shared {
    async fn verify(&self, text: &str, id: TokenId, now: i64) -> Result<Caller, AuthnError> {
        let token = Token::parse(text)?;
        let issuer = self.issuer(&token)?;
        // Before the signature: who lets a token expire is told so even when its key is long gone, and
        // an old token never makes us ask for new keys.
        let expires = claims::check_times(&token.claims, issuer.config.max_lifetime, now)?;
        let key = issuer.keys.find(&token.header).await?;
        key.verify(&token)?;
        let caller = issuer.admit(token.claims, &id)?;
        match &issuer.replay {
            // Never cached: the cache would let it pass a second time.
            Some(replay) => replay.first_use(&caller.principal.claims, expires, now)?,
            None => {
                let until = expires.min(now.saturating_add_unsigned(BELIEVED.as_secs()));
                self.verified.insert(id, caller.clone(), &key, until, now);
            }
        }
        Ok(caller)
    }

    fn issuer(&self, token: &Token<'_>) -> Result<&Issuer, AuthnError> {
        let iss = claims::text(&token.claims, "iss")?;
        let issuer = self.issuers.iter().find(|issuer| issuer.config.issuer == iss);
        issuer.ok_or_else(|| AuthnError::UnknownIssuer(error::shown(iss)))
    }
}

impl Issuer {
    fn new(config: IssuerConfig) -> Result<Self, AuthnConfigError> {
        let keys = Keys::new(&config)?;
        let replay = config.single_use.then(Replay::default);
        Ok(Self { config, keys, replay })
    }

    /// The caller of a token whose signature and times are good.
    fn admit(&self, claims: claims::Claims, id: &TokenId) -> Result<Caller, AuthnError> {
        let config = &self.config;
        let subject = claims::subject(&claims)?.to_owned();
        claims::check_audience(&claims, &config.audiences)?;
        claims::check_required(&claims, &config.required)?;
        let groups = claims::groups(&claims, config.groups_claim.as_deref())?;
        let principal = Principal { issuer: config.name.clone(), subject, groups, claims };
        let session = session::derive(&principal, &config.session, id)?;
        Ok(Caller { principal: Arc::new(principal), session })
    }
}
