//! Small pieces of a body that come soon after each other, taken together.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Sleep};

use super::{Body, BodyError};

/// A body of which so much went on is one for which it pays.
const LONG: usize = 128 << 10;
/// Nobody waits for more where there are so many bytes.
const ENOUGH: usize = 32 << 10;
/// How soon after a piece the next is not worth a way of its own.
const SOON: Duration = Duration::from_millis(1);

/// The same body in larger pieces, once it is a long one: a piece goes on at once, and what comes within a millisecond
/// of it goes on at the end of that, or when it is enough, or when the body ends.
///
/// Servers like git's send bodies of many megabytes in chunks of four kilobytes. Each of those would be recorded, sent,
/// and wake the client by itself.
pub(crate) fn together(body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Together { body, passed: 0, first: Bytes::new(), more: BytesMut::new(), last: None, soon: None }
        .boxed_unsync()
}

struct Together {
    body: Body,
    /// How much went on, up to [`LONG`].
    passed: usize,
    /// What waits, while it is one piece.
    first: Bytes,
    /// All that waits, where it is more.
    more: BytesMut,
    /// What came after it, and is no data: the end, trailers, or an error.
    last: Option<Option<Result<Frame<Bytes>, BodyError>>>,
    /// Until when what comes waits, once a piece went on.
    soon: Option<Pin<Box<Sleep>>>,
}

impl Together {
    fn length(&self) -> usize {
        self.first.len() + self.more.len()
    }

