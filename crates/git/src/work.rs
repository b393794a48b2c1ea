//! Blocking work on packs: so many at a time, and none that nobody waits for.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Semaphore;

use crate::pack::{Budget, PackError};

/// Where it is done.
#[derive(Debug, Clone)]
pub(crate) struct Workshop {
    places: Arc<Semaphore>,
}

impl Workshop {
    /// With room for so many at a time; for one at least.
    pub(crate) fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places.max(1))) }
    }

    /// Runs work within a budget; it stops when this future is dropped.
    pub(crate) async fn run<T: Send + 'static, E: From<PackError> + Send + 'static>(
        &self,
        budget: &Budget,
        work: impl FnOnce(&Budget) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| PackError::Stopped)?;
        let cancelled = Arc::new(AtomicBool::new(false));
        let _cancel = CancelOnDrop(Arc::clone(&cancelled));
        let own = Budget { cancelled, ..budget.clone() };
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work(&own)
        })
        .await;
        done.unwrap_or_else(|error| Err(PackError::Io(std::io::Error::other(error)).into()))
    }
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
