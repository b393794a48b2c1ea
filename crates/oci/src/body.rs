//! Bodies that are looked at while they pass: content is what its digest says, or its end does not come.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
pub(crate) use lockgate_core::body::read;
use lockgate_core::body::{self, Body, BodyError, Drain, WrongDigest};

use crate::parse::name::{Digest, Hasher};

/// What is read of a request after it was refused: a client that still sends does not see the reason.
const LINGER: Drain = Drain { bytes: 8 << 20, time: Duration::from_secs(5) };

/// Whose fault it is that content is not what its digest says.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sender {
    Client,
    Upstream,
}

/// Reads and drops what is left of a refused request.
pub(crate) async fn linger(mut body: Body) {
    LINGER.drain(&mut body).await;
}

/// A request's body of which some more is read when it is dropped before its end.
pub(crate) fn lingering(body: Body) -> Body {
    if body.is_end_stream() { body } else { Lingering(Some(body)).boxed_unsync() }
}

struct Lingering(Option<Body>);

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn(linger(body)));
        }
    }
}

/// Sees content on its way.
pub(crate) trait Watch: Send + 'static {
    /// The next bytes.
    fn data(&mut self, data: &Bytes) -> impl Future<Output = ()> + Send;

    /// That was all.
    ///
    /// # Errors
    /// [`BodyError`] in the place of the end.
    fn end(self) -> impl Future<Output = Result<(), BodyError>> + Send;
}

/// A body whose last bytes are withheld until its watcher agrees.
pub(crate) fn watched(body: Body, watch: impl Watch) -> Body {
    let hint = body.size_hint();
    let frames =
        stream::try_unfold((body, Some(watch), None), |(mut body, mut watch, mut held)| async move {
            loop {
                let Some(watching) = &mut watch else { return Ok(None) };
                match body.frame().await.transpose()? {
                    Some(frame) => {
                        let data = frame.into_data().unwrap_or_default();
                        if data.is_empty() {
                            continue;
                        }
                        watching.data(&data).await;
                        if let Some(before) = held.replace(data) {
                            return Ok(Some((Frame::data(before), (body, watch, held))));
                        }
                    }
                    None => {
                        if let Some(watch) = watch.take() {
                            watch.end().await?;
                        }
                        return Ok(held.take().map(|last| (Frame::data(last), (body, None, None))));
                    }
                }
            }
        });
    body::from_stream(frames, hint)
}

/// Content that must have this digest.
pub(crate) fn checked(body: Body, expected: Digest, sender: Sender) -> Body {
    let hasher = Hasher::new(expected.algorithm());
    watched(body, Check { hasher, expected, sender })
}

struct Check {
    hasher: Hasher,
    expected: Digest,
    sender: Sender,
}

impl Watch for Check {
    async fn data(&mut self, data: &Bytes) {
        self.hasher.update(data);
    }

    async fn end(self) -> Result<(), BodyError> {
        mismatch(self.hasher.finish(), self.expected, self.sender)
    }
}

/// An error where the digests differ.
pub(crate) fn mismatch(found: Digest, expected: Digest, sender: Sender) -> Result<(), BodyError> {
    if found == expected {
        return Ok(());
    }
    let error = Box::new(WrongDigest { found: found.to_string(), expected: expected.to_string() });
    Err(match sender {
        Sender::Client => BodyError::Client(error),
        Sender::Upstream => BodyError::Upstream(error),
    })
}

/// A body without bytes.
pub(crate) fn empty() -> Body {
    body::empty()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use http_body_util::StreamBody;
    use proptest::prelude::*;

    use super::*;
    use crate::parse::name::Algorithm;

    fn pieces(pieces: &[&[u8]], read: &Arc<AtomicUsize>) -> Body {
        let (pieces, read) = (pieces.iter().map(|piece| Bytes::copy_from_slice(piece)), Arc::clone(read));
        let frames: Vec<_> = pieces.map(|piece| Ok(Frame::data(piece))).collect();
        let frames = stream::iter(frames);
        let counted = futures::StreamExt::inspect(frames, move |_| {
            read.fetch_add(1, Ordering::Relaxed);
        });
        StreamBody::new(counted).boxed_unsync()
    }

    async fn through(body: Body) -> (Vec<u8>, Result<(), BodyError>) {
        let (mut body, mut all) = (body, Vec::new());
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => all.extend_from_slice(&frame.into_data().unwrap()),
                Err(error) => return (all, Err(error)),
            }
        }
        (all, Ok(()))
    }

    #[tokio::test]
    async fn the_end_comes_only_where_the_digest_is_right() {
        let content: [&[u8]; 4] = [b"ab", b"", b"c", b"de"];
        let digest = |text: &[u8]| Digest::of(Algorithm::Sha256, text);
        let body = checked(pieces(&content, &Arc::default()), digest(b"abcde"), Sender::Upstream);
        let (all, end) = through(body).await;
        assert_eq!(all, b"abcde");
        end.unwrap();
        let body = checked(pieces(&content, &Arc::default()), digest(b"abcdf"), Sender::Client);
        let (all, end) = through(body).await;
        assert_eq!(all, b"abc", "the last piece is withheld");
        assert!(matches!(end, Err(BodyError::Client(_))));
        let body = checked(pieces(&[], &Arc::default()), digest(b"x"), Sender::Upstream);
        assert!(matches!(through(body).await.1, Err(BodyError::Upstream(_))));
    }

    #[tokio::test]
    async fn what_is_dropped_is_read_on() {
        let read = Arc::new(AtomicUsize::new(0));
        let mut body = lingering(pieces(&[b"a", b"b", b"c"], &read));
        body.frame().await.unwrap().unwrap();
        drop(body);
        while read.load(Ordering::Relaxed) < 3 {
            tokio::task::yield_now().await;
        }
        let whole = lingering(pieces(&[b"a"], &read));
        assert_eq!(through(whole).await.0, b"a");
    }

    #[tokio::test]
    async fn bodies_are_read_up_to_their_limit() {
        let body = || pieces(&[b"ab", b"c"], &Arc::default());
        assert_eq!(super::read(body(), 3).await.unwrap().unwrap(), "abc");
        assert_eq!(super::read(body(), 2).await.unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_cuts_are_the_same(cuts in proptest::collection::vec(0usize..5, 0..8)) {
            let text = b"some content";
            let mut rest = &text[..];
            let mut parts: Vec<&[u8]> = Vec::new();
            for cut in cuts {
                let (part, after) = rest.split_at(cut.min(rest.len()));
                parts.push(part);
                rest = after;
            }
            parts.push(rest);
            let body = checked(pieces(&parts, &Arc::default()), Digest::of(Algorithm::Sha512, text), Sender::Client);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (all, end) = runtime.block_on(through(body));
            prop_assert_eq!(all, text);
            prop_assert!(end.is_ok());
        }
    }
}