    fn push(&mut self, data: Bytes) {
        if self.length() == 0 {
            self.first = data;
            return;
        }
        if self.more.is_empty() {
            self.more.reserve(self.first.len() + data.len());
            self.more.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.more.extend_from_slice(&data);
    }

    fn take(&mut self) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // Its memory goes with it: the next may never come.
        let more = std::mem::take(&mut self.more).freeze();
        let data = if more.is_empty() { std::mem::take(&mut self.first) } else { more };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    /// Whether what is there need not wait any longer. The next piece will have to, then.
    fn is_due(&mut self, context: &mut Context<'_>) -> bool {
        let Some(soon) = &mut self.soon else {
            self.soon = Some(Box::pin(tokio::time::sleep(SOON)));
            return true;
        };
        let is_due = soon.as_mut().poll(context).is_ready();
        if is_due {
            soon.as_mut().reset(Instant::now() + SOON);
        }
        is_due
    }
}

impl HttpBody for Together {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(last) = self.last.take() {
            return Poll::Ready(last);
        }
        loop {
            let last = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if self.passed < LONG => {
                        self.passed += data.len();
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Ok(data) => {
                        // Empty ones could come without an end.
                        let goes_on = data.is_empty();
                        self.push(data);
                        if goes_on || self.length() >= ENOUGH || self.body.is_end_stream() {
                            return self.take();
                        }
                        continue;
                    }
                    Err(trailers) => Some(Ok(trailers)),
                },
                Poll::Ready(last) => last,
                Poll::Pending if self.length() > 0 && self.is_due(context) => return self.take(),
                Poll::Pending => return Poll::Pending,
            };
            if self.length() == 0 {
                return Poll::Ready(last);
            }
            self.last = Some(last);
            return self.take();
        }
    }

    fn is_end_stream(&self) -> bool {
        let has_ended = self.last.as_ref().map_or_else(|| self.body.is_end_stream(), Option::is_none);
        self.length() == 0 && has_ended
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, here) = (self.body.size_hint(), self.length() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(here));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(here));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt, poll, stream};
    use http::HeaderMap;
    use http_body_util::BodyStream;
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::body::{Place, carried, from_stream};

    /// As after its beginning.
    fn long(body: Body) -> Together {
        Together { body, passed: LONG, first: Bytes::new(), more: BytesMut::new(), last: None, soon: None }
    }

    fn data(frame: Option<Result<Frame<Bytes>, BodyError>>) -> Bytes {
        frame.unwrap().unwrap().into_data().unwrap()
    }

    fn piece(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
        Ok(Frame::data(Bytes::from(text)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_waits_only_behind_one_that_went_on_just_now() {
        let (carrier, body) = carried(SizeHint::default());
        let mut body = long(body);
        for round in 0..2 {
            carrier.send(Place::Within, piece("at once")).await.unwrap();
            assert_eq!(data(body.frame().now_or_never().expect("it went on")), "at once", "round {round}");
            let mut next = Box::pin(body.frame());
            for text in ["what ", "comes ", "soon"] {
                carrier.send(Place::Within, piece(text)).await.unwrap();
                assert!(poll!(&mut next).is_pending());
            }
            assert_eq!(data(next.await), "what comes soon");
            // The next one has to wait too, until then.
            tokio::time::advance(SOON + Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_enough_and_what_is_the_end_does_not_wait() {
        for ends in [true, false] {
            let (carrier, body) = carried(SizeHint::default());
            let mut body = long(body);
            carrier.send(Place::Within, piece("at once")).await.unwrap();
            data(body.frame().await);
            let mut next = Box::pin(body.frame());
            carrier.send(Place::Within, piece("a little")).await.unwrap();
            assert!(poll!(&mut next).is_pending());
            if ends {
                carrier.end();
                assert_eq!(data(next.now_or_never().expect("it ended")), "a little");
                assert!(body.is_end_stream());
                assert!(body.frame().await.is_none());
            } else {
                carrier.send(Place::Within, Ok(Frame::data(Bytes::from(vec![7; ENOUGH])))).await.unwrap();
                assert_eq!(data(next.now_or_never().expect("it is enough")).len(), "a little".len() + ENOUGH);
                assert!(!body.is_end_stream());
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_data_comes_behind_it() {
        let trailers = || Ok(Frame::trailers(HeaderMap::new()));
        let error = || Err(BodyError::Ours("it broke off".into()));
        let mut body =
            long(from_stream(stream::iter([piece("a"), piece("b"), trailers()]), SizeHint::default()));
        assert_eq!(data(body.frame().await), "ab");
        assert!(!body.is_end_stream());
        assert!(body.frame().await.unwrap().unwrap().is_trailers());
        assert!(body.frame().await.is_none());
        let mut body =
            long(from_stream(stream::iter([piece("a"), piece("b"), error()]), SizeHint::default()));
        assert_eq!(data(body.frame().await), "ab");
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test]
    async fn what_is_short_goes_on_as_it_comes() {
        let pieces =
            [piece("a"), piece("b"), Ok(Frame::data(Bytes::from(vec![7; LONG]))), piece("c"), piece("d")];
        let body = together(from_stream(stream::iter(pieces), SizeHint::default()));
        let frames: Vec<_> = StreamExt::collect(BodyStream::new(body)).await;
        let lengths: Vec<_> = frames.into_iter().map(|frame| data(Some(frame)).len()).collect();
        assert_eq!(lengths, [1, 1, LONG, 2]);
    }

    #[test]
    fn its_length_stays_what_it_is() {
        let mut waiting = long(from_stream(stream::pending(), SizeHint::with_exact(5)));
        waiting.push(Bytes::from("one"));
        assert_eq!(waiting.size_hint().exact(), Some(8));
        waiting.push(Bytes::from("two"));
        assert_eq!(waiting.size_hint().exact(), Some(11));
    }

    proptest! {
        #[test]
        fn it_is_the_same_body(is_long: bool, pieces in vec((0..2 * ENOUGH, any::<bool>()), 0..12)) {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let whole = runtime.block_on(async {
                let frames = stream::iter(pieces.clone()).then(async |(length, waits)| {
                    if waits {
                        tokio::task::yield_now().await;
                    }
                    Ok(Frame::data(Bytes::from(vec![length as u8; length])))
                });
                let body = from_stream(frames, SizeHint::default());
                let body = BodyStream::new(if is_long { long(body).boxed_unsync() } else { together(body) });
                let frames: Vec<_> = StreamExt::collect(body).await;
                frames.into_iter().flat_map(|frame| frame.unwrap().into_data().unwrap()).collect::<Vec<_>>()
            });
            let expected: Vec<u8> =
                pieces.iter().flat_map(|(length, _)| std::iter::repeat_n(*length as u8, *length)).collect();
            prop_assert!(whole == expected);
        }
    }
}
