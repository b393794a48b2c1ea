//! The few calls of GitHub's REST API that lead to an installation token.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, DATE, HeaderValue},
};
use serde::Deserialize;
use serde_json::json;

use super::jwt::Key;
use crate::{secret::Secret, text::plain, web};

/// Clocks that differ by less than so many seconds are taken for the same.
const SAME: i64 = 30;
/// What of an error's text is kept, in characters.
const MESSAGE: usize = 200;

/// Why a private key is none: whoever configured it is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not PEM.
    #[error("it is not a private key in PEM")]
    Pem,
    /// Of another kind, or too small.
    #[error("it is not an RSA key of 2048 bits or more")]
    NotRsa,
}

/// Why GitHub gave no token.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// GitHub, or the way to it.
    #[error("GitHub's API can't be reached")]
    Unreachable(#[source] reqwest::Error),
    /// GitHub.
    #[error("GitHub's API answered {0}")]
    Down(StatusCode),
    /// We: the app, its key, its installation or its permissions are not what they should be.
    #[error("GitHub answered {status} when asked for {what}: {message}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Of what.
        what: &'static str,
        /// GitHub's words.
        message: String,
    },
    /// GitHub, or whatever is there in its place.
    #[error("GitHub's API answered with {0}")]
    Nonsense(&'static str),
    /// We.
    #[error("the app's key can't sign")]
    Sign,
}

/// A token, and how long it lives.
pub(super) struct Token {
    pub(super) secret: Secret,
    pub(super) life: Duration,
}

/// Speaks to the API as the app.
pub(super) struct Api {
    base: Url,
    client: Client,
    key: Mutex<Arc<Key>>,
    /// Seconds by which GitHub's clock is ahead of ours.
    ahead: AtomicI64,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
}

#[derive(Deserialize)]
struct AccessToken {
    token: Secret,
    expires_at: Timestamp,
}

impl Api {
    /// Refuses a URL over which anybody could read the tokens.
    pub(super) fn new(url: &str, client: Client, key: Key) -> Result<Self, &'static str> {
        let mut base = Url::parse(url).map_err(|_| "is not a URL")?;
        match base.scheme() {
            "https" => {}
            "http" if web::is_loopback(&base) => {}
            _ => return Err("is not https"),
        }
        // What is joined to it would replace the last part otherwise.
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Ok(Self { base, client, key: Mutex::new(Arc::new(key)), ahead: AtomicI64::new(0) })
    }

    /// Signs by another key from here on.
    pub(super) fn set_key(&self, key: Key) {
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
    }

    /// Where the app is installed that may see a repository.
    pub(super) async fn installation(&self, owner: &str, name: &str) -> Result<u64, ApiError> {
        let path = format!("repos/{owner}/{name}/installation");
        let response = self.call(Method::GET, &path, None, "the app's installation").await?;
        Ok(read::<Installation>(response).await?.id)
    }

    /// A token of an installation, for one repository or all of its.
    pub(super) async fn token(
        &self,
        installation: u64,
        only: Option<&str>,
        permissions: &BTreeMap<String, String>,
    ) -> Result<Token, ApiError> {
        let mut body = json!({});
        if let Some(name) = only {
            body["repositories"] = json!([name]);
        }
        if !permissions.is_empty() {
            body["permissions"] = json!(permissions);
        }
        let path = format!("app/installations/{installation}/access_tokens");
        let response = self.call(Method::POST, &path, Some(body.to_string()), "a token").await?;
        let now = date(&response).unwrap_or_else(|| self.now());
        let token: AccessToken = read(response).await?;
        let plain = |byte: u8| byte.is_ascii_graphic();
        if token.token.expose().is_empty() || !token.token.expose().bytes().all(plain) {
            return Err(ApiError::Nonsense("a token that is none"));
        }
        let life = Duration::try_from(token.expires_at.duration_since(now)).unwrap_or_default();
        if life.is_zero() {
            return Err(ApiError::Nonsense("a token that has expired already"));
        }
        Ok(Token { secret: token.token, life })
    }

    /// Sends a request; twice where the clocks turn out to differ.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        what: &'static str,
    ) -> Result<Response, ApiError> {
        let response = self.send(method.clone(), path, body.clone()).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !self.learn(&response) {
            return judged(response, what).await;
        }
        judged(self.send(method, path, body).await?, what).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<String>) -> Result<Response, ApiError> {
        let url = self.base.join(path).map_err(|_| ApiError::Nonsense("no address"))?;
        let key = Arc::clone(&self.key.lock().unwrap_or_else(PoisonError::into_inner));
        let token = key.sign(self.now().as_second())?;
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| ApiError::Sign)?;
        bearer.set_sensitive(true);
        let mut request = self
            .client
            .request(method, url)
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", "2022-11-28");
        if let Some(body) = body {
            request = request.body(body).header("content-type", "application/json");
        }
        request.send().await.map_err(|error| ApiError::Unreachable(error.without_url()))
    }

    /// GitHub's clock, as far as it is known.
    fn now(&self) -> Timestamp {
        let ahead = jiff::SignedDuration::from_secs(self.ahead.load(Ordering::Relaxed));
        let ours = Timestamp::now();
        ours.checked_add(ahead).unwrap_or(ours)
    }

    /// Takes GitHub's clock from an answer; whether it differs from what was thought.
    fn learn(&self, response: &Response) -> bool {
        let Some(date) = date(response) else { return false };
        let ahead = date.as_second() - Timestamp::now().as_second();
        (self.ahead.swap(ahead, Ordering::Relaxed) - ahead).abs() >= SAME
    }
}

fn date(response: &Response) -> Option<Timestamp> {
    let date = response.headers().get(DATE)?.to_str().ok()?;
    DateTimeParser::new().parse_timestamp(date).ok()
}

/// What is no answer becomes an error.
async fn judged(response: Response, what: &'static str) -> Result<Response, ApiError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(ApiError::Down(status));
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let message = read::<Message>(response).await.map_or_else(|_| "-".to_owned(), |text| text.message);
    Err(ApiError::Refused { status, what, message: plain(&message, MESSAGE) })
}

async fn read<T: serde::de::DeserializeOwned>(response: Response) -> Result<T, ApiError> {
    let unreachable = |error: reqwest::Error| ApiError::Unreachable(error.without_url());
    let document = web::document(response).await.map_err(unreachable)?;
    let document = document.ok_or(ApiError::Nonsense("more than is read"))?;
    // The error would repeat what may be a token.
    serde_json::from_slice(&document).map_err(|_| ApiError::Nonsense("something else than is documented"))
}
