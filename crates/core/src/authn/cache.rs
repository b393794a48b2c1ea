//! Tokens that were verified before, so that a client that sends the same one for every request costs a
//! digest and a look-up. Only what was verified gets in, so nobody without a token can fill it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use aws_lc_rs::digest::{SHA256, digest};

use super::jwk::Key;
use crate::principal::Caller;

/// The SHA-256 of a token, by which it is known once it is out of our hands.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenId(pub(super) [u8; 32]);

impl TokenId {
    pub(super) fn of(token: &str) -> Self {
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(id)
    }
}

/// Shards, so that requests seldom wait for one another.
const SHARDS: usize = 16;
/// Tokens in one generation of a shard.
const GENERATION: usize = 128;

/// At most `2 * SHARDS * GENERATION` tokens, the ones used least recently being forgotten first.
#[derive(Default)]
pub(super) struct Verified {
    shards: [Mutex<Shard>; SHARDS],
}

/// When the young are too many they become the old, and the old are forgotten but for those used since.
#[derive(Default)]
struct Shard {
    young: HashMap<TokenId, Entry>,
    old: HashMap<TokenId, Entry>,
}

struct Entry {
    caller: Caller,
    /// Dead when the issuer publishes the key no more.
    key: Weak<Key>,
    /// Seconds since 1970.
    until: i64,
}

impl Verified {
    /// The caller of a token that was verified and still stands.
    pub(super) fn get(&self, id: &TokenId, now: i64) -> Option<Caller> {
        let mut shard = self.shard(id);
        if let Some(entry) = shard.young.get(id) {
            if entry.stands(now) {
                return Some(entry.caller.clone());
            }
            shard.young.remove(id);
            return None;
        }
        let entry = shard.old.remove(id).filter(|entry| entry.stands(now))?;
        let caller = entry.caller.clone();
        shard.insert(*id, entry);
        Some(caller)
    }

    /// Remembers a caller until then, and as long as the key is published.
    pub(super) fn insert(&self, id: TokenId, caller: Caller, key: &Arc<Key>, until: i64, now: i64) {
        if now < until {
            self.shard(&id).insert(id, Entry { caller, key: Arc::downgrade(key), until });
        }
    }

    fn shard(&self, id: &TokenId) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::from(id.0[0]) % SHARDS];
        // Nothing in the lock can panic midway and leave it inconsistent.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn insert(&mut self, id: TokenId, entry: Entry) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, entry);
    }
}

impl Entry {
    fn stands(&self, now: i64) -> bool {
        now < self.until && self.key.strong_count() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::{Principal, SessionId};

    fn caller(name: &str) -> Caller {
        let principal = Principal::passthrough(Some(name));
        let session = SessionId::derive(&principal, &[]);
        Caller { principal: Arc::new(principal), session }
    }

    fn found(verified: &Verified, token: &str, now: i64) -> Option<String> {
        verified.get(&TokenId::of(token), now).map(|caller| caller.principal.subject.clone())
    }

    #[test]
    fn a_token_is_believed_until_then() {
        let (verified, key) = (Verified::default(), Arc::new(Key::for_tests()));
        verified.insert(TokenId::of("t"), caller("ada"), &key, 100, 50);
        assert_eq!(found(&verified, "t", 99).as_deref(), Some("ada"));
        assert_eq!(found(&verified, "u", 99), None);
        assert_eq!(found(&verified, "t", 100), None);
        // Gone, not hidden: clocks may go back.
        assert_eq!(found(&verified, "t", 50), None);
        verified.insert(TokenId::of("t"), caller("ada"), &key, 100, 100);
        assert_eq!(found(&verified, "t", 50), None);
    }

    #[test]
    fn a_token_is_believed_as_long_as_its_key_is_published() {
        let (verified, key) = (Verified::default(), Arc::new(Key::for_tests()));
        verified.insert(TokenId::of("t"), caller("ada"), &key, 100, 50);
        drop(key);
        assert_eq!(found(&verified, "t", 50), None);
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let (verified, key) = (Verified::default(), Arc::new(Key::for_tests()));
        verified.insert(TokenId::of("used"), caller("ada"), &key, 100, 50);
        for n in 0..10 * SHARDS * GENERATION {
            verified.insert(TokenId::of(&n.to_string()), caller("eve"), &key, 100, 50);
            assert_eq!(found(&verified, "used", 50).as_deref(), Some("ada"), "{n}");
        }
        let kept: usize = verified.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= 2 * SHARDS * GENERATION, "{kept}");
        assert_eq!(found(&verified, "0", 50), None);
    }

    impl Shard {
        fn len(&self) -> usize {
            self.young.len() + self.old.len()
        }
    }
}
