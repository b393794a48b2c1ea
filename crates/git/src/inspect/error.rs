//! Why nothing can be said of a push.

use lockgate_core::refusal::{Refusal, RefusalKind};

use crate::{ask::AskError, oid::Oid, pack::PackError};

/// Why an inspection came to no result; the push is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectError {
    /// As [`PackError`] says of the pushed pack.
    #[error(transparent)]
    Pushed(#[from] PackError),
    /// The client: more than the limits.
    #[error("the push exceeds the limit of {0}")]
    TooLarge(&'static str),
    /// The client: it relies on objects that nobody has.
    #[error("the push lacks objects that the upstream does not have either")]
    Missing,
    /// The client, or an upstream that does not give the objects it has.
    #[error("neither the push nor the upstream holds what the push stands on")]
    NotGiven(#[source] AskError),
    /// The upstream: it can't be asked for what the push lacks.
    #[error("the upstream can't be asked for what the push lacks")]
    Asked(#[source] AskError),
    /// The upstream: its answer is no pack, or larger than the limits.
    #[error("the upstream's answer about what the push lacks can't be used")]
    Answer(#[source] PackError),
    /// The upstream: it took too long.
    #[error("the upstream takes too long to say what the push lacks")]
    Slow,
}

impl InspectError {
    /// An object that is not what it should be.
    pub(super) fn malformed(kind: &'static str, name: Oid, fault: &'static str) -> Self {
        Self::Pushed(PackError::Object { kind, name, fault })
    }

    pub(super) fn asked(error: AskError) -> Self {
        if matches!(error, AskError::NotGiven) { Self::NotGiven(error) } else { Self::Asked(error) }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::Pushed(error) => match error {
                PackError::Malformed(_)
                | PackError::Inflate(_)
                | PackError::Object { .. }
                | PackError::Collision => RefusalKind::Invalid,
                PackError::TooLarge(_) => RefusalKind::TooLarge,
                PackError::Stopped => RefusalKind::Timeout,
                PackError::Io(_) => RefusalKind::Internal,
            },
            Self::TooLarge(_) => RefusalKind::TooLarge,
            Self::Missing | Self::NotGiven(_) => RefusalKind::Invalid,
            Self::Asked(_) => RefusalKind::UpstreamUnavailable,
            Self::Answer(_) => RefusalKind::UpstreamInvalid,
            Self::Slow => RefusalKind::UpstreamTimeout,
        }
    }
}

impl From<InspectError> for Refusal {
    fn from(error: InspectError) -> Self {
        Self::new(error.kind(), error.to_string()).because(&error)
    }
}
