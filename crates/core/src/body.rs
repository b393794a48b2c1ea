//! The one body type of the pipeline, and whose fault it is when a body breaks off.

mod together;

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _, stream};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full, Limited, combinators::UnsyncBoxBody};
use tokio::sync::mpsc;

pub(crate) use self::together::together;

/// A streaming body: of the client's request or the upstream's response, or made by us.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body broke off.
#[derive(Debug)]
pub enum BodyError {
    /// The client stopped sending, or sent what cannot be decoded.
    Client(Box<dyn StdError + Send + Sync>),
    /// The upstream stopped sending.
    Upstream(Box<dyn StdError + Send + Sync>),
    /// We could not go on: the recording or the spool failed.
    Ours(Box<dyn StdError + Send + Sync>),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client(_) => "the request's body broke off",
            Self::Upstream(_) => "the upstream's body broke off",
            Self::Ours(_) => "the body could not be recorded or stored",
        })
    }
}

impl StdError for BodyError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Client(cause) | Self::Upstream(cause) | Self::Ours(cause) => Some(&**cause),
        }
    }
}

/// Content that is not what its digest says; digests as `algorithm:hex`.
#[derive(Debug, thiserror::Error)]
#[error("the content is {found}, and was to be {expected}")]
pub struct WrongDigest {
    /// What it is.
    pub found: String,
    /// What it was to be.
    pub expected: String,
}

/// No bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// These bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body from a stream of frames, with what is known of its length.
pub fn from_stream(
    frames: impl Stream<Item = Result<Frame<Bytes>, BodyError>> + Send + 'static,
    hint: SizeHint,
) -> Body {
    ending(frames.map_ok(|frame| (frame, Place::Within)), hint)
}

/// As [`from_stream`], of frames of which it is known whether they are the last. The end of such a body goes on with its
/// last frame, and not behind it: in HTTP/2 that is one frame and one write less, and nothing for which the reader is
/// woken once more.
pub(crate) fn ending(frames: impl Stream<Item = Placed> + Send + 'static, hint: SizeHint) -> Body {
    Hinted { frames: Box::pin(frames), hint, has_ended: false }.boxed_unsync()
}

/// A frame and its place, or why there is none.
type Placed = Result<(Frame<Bytes>, Place), BodyError>;

/// Where a frame stands in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// More may come.
    Within,
    /// Nothing comes after it.
    Last,
}

impl Place {
    /// That of a frame after which its body has ended, or has not.
    pub(crate) fn of(has_ended: bool) -> Self {
        if has_ended { Self::Last } else { Self::Within }
    }
}

struct Hinted {
    frames: Pin<Box<dyn Stream<Item = Placed> + Send>>,
    hint: SizeHint,
    /// The last frame is out.
    has_ended: bool,
}

impl HttpBody for Hinted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.frames.as_mut().poll_next(context)).transpose()?;
        Poll::Ready(next.map(|(frame, place)| {
            self.has_ended = place == Place::Last;
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// A body that breaks off where its sender says nothing for so long while somebody waits for it.
pub(crate) fn within(
    idle: Duration,
    body: Body,
    fault: fn(Box<dyn StdError + Send + Sync>) -> BodyError,
) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let hint = body.size_hint();
    let frames = stream::try_unfold(body, move |mut body| async move {
        let frame = tokio::time::timeout(idle, body.frame()).await.map_err(|late| fault(late.into()))?;
        let place = Place::of(body.is_end_stream());
        Ok(frame.transpose()?.map(|frame| ((frame, place), body)))
    });
    ending(frames, hint)
}

/// Reads a body of at most so many bytes to its end; `None` where it is larger.
///
/// # Errors
/// [`BodyError`] where it breaks off.
pub async fn read<B>(body: B, max: usize) -> Result<Option<Bytes>, BodyError>
where
    B: HttpBody<Data = Bytes, Error = BodyError>,
{
    #[expect(clippy::disallowed_methods, reason = "limited")]
    let read = Limited::new(body, max).collect().await;
    match read {
        Ok(whole) => Ok(Some(whole.to_bytes())),
        Err(error) => match error.downcast::<BodyError>() {
            Ok(broken) => Err(*broken),
            // The limit is the only other error there is.
            Err(_) => Ok(None),
        },
    }
}

/// How much is read and dropped of a request that is refused before its end: clients like git do not listen while
/// they send.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// Bytes. Default: 1 GiB.
    pub bytes: u64,
    /// How long that may take. Default: 1 minute.
    pub time: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { bytes: 1 << 30, time: Duration::from_mins(1) }
    }
}

impl Drain {
    /// Reads and drops what is left, so that the client comes to listen. Whoever sends more, or more slowly, gets a
    /// broken connection instead of an answer.
    pub async fn drain(self, body: &mut Body) {
        let reading = async {
            let mut left = self.bytes;
            while let Some(Ok(frame)) = body.frame().await {
                let read = frame.data_ref().map_or(0, Bytes::len) as u64;
                match left.checked_sub(read) {
                    Some(rest) => left = rest,
                    None => return,
                }
                // A body that is always ready must not keep the clock from being looked at.
                tokio::task::coop::consume_budget().await;
            }
        };
        let _ = tokio::time::timeout(self.time, reading).await;
    }
}

