//! What is recorded of the answer, and the digests of bodies that the recording makes.

use bytes::Bytes;
use http::response;
use lockgate_recording::{Direction, Event, Outcome, RecordError, ResponseHead, Sha256};

use super::{Exchange, Unrecorded};
use crate::{
    refusal::RefusalKind,
    verdict::{OnFailure, Payload},
};

impl Exchange {
    /// Records the response's head.
    pub async fn response_head(&self, head: &response::Parts) -> Result<(), Unrecorded> {
        self.state().entry.status = head.status.as_u16();
        let event = ResponseHead {
            status: head.status.as_u16(),
            version: format!("{:?}", head.version),
            fields: self.redactor().fields(&head.headers, &[]),
        };
        self.answered(self.append(Event::ResponseHead(event)).await)
    }

    /// Records body bytes to the client; only counted where the policy asks for no more.
    pub async fn response_data(&self, data: Bytes) -> Result<(), Unrecorded> {
        let payload = {
            let mut state = self.state();
            state.entry.bytes_out += data.len() as u64;
            state.terms.payload
        };
        match payload {
            Payload::Full => self.answered(self.append(Event::ResponseData(data)).await),
            Payload::Digest => Ok(()),
        }
    }

    /// Records that the response's body is whole, with the digest of what was not recorded itself, and waits
    /// until all of it is durable: what a client was told whole is so after a crash too.
    pub async fn response_end(&self, digest: Option<String>) -> Result<(), Unrecorded> {
        let end = async {
            if let Some(text) = digest {
                self.note("response-digest", text).await?;
            }
            let outcome = self.state().outcome.clone().unwrap_or(Outcome::Complete);
            self.append(Event::ResponseEnd { outcome: Some(outcome) }).await?;
            self.durable().await
        };
        self.answered(end.await)
    }

    /// What makes the SHA-256 of a body, after all that is recorded of it.
    pub(crate) async fn digest(&self, direction: Direction) -> Result<Sha256, Unrecorded> {
        let recorder = self.recorder().ok_or(Unrecorded(RecordError::Closed))?;
        recorder.digest(direction).await.map_err(Unrecorded)
    }

    /// Whether every byte of a body is recorded, or goes no further.
    pub(crate) fn records_all(&self, direction: Direction) -> bool {
        let terms = self.state().terms;
        let is_whole = direction == Direction::Request || terms.payload == Payload::Full;
        is_whole && terms.on_failure == OnFailure::Strict && self.recorder().is_some()
    }

    /// What was never forwarded is answered by us: the client is told why also where that can't be recorded.
    /// The exchange is not called whole for it.
    fn answered(&self, done: Result<(), Unrecorded>) -> Result<(), Unrecorded> {
        let Err(error) = done else { return Ok(()) };
        if self.0.on_its_way.is_cancelled() {
            return Err(error);
        }
        if !self.is_concluded() {
            tracing::error!(exchange = %self.id(), error = %error.0, "an answer of our own is not recorded");
            self.conclude(Outcome::Failed(RefusalKind::RecordingUnavailable.word().into()));
        }
        Ok(())
    }

    /// Whether response bodies are recorded by their digest only.
    pub fn payload(&self) -> Payload {
        self.state().terms.payload
    }
}
