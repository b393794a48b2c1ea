//! Signed tokens, good ones and every kind of bad one, made by hand: what checks them shares no code with what
//! makes them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alg {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA, PKCS #1 v1.5, 2048 bits, with SHA-256.
    Rs256,
    /// Ed25519.
    EdDsa,
}

impl Alg {
    /// The name in a token's header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// A key that signs tokens.
#[derive(Debug)]
pub struct SigningKey {
    id: String,
    alg: Alg,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// When it cannot be generated.
    pub fn generate(alg: Alg, id: &str) -> Result<Self> {
        let pair = match alg {
            Alg::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::Ec),
            Alg::Rs256 => RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rsa),
            Alg::EdDsa => Ed25519KeyPair::generate().map(Pair::Ed),
        };
        Ok(Self { id: id.to_owned(), alg, pair: pair.context("cannot generate a key")? })
    }

    /// The key's id, `kid`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The algorithm.
    #[must_use]
    pub fn alg(&self) -> Alg {
        self.alg
    }

    /// The public key as a JWK, with `kid`, `alg` and `use`.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let base64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Ec(pair) => {
                // An uncompressed point: 4, x, y.
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "x": base64(x), "y": base64(y) })
            }
            Pair::Rsa(pair) => {
                let [n, e] = rsa_numbers(pair.public_key().as_ref());
                json!({ "kty": "RSA", "n": base64(n), "e": base64(e) })
            }
            Pair::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key().as_ref()) })
            }
        };
        jwk["kid"] = json!(self.id);
        jwk["alg"] = json!(self.alg.name());
        jwk["use"] = json!("sig");
        jwk
    }

    /// The public key in PEM (SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn public_pem(&self) -> Result<String> {
        let der = match &self.pair {
            Pair::Ec(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
            Pair::Ed(pair) => pair.public_key().as_der(),
        };
        Ok(pem("PUBLIC KEY", der.context("cannot encode a public key")?.as_ref()))
    }

    /// The private key in PEM (PKCS #8), for a program that is to sign with it.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn private_pem(&self) -> Result<String> {
        let encoded = match &self.pair {
            Pair::Ec(pair) => pair.to_pkcs8v1().map(|key| key.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let der: Result<Pkcs8V1Der<'_>, _> = pair.as_der();
                der.map(|key| key.as_ref().to_vec())
            }
            Pair::Ed(pair) => pair.to_pkcs8v1().map(|key| key.as_ref().to_vec()),
        };
        Ok(pem("PRIVATE KEY", &encoded.context("cannot encode a private key")?))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => Ok(pair.sign(&random, message).context("cannot sign")?.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).context("cannot sign")?;
                Ok(signature)
            }
            Pair::Ed(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

/// The modulus and the exponent of a DER RSAPublicKey: a SEQUENCE of two INTEGERs, without leading zeros.
fn rsa_numbers(der: &[u8]) -> [&[u8]; 2] {
    let (_, sequence, _) = der_value(der);
    let (_, modulus, rest) = der_value(sequence);
    let (_, exponent, _) = der_value(rest);
    [modulus, exponent].map(|number| &number[number.iter().take_while(|byte| **byte == 0).count()..])
}

/// The tag and content of the first DER value, and what follows it.
fn der_value(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (length, start) = match der[1] {
        short @ 0..0x80 => (usize::from(short), 2),
        long => {
            let end = 2 + usize::from(long & 0x7f);
            (der[2..end].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), end)
        }
    };
    (der[0], &der[start..start + length], &der[start + length..])
}

/// A token in the making: a good one, until it is spoilt.
#[derive(Clone, Debug)]
pub struct Token {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    key: Arc<SigningKey>,
}

impl Token {
    /// A token for `lockgate` with issuer, subject, a unique `jti`, valid from now for five minutes.
    #[must_use]
    pub fn new(issuer: &str, subject: &str, key: Arc<SigningKey>) -> Self {
        let mut unique = [0; 12];
        // Without random bytes, keys could not have been generated either.
        let _ = aws_lc_rs::rand::fill(&mut unique);
        let token = Self { header: Map::new(), claims: Map::new(), key };
        let (alg, kid) = (token.key.alg.name(), token.key.id.clone());
        token
            .header("alg", json!(alg))
            .header("kid", json!(kid))
            .header("typ", json!("JWT"))
            .claim("iss", json!(issuer))
            .claim("sub", json!(subject))
            .claim("aud", json!("lockgate"))
            .claim("jti", json!(BASE64_URL_SAFE_NO_PAD.encode(unique)))
            .claim("iat", json!(now()))
            .claim("nbf", json!(now()))
            .expires_in(300)
    }

