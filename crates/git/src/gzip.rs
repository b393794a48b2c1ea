//! Decodes gzip bodies as they stream.
//!
//! What is decoded here is what is inspected and what goes upstream: a body of several members, or one
//! with something behind its end, can't be read in two ways. Memory stays small whatever it expands to.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use lockgate_core::body::{Body, BodyError};

/// How much is decoded at once; deflate expands it by 1032 at most.
const STEP: usize = 256;
/// How much is handed on at once, or a bit more.
const CHUNK: usize = 32 * 1024;

/// The decoded body. It breaks off as the client's fault where it is not gzip, is cut short, or
/// decodes to more than `max` bytes.
pub(crate) fn decode(body: Body, max: u64) -> Body {
    let state =
        Decoder { body, input: Bytes::new(), gzip: MultiGzDecoder::new(Vec::new()), left: max, ended: false };
    let frames = stream::try_unfold(state, async |mut state| {
        let data = state.next().await?;
        Ok::<_, BodyError>(data.map(|data| (Frame::data(data), state)))
    });
    StreamBody::new(frames).boxed_unsync()
}

struct Decoder {
    body: Body,
    input: Bytes,
    gzip: MultiGzDecoder<Vec<u8>>,
    left: u64,
    ended: bool,
}

impl Decoder {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        while !self.ended && self.gzip.get_ref().len() < CHUNK {
            self.step().await?;
        }
        let data = std::mem::take(self.gzip.get_mut());
        self.left = self
            .left
            .checked_sub(data.len() as u64)
            .ok_or_else(|| fault(io::Error::other("the gzip body decodes to more than is taken")))?;
        Ok((!data.is_empty()).then(|| data.into()))
    }

    async fn step(&mut self) -> Result<(), BodyError> {
        if !self.input.is_empty() {
            let part = self.input.split_to(self.input.len().min(STEP));
            return self.gzip.write_all(&part).map_err(fault);
        }
        match self.body.frame().await {
            Some(frame) => self.input = frame?.into_data().unwrap_or_default(),
            None => {
                self.gzip.try_finish().map_err(fault)?;
                self.ended = true;
            }
        }
        Ok(())
    }
}

fn fault(error: io::Error) -> BodyError {
    BodyError::Client(error.into())
}
