//! How many requests of a connection are under way, and since when there are none.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use lockgate_core::body::{Body, BodyError};
use tokio::time::Instant;

/// The requests of one connection. Nobody is woken when one begins or ends.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<Count>>);

#[derive(Debug, Clone, Copy)]
struct Count {
    begun: bool,
    now: usize,
    /// When the connection began, or the last request ended.
    since: Instant,
}

/// A request under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Request(Activity);

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Count { begun: false, now: 0, since: Instant::now() })))
    }

    /// A request begins.
    pub(super) fn begin(&self) -> Request {
        let mut count = self.count();
        (count.begun, count.now) = (true, count.now + 1);
        Request(self.clone())
    }

    /// Resolves when there has been no request for so long: `first` as long as there was none at all.
    pub(super) async fn idle(&self, first: Duration, later: Duration) {
        let start = Instant::now();
        loop {
            let (Count { begun, now, since }, at) = (*self.count(), Instant::now());
            let limit = if begun { later } else { first };
            let idle = since.max(start) + limit;
            if now == 0 && idle <= at {
                return;
            }
            // A request that ends meanwhile, or begins and ends, is seen when it is time to.
            let look = if now == 0 { idle } else { at + limit };
            tokio::time::sleep_until(look.min(at + later)).await;
        }
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        // Nothing that holds the lock can leave it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let mut count = self.0.count();
        (count.now, count.since) = (count.now - 1, Instant::now());
    }
}

/// The body of a response: its request is under way until it is gone.
pub(super) struct Counted {
    body: Body,
    _request: Request,
}

impl Counted {
    pub(super) fn new(body: Body, request: Request) -> Self {
        Self { body, _request: request }
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(10);
    const LONG: Duration = Duration::from_secs(75);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_first_request_ends_soon() {
        let start = tokio::time::Instant::now();
        Activity::new().idle(SHORT, LONG).await;
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_lives_while_a_request_does() {
        let activity = Activity::new();
        let start = tokio::time::Instant::now();
        let request = activity.begin();
        let end = async {
            tokio::time::advance(Duration::from_secs(1000)).await;
            drop(request);
        };
        tokio::join!(activity.idle(SHORT, LONG), end);
        assert_eq!(start.elapsed().as_secs(), 1075);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_before_does_not_count() {
        let activity = Activity::new();
        drop(activity.begin());
        tokio::time::advance(LONG).await;
        let start = tokio::time::Instant::now();
        activity.idle(SHORT, SHORT).await;
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_begins_and_ends_meanwhile_is_seen() {
        let activity = Activity::new();
        let start = tokio::time::Instant::now();
        let call = async {
            tokio::time::advance(SHORT / 2).await;
            drop(activity.begin());
        };
        tokio::join!(activity.idle(LONG, SHORT), call);
        assert_eq!(start.elapsed().as_secs(), 15);
    }
}
