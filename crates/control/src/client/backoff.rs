//! How long to wait before the next try: longer each time, and never the same for two proxies, so that a
//! fleet does not come back all at once.

use std::time::Duration;

use aws_lc_rs::rand;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The waits between tries.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// It went well: the next wait is short again.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// Waits, from half the time to all of it.
    pub(super) async fn wait(&mut self) {
        let delay = self.next(random());
        tokio::time::sleep(delay).await;
    }

    fn next(&mut self, random: u8) -> Duration {
        let half = self.next / 2;
        let delay = half + half * u32::from(random) / 255;
        self.next = (self.next * 2).min(LONGEST);
        delay
    }
}

fn random() -> u8 {
    let mut byte = [0];
    // Without randomness the waits are merely all alike.
    match rand::fill(&mut byte) {
        Ok(()) => byte[0],
        Err(_) => u8::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_shrink_again() {
        let mut backoff = Backoff::new();
        assert_eq!(backoff.next(255), FIRST);
        assert_eq!(backoff.next(0), FIRST);
        for _ in 0..100 {
            assert!(backoff.next(255) <= LONGEST);
        }
        assert_eq!(backoff.next(255), LONGEST);
        backoff.reset();
        assert_eq!(backoff.next(0), FIRST / 2);
    }
}
