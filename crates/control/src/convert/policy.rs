//! Policies, and what a proxy says while it watches them.

use lockgate_proto::v1::{self, watch_policy_request::Message};

use super::{FromProto, IntoProto, Result, inner, not_empty, optional, present, short, time, timestamp};
use crate::model::{PolicyProblem, PublishedPolicy};

impl FromProto<v1::Policy> for PublishedPolicy {
    fn from_proto(policy: v1::Policy) -> Result<Self> {
        Ok(Self {
            revision: policy.revision,
            version: not_empty(policy.version, "version")?,
            text: policy.text,
            by: inner(policy.published_by, "published_by")?,
            at: time(policy.published_at, "published_at")?,
            comment: policy.comment,
            current: policy.current,
        })
    }
}

impl IntoProto for PublishedPolicy {
    type Message = v1::Policy;

    fn into_proto(self) -> v1::Policy {
        v1::Policy {
            revision: self.revision,
            version: self.version,
            text: self.text,
            published_by: Some((&self.by).into_proto()),
            published_at: Some(timestamp(self.at)),
            comment: self.comment,
            current: self.current,
        }
    }
}

impl FromProto<v1::PolicyProblem> for PolicyProblem {
    fn from_proto(problem: v1::PolicyProblem) -> Result<Self> {
        let v1::PolicyProblem { line, column, message } = problem;
        Ok(Self { line, column, message })
    }
}

impl IntoProto for PolicyProblem {
    type Message = v1::PolicyProblem;

    fn into_proto(self) -> v1::PolicyProblem {
        let PolicyProblem { line, column, message } = self;
        v1::PolicyProblem { line, column, message }
    }
}

/// What a person publishes.
pub(crate) struct Publish {
    pub(crate) text: String,
    pub(crate) comment: String,
    pub(crate) if_current: Option<String>,
}

impl FromProto<v1::PublishPolicyRequest> for Publish {
    fn from_proto(request: v1::PublishPolicyRequest) -> Result<Self> {
        Ok(Self {
            text: request.text,
            comment: short(request.comment, "comment")?,
            if_current: optional(request.if_current, "if_current")?,
        })
    }
}

/// What a watching proxy says.
pub(crate) enum WatchMessage {
    Start { proxy: String, version: String },
    Ack { version: String },
    Nack { version: String, reason: String },
}

impl FromProto<v1::WatchPolicyRequest> for WatchMessage {
    fn from_proto(request: v1::WatchPolicyRequest) -> Result<Self> {
        Ok(match present(request.message, "message")? {
            Message::Start(v1::WatchPolicyStart { proxy, version }) => {
                Self::Start { proxy: short(proxy, "start.proxy")?, version: short(version, "start.version")? }
            }
            Message::Ack(v1::PolicyAck { version }) => Self::Ack { version: short(version, "ack.version")? },
            Message::Nack(v1::PolicyNack { version, reason }) => {
                Self::Nack { version: short(version, "nack.version")?, reason: short(reason, "nack.reason")? }
            }
        })
    }
}

impl IntoProto for WatchMessage {
    type Message = v1::WatchPolicyRequest;

    fn into_proto(self) -> v1::WatchPolicyRequest {
        let message = match self {
            WatchMessage::Start { proxy, version } => Message::Start(v1::WatchPolicyStart { proxy, version }),
            WatchMessage::Ack { version } => Message::Ack(v1::PolicyAck { version }),
            WatchMessage::Nack { version, reason } => Message::Nack(v1::PolicyNack { version, reason }),
        };
        v1::WatchPolicyRequest { message: Some(message) }
    }
}
