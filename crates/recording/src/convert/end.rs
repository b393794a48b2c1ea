//! How exchanges end.

use bytes::Bytes;

use crate::{
    event::{BodyDigest, Closed, Outcome},
    generated::v1,
};

pub(crate) fn closed_to_proto(closed: Closed) -> v1::Closed {
    let (outcome, reason) = outcome_to_proto(Some(closed.outcome));
    let digest = |digest: BodyDigest| {
        Some(v1::Digest { length: digest.length, sha256: Bytes::copy_from_slice(&digest.sha256) })
    };
    v1::Closed {
        outcome: outcome.into(),
        reason,
        request: digest(closed.request),
        response: digest(closed.response),
    }
}

pub(crate) fn closed_from_proto(closed: v1::Closed) -> Result<Closed, &'static str> {
    let outcome =
        outcome_from_proto(closed.outcome(), closed.reason).ok_or("an outcome that does not exist")?;
    let digest = |digest: Option<v1::Digest>| {
        let digest = digest.ok_or("an end without digests")?;
        let sha256 = digest.sha256[..].try_into().map_err(|_| "a digest of the wrong length")?;
        Ok::<_, &'static str>(BodyDigest { length: digest.length, sha256 })
    };
    Ok(Closed { outcome, request: digest(closed.request)?, response: digest(closed.response)? })
}

pub(super) fn outcome_to_proto(outcome: Option<Outcome>) -> (v1::Outcome, String) {
    let outcome = match outcome {
        None => v1::Outcome::Unspecified,
        Some(Outcome::Complete) => v1::Outcome::Complete,
        Some(Outcome::Refused) => v1::Outcome::Refused,
        Some(Outcome::ClientGone) => v1::Outcome::ClientGone,
        Some(Outcome::UpstreamFailed) => v1::Outcome::UpstreamFailed,
        Some(Outcome::Failed(reason)) => return (v1::Outcome::Failed, reason),
        Some(Outcome::Abandoned) => v1::Outcome::Abandoned,
    };
    (outcome, String::new())
}

pub(super) fn outcome_from_proto(outcome: v1::Outcome, reason: String) -> Option<Outcome> {
    Some(match outcome {
        v1::Outcome::Unspecified => return None,
        v1::Outcome::Complete => Outcome::Complete,
        v1::Outcome::Refused => Outcome::Refused,
        v1::Outcome::ClientGone => Outcome::ClientGone,
        v1::Outcome::UpstreamFailed => Outcome::UpstreamFailed,
        v1::Outcome::Failed => Outcome::Failed(reason),
        v1::Outcome::Abandoned => Outcome::Abandoned,
    })
}
