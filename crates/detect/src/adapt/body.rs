//! An `http_body::Body` that masks another one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use super::Queue;
use crate::mask::Masker;

pin_project! {
    /// Masks the data of a body, passing unmasked parts on without a copy, and its trailers as they are.
    ///
    /// The length changes: remove `content-length`, and digests of the content, from the head. When the
    /// inner body fails, what was held back is dropped, not shown.
    pub struct MaskBody<B> {
        #[pin]
        inner: B,
        queue: Queue,
        trailers: Option<http::HeaderMap>,
        ended: bool,
    }
}

impl<B> MaskBody<B> {
    /// Masks `inner` by `masker`.
    #[must_use]
    pub fn new(inner: B, masker: Masker) -> Self {
        Self { inner, queue: Queue::new(masker), trailers: None, ended: false }
    }

    /// Lets go of what is not confirmed to be a secret when the inner body pauses this long; for streams
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

impl<B: Body> Body for MaskBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        loop {
            if let Some(bytes) = this.queue.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if *this.ended {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let Poll::Ready(next) = this.inner.as_mut().poll_frame(context) else {
                return Poll::Ready(Some(Ok(Frame::data(ready!(this.queue.poll_pending(context))))));
            };
            match next {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(mut data) => this.queue.push(&data.copy_to_bytes(data.remaining())),
                    Err(frame) => *this.trailers = frame.into_trailers().ok(),
                },
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

    fn is_end_stream(&self) -> bool {
        self.ended && self.queue.ready.is_empty() && self.trailers.is_none()
    }
}

impl<B> std::fmt::Debug for MaskBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MaskBody").field("masker", &self.queue.masker).finish_non_exhaustive()
    }
}
