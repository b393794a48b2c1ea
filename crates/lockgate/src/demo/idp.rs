//! The demo's identity provider: OpenID discovery, a key set, and a token endpoint that signs real ES256 tokens.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use jiff::Timestamp;
use lockgate_core::body::{self, Body};
use serde_json::{Value, json};

use super::{http::Server, world::AGENT};

/// Whom the tokens are for.
pub(super) const AUDIENCE: &str = "lockgate";
/// How long tokens live: long enough to try things by hand.
const LIFETIME: i64 = 12 * 3600;
/// The id of the only key.
const KEY: &str = "demo";

/// A running identity provider.
#[derive(Debug)]
pub(super) struct Idp {
    server: Server,
    signer: Arc<Signer>,
}

#[derive(Debug)]
struct Signer {
    key: EcdsaKeyPair,
}

impl Idp {
    /// Starts it with a new key.
    pub(super) async fn start() -> Result<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("no key can be made")?;
        let signer = Arc::new(Signer { key });
        let answering = Arc::clone(&signer);
        let server = Server::start(move |request| {
            let signer = Arc::clone(&answering);
            async move { answer(&signer, &request) }
        });
        Ok(Self { server: server.await?, signer })
    }

    /// The issuer: its URL.
    pub(super) fn issuer(&self) -> String {
        self.server.url()
    }

    /// A token of an agent in one of its runs.
    pub(super) fn token(&self, subject: &str, run: &str) -> Result<String> {
        self.signer.sign(&self.issuer(), subject, run)
    }
}

fn answer(signer: &Signer, request: &Request<Incoming>) -> Result<Response<Body>> {
    let host = request.headers().get(header::HOST).context("a Host")?.to_str()?;
    let issuer = format!("http://{host}");
    let document = match request.uri().path() {
        "/.well-known/openid-configuration" => json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/keys"),
            "token_endpoint": format!("{issuer}/token"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }),
        "/keys" => json!({ "keys": [signer.jwk()] }),
        "/token" => {
            // A run may name itself; everybody on this machine may have a token of the demo.
            let run = request.uri().query().unwrap_or("by-hand");
            let token = signer.sign(&issuer, AGENT, run)?;
            json!({ "access_token": token, "token_type": "Bearer", "expires_in": LIFETIME })
        }
        _ => {
            let mut response = Response::new(body::empty());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    let mut response = Response::new(body::full(document.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

impl Signer {
    /// The public key (RFC 7517, RFC 7518 section 6.2).
    fn jwk(&self) -> Value {
        // An uncompressed point: 4, x, y.
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (BASE64.encode(x), BASE64.encode(y));
        json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": KEY, "alg": "ES256", "use": "sig" })
    }

    fn sign(&self, issuer: &str, subject: &str, run: &str) -> Result<String> {
        let now = Timestamp::now().as_second();
        let header = json!({ "alg": "ES256", "typ": "JWT", "kid": KEY });
        let claims = json!({
            "iss": issuer, "aud": AUDIENCE, "sub": subject, "jti": run, "team": "agents",
            "iat": now, "nbf": now, "exp": now + LIFETIME,
        });
        let message = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).context("cannot sign")?;
        Ok(format!("{message}.{}", BASE64.encode(signature)))
    }
}
