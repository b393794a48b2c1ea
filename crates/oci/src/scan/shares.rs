//! How many blobs of one caller's are looked through at once: who sends many keeps nobody else from it.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::shared::Shared;

/// The shares of callers that have something looked through.
#[derive(Debug)]
pub(super) struct Shares {
    size: usize,
    held: Shared<String, Share>,
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
        Self { size, held: Shared::default() }
    }

    pub(super) fn of(&self, caller: &str) -> Arc<Share> {
        let semaphore = || Arc::new(Semaphore::new(self.size));
        self.held.get(caller.to_owned(), || Share { places: semaphore(), read: semaphore() })
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
    }
}
