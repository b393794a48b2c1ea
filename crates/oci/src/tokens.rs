//! The tokens that this gateway gives to registries' clients, each standing for a caller whose own token was verified, for
//! a time. Who they stand for is in them, sealed: whoever has the key knows it, after a restart and in another replica,
//! and nobody else reads it. None of them is kept.
//!
//! What a caller may do is decided for each request, not by the token: whom the policy denies everything, on every
//! replica, has no use for one any longer.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use lockgate_core::{
    principal::{Caller, Principal, SessionId},
    secret::Secret,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a token is for, which is sealed with it: what was sealed by this key for anything else is none.
const PURPOSE: &[u8] = b"lockgate registry token 1";
/// Bytes of a token at most, as text: claims of some issuers are long.
const MAX: usize = 48 << 10;

/// Makes tokens, and knows them again.
pub(crate) struct Tokens {
    lifetime: Duration,
    key: LessSafeKey,
}

/// What is sealed in one.
#[derive(Serialize, Deserialize)]
struct Content {
    /// In seconds of Unix time.
    ends: i64,
    session: String,
    issuer: String,
    subject: String,
    groups: Vec<String>,
    claims: Map<String, Value>,
}

impl Tokens {
    /// Of whoever has this key.
    pub(crate) fn new(lifetime: Duration, key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("a key of 32 bytes");
        Self { lifetime, key: LessSafeKey::new(key) }
    }

    /// A new token for a caller, and for how long it is good; `None` where none can be made.
    ///
    /// Who is known `by` one of these tokens gets one that ends with it: or nobody would ever have to come back with
    /// a token of the issuer's.
    pub(crate) fn mint(&self, caller: &Caller, by: Option<&Secret>) -> Option<(Secret, Duration)> {
        let now = Timestamp::now().as_second();
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let ends = by.and_then(|by| self.open(by, now)).map(|content| content.ends);
        let ends = ends.unwrap_or(now.saturating_add(lifetime));
        let Principal { issuer, subject, groups, claims } = (*caller.principal).clone();
        let content = Content { ends, session: caller.session.to_string(), issuer, subject, groups, claims };
        let token = self.seal(&content)?;
        Some((Secret::new(token), Duration::from_secs(u64::try_from(ends - now).unwrap_or_default())))
    }

    /// For whom a token stands.
    pub(crate) fn caller(&self, token: &Secret) -> Option<Caller> {
        let content = self.open(token, Timestamp::now().as_second())?;
        let Content { ends: _, session, issuer, subject, groups, claims } = content;
        let principal = Arc::new(Principal { issuer, subject, groups, claims });
        Some(Caller { principal, session: SessionId::parse(&session)? })
    }

    fn seal(&self, content: &Content) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = serde_json::to_vec(content).ok()?;
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(unique, Aad::from(PURPOSE), &mut sealed).ok()?;
        let token = URL_SAFE_NO_PAD.encode([&nonce[..], &sealed].concat());
        (token.len() <= MAX).then_some(token)
    }

    /// What is in a token that is good now.
    fn open(&self, token: &Secret, now: i64) -> Option<Content> {
        if token.expose().len() > MAX {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(token.expose()).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let content = self.key.open_in_place(nonce, Aad::from(PURPOSE), sealed).ok()?;
        serde_json::from_slice::<Content>(content).ok().filter(|content| content.ends > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Caller {
        let mut principal = Principal::passthrough(Some(name));
        principal.groups = vec!["ci".into()];
        principal.claims = Map::from_iter([("role".to_owned(), Value::from("agent"))]);
        Caller { session: SessionId::derive(&principal, &[]), principal: Arc::new(principal) }
    }

    fn tokens(key: u8) -> Tokens {
        Tokens::new(Duration::from_mins(1), &[key; 32])
    }

    #[test]
    fn a_token_stands_for_its_caller_wherever_the_key_is() {
        let (ada, here, replica) = (caller("ada"), tokens(1), tokens(1));
        let (token, good) = here.mint(&ada, None).unwrap();
        assert_eq!(good, Duration::from_mins(1));
        let known = replica.caller(&token).unwrap();
        assert_eq!((&known.principal, &known.session), (&ada.principal, &ada.session));
        assert!(!token.expose().contains("ada"));
        assert_ne!(token, here.mint(&ada, None).unwrap().0);
        assert!(tokens(2).caller(&token).is_none(), "another key");
    }

    #[test]
    fn what_was_not_given_is_no_token() {
        let tokens = tokens(1);
        let (token, _) = tokens.mint(&caller("ada"), None).unwrap();
        for at in [0, 20, token.expose().len() - 2] {
            let mut other = token.expose().to_owned();
            let letter = if other.as_bytes()[at] == b'A' { "B" } else { "A" };
            other.replace_range(at..=at, letter);
            assert!(tokens.caller(&Secret::new(other)).is_none(), "{at}");
        }
        let long = "A".repeat(MAX + 1);
        for other in ["", "A", "a.b.c", &token.expose()[1..], &long] {
            assert!(tokens.caller(&Secret::new(other)).is_none());
        }
    }

    #[test]
    fn there_is_an_end_of_each() {
        let tokens = tokens(1);
        let (token, _) = tokens.mint(&caller("ada"), None).unwrap();
        let ends = tokens.open(&token, 0).unwrap().ends;
        assert!(tokens.open(&token, ends - 1).is_some());
        assert!(tokens.open(&token, ends).is_none());
    }

    #[test]
    fn no_token_outlives_the_one_that_it_was_given_for() {
        let (short, ada) = (tokens(1), caller("ada"));
        let long = Tokens::new(Duration::from_hours(1), &[1; 32]);
        let (first, _) = short.mint(&ada, None).unwrap();
        let (second, good) = long.mint(&ada, Some(&first)).unwrap();
        assert!(good <= Duration::from_mins(1));
        assert_eq!(long.open(&second, 0).unwrap().ends, short.open(&first, 0).unwrap().ends);
        let (_, fresh) = long.mint(&ada, Some(&Secret::new("of the issuer"))).unwrap();
        assert_eq!(fresh, Duration::from_hours(1));
    }

    #[test]
    fn who_has_too_many_claims_gets_none() {
        let mut principal = Principal::passthrough(Some("ada"));
        principal.claims = Map::from_iter([("long".to_owned(), Value::from("x".repeat(MAX)))]);
        let caller = Caller { session: SessionId::derive(&principal, &[]), principal: Arc::new(principal) };
        assert!(tokens(1).mint(&caller, None).is_none());
    }
}
