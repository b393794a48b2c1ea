//! Takes a compact JWS (RFC 7515, section 3.1) apart, strictly: what it says is not yet to be believed.
//!
//! Keys and places for keys that a token itself brings (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{Algorithm, AuthnError, claims::Claims, error::shown, json};

/// The largest token that is read, in bytes.
pub const MAX_TOKEN: usize = 16 << 10;

/// A token that is well-formed, and no more.
pub(super) struct Token<'a> {
    /// What is signed: the first two parts as they came.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
    pub(super) header: Header,
    pub(super) claims: Claims,
}

/// What a token says of its signature.
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
}

pub(super) fn check_size(text: &str) -> Result<(), AuthnError> {
    if text.len() > MAX_TOKEN { Err(AuthnError::TooLarge) } else { Ok(()) }
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, AuthnError> {
        check_size(text)?;
        let parts = || malformed("it does not have three parts");
        let (signed, signature) = text.rsplit_once('.').ok_or_else(parts)?;
        let (header, claims) = signed.split_once('.').ok_or_else(parts)?;
        if claims.contains('.') {
            return Err(parts());
        }
        Ok(Self {
            signed: signed.as_bytes(),
            signature: decode(signature, "signature")?,
            header: Header::read(&object(header, "header")?)?,
            claims: object(claims, "payload")?,
        })
    }
}

impl Header {
    fn read(header: &Map<String, Value>) -> Result<Self, AuthnError> {
        if header.contains_key("crit") {
            // RFC 7515, section 4.1.11: whoever does not understand an extension must refuse. We know none.
            return Err(malformed("it has critical extensions, and none is known here"));
        }
        let alg = text(header, "alg")?.ok_or_else(|| malformed("its header has no alg"))?;
        let algorithm = alg.parse().map_err(|_| AuthnError::Algorithm(shown(alg)))?;
        if text(header, "typ")?.is_some_and(|typ| !is_jwt(typ)) {
            return Err(malformed("its type is not JWT, so it is meant for something else"));
        }
        let key_id = text(header, "kid")?.map(str::to_owned);
        Ok(Self { algorithm, key_id })
    }
}

/// Whether a `typ` is that of an identity or access token (RFC 9068, section 2.1), not that of a logout
/// token, a security event or a proof, which the same keys may sign.
fn is_jwt(typ: &str) -> bool {
    let prefix = "application/";
    let short = match typ.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => &typ[prefix.len()..],
        Some(_) | None => typ,
    };
    short.eq_ignore_ascii_case("jwt") || short.eq_ignore_ascii_case("at+jwt")
}

fn text<'a>(header: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, AuthnError> {
    let not_text = || malformed(&format!("the {name} of its header is not a string"));
    header.get(name).map(|value| value.as_str().ok_or_else(not_text)).transpose()
}

fn object(part: &str, what: &str) -> Result<Map<String, Value>, AuthnError> {
    json::object(&decode(part, what)?).map_err(|error| malformed(&format!("its {what}: {error}")))
}

fn decode(part: &str, what: &str) -> Result<Vec<u8>, AuthnError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed(&format!("its {what} is not base64url")))
}

fn malformed(problem: &str) -> AuthnError {
    AuthnError::Malformed(problem.to_owned())
}
