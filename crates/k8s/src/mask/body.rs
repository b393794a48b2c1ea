//! A masked body: frames in, frames out.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use lockgate_core::body::{self, Body, BodyError};
use tokio::time::Sleep;

use super::{GATHERED, MaskError, Masking};

/// How long a log may pause within what could still become a secret, until it is shown.
const PAUSE: Duration = Duration::from_secs(1);

/// An answer that was begun to be masked.
#[derive(Debug)]
pub struct Masked {
    /// The masked answer. Its length is another one.
    pub body: Body,
    /// How many values were masked, where the answer was small enough to be masked before its head is sent.
    pub count: Option<u64>,
}

/// Masks a body. An answer of up to [`GATHERED`] bytes is read to its end first, unless it may go on for ever: so
/// how much was masked can stand in its head.
///
/// # Errors
/// The upstream's, or [`BodyError::Upstream`] with a [`MaskError`] where what was read can't be masked. Later
/// errors end the body in the same way.
pub async fn masked(mut body: Body, mut masking: Masking) -> Result<Masked, BodyError> {
    let mut ready = Vec::new();
    let mut trailers = None;
    let (mut read, mut is_over) = (0, masking.is_endless() && body.is_end_stream());
    while !masking.is_endless() && !is_over && read < GATHERED {
        let Some(frame) = body.frame().await.transpose()? else {
            is_over = true;
            continue;
        };
        match frame.into_data() {
            Ok(data) => {
                read += data.len();
                masking.push(&data, &mut ready).map_err(fault)?;
            }
            Err(frame) => trailers = Some(frame),
        }
    }
    let mut count = None;
    if is_over {
        masking.finish(&mut ready).map_err(fault)?;
        count = Some(masking.count());
    }
    if is_over && trailers.is_none() {
        return Ok(Masked { body: body::full(whole(ready)), count });
    }
    let first = stream::iter(ready.into_iter().map(Frame::data).chain(trailers).map(Ok));
    let body = if is_over {
        StreamBody::new(first).boxed_unsync()
    } else {
        StreamBody::new(first.chain(Rest::new(body, masking))).boxed_unsync()
    };
    Ok(Masked { body, count })
}

/// The pieces as one, which goes to the client with its end.
fn whole(mut pieces: Vec<Bytes>) -> Bytes {
    match pieces.as_mut_slice() {
        [one] => std::mem::take(one),
        pieces => pieces.concat().into(),
    }
}

fn fault(error: MaskError) -> BodyError {
    BodyError::Upstream(Box::new(error))
}

/// What comes after the beginning.
struct Rest {
    body: BodyStream<Body>,
    masking: Masking,
    ready: std::vec::IntoIter<Bytes>,
    trailers: Option<Frame<Bytes>>,
    pause: Option<Pin<Box<Sleep>>>,
    /// A pause has passed since the last bytes: another one would release nothing more.
    has_rested: bool,
    is_over: bool,
}

impl Rest {
    fn new(body: Body, masking: Masking) -> Self {
        Self {
            body: BodyStream::new(body),
            masking,
            ready: Vec::new().into_iter(),
            trailers: None,
            pause: None,
            has_rested: false,
            is_over: false,
        }
    }

    /// Runs the masking; what it wrote is ready, or it has failed.
    fn write(
        &mut self,
        run: impl FnOnce(&mut Masking, &mut Vec<Bytes>) -> Result<(), MaskError>,
    ) -> Result<(), BodyError> {
        let mut out = Vec::new();
        run(&mut self.masking, &mut out).map_err(fault)?;
        self.ready = out.into_iter();
        Ok(())
    }

    /// Takes what the upstream says next; false where it has nothing for now.
    fn read(&mut self, context: &mut Context<'_>) -> Result<bool, BodyError> {
        match self.body.poll_next_unpin(context) {
            Poll::Ready(Some(frame)) => {
                (self.pause, self.has_rested) = (None, false);
                match frame?.into_data() {
                    Ok(data) => self.write(|masking, out| masking.push(&data, out))?,
                    Err(frame) => self.trailers = Some(frame),
                }
                Ok(true)
            }
            Poll::Ready(None) => {
                self.is_over = true;
                self.write(Masking::finish)?;
                Ok(true)
            }
            Poll::Pending => {
                self.write(Masking::flush)?;
                if self.ready.len() == 0 && !self.has_rested && self.masking.is_holding() {
                    self.wait(context)?;
                }
                Ok(self.ready.len() > 0)
            }
        }
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Result<(), BodyError> {
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(PAUSE)));
        if pause.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        self.pause = None;
        self.has_rested = true;
        self.write(|masking, out| {
            masking.idle(out);
            Ok(())
        })
    }
}

impl Stream for Rest {
    type Item = Result<Frame<Bytes>, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(bytes) = self.ready.next() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.is_over {
                return Poll::Ready(self.trailers.take().map(Ok));
            }
            match self.read(context) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(error) => {
                    self.is_over = true;
                    self.trailers = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
