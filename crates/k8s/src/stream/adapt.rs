//! The halves of a stream around the bodies of an upgraded connection.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use lockgate_core::body::{Body, BodyError};

use super::{ClientHalf, ServerHalf};

/// The client's bytes, as they are, once they are understood.
///
/// Which transport was agreed on is known only when the upstream has answered: nothing is read before `half` is
/// there. Where there is none, because nothing was upgraded, the body has no bytes.
pub fn watched(body: Body, half: impl Future<Output = Option<ClientHalf>> + Send + 'static) -> Body {
    let state = Watched { body, half: Half::Awaited(Box::pin(half)) };
    let frames = stream::try_unfold(state, async |mut state| {
        let data = state.next().await?;
        Ok::<_, BodyError>(data.map(|data| (Frame::data(data), state)))
    });
    StreamBody::new(frames).boxed_unsync()
}

struct Watched {
    body: Body,
    half: Half,
}

enum Half {
    Awaited(std::pin::Pin<Box<dyn Future<Output = Option<ClientHalf>> + Send>>),
    There(Box<ClientHalf>),
}

impl Watched {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let half = match &mut self.half {
                Half::There(half) => half,
                Half::Awaited(half) => {
                    let Some(half) = half.await else { return Ok(None) };
                    self.half = Half::There(Box::new(half));
                    continue;
                }
            };
            let Some(frame) = self.body.frame().await else {
                half.finish()?;
                return Ok(None);
            };
            if let Ok(data) = frame?.into_data() {
                half.push(&data)?;
                return Ok(Some(data));
            }
        }
    }
}

/// The upstream's bytes, as the client may see them. After `idle` without any, what is held and not confirmed to
/// be a secret goes on. Needs a tokio timer.
///
/// Where the upstream's body breaks off, what was held is dropped.
pub fn masked(body: Body, half: ServerHalf, idle: Duration) -> Body {
    let state = Masked { body, half, idle, has_rested: false, end: None };
    let frames = stream::try_unfold(state, async |mut state| {
        let data = state.next().await?;
        Ok::<_, BodyError>(data.map(|data| (Frame::data(data), state)))
    });
    StreamBody::new(frames).boxed_unsync()
}

struct Masked {
    body: Body,
    half: ServerHalf,
    idle: Duration,
    /// Nothing has come since the last pause: another would free nothing.
    has_rested: bool,
    /// How the stream ended; what was written before comes before it.
    end: Option<Result<(), BodyError>>,
}

impl Masked {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if let Some(data) = self.half.take() {
                return Ok(Some(data));
            }
            if let Some(end) = self.end.take() {
                return end.map(|()| None);
            }
            self.step().await?;
        }
    }

    async fn step(&mut self) -> Result<(), BodyError> {
        let frame = if self.half.is_holding() && !self.has_rested {
            let Ok(frame) = tokio::time::timeout(self.idle, self.body.frame()).await else {
                self.has_rested = true;
                self.half.idle();
                return Ok(());
            };
            frame
        } else {
            self.body.frame().await
        };
        let Some(frame) = frame else {
            self.end = Some(self.half.finish().map_err(BodyError::from));
            return Ok(());
        };
        if let Ok(data) = frame?.into_data() {
            self.has_rested = false;
            if let Err(error) = self.half.push(&data) {
                self.end = Some(Err(error.into()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
