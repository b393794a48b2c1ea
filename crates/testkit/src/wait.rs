//! Waiting on a condition, with a deadline that fails the test loudly.
//!
//! What another process or a kernel object does gives nothing to be woken by, so this is the one place that
//! polls: often at first, then less, so that a quick machine does not wait and a slow one is not kept busy.
//! The deadline is generous, since it is only reached by a test that fails.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The deadline of everything that has no reason for another: far beyond what a loaded machine needs.
pub const PATIENCE: Duration = Duration::from_secs(60);

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks `probe` again and again until it gives a value. `what` completes the sentence "waited in vain for".
///
/// # Errors
/// When [`PATIENCE`] has passed.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let mut pauses = Pauses::new();
    loop {
        if let Some(value) = probe() {
            return Ok(value);
        }
        std::thread::sleep(pauses.next(what)?);
    }
}

/// As [`until`], for async tests: whatever runs on the same thread goes on meanwhile.
///
/// # Errors
/// When [`PATIENCE`] has passed.
pub async fn until_async<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let mut pauses = Pauses::new();
    loop {
        if let Some(value) = probe().await {
            return Ok(value);
        }
        tokio::time::sleep(pauses.next(what)?).await;
    }
}

struct Pauses {
    start: Instant,
    pause: Duration,
}

impl Pauses {
    fn new() -> Self {
        Self { start: Instant::now(), pause: FIRST_PAUSE }
    }

    fn next(&mut self, what: &str) -> Result<Duration> {
        if self.start.elapsed() > PATIENCE {
            bail!("waited in vain for {what} ({} s)", PATIENCE.as_secs());
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        Ok(pause)
    }
}
