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
