//! Which exchanges are still under way, so that a shutdown can wait for them, and cut off what does not end.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// The least number of handles that are kept before those of finished work are let go.
const KEPT: usize = 64;

/// Follows the exchanges of a gateway from their beginning until the index has them. Clones follow the same.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    exchanges: TaskTracker,
    work: Arc<Mutex<Vec<AbortHandle>>>,
    cut: CancellationToken,
}

impl Closing {
    /// Follows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An exchange is under way until this is dropped.
    pub(crate) fn exchange(&self) -> TaskTrackerToken {
        self.exchanges.token()
    }

    /// Spawns work on an exchange, which may outlive its client.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let task = self.exchanges.spawn(work);
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if work.len() == work.capacity() {
            work.retain(|task| !task.is_finished());
            let live = work.len();
            work.reserve(live.max(KEPT));
        }
        work.push(task.abort_handle());
        task
    }

    /// Waits so long until every exchange has ended and is in the index. Says whether they have.
    pub async fn wait(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.ended()).await.is_ok()
    }

    /// Resolves when every exchange has ended and is in the index.
    pub async fn ended(&self) {
        self.exchanges.close();
        self.exchanges.wait().await;
    }

    /// Says that from here on exchanges are cut off: how they end then is not their clients' doing. Whoever serves the
    /// connections cancels it before it drops them.
    pub fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }

    /// Ends all work at once, wherever it stands: its exchanges end, and say how.
    pub fn cut_off(&self) {
        self.cut.cancel();
        let work = std::mem::take(&mut *self.work.lock().unwrap_or_else(PoisonError::into_inner));
        work.iter().for_each(AbortHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_cut_off_and_followed_to_its_end() {
        let closing = Closing::new();
        let exchange = closing.exchange();
        let (last, mut lasts) = tokio::sync::oneshot::channel();
        let stuck = closing.spawn(async move {
            let _held = scopeguard(move || last.send(exchange).expect("it is heard"));
            std::future::pending::<()>().await;
        });
        assert!(!closing.wait(Duration::from_secs(1)).await);
        closing.cut_off();
        assert!(stuck.await.is_err_and(|error| error.is_cancelled()));
        // The index does not have it yet.
        assert!(!closing.wait(Duration::from_secs(1)).await);
        drop(lasts.try_recv().expect("its work has ended"));
        assert!(closing.wait(Duration::from_secs(1)).await);
    }

    #[tokio::test]
    async fn finished_work_is_let_go() {
        let closing = Closing::new();
        for _ in 0..10 * KEPT {
            closing.spawn(async {}).await.expect("it ends");
        }
        assert!(closing.work.lock().unwrap().len() <= 2 * KEPT);
        assert!(closing.wait(Duration::from_secs(1)).await);
    }

    /// Does something when it is dropped.
    fn scopeguard(last: impl FnOnce()) -> impl Drop {
        struct Guard<F: FnOnce()>(Option<F>);
        impl<F: FnOnce()> Drop for Guard<F> {
            fn drop(&mut self) {
                if let Some(last) = self.0.take() {
                    last();
                }
            }
        }
        Guard(Some(last))
    }
}
