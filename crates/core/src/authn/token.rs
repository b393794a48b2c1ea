//! Takes a compact JWS (RFC 7515, section 3.1) apart, strictly: what it says is not yet to be believed.
//!
//! Keys and places for keys that a token itself brings (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{Algorithm, AuthnError, claims::Claims, error::shown};
use crate::json;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = r#"{"alg":"ES256"}"#;

    fn compact(header: &str, claims: &str) -> String {
        [header, claims, "signature"].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    fn refused(token: &str) -> String {
        Token::parse(token).err().map_or_else(|| "accepted".into(), |error| error.to_string())
    }

    #[test]
    fn takes_a_token_apart() {
        let text = compact(r#"{"kid":"k1","alg":"EdDSA","typ":"at+JWT","jku":"https://evil"}"#, r#"{"a":1}"#);
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.signed, text.rsplit_once('.').unwrap().0.as_bytes());
        assert_eq!(token.signature, b"signature");
        assert_eq!((token.header.algorithm, token.header.key_id.as_deref()), (Algorithm::EdDsa, Some("k1")));
        assert_eq!(token.claims["a"], 1);
    }

    #[test]
    fn types_of_other_tokens_are_refused() {
        let accepted =
            |typ: &str| Token::parse(&compact(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#), "{}")).is_ok();
        for typ in ["JWT", "jwt", "at+jwt", "application/jwt", "APPLICATION/AT+JWT"] {
            assert!(accepted(typ), "{typ}");
        }
        for typ in ["", "logout+jwt", "secevent+jwt", "dpop+jwt", "application/", "JOSE", "applicatioñ/jwt"]
        {
            assert!(!accepted(typ), "{typ}");
        }
    }

    #[test]
    fn the_header_is_held_to_the_standard() {
        let rows = [
            ("{}", "the token is malformed: its header has no alg"),
            (r#"{"alg":1}"#, "the token is malformed: the alg of its header is not a string"),
            (r#"{"alg":"none"}"#, "the token's algorithm, none, is not accepted"),
            (r#"{"alg":"HS256"}"#, "the token's algorithm, HS256, is not accepted"),
            (r#"{"alg":"es256"}"#, "the token's algorithm, es256, is not accepted"),
            (r#"{"alg":"\n\u0007"}"#, r"the token's algorithm, \n\u{7}, is not accepted"),
            (r#"{"alg":"ES256","kid":7}"#, "the token is malformed: the kid of its header is not a string"),
            (
                r#"{"alg":"ES256","crit":[]}"#,
                "the token is malformed: it has critical extensions, and none is known here",
            ),
            (
                r#"{"alg":"ES256","alg":"ES256"}"#,
                "the token is malformed: its header: a key that is there twice at line 1 column 29",
            ),
            ("[]", "the token is malformed: its header: not a JSON object"),
        ];
        for (header, expected) in rows {
            assert_eq!(refused(&compact(header, "{}")), expected, "{header}");
        }
    }

    #[test]
    fn the_form_is_held_to_the_standard() {
        let good = compact(HEADER, "{}");
        assert_eq!(refused(&good), "accepted");
        let three = "the token is malformed: it does not have three parts";
        for wrong in ["", "a", "a.b", &format!("{good}.x"), &format!("{good}.x.y")] {
            assert_eq!(refused(wrong), three, "{wrong}");
        }
        let base64 = |part: &str| format!("the token is malformed: its {part} is not base64url");
        let (header, claims) = (URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode("{}"));
        assert_eq!(refused(&format!("{good}=")), base64("signature"));
        assert_eq!(refused(&format!("{good} ")), base64("signature"));
        // The last digit of the signature's nine bytes can't be followed by one more.
        assert_eq!(refused(&format!("{good}A")), base64("signature"));
        assert_eq!(refused(&format!("{header}\n.{claims}.AA")), base64("header"));
        assert_eq!(refused(&format!("{header}.+/+/.AA")), base64("payload"));
        // Bits that do not count must be zero, or one token would have several texts.
        assert_eq!(refused(&format!("{header}.{claims}.AB")), base64("signature"));
        assert!(refused(&compact(HEADER, "[1]")).contains("payload: not a JSON object"));
        assert!(refused(&compact(HEADER, r#"{"aud":"a","aud":"b"}"#)).contains("there twice"));
        assert!(refused(&compact(HEADER, &format!("{{\"a\":{}", "[".repeat(5000)))).contains("recursion"));
        assert_eq!(refused(&"a".repeat(MAX_TOKEN + 1)), "the token is larger than 16384 bytes");
    }

    proptest! {
        #[test]
        fn anything_is_answered(text in "[A-Za-z0-9_.-]{0,200}", header in ".*", claims in ".*") {
            let _ = Token::parse(&text);
            let _ = Token::parse(&compact(&header, &claims));
        }
    }
}
