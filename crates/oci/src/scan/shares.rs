//! How many blobs of one caller's are looked through at once: who sends many keeps nobody else from it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::Semaphore;

/// Callers after whom those are forgotten of whom nothing is looked through.
const CALLERS: usize = 1024;

/// The shares of callers that have something looked through.
#[derive(Debug)]
pub(super) struct Shares {
    size: usize,
    held: Mutex<HashMap<String, Weak<Share>>>,
}

/// A caller's share.
#[derive(Debug)]
pub(super) struct Share {
    /// Of what it sends.
    pub(super) places: Arc<Semaphore>,
    /// Of what is read for it.
    pub(super) read: Arc<Semaphore>,
}

impl Shares {
    pub(super) fn new(size: usize) -> Self {
        Self { size, held: Mutex::default() }
    }

    pub(super) fn of(&self, caller: &str) -> Arc<Share> {
        // Nothing in the lock can panic midway and leave it inconsistent.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = held.get(caller).and_then(Weak::upgrade) {
            return share;
        }
        if held.len() >= CALLERS {
            held.retain(|_, share| share.strong_count() > 0);
        }
        let semaphore = || Arc::new(Semaphore::new(self.size));
        let share = Arc::new(Share { places: semaphore(), read: semaphore() });
        held.insert(caller.to_owned(), Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_one_share_while_it_is_used() {
        let shares = Shares::new(2);
        let ada = shares.of("ada");
        assert!(Arc::ptr_eq(&ada, &shares.of("ada")) && !Arc::ptr_eq(&ada, &shares.of("eve")));
        (0..CALLERS).for_each(|caller| drop(shares.of(&caller.to_string())));
        assert!(Arc::ptr_eq(&ada, &shares.of("ada")));
        assert!(shares.held.lock().unwrap().len() < CALLERS);
    }
}
