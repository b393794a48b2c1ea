//! Signs for a GitHub App that it is itself: a JWT (RFC 7519) with RS256, good for nine minutes.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use serde_json::json;

use super::api::{ApiError, KeyError};
use crate::secret::Secret;

/// GitHub's clock may be behind: what is signed is dated back by so many seconds.
const BACK: i64 = 60;
/// And is good for so many seconds from now; GitHub takes ten minutes at most.
const LIFE: i64 = 540;

/// An app's private key.
pub(super) struct Key {
    app: String,
    pair: RsaKeyPair,
}

impl Key {
    pub(super) fn from_pem(pem: &Secret, app: String) -> Result<Self, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| KeyError::Pem)?;
        let pair = if let PrivateKeyDer::Pkcs1(der) = &der {
            RsaKeyPair::from_der(der.secret_pkcs1_der())
        } else if let PrivateKeyDer::Pkcs8(der) = &der {
            RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
        } else {
            return Err(KeyError::NotRsa);
        };
        Ok(Self { app, pair: pair.map_err(|_| KeyError::NotRsa)? })
    }

    /// A token for that moment, in seconds since 1970.
    pub(super) fn sign(&self, now: i64) -> Result<Secret, ApiError> {
        let part = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let header = part(json!({ "alg": "RS256", "typ": "JWT" }));
        let claims = part(json!({ "iat": now - BACK, "exp": now + LIFE, "iss": self.app }));
        let message = format!("{header}.{claims}");
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| ApiError::Sign)?;
        Ok(Secret::new(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}
