//! Reads the credential that a client presents, without believing it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header};

use super::AuthnError;
use crate::secret::Secret;

/// The largest `Authorization` header that is read.
const MAX_HEADER: usize = 64 << 10;

/// What a client presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// A bearer token (RFC 6750).
    Bearer(Secret),
    /// HTTP Basic (RFC 7617) with the token as password.
    Basic {
        /// What the client calls itself; nobody vouches for it. `None` where it sent nothing but a token.
        user: Option<String>,
        /// The token.
        password: Secret,
    },
}

/// Reads the only `Authorization` header; `None` where there is none.
pub(super) fn read(headers: &HeaderMap) -> Result<Option<Presented>, AuthnError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => parse(value).map(Some).map_err(AuthnError::Header),
        (Some(_), Some(_)) => Err(AuthnError::Header("is there more than once")),
    }
}

fn parse(value: &HeaderValue) -> Result<Presented, &'static str> {
    if value.len() > MAX_HEADER {
        return Err("is too large");
    }
    let value = value.to_str().map_err(|_| "has characters outside of ASCII")?;
    let (scheme, rest) = value.split_once(' ').ok_or("is not a scheme, a space and a credential")?;
    let rest = rest.trim_matches(' ');
    if rest.is_empty() {
        return Err("has no credential after the scheme");
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(Presented::Bearer(Secret::new(rest)))
    } else if scheme.eq_ignore_ascii_case("basic") {
        basic(rest)
    } else {
        Err("has another scheme than Bearer and Basic")
    }
}

fn basic(encoded: &str) -> Result<Presented, &'static str> {
    let bytes = STANDARD.decode(encoded).map_err(|_| "is not valid Base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 inside of Base64")?;
    let (user, password) = text.split_once(':').ok_or("has no colon between user and password")?;
    match (user, password) {
        ("", "") => Err("has neither a user nor a password"),
        // Clients that have a token and nothing else (`https://<token>@host/`) send it as the user. It is
        // never to be taken for a name: names are shown, and recorded.
        (token, "" | "x-oauth-basic") => Ok(Presented::Basic { user: None, password: Secret::new(token) }),
        ("", token) => Ok(Presented::Basic { user: None, password: Secret::new(token) }),
        (user, token) => Ok(Presented::Basic { user: Some(user.to_owned()), password: Secret::new(token) }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(values: &[&str]) -> Result<Option<Presented>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        read(&headers).map_err(|error| error.to_string())
    }

    fn basic_of(text: &[u8]) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn reads_bearer_and_basic() {
        let bearer = |token| Ok(Some(Presented::Bearer(Secret::new(token))));
        let basic = |user: Option<&str>, password| {
            Ok(Some(Presented::Basic { user: user.map(Into::into), password: Secret::new(password) }))
        };
        assert_eq!(check(&[]), Ok(None));
        assert_eq!(check(&["Bearer a.b.c"]), bearer("a.b.c"));
        assert_eq!(check(&["bEaReR   a.b.c "]), bearer("a.b.c"));
        assert_eq!(check(&[&basic_of(b"ada:a.b.c")]), basic(Some("ada"), "a.b.c"));
        assert_eq!(check(&[&basic_of(b"ada:p:q").replace("Basic", "BASIC")]), basic(Some("ada"), "p:q"));
        assert_eq!(check(&[&basic_of(b":a.b.c")]), basic(None, "a.b.c"));
    }

    #[test]
    fn a_token_sent_as_the_user_is_no_name() {
        for lone in ["a.b.c:", "a.b.c:x-oauth-basic"] {
            let presented = check(&[&basic_of(lone.as_bytes())]).unwrap().unwrap();
            assert_eq!(presented, Presented::Basic { user: None, password: Secret::new("a.b.c") });
            assert!(!format!("{presented:?}").contains("a.b.c"), "{presented:?}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        let refused = |values: &[&str]| check(values).unwrap_err();
        let rows = [
            ("", "is not a scheme, a space and a credential"),
            ("Bearer", "is not a scheme, a space and a credential"),
            ("Bearer  ", "has no credential after the scheme"),
            ("Digest x", "has another scheme than Bearer and Basic"),
            ("Bearer\tx y", "has another scheme than Bearer and Basic"),
            ("Basic !", "is not valid Base64"),
            ("Basic YTpi=", "is not valid Base64"),
            ("Bearer é", "has characters outside of ASCII"),
            (&basic_of(b"ada"), "has no colon between user and password"),
            (&basic_of(b":"), "has neither a user nor a password"),
            (&basic_of(b"\xff:x"), "is not UTF-8 inside of Base64"),
            (&format!("Bearer {}", "x".repeat(MAX_HEADER)), "is too large"),
        ];
        for (value, problem) in rows {
            assert_eq!(refused(&[value]), format!("the Authorization header {problem}"));
        }
        assert_eq!(refused(&["Bearer a", "Bearer a"]), "the Authorization header is there more than once");
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(value in proptest::collection::vec(0x20u8..=0xff, 0..200)) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(header::AUTHORIZATION, value);
            }
            let _ = read(&headers);
        }

        #[test]
        fn secrets_are_not_in_debug(user in "[a-z]{0,8}", password in "[0-9]{12,20}") {
            let presented = check(&[&basic_of(format!("{user}:{password}").as_bytes())]);
            let shown = format!("{presented:?}");
            prop_assert!(!shown.contains(&password));
        }
    }
}
