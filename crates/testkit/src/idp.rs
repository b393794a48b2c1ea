//! An OpenID provider inside the test's process: it signs whatever the test asks for, and misbehaves on demand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};

use crate::{Alg, Body, HttpServer, Identity, SigningKey, Token, body};

/// How the provider answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// As it should.
    #[default]
    Well,
    /// With 503.
    Failing,
    /// It cuts the connection without an answer.
    Cutting,
    /// It takes the request and never answers.
    Silent,
    /// With 200 and a page that is not JSON.
    Nonsense,
    /// With 200 and JSON that never ends.
    Endless,
    /// With a redirect to that place.
    Redirecting(String),
}

/// How often the documents were asked for, whatever the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetches {
    /// The discovery document.
    pub discovery: usize,
    /// The key set.
    pub keys: usize,
}

/// A running provider; it ends with this value.
#[derive(Debug)]
pub struct Idp {
    server: HttpServer,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    mood: Mood,
    fetches: Fetches,
    issuer: String,
    generation: usize,
    /// One of each algorithm.
    keys: Vec<Arc<SigningKey>>,
    /// What is published instead of the true documents.
    discovery: Option<Value>,
    key_set: Option<Value>,
}

impl Idp {
    /// A provider at an http URL, with one key of each algorithm.
    ///
    /// # Errors
    /// When no key can be generated or no port bound.
    pub fn start() -> Result<Self> {
        Self::start_with(None)
    }

    /// A provider at an https URL when an identity is given.
    ///
    /// # Errors
    /// When no key can be generated or no port bound.
    pub fn start_with(tls: Option<&Identity>) -> Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = HttpServer::start(tls, move |request| {
            let shared = Arc::clone(&shared);
            async move { answer(&shared, request.uri().path()).await }
        })?;
        lock(&state).issuer = server.url();
        let idp = Self { server, state };
        idp.rotate()?;
        Ok(idp)
    }

    /// The issuer, `iss`: a URL without a slash at its end.
    #[must_use]
    pub fn issuer(&self) -> String {
        self.server.url()
    }

    /// A token, signed with ES256 unless it is changed; for the audience `lockgate`, valid for five minutes.
    #[must_use]
    pub fn token(&self, subject: &str) -> Token {
        self.token_with(Alg::Es256, subject)
    }

    /// As [`Idp::token`], signed with another algorithm.
    #[must_use]
    pub fn token_with(&self, alg: Alg, subject: &str) -> Token {
        Token::new(&self.issuer(), subject, self.key(alg))
    }

    /// The present key of an algorithm.
    #[must_use]
    pub fn key(&self, alg: Alg) -> Arc<SigningKey> {
        let state = lock(&self.state);
        let key = state.keys.iter().find(|key| key.alg() == alg);
        Arc::clone(key.expect("there is one key of each algorithm from the start"))
    }

    /// Replaces every key by a new one with another id; the old ones are published no more.
    ///
    /// # Errors
    /// When no key can be generated.
    pub fn rotate(&self) -> Result<()> {
        let generation = lock(&self.state).generation + 1;
        let generate = |alg: Alg| {
            let id = format!("{}-{generation}", alg.name().to_lowercase());
            SigningKey::generate(alg, &id).map(Arc::new)
        };
        let keys = [Alg::Es256, Alg::Rs256, Alg::EdDsa].map(generate);
        let keys = keys.into_iter().collect::<Result<_>>()?;
        let mut state = lock(&self.state);
        (state.keys, state.generation) = (keys, generation);
        Ok(())
    }

    /// Changes how it answers from now on.
    pub fn set_mood(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    /// Publishes another discovery document, or the true one again.
    pub fn set_discovery(&self, document: Option<Value>) {
        lock(&self.state).discovery = document;
    }

    /// Publishes another key set, or the true one again.
    pub fn set_key_set(&self, document: Option<Value>) {
        lock(&self.state).key_set = document;
    }

    /// The discovery document as it is published.
    #[must_use]
    pub fn discovery(&self) -> Value {
        lock(&self.state).discovery()
    }

    /// The key set as it is published.
    #[must_use]
    pub fn key_set(&self) -> Value {
        lock(&self.state).key_set()
    }

    /// How often it was asked so far.
    #[must_use]
    pub fn fetches(&self) -> Fetches {
        lock(&self.state).fetches
    }
}

impl State {
    fn discovery(&self) -> Value {
        let issuer = &self.issuer;
        self.discovery.clone().unwrap_or_else(|| {
            json!({
                "issuer": issuer,
                "jwks_uri": format!("{issuer}/keys"),
                "authorization_endpoint": format!("{issuer}/authorize"),
                "token_endpoint": format!("{issuer}/token"),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256", "RS256", "EdDSA"],
            })
        })
    }

    fn key_set(&self) -> Value {
        let keys = || self.keys.iter().map(|key| key.jwk()).collect::<Vec<_>>();
        self.key_set.clone().unwrap_or_else(|| json!({ "keys": keys() }))
    }

    /// Counts the request and gives the document that it is for.
    fn fetch(&mut self, path: &str) -> Option<Value> {
        match path {
            "/.well-known/openid-configuration" => {
                self.fetches.discovery += 1;
                Some(self.discovery())
            }
            "/keys" => {
                self.fetches.keys += 1;
                Some(self.key_set())
            }
            _ => None,
        }
    }
}

async fn answer(state: &Mutex<State>, path: &str) -> Result<Response<Body>> {
    let (document, mood) = {
        let mut state = lock(state);
        (state.fetch(path), state.mood.clone())
    };
    let Some(document) = document else {
        return reply(StatusCode::NOT_FOUND, "text/plain", body("no such page"));
    };
    match mood {
        Mood::Well => reply(StatusCode::OK, "application/json", body(document.to_string())),
        Mood::Failing => reply(StatusCode::SERVICE_UNAVAILABLE, "text/plain", body("try later")),
        Mood::Cutting => bail!("cut"),
        Mood::Silent => std::future::pending().await,
        Mood::Nonsense => reply(StatusCode::OK, "text/html", body("<html>It works!</html>")),
        Mood::Endless => reply(StatusCode::OK, "application/json", endless()),
        Mood::Redirecting(place) => {
            let redirect = Response::builder().status(StatusCode::FOUND).header(header::LOCATION, place);
            Ok(redirect.body(body(""))?)
        }
    }
}

fn reply(status: StatusCode, kind: &str, body: Body) -> Result<Response<Body>> {
    Ok(Response::builder().status(status).header(header::CONTENT_TYPE, kind).body(body)?)
}

/// An array of zeros without an end.
fn endless() -> Body {
    let zeros = bytes::Bytes::from("0,".repeat(32 * 1024));
    let first = std::iter::once(bytes::Bytes::from_static(b"["));
    let frames = first.chain(std::iter::repeat(zeros)).map(|chunk| Ok(Frame::data(chunk)));
    StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
