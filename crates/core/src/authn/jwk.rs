//! The keys of an issuer (RFC 7517, RFC 7518 section 6), each bound to the algorithms it is for.
//!
//! Whatever a key says of itself (`alg`, `use`, `key_ops`, `crv`) is held against it, and its size and
//! its point are checked, before it verifies anything. Symmetric keys and private keys are never used.

use std::{fmt, str::FromStr, sync::Arc};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    AuthnError,
    token::{Header, Token},
};
use crate::json;

/// A signature algorithm (RFC 7518, section 3.1; RFC 8037). None is symmetric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// Ed25519. In tokens also `Ed25519` (RFC 9864).
    EdDsa,
}

impl Algorithm {
    /// Every algorithm; all of them are safe.
    pub const ALL: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    /// The name in tokens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = JwksError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let name = if name == "Ed25519" { "EdDSA" } else { name };
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or(JwksError::Algorithm)
    }
}

/// Why a key or a key set can't be used. The issuer is at fault, or who configured it.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The document is not JSON that can be read in one way only.
    #[error("the key set is not valid JSON")]
    Json(#[source] serde_json::Error),
    /// The document has no list of keys, or too long a one.
    #[error("the key set has no list of at most {MAX_KEYS} keys")]
    Keys,
    /// There is no such algorithm, or it is not safe.
    #[error("the algorithm is not known, or not safe")]
    Algorithm,
    /// A key can't be used.
    #[error("the key {0}")]
    Key(&'static str),
}

const MAX_KEYS: usize = 100;

/// A key that verifies signatures.
pub(super) struct Key {
    /// As it was published.
    jwk: Map<String, Value>,
    id: Option<String>,
    /// One per algorithm that it is for; never empty.
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

impl Key {
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<(), AuthnError> {
        let verifier = self.verifier(token.header.algorithm).ok_or(AuthnError::Signature)?;
        verifier.verify_sig(token.signed, &token.signature).map_err(|_| AuthnError::Signature)
    }

    fn verifier(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.verifiers.iter().find(|(of, _)| *of == algorithm).map(|(_, verifier)| verifier)
    }

    fn read(jwk: &Map<String, Value>, allowed: &[Algorithm]) -> Result<Self, JwksError> {
        if ["d", "k", "p", "q"].iter().any(|private| jwk.contains_key(*private)) {
            return Err(JwksError::Key("is not public: whoever read it can make tokens"));
        }
        let used_for = text(jwk, "use")?;
        if used_for.is_some_and(|used_for| used_for != "sig") || !may_verify(jwk.get("key_ops")) {
            return Err(JwksError::Key("is not for verifying signatures"));
        }
        let said: Option<Algorithm> = text(jwk, "alg")?.map(str::parse).transpose()?;
        let fits = |algorithm: &Algorithm| said.is_none_or(|said| said == *algorithm);
        let mut verifiers = Vec::new();
        for algorithm in allowed.iter().copied().filter(fits) {
            if let Some(verifier) = verifier(jwk, algorithm)? {
                verifiers.push((algorithm, verifier));
            }
        }
        if verifiers.is_empty() {
            return Err(JwksError::Key("is not for an algorithm that is accepted of this issuer"));
        }
        Ok(Self { jwk: jwk.clone(), id: text(jwk, "kid")?.map(str::to_owned), verifiers })
    }
}

/// The keys that an issuer publishes, as far as they can be used.
#[derive(Default)]
pub(super) struct KeySet(Vec<Arc<Key>>);

/// Why a set has no key for a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// It may have been published since.
    Unknown,
    /// The key is there, but is not for this algorithm.
    Unfit,
    /// More than one would do.
    Ambiguous,
}

impl KeySet {
    /// Reads a key set. Keys that are as they were `before` stay the same in memory, so that what was
    /// verified with them stands. Keys that can't be used are left out.
    pub(super) fn read(
        document: &[u8],
        allowed: &[Algorithm],
        before: Option<&Self>,
    ) -> Result<Self, JwksError> {
        let mut document = json::object(document).map_err(JwksError::Json)?;
        let Some(Value::Array(jwks)) = document.remove("keys") else { return Err(JwksError::Keys) };
        if jwks.len() > MAX_KEYS {
            return Err(JwksError::Keys);
        }
        let mut set = Self::default();
        for jwk in &jwks {
            let Value::Object(jwk) = jwk else { return Err(JwksError::Keys) };
            if set.same(jwk).is_some() {
                continue;
            }
            match before.and_then(|before| before.same(jwk)) {
                Some(key) => set.0.push(Arc::clone(key)),
                None => match Key::read(jwk, allowed) {
                    Ok(key) => set.0.push(Arc::new(key)),
                    Err(error) => {
                        tracing::debug!(kid = ?jwk.get("kid"), %error, "a published key is left out")
                    }
                },
            }
        }
        Ok(set)
    }

    /// The one key for a token.
    pub(super) fn find(&self, header: &Header) -> Result<&Arc<Key>, Miss> {
        let named = |key: &&Arc<Key>| header.key_id.is_none() || key.id == header.key_id;
        let named: Vec<_> = self.0.iter().filter(named).collect();
        if named.is_empty() {
            return Err(Miss::Unknown);
        }
        let mut fitting = named.into_iter().filter(|key| key.verifier(header.algorithm).is_some());
        match (fitting.next(), fitting.next()) {
            (None, _) => Err(Miss::Unfit),
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(Miss::Ambiguous),
        }
    }

    fn same(&self, jwk: &Map<String, Value>) -> Option<&Arc<Key>> {
        self.0.iter().find(|key| key.jwk == *jwk)
    }
}

fn may_verify(key_ops: Option<&Value>) -> bool {
    match key_ops {
        None => true,
        Some(Value::Array(ops)) => ops.iter().any(|op| op == "verify"),
        Some(_) => false,
    }
}

/// The public key for that algorithm; `None` where its type or curve is another one's.
fn verifier(jwk: &Map<String, Value>, algorithm: Algorithm) -> Result<Option<ParsedPublicKey>, JwksError> {
    let kty = text(jwk, "kty")?.ok_or(JwksError::Key("has no kty"))?;
    let curve = text(jwk, "crv")?;
    let is = |of_kty, of_curve| kty == of_kty && curve == Some(of_curve);
    let rsa = |parameters| if kty == "RSA" { rsa(jwk, parameters).map(Some) } else { Ok(None) };
    match algorithm {
        Algorithm::Rs256 => rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => rsa(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => rsa(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => rsa(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => rsa(&RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256 if is("EC", "P-256") => point(jwk, &ECDSA_P256_SHA256_FIXED, 32).map(Some),
        Algorithm::Es384 if is("EC", "P-384") => point(jwk, &ECDSA_P384_SHA384_FIXED, 48).map(Some),
        Algorithm::Es512 if is("EC", "P-521") => point(jwk, &ECDSA_P521_SHA512_FIXED, 66).map(Some),
        Algorithm::EdDsa if is("OKP", "Ed25519") => parsed(&ED25519, &number(jwk, "x", 32)?).map(Some),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::Es512 | Algorithm::EdDsa => Ok(None),
    }
}

fn rsa(jwk: &Map<String, Value>, parameters: &'static RsaParameters) -> Result<ParsedPublicKey, JwksError> {
    let (n, e) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
    // Some issuers put zeros in front, against RFC 7518, section 6.3.1.
    let trim = |number: &[u8]| -> Vec<u8> { number.iter().copied().skip_while(|byte| *byte == 0).collect() };
    let (n, e) = (trim(&n), trim(&e));
    let bits = (n.len() * 8).saturating_sub(n.first().map_or(0, |first| first.leading_zeros() as usize));
    if !(2048..=8192).contains(&bits) {
        return Err(JwksError::Key("has a modulus of fewer than 2048 or more than 8192 bits"));
    }
    RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(parameters)
        .map_err(|_| JwksError::Key("is not an RSA key"))
}

fn point(
    jwk: &Map<String, Value>,
    algorithm: &'static dyn VerificationAlgorithm,
    size: usize,
) -> Result<ParsedPublicKey, JwksError> {
    let (x, y) = (number(jwk, "x", size)?, number(jwk, "y", size)?);
    // Uncompressed (SEC 1, section 2.3.3).
    parsed(algorithm, &[&[4], &*x, &*y].concat())
}

fn parsed(algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) -> Result<ParsedPublicKey, JwksError> {
    ParsedPublicKey::new(algorithm, key).map_err(|_| JwksError::Key("is not on its curve"))
}

fn number(jwk: &Map<String, Value>, name: &str, size: usize) -> Result<Vec<u8>, JwksError> {
    let number = bytes(jwk, name)?;
    if number.len() == size { Ok(number) } else { Err(JwksError::Key("has a coordinate of the wrong size")) }
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, JwksError> {
    let text = text(jwk, name)?.ok_or(JwksError::Key("lacks a number"))?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| JwksError::Key("has a number that is not base64url"))
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, JwksError> {
    let not_text = JwksError::Key("has a member that is not a string");
    jwk.get(name).map(|value| value.as_str().ok_or(not_text)).transpose()
}

#[cfg(test)]
mod tests;
