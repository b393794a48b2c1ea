//! The tokens that this gateway gives to registries' clients: short and random, each standing for a caller whose own
//! token was verified, for a time. Nothing of the caller is in them, and none of them is kept.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockgate_core::{principal::Caller, secret::Secret};
use tokio::time::Instant;

/// Tokens at once; the one that ends first goes for another.
const MAX: usize = 50_000;
/// Bytes of a token, before they are text.
const BYTES: usize = 32;

type Id = [u8; 32];

/// The tokens that are good.
#[derive(Debug)]
pub(crate) struct Tokens {
    lifetime: Duration,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    callers: HashMap<Id, (Instant, Caller)>,
    ends: BTreeMap<(Instant, Id), ()>,
}

impl Held {
    fn remove_first(&mut self) {
        if let Some(((_, id), ())) = self.ends.pop_first() {
            self.callers.remove(&id);
        }
    }
}

impl Tokens {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime, held: Mutex::default() }
    }

    /// A new token for a caller, and for how long it is good; `None` where the system gives no random bytes.
    ///
    /// Who is known `by` one of these tokens gets one that ends with it: or nobody would ever have to come back with
    /// a token of the issuer's.
    pub(crate) fn mint(&self, caller: &Caller, by: Option<&Secret>) -> Option<(Secret, Duration)> {
        let mut bytes = [0; BYTES];
        rand::fill(&mut bytes).ok()?;
        let token = URL_SAFE_NO_PAD.encode(bytes);
        let (by, id, now) = (by.map(|by| id(by.expose())), id(&token), Instant::now());
        let mut held = self.held();
        let ends = by.and_then(|by| held.callers.get(&by)).map(|(end, _)| *end);
        let end = ends.unwrap_or(now + self.lifetime);
        while held.callers.len() >= MAX {
            held.remove_first();
        }
        held.callers.insert(id, (end, caller.clone()));
        held.ends.insert((end, id), ());
        Some((Secret::new(token), end.saturating_duration_since(now)))
    }

    /// For whom a token stands.
    pub(crate) fn caller(&self, token: &Secret) -> Option<Caller> {
        let now = Instant::now();
        let mut held = self.held();
        while held.ends.first_key_value().is_some_and(|((end, _), ())| *end <= now) {
            held.remove_first();
        }
        held.callers.get(&id(token.expose())).map(|(_, caller)| caller.clone())
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        // Nothing in the lock can panic midway and leave it inconsistent.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looked up by its digest, so that no comparison tells how much of a guess is right.
fn id(token: &str) -> Id {
    let digest = digest(&SHA256, token.as_bytes());
    let mut id = [0; 32];
    id.copy_from_slice(digest.as_ref());
    id
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lockgate_core::principal::{Principal, SessionId};

    use super::*;

    fn caller(name: &str) -> Caller {
        let principal = Arc::new(Principal::passthrough(Some(name)));
        Caller { session: SessionId::derive(&principal, &[]), principal }
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_stand_for_callers_for_a_time() {
        let tokens = Tokens::new(Duration::from_secs(60));
        let mint = |name: &str| tokens.mint(&caller(name), None).unwrap().0;
        let (ada, eve) = (mint("ada"), mint("eve"));
        let who = |token: &Secret| tokens.caller(token).map(|caller| caller.principal.subject.clone());
        assert_eq!((who(&ada).as_deref(), who(&eve).as_deref()), (Some("ada"), Some("eve")));
        assert_eq!(who(&Secret::new("")), None);
        tokio::time::advance(Duration::from_secs(59)).await;
        let late = mint("late");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((who(&ada), who(&late).as_deref()), (None, Some("late")));
        assert_eq!(tokens.held().callers.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_token_outlives_the_one_that_it_was_given_for() {
        let (tokens, ada) = (Tokens::new(Duration::from_secs(60)), caller("ada"));
        let (first, good) = tokens.mint(&ada, Some(&Secret::new("an issuer's"))).unwrap();
        assert_eq!(good, Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(50)).await;
        let (second, good) = tokens.mint(&ada, Some(&first)).unwrap();
        assert_eq!(good, Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(tokens.caller(&second).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_an_end_of_them() {
        let tokens = Tokens::new(Duration::from_secs(60));
        let first = tokens.mint(&caller("first"), None).unwrap().0;
        tokio::time::advance(Duration::from_millis(1)).await;
        (0..MAX).for_each(|_| drop(tokens.mint(&caller("many"), None)));
        assert!(tokens.caller(&first).is_none());
        assert_eq!(tokens.held().callers.len(), MAX);
    }
}
