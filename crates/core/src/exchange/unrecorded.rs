//! What it means for a request that it can't be recorded: our fault, and an end.

use lockgate_recording::RecordError;

use crate::{
    body::BodyError,
    refusal::{Refusal, RefusalKind},
};

/// An event could not be recorded, and the policy does not let the exchange go on without.
#[derive(Debug, thiserror::Error)]
#[error("the exchange can't be recorded")]
pub struct Unrecorded(#[source] pub(super) RecordError);

impl Unrecorded {
    /// A refusal to show the answer to what was forwarded meanwhile.
    pub(crate) fn withheld(self) -> Refusal {
        let reason = "there is no durable place to record this request; its answer is withheld";
        Refusal::new(RefusalKind::RecordingUnavailable, reason).because(&self)
    }
}

impl From<Unrecorded> for Refusal {
    fn from(error: Unrecorded) -> Self {
        let reason = "there is no durable place to record this request; nothing was forwarded";
        Self::new(RefusalKind::RecordingUnavailable, reason).because(&error)
    }
}

impl From<Unrecorded> for BodyError {
    fn from(error: Unrecorded) -> Self {
        Self::Ours(error.into())
    }
}