/// Nothing in the place of a body. It is read to its end where it is of a usual length; else its connection breaks off
/// after the answer.
pub(crate) async fn dropped(mut body: Body) -> Body {
    let bounds = Drain { bytes: 64 << 10, ..Drain::default() };
    bounds.drain(&mut body).await;
    empty()
}

/// Frames on their way to a body made by [`produced`].
pub(crate) type FrameSender = mpsc::Sender<Result<Frame<Bytes>, BodyError>>;

/// Carries the frames of one body to another, whose reader may be gone: see [`carried`].
pub(crate) struct Carrier {
    frames: mpsc::Sender<Placed>,
    ended: Arc<AtomicBool>,
}

impl Carrier {
    /// Resolves when nobody reads any more.
    pub(crate) async fn closed(&self) {
        self.frames.closed().await;
    }

    /// Hands a frame over.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub(crate) async fn send(
        &self,
        place: Place,
        frame: Result<Frame<Bytes>, BodyError>,
    ) -> Result<(), Gone> {
        self.frames.send(frame.map(|frame| (frame, place))).await.map_err(|_| Gone)
    }

    /// Says that this was the whole body.
    pub(crate) fn end(self) {
        self.ended.store(true, Ordering::Release);
    }
}

/// Nobody reads the body any more.
#[derive(Debug)]
pub(crate) struct Gone;

/// A body fed by a task of its own. It breaks off, and does not seem whole, where the task is gone before
/// it said that it was at its end.
pub(crate) fn carried(hint: SizeHint) -> (Carrier, Body) {
    let (sender, mut frames) = mpsc::channel(1);
    let ended = Arc::new(AtomicBool::new(false));
    let carrier = Carrier { frames: sender, ended: Arc::clone(&ended) };
    let mut is_over = false;
    let frames = stream::poll_fn(move |context| {
        let frame = ready!(frames.poll_recv(context));
        let has_more = matches!(frame, Some(Ok(_)));
        let was_over = std::mem::replace(&mut is_over, !has_more);
        if frame.is_none() && !was_over && !ended.load(Ordering::Acquire) {
            return Poll::Ready(Some(Err(BodyError::Ours("the gateway is ending".into()))));
        }
        Poll::Ready(frame)
    });
    (carrier, ending(frames, hint))
}

/// A body fed by a future that runs while the body is read, and is dropped with it.
pub(crate) fn produced<F>(producer: impl FnOnce(FrameSender) -> F) -> Body
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, mut frames) = mpsc::channel(1);
    let mut producer = Some(Box::pin(producer(sender)));
    let frames = stream::poll_fn(move |context| {
        if let Some(running) = &mut producer
            && running.as_mut().poll(context).is_ready()
        {
            producer = None;
        }
        frames.poll_recv(context)
    });
    from_stream(frames, SizeHint::default())
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use http_body_util::BodyStream;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn piece(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
        Ok(Frame::data(Bytes::from(text)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_sender_is_given_up_and_a_slow_one_is_not() {
        let (carrier, body) = carried(SizeHint::with_exact(6));
        let mut body = within(LIMIT, body, BodyError::Client);
        assert_eq!(body.size_hint().exact(), Some(6));
        let slow = async {
            for text in ["one", "two"] {
                tokio::time::advance(LIMIT / 2).await;
                carrier.send(Place::Within, piece(text)).await.unwrap();
            }
        };
        let read = async {
            for text in ["one", "two"] {
                assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), text);
            }
        };
        tokio::join!(slow, read);
        assert!(matches!(body.frame().await, Some(Err(BodyError::Client(_)))));
    }

    #[tokio::test]
    async fn a_body_is_read_within_its_limit() {
        let pieces = || from_stream(stream::iter([piece("12"), piece("345")]), SizeHint::default());
        assert_eq!(read(pieces(), 5).await.unwrap().unwrap(), "12345");
        assert_eq!(read(&mut pieces(), 4).await.unwrap(), None);
        let broken = from_stream(
            stream::iter([piece("12"), Err(BodyError::Client("gone".into()))]),
            SizeHint::default(),
        );
        assert!(matches!(read(broken, 5).await, Err(BodyError::Client(_))));
    }

    #[tokio::test]
    async fn a_carried_body_is_whole_only_where_its_carrier_says_so() {
        for ends in [true, false] {
            let (carrier, body) = carried(SizeHint::default());
            carrier.send(Place::Within, piece("one")).await.unwrap();
            if ends {
                carrier.end();
            } else {
                drop(carrier);
            }
            let frames: Vec<_> = StreamExt::collect(BodyStream::new(body)).await;
            assert_eq!(frames.len(), if ends { 1 } else { 2 });
            assert_eq!(frames.last().unwrap().is_ok(), ends);
        }
    }

    #[tokio::test]
    async fn a_body_ends_with_the_frame_that_is_its_last() {
        let (carrier, mut body) = carried(SizeHint::default());
        carrier.send(Place::Within, piece("one")).await.unwrap();
        assert!(body.frame().await.unwrap().is_ok() && !body.is_end_stream());
        carrier.send(Place::Last, piece("two")).await.unwrap();
        assert!(body.frame().await.unwrap().is_ok() && body.is_end_stream());
        // Whoever asks all the same is told so, and not that the carrier has gone.
        drop(carrier);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_carrier_notices_that_nobody_reads() {
        let (carrier, body) = carried(SizeHint::default());
        drop(body);
        carrier.closed().await;
        carrier.send(Place::Within, piece("one")).await.unwrap_err();
    }
}
