//! What a caller of the control plane gets instead of an answer.

use std::error::Error;

use tonic::{Code, Status};

use crate::{convert::WrongField, model::PolicyProblem};

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The control plane, or the way there: it can't be reached, or not in time. Trying again may help.
    #[error("the control plane can't be reached: {0}")]
    Unavailable(String),
    /// The caller: no token or certificate that is taken.
    #[error("the control plane does not know you: {0}")]
    Unauthenticated(String),
    /// The caller: not theirs to do.
    #[error("{0}")]
    Forbidden(String),
    /// The caller: there is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The caller: not as things stand.
    #[error("{0}")]
    NotNow(String),
    /// The caller: it makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Whoever wrote the policy: it is none.
    #[error("the policy is refused")]
    Policy(Vec<PolicyProblem>),
    /// The control plane: an answer that makes no sense here; it may be of another version.
    #[error("the control plane's answer makes no sense")]
    Answer(#[from] WrongField),
    /// The control plane: it failed, and its log says how.
    #[error("the control plane failed: {0}")]
    Failed(String),
}

impl CallError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Unauthenticated(_)
            | Self::Forbidden(_)
            | Self::NotFound(_)
            | Self::NotNow(_)
            | Self::Invalid(_)
            | Self::Policy(_)
            | Self::Answer(_)
            | Self::Failed(_) => false,
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let message = || status.message().to_owned();
        match status.code() {
            // What the other side says has no source here: this is the transport's.
            _ if status.source().is_some() => Self::Unavailable(with_causes(&status)),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
                Self::Unavailable(with_causes(&status))
            }
            Code::Unauthenticated => Self::Unauthenticated(message()),
            Code::PermissionDenied => Self::Forbidden(message()),
            Code::NotFound => Self::NotFound(message()),
            Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => Self::NotNow(message()),
            Code::InvalidArgument | Code::OutOfRange | Code::ResourceExhausted => Self::Invalid(message()),
            Code::Unimplemented => Self::Failed(format!("it is of another version: {}", status.message())),
            Code::Ok | Code::Internal | Code::DataLoss => Self::Failed(message()),
        }
    }
}

fn with_causes(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // The transport's errors repeat each other.
        if !text.contains(&cause_text) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let transient = |status: Status| CallError::from(status).is_transient();
        assert!(transient(Status::unavailable("x")));
        assert!(transient(Status::deadline_exceeded("x")));
        assert!(transient(Status::unknown("transport error")));
        assert!(transient(Status::from_error(Box::new(std::io::Error::other("reset")))));
        assert!(!transient(Status::permission_denied("x")));
        assert!(!transient(Status::failed_precondition("x")));
        assert!(!transient(Status::internal("x")));
    }

    #[test]
    fn causes_are_told_once() {
        let cause = std::io::Error::other("connection refused");
        let status = Status::from_error(Box::new(cause));
        let text = CallError::from(status).to_string();
        assert_eq!(text.matches("connection refused").count(), 1, "{text}");
    }
}