    /// Sets a claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims.insert(name.to_owned(), value);
        self
    }

    /// Leaves a claim out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a header parameter.
    #[must_use]
    pub fn header(mut self, name: &str, value: Value) -> Self {
        self.header.insert(name.to_owned(), value);
        self
    }

    /// Leaves a header parameter out.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Expires so many seconds from now; in the past when negative.
    #[must_use]
    pub fn expires_in(self, seconds: i64) -> Self {
        self.claim("exp", json!(now() + seconds))
    }

    /// Is signed by another key, while the header still names the old one.
    #[must_use]
    pub fn key(mut self, key: Arc<SigningKey>) -> Self {
        self.key = key;
        self
    }

    /// The signed token.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self) -> Result<String> {
        let message = self.message();
        let signature = self.key.sign(message.as_bytes())?;
        Ok(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The token with `alg: none` and no signature.
    #[must_use]
    pub fn unsigned(self) -> String {
        format!("{}.", self.header("alg", json!("none")).message())
    }

    /// The token with `alg: HS256`, its secret being the public key: the confusion of keys.
    ///
    /// # Errors
    /// When the public key cannot be encoded.
    pub fn hs256_with_public_key(self) -> Result<String> {
        let secret =
            aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, self.key.public_pem()?.as_bytes());
        let message = self.header("alg", json!("HS256")).message();
        let tag = aws_lc_rs::hmac::sign(&secret, message.as_bytes());
        Ok(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag)))
    }

    fn message(&self) -> String {
        let [header, claims] =
            [&self.header, &self.claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(json!(part).to_string()));
        format!("{header}.{claims}")
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::signature::{self, UnparsedPublicKey};
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::Value;

    use super::{Alg, SigningKey, Token};

    fn decode(text: &str) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    #[test]
    fn tokens_verify_with_the_key_that_is_published() {
        for alg in [Alg::Es256, Alg::Rs256, Alg::EdDsa] {
            let key = Arc::new(SigningKey::generate(alg, "k").unwrap());
            let jwk = key.jwk();
            let part = |name: &str| decode(jwk[name].as_str().unwrap());
            let token = Token::new("https://idp.example", "ada", key).sign().unwrap();
            let (message, signature) = token.rsplit_once('.').unwrap();
            let (message, signature) = (message.as_bytes(), decode(signature));
            match alg {
                Alg::Es256 => {
                    let point = [&[4], part("x").as_slice(), part("y").as_slice()].concat();
                    UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                        .verify(message, &signature)
                }
                Alg::Rs256 => signature::RsaPublicKeyComponents { n: part("n"), e: part("e") }.verify(
                    &signature::RSA_PKCS1_2048_8192_SHA256,
                    message,
                    &signature,
                ),
                Alg::EdDsa => {
                    UnparsedPublicKey::new(&signature::ED25519, part("x")).verify(message, &signature)
                }
            }
            .unwrap();
        }
    }

    #[test]
    fn a_private_key_is_read_by_others() {
        for alg in [Alg::Es256, Alg::Rs256, Alg::EdDsa] {
            let key = SigningKey::generate(alg, "k").unwrap();
            let read = rcgen::KeyPair::from_pem(&key.private_pem().unwrap()).unwrap();
            let joined = |pem: String| pem.split_whitespace().collect::<String>();
            assert_eq!(joined(read.public_key_pem()), joined(key.public_pem().unwrap()));
        }
    }

    #[test]
    fn headers_and_claims_are_what_was_asked_for() {
        let key = Arc::new(SigningKey::generate(Alg::EdDsa, "k1").unwrap());
        let token = Token::new("https://idp.example", "ada", key).without("nbf").claim("run_id", 7.into());
        let unsigned = token.header("x", true.into()).without_header("typ").unsigned();
        let mut parts = unsigned.split('.');
        let mut json = || serde_json::from_slice::<Value>(&decode(parts.next().unwrap())).unwrap();
        assert_eq!(json().to_string(), r#"{"alg":"none","kid":"k1","x":true}"#);
        let claims = json();
        assert_eq!(
            (&claims["sub"], &claims["run_id"], &claims["nbf"]),
            (&"ada".into(), &7.into(), &Value::Null)
        );
        assert_eq!(parts.next(), Some(""));
    }
}
