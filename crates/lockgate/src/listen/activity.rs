//! How many requests of a connection are under way, and since when there are none.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use lockgate_core::body::{Body, BodyError};
use tokio::sync::watch;

/// The requests of one connection.
#[derive(Debug, Clone)]
pub(super) struct Activity(watch::Sender<Count>);

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    begun: bool,
    now: usize,
}

/// A request under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Request(watch::Sender<Count>);

impl Activity {
    pub(super) fn new() -> Self {
        Self(watch::Sender::default())
    }

    /// A request begins.
    pub(super) fn begin(&self) -> Request {
        self.0.send_modify(|count| *count = Count { begun: true, now: count.now + 1 });
        Request(self.0.clone())
    }

    /// Resolves when there has been no request for so long: `first` as long as there was none at all.
    pub(super) async fn idle(&self, first: Duration, later: Duration) {
        let mut count = self.0.subscribe();
        loop {
            let limit = if count.borrow_and_update().begun { later } else { first };
            // The sender is `self`: it can't be gone.
            let _ = count.wait_for(|count| count.now == 0).await;
            if tokio::time::timeout(limit, count.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.send_modify(|count| count.now -= 1);
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
}
