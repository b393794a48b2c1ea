//! What goes wrong, as a status of gRPC: the only place where one becomes the other.
//!
//! A status says what the caller can do about it. What is ours to repair is told to the log, and the caller
//! only that it is.

use lockgate_core::policy::PolicyErrors;
use tonic::{Code, Status};

use crate::{convert::WrongField, model::NotDecided, store::StoreError};

/// How long a message may be: it travels in a header, of which clients take 16 KiB.
const MAX_MESSAGE: usize = 4096;

impl From<WrongField> for Status {
    fn from(error: WrongField) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NotFound { .. } => Code::NotFound,
            StoreError::NotCurrent { .. } => Code::FailedPrecondition,
            StoreError::NotDecided(NotDecided::OwnRequest | NotDecided::NotInGroups(_)) => {
                Code::PermissionDenied
            }
            StoreError::NotDecided(NotDecided::NotOpen(_) | NotDecided::StillPending) => {
                Code::FailedPrecondition
            }
            StoreError::TooManyPending => Code::ResourceExhausted,
            StoreError::PageToken => Code::InvalidArgument,
            StoreError::Database(_) => Code::Unavailable,
            StoreError::Migrate(_) | StoreError::Row { .. } => Code::Internal,
        };
        if matches!(code, Code::Unavailable | Code::Internal) {
            tracing::error!(error = chain(&error), "the control plane can't answer");
        }
        Self::new(code, error.to_string())
    }
}

/// A document that may not be published.
pub(crate) fn refused_policy(errors: &PolicyErrors) -> Status {
    let mut message = String::from("the policy is refused:");
    for error in errors.iter() {
        let line = format!("\n{error}");
        if message.len() + line.len() > MAX_MESSAGE {
            message.push_str("\n... and more: validate it to see everything");
            break;
        }
        message.push_str(&line);
    }
    Status::invalid_argument(message)
}

/// The control plane goes away in an orderly manner.
pub(crate) fn shutting_down() -> Status {
    Status::unavailable("the control plane is shutting down: try again")
}

/// An error with its causes, for the log.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
