//! A stream of `Bytes` that masks another one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use pin_project_lite::pin_project;

use super::Queue;
use crate::mask::Masker;

pin_project! {
    /// Masks a stream of bytes, passing unmasked parts on without a copy. When the inner stream fails, what
    /// was held back is dropped, not shown.
    pub struct MaskStream<S> {
        #[pin]
        inner: S,
        queue: Queue,
        ended: bool,
    }
}

impl<S> MaskStream<S> {
    /// Masks `inner` by `masker`.
    #[must_use]
    pub fn new(inner: S, masker: Masker) -> Self {
        Self { inner, queue: Queue::new(masker), ended: false }
    }

    /// Lets go of what is not confirmed to be a secret when the inner stream pauses this long; for streams
    /// that a person watches. Needs a tokio timer.
    #[must_use]
    pub fn with_pause(mut self, pause: Duration) -> Self {
        self.queue.pause = Some(pause);
        self
    }

    /// The masker, to read its findings.
    pub fn masker(&self) -> &Masker {
        &self.queue.masker
    }

    /// The masker, to drain its findings.
    pub fn masker_mut(&mut self) -> &mut Masker {
        &mut self.queue.masker
    }
}

impl<S: Stream<Item = Result<Bytes, E>>, E> Stream for MaskStream<S> {
    type Item = Result<Bytes, E>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            if let Some(bytes) = this.queue.ready.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            if *this.ended {
                return Poll::Ready(None);
            }
            let Poll::Ready(next) = this.inner.as_mut().poll_next(context) else {
                return Poll::Ready(Some(Ok(ready!(this.queue.poll_pending(context)))));
            };
            match next {
                Some(Ok(bytes)) => this.queue.push(&bytes),
                Some(Err(error)) => {
                    *this.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    *this.ended = true;
                    this.queue.finish();
                }
            }
        }
    }
}

impl<S> std::fmt::Debug for MaskStream<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaskStream").field("masker", &self.queue.masker).finish_non_exhaustive()
    }
}
