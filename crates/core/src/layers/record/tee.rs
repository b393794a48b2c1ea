//! A response's body on its way through the recording.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::{FutureExt as _, stream};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use lockgate_recording::{Direction, Outcome, Sha256};

use super::undelivered;
use crate::{
    body::{self, Body, BodyError, Place, WrongDigest},
    exchange::{Exchange, Unrecorded},
    protocol::Expected,
    verdict::Payload,
};

/// How much of an answer is gathered, at most, before its head is sent.
const AT_ONCE: usize = 64 << 10;

/// A response's body on its way through the recording.
pub(super) struct Tee {
    pub(super) body: Body,
    exchange: Exchange,
    /// How long the whole is, which the body says no more once it is gathered.
    hint: SizeHint,
    /// Bytes until the client has the whole, where the length is known.
    left: Option<u64>,
    /// What the whole must be.
    expected: Option<Expected>,
    /// Where the recording does not make it: only it is recorded, or it must be right also where nothing is.
    digest: Option<Sha256>,
    /// Pieces that are recorded, and were not asked for yet.
    gathered: VecDeque<Result<Bytes, BodyError>>,
    /// Everything was recorded, and is durable.
    ended: bool,
}

impl Tee {
    pub(super) fn new(body: Body, left: Option<u64>, expected: Option<Expected>, exchange: Exchange) -> Self {
        let is_made = exchange.payload() == Payload::Digest
            || expected.is_some() && !exchange.records_all(Direction::Response);
        let digest = is_made.then(Sha256::default);
        let hint = body.size_hint();
        Self { body, exchange, hint, left, expected, digest, gathered: VecDeque::new(), ended: false }
    }

    pub(super) fn into_body(self) -> Body {
        let hint = self.hint;
        let frames = stream::try_unfold(self, async |mut tee| {
            let next = tee.next().await?;
            let place = Place::of(tee.is_over());
            Ok(next.map(|frame| ((frame, place), tee)))
        });
        body::ending(frames, hint)
    }

    /// Waits for the first piece, and takes what more is there at once, so that a short answer goes to its client as a
    /// whole. Its end waits for the disk anyway: a client that is woken for the head alone would be woken twice.
    pub(super) async fn gather(&mut self) -> Result<(), Unrecorded> {
        let mut next = self.body.frame().await;
        let mut bytes = 0;
        loop {
            match next {
                Some(Ok(frame)) => {
                    let data = self.data(frame).await?;
                    let length = data.as_ref().map(Bytes::len).ok();
                    self.gathered.push_back(data);
                    let Some(length) = length else { return Ok(()) };
                    bytes += length;
                }
                Some(Err(error)) => {
                    self.gathered.push_back(Err(error));
                    return Ok(());
                }
                None => {
                    let wrong = self.end().await?.map(Err);
                    self.gathered.extend(wrong);
                    return Ok(());
                }
            }
            if self.ended || bytes >= AT_ONCE {
                return Ok(());
            }
            match self.body.frame().now_or_never() {
                Some(there) => next = there,
                None => return Ok(()),
            }
        }
    }

    /// Whether everything is out.
    fn is_over(&self) -> bool {
        self.ended && self.gathered.is_empty()
    }

    async fn next(&mut self) -> Result<Option<Frame<Bytes>>, BodyError> {
        let next = match self.gathered.pop_front() {
            Some(gathered) => Some(gathered),
            None if self.ended => None,
            None => match self.body.frame().await {
                Some(Ok(frame)) => Some(self.data(frame).await?),
                Some(Err(error)) => Some(Err(error)),
                None => self.end().await?.map(Err),
            },
        };
        if self.is_over() && !self.exchange.mutates() {
            // How far a change's client is there to take its answer, `pump` knows.
            self.exchange.conclude(Outcome::Complete);
        }
        next.transpose().map(|data| data.map(Frame::data)).inspect_err(|error| {
            self.exchange.conclude(match error {
                BodyError::Client(_) => Outcome::ClientGone,
                BodyError::Upstream(_) => Outcome::UpstreamFailed,
                BodyError::Ours(_) => Outcome::Failed("body".into()),
            });
        })
    }

    /// Records the next piece; an error in the place of the last one, where the whole is not what it must be.
    async fn data(&mut self, frame: Frame<Bytes>) -> Result<Result<Bytes, BodyError>, Unrecorded> {
        // Trailers end here, as those of requests.
        let data = frame.into_data().unwrap_or_default();
        let length = data.len() as u64;
        if length > 0 && self.exchange.is_left() {
            undelivered(&self.exchange).await;
        }
        if let Some(digest) = &mut self.digest {
            digest.update(&data);
        }
        self.exchange.response_data(data.clone()).await?;
        // The client of a body of known length does not wait for its end: its last byte is withheld. And where the end is
        // known to come with this piece, it goes on with it.
        self.left = self.left.map(|left| left.saturating_sub(length));
        let is_last = self.left == Some(0) || self.body.is_end_stream();
        let wrong = if is_last { self.end().await? } else { None };
        Ok(wrong.map_or(Ok(data), Err))
    }

    /// Everything was recorded: makes it durable, once. Gives an error where the whole is not what it must be.
    pub(super) async fn end(&mut self) -> Result<Option<BodyError>, Unrecorded> {
        if self.ended {
            return Ok(None);
        }
        let digest = self.digest.take().map(|digest| digest.finish());
        if let Some(Expected(expected)) = self.expected {
            let found = match digest {
                Some(digest) => digest,
                None => self.exchange.digest(Direction::Response).await?.finish(),
            };
            let (found, expected) = (sha256(found), sha256(expected));
            if found != expected {
                return Ok(Some(BodyError::Upstream(Box::new(WrongDigest { found, expected }))));
            }
        }
        self.ended = true;
        let noted = digest.filter(|_| self.exchange.payload() == Payload::Digest);
        self.exchange.response_end(noted.map(sha256)).await?;
        Ok(None)
    }
}

fn sha256(digest: [u8; 32]) -> String {
    format!("sha256:{}", hex::encode(digest))
}
