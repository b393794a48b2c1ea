//! The one body type of the pipeline, and whose fault it is when a body breaks off.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{Stream, stream};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use tokio::sync::mpsc;

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

/// No bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// These bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body from a stream of frames, with what is known of its length.
pub(crate) fn from_stream(
    frames: impl Stream<Item = Result<Frame<Bytes>, BodyError>> + Send + 'static,
    hint: SizeHint,
) -> Body {
    Hinted { frames: Box::pin(frames), hint }.boxed_unsync()
}

struct Hinted {
    frames: Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, BodyError>> + Send>>,
    hint: SizeHint,
}

impl HttpBody for Hinted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.frames.as_mut().poll_next(context)
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

/// Frames on their way to a body made by [`produced`] or [`channel`].
pub(crate) type FrameSender = mpsc::Sender<Result<Frame<Bytes>, BodyError>>;

/// A body fed by a task of its own, which notices by the closed channel when nobody reads any more.
pub(crate) fn channel() -> (FrameSender, Body) {
    let (sender, mut frames) = mpsc::channel(1);
    let frames = stream::poll_fn(move |context| frames.poll_recv(context));
    (sender, from_stream(frames, SizeHint::default()))
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
