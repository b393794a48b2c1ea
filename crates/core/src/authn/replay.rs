//! Remembers tokens for a single use by their `jti`, until they expire. Each process remembers its own.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::{
    AuthnError,
    cache::TokenId,
    claims::{self, Claims},
};

/// The most tokens that are remembered: 64 Ki, some 4 MiB.
const MOST: usize = 1 << 16;
/// How long after `exp` a token is remembered, in seconds: longer than it is accepted.
const MARGIN: i64 = 60;

/// The tokens of one issuer that were used.
#[derive(Default)]
pub(super) struct Replay {
    /// The digest of a `jti`, and when it can be forgotten.
    used: Mutex<HashMap<TokenId, i64>>,
}

impl Replay {
    /// Passes a token once. When there is no room it is refused: forgetting would let one pass twice.
    pub(super) fn first_use(&self, claims: &Claims, expires: i64, now: i64) -> Result<(), AuthnError> {
        let id = TokenId::of(claims::text(claims, "jti")?);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= MOST {
            used.retain(|_, forget| *forget > now);
        }
        if used.contains_key(&id) {
            return Err(AuthnError::Replayed);
        }
        if used.len() >= MOST {
            return Err(AuthnError::ReplayFull);
        }
        used.insert(id, expires.saturating_add(MARGIN));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jti(name: &str) -> Claims {
        Claims::from_iter([("jti".to_owned(), json!(name))])
    }

    #[test]
    fn a_token_passes_once() {
        let replay = Replay::default();
        replay.first_use(&jti("a"), 100, 50).unwrap();
        assert!(matches!(replay.first_use(&jti("a"), 100, 50), Err(AuthnError::Replayed)));
        replay.first_use(&jti("b"), 100, 50).unwrap();
        let without = replay.first_use(&Claims::new(), 100, 50).unwrap_err();
        assert_eq!(without.to_string(), "the token is malformed: it lacks the claim jti");
    }

    #[test]
    fn without_room_tokens_are_refused_until_others_expire() {
        let replay = Replay::default();
        for n in 0..MOST {
            replay.first_use(&jti(&n.to_string()), 100, 50).unwrap();
        }
        assert!(matches!(replay.first_use(&jti("more"), 100, 50), Err(AuthnError::ReplayFull)));
        // At the moment of expiry, with the clock's leeway, they are still accepted, so still known.
        assert!(matches!(replay.first_use(&jti("7"), 100, 130), Err(AuthnError::Replayed)));
        replay.first_use(&jti("more"), 500, 100 + MARGIN).unwrap();
        assert_eq!(replay.used.lock().unwrap().len(), 1);
    }
}
