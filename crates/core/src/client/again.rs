//! Requests that can be sent again: an HTTP/2 server that goes away says which ones it has not processed, and those may
//! (RFC 9113, sections 6.8 and 8.7), as if they had never been sent.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Request, request};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, BodyStream};

use crate::body::{self, Body, BodyError};

/// Bytes of a body that are kept. What is longer is not sent again.
const KEPT: usize = 64 << 10;

/// Whether the server says that it has not processed the request.
pub(super) fn is_unprocessed(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        // Streams that were begun before the last one it tells of go on: only those behind it end so.
        cause.is_remote() && (cause.is_go_away() || cause.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// What a request is made of once more.
pub(super) struct Again {
    head: request::Parts,
    body: Option<Kept>,
}

impl Again {
    /// Of a request, and the request to be sent.
    pub(super) fn of(request: Request<Body>) -> (Self, Request<Body>) {
        let (head, body) = request.into_parts();
        if body.is_end_stream() {
            return (Self { head: head.clone(), body: None }, Request::from_parts(head, body));
        }
        let size = body.size_hint();
        let kept = Kept(Arc::new(Mutex::new(State { body, size, sent: Vec::new(), bytes: 0 })));
        let again = Self { head: head.clone(), body: Some(kept.clone()) };
        (again, Request::from_parts(head, kept.boxed_unsync()))
    }

    /// The request, where all of its body that was sent is kept.
    pub(super) fn request(self) -> Option<Request<Body>> {
        let body = match self.body {
            None => body::empty(),
            Some(kept) => kept.rewound()?,
        };
        Some(Request::from_parts(self.head, body))
    }
}

/// A body of which the beginning is kept while it is sent.
#[derive(Clone)]
struct Kept(Arc<Mutex<State>>);

struct State {
    body: Body,
    /// Of the whole.
    size: SizeHint,
    sent: Vec<Frame<Bytes>>,
    bytes: usize,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Who panics within a body sends no more of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body from its beginning. The connection, which sends no more of it, may hold it still.
    fn rewound(&self) -> Option<Body> {
        let mut state = self.lock();
        if state.bytes > KEPT {
            return None;
        }
        let sent = std::mem::take(&mut state.sent);
        let rest = std::mem::replace(&mut state.body, body::empty());
        let frames = stream::iter(sent.into_iter().map(Ok)).chain(BodyStream::new(rest));
        Some(body::from_stream(frames, state.size))
    }
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.lock();
        let frame = std::task::ready!(Pin::new(&mut state.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let data = frame.data_ref();
            state.bytes = state.bytes.saturating_add(data.map_or(0, Bytes::len));
            if state.bytes > KEPT {
                state.sent = Vec::new();
            } else if let Some(data) = data {
                state.sent.push(Frame::data(data.clone()));
            } else {
                // Trailers, which requests hardly have: it can't be sent again.
                state.bytes = usize::MAX;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// A body of these pieces, of which so many were sent.
    async fn sent(pieces: &[&'static [u8]], count: usize) -> Again {
        let frames: Vec<_> = pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece)))).collect();
        let size = pieces.iter().map(|piece| piece.len() as u64).sum();
        let body = body::from_stream(stream::iter(frames), SizeHint::with_exact(size));
        let (again, mut request) = Again::of(Request::post("/x").body(body).unwrap());
        for _ in 0..count {
            request.body_mut().frame().await.unwrap().unwrap();
        }
        again
    }

    #[tokio::test]
    async fn a_body_is_sent_from_its_beginning() {
        for count in 0..=3 {
            let request = sent(&[b"a", b"", b"bc"], count).await.request().unwrap();
            assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/x"));
            assert_eq!(request.body().size_hint().exact(), Some(3));
            assert_eq!(testing::read(request.into_body()).await, "abc");
        }
    }

    #[tokio::test]
    async fn what_is_longer_than_is_kept_is_not_sent_again() {
        const HALF: &[u8] = &[b'x'; KEPT / 2];
        assert!(sent(&[HALF, HALF, b"x"], 2).await.request().is_some());
        assert!(sent(&[HALF, HALF, b"x"], 3).await.request().is_none());
    }
}
