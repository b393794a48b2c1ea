//! Connections that become streams of bytes after a `101` (RFC 9110, section 7.8).
//!
//! In the pipeline such a stream is two bodies: what the client sends is the body of the request, what the
//! upstream sends that of the response. So it is recorded, masked and bounded by what does so to every body,
//! and only the two ends, here, know of the connections.

#[cfg(test)]
mod tests;

use std::{any::Any, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryFutureExt as _, stream};
use http::{Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf},
    sync::oneshot,
    task::JoinHandle,
};

use crate::body::{self, Body, BodyError};

/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// What lasts as long as a client's connection, such as its place among those allowed. A listener puts it into the
/// extensions of requests, and a stream keeps it to its end.
#[derive(Clone)]
pub struct Lasting(pub Arc<dyn Any + Send + Sync>);

type Reader = ReadHalf<TokioIo<Upgraded>>;

/// The client's end of a stream that there will be once its request is answered by a `101`.
pub(crate) struct ClientEnd {
    upgraded: OnUpgrade,
    reader: oneshot::Sender<Reader>,
    lasting: Option<Lasting>,
}

impl ClientEnd {
    /// Makes what the client sends after the answer the body of its request.
    pub(crate) fn of(mut request: Request<Body>) -> (Self, Request<Body>) {
        let upgraded = hyper::upgrade::on(&mut request);
        let lasting = request.extensions_mut().remove();
        let (sender, reader) = oneshot::channel();
        let request = request.map(|_| {
            let gone = |_| BodyError::Client("the connection was not taken over".into());
            let frames = reader.map_err(gone).map_ok(|reader| read(reader, BodyError::Client));
            body::from_stream(frames.try_flatten_stream(), SizeHint::default())
        });
        (Self { upgraded, reader: sender, lasting }, request)
    }

    /// Sends the head of a `101`, and what its body holds over the connection that is then the stream's.
    pub(crate) fn join(
        self,
        response: Response<Body>,
    ) -> (Response<Body>, impl Future<Output = ()> + Send + 'static) {
        let (head, body) = response.into_parts();
        let carry = async move {
            let Self { upgraded, reader, lasting } = self;
            let Ok(upgraded) = upgraded.await else { return };
            let (read, write) = tokio::io::split(TokioIo::new(upgraded));
            if reader.send(read).is_ok() {
                // Either end may leave at any time; whose fault it is stands in the body that broke off.
                let _ = self::write(body, write).await;
            }
            drop(lasting);
        };
        (Response::from_parts(head, body::empty()), carry)
    }
}

/// Whether this answer begins a stream.
pub(crate) fn is_stream<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

/// The upstream's end: sends what the client says, and reads what the upstream says to it.
///
/// The stream ends with the upstream's end, or breaks off where the request's body does. Once the client has said all,
/// the upstream may be silent for so long.
pub(crate) fn upstream_end(upgraded: Upgraded, request: Body, silence: Duration) -> Body {
    let (read, write) = tokio::io::split(TokioIo::new(upgraded));
    let sending = Sending(tokio::spawn(self::write(request, write)));
    let frames = Box::pin(self::read(read, BodyError::Upstream));
    let frames = stream::try_unfold((frames, Some(sending)), move |(mut frames, mut sending)| async move {
        loop {
            let next = frames.next();
            let Some(under_way) = &mut sending else {
                let frame = tokio::time::timeout(silence, next).await;
                let frame = frame.map_err(|late| BodyError::Upstream(late.into()))?.transpose()?;
                return Ok(frame.map(|frame| (frame, (frames, None))));
            };
            tokio::select! {
                biased;
                frame = next => return Ok(frame.transpose()?.map(|frame| (frame, (frames, sending)))),
                sent = &mut under_way.0 => match sent {
                    Ok(Err(WriteError::Body(error))) => return Err(error),
                    // What the upstream does not want to hear any more, it may still answer.
                    Ok(Ok(()) | Err(WriteError::Io)) => sending = None,
                    Err(failed) => return Err(BodyError::Ours(failed.into())),
                },
            }
        }
    });
    body::from_stream(frames, SizeHint::default())
}

/// Ends with the stream.
struct Sending(JoinHandle<Result<(), WriteError>>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum WriteError {
    /// The body broke off.
    Body(BodyError),
    /// The other end takes no more.
    Io,
}

impl From<io::Error> for WriteError {
    fn from(_: io::Error) -> Self {
        Self::Io
    }
}

async fn write(mut body: Body, mut to: impl AsyncWrite + Unpin) -> Result<(), WriteError> {
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(WriteError::Body)?.into_data() {
            to.write_all(&data).await?;
            to.flush().await?;
        }
    }
    Ok(to.shutdown().await?)
}

fn read(
    from: impl AsyncRead + Unpin + Send + 'static,
    fault: fn(Box<dyn std::error::Error + Send + Sync>) -> BodyError,
) -> impl Stream<Item = Result<Frame<Bytes>, BodyError>> + Send + 'static {
    stream::try_unfold((from, BytesMut::new()), move |(mut from, mut buffer)| async move {
        buffer.reserve(PIECE);
        let length = from.read_buf(&mut buffer).await.map_err(|error| fault(error.into()))?;
        Ok((length > 0).then(|| (Frame::data(buffer.split().freeze()), (from, buffer))))
    })
}
