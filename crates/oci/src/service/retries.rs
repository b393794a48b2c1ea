//! Who has been told to try again, and how often: some clients give up after 30 seconds without an answer, but try
//! again by themselves where they are told to, a few times.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use lockgate_core::{access::Access, principal::Principal};
use tokio::time::Instant;

/// How often a client tries again: containerd five times, the first of which is none.
const TRIES: u32 = 4;
/// After so long it is another attempt.
const APART: Duration = Duration::from_mins(5);
/// Attempts that are remembered.
const MAX: usize = 10_000;

/// The attempts.
#[derive(Debug, Default)]
pub(super) struct Retries(Mutex<HashMap<Vec<u8>, (u32, Instant)>>);

impl Retries {
    /// Whether a client that has to wait is told to try again, rather than that it is refused.
    pub(super) fn may_retry(&self, principal: &Principal, accesses: &[Access]) -> bool {
        let (key, now) = (key(principal, accesses), Instant::now());
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= MAX {
            held.retain(|_, (_, last)| *last + APART > now);
        }
        if held.len() >= MAX {
            return false;
        }
        let (tries, last) = held.entry(key).or_insert((0, now));
        if *last + APART <= now {
            *tries = 0;
        }
        *last = now;
        *tries = tries.saturating_add(1);
        *tries <= TRIES
    }
}

/// The same attempt at the same thing.
fn key(principal: &Principal, accesses: &[Access]) -> Vec<u8> {
    let mut digest = Context::new(&SHA256);
    let parts = accesses.iter().flat_map(|access| [&*access.resource, &*access.binding]);
    for part in [&*principal.issuer, &*principal.subject].into_iter().chain(parts) {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        classify::{Verb, access},
        parse::route::Endpoint,
    };

    #[tokio::test(start_paused = true)]
    async fn one_tries_again_a_few_times() {
        let retries = Retries::default();
        let push = |path: &str| vec![access(Verb::Push, &Endpoint::parse(path).unwrap())];
        let (ada, eve) = (Principal::passthrough(Some("ada")), Principal::passthrough(Some("eve")));
        let v1 = push("/v2/a/manifests/v1");
        for _ in 0..TRIES {
            assert!(retries.may_retry(&ada, &v1));
        }
        assert!(!retries.may_retry(&ada, &v1));
        assert!(retries.may_retry(&eve, &v1) && retries.may_retry(&ada, &push("/v2/a/manifests/v2")));
        tokio::time::advance(APART).await;
        assert!(retries.may_retry(&ada, &v1));
    }
}
