//! A refusal: one domain value that each protocol renders in its own dialect.
//!
//! What the caller is told ([`Refusal::reason`]) and what the log says ([`Refusal::detail`]) are two
//! fields: a refusal never tells an outsider whether a target exists or how an upstream failed inside.

use std::fmt;

use http::StatusCode;
use serde::Serialize;

use crate::text::plain;

/// Why a request does not go on.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What kind, and so who is at fault.
    pub kind: RefusalKind,
    /// One sentence for the caller, without secrets and control characters.
    pub reason: String,
    /// Reasons per access, where they differ (a push of several refs); in the request's order.
    pub accesses: Vec<AccessRefusal>,
    /// The page where a human can approve, for [`RefusalKind::ApprovalNeeded`], if there is one.
    pub url: Option<String>,
    /// The command by which a human can approve, for [`RefusalKind::ApprovalNeeded`].
    pub command: Option<Box<str>>,
    /// For the log only.
    pub detail: Option<String>,
}

/// Why one access of a request does not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccessRefusal {
    /// One line for the caller.
    pub reason: String,
    /// The rule that said so, if one did.
    pub rule: Option<String>,
}

/// The kinds of refusal, by who is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The client: no credential, or one that does not verify.
    Unauthenticated,
    /// The client: the policy forbids it.
    Denied,
    /// The client: a human must approve it first.
    ApprovalNeeded,
    /// The client: a human said no.
    ApprovalDenied,
    /// The client: the request is malformed or ambiguous.
    Invalid,
    /// The client: the request exceeds a limit.
    TooLarge,
    /// The client: no such route or service here.
    NotFound,
    /// The client: it was too slow, or stopped.
    Timeout,
    /// The token's issuer: its keys can't be had, so nobody can be verified.
    IssuerUnavailable,
    /// The upstream: it can't be reached, or closed midway.
    UpstreamUnavailable,
    /// The upstream: it was too slow.
    UpstreamTimeout,
    /// The upstream: its answer makes no sense, or it refused our credential.
    UpstreamInvalid,
    /// We: there is no durable place to record.
    RecordingUnavailable,
    /// We: there is no policy, or no one to ask for an approval.
    PolicyUnavailable,
    /// We: anything else.
    Internal,
}

impl RefusalKind {
    /// The HTTP status where the dialect has no better word.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Denied | Self::ApprovalNeeded | Self::ApprovalDenied => StatusCode::FORBIDDEN,
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::UpstreamUnavailable | Self::UpstreamInvalid => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::IssuerUnavailable | Self::RecordingUnavailable | Self::PolicyUnavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The word for it in machine-readable answers and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Denied => "denied",
            Self::ApprovalNeeded => "approval_needed",
            Self::ApprovalDenied => "approval_denied",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::NotFound => "not_found",
            Self::Timeout => "timeout",
            Self::IssuerUnavailable => "issuer_unavailable",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamInvalid => "upstream_invalid",
            Self::RecordingUnavailable => "recording_unavailable",
            Self::PolicyUnavailable => "policy_unavailable",
            Self::Internal => "internal",
        }
    }
}

impl Refusal {
    /// A refusal with a reason for the caller.
    pub fn new(kind: RefusalKind, reason: impl Into<String>) -> Self {
        let reason = plain(&reason.into(), usize::MAX);
        Self { kind, reason, accesses: Vec::new(), url: None, command: None, detail: None }
    }

    /// Adds what only the log says: an error with its causes.
    #[must_use]
    pub fn because(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            detail.push_str(": ");
            detail.push_str(&cause.to_string());
            source = cause.source();
        }
        self.detail = Some(detail);
        self
    }

    /// Adds the page where a human can approve.
    #[must_use]
    pub fn with_url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Adds the command by which a human can approve.
    #[must_use]
    pub fn with_command(mut self, command: impl Into<Box<str>>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// One line for the caller: who refuses, why, by which rule, and what to do.
    pub fn line(&self, rule: Option<&str>) -> String {
        let mut line = format!("lockgate: {}", self.reason);
        if let Some(rule) = rule {
            line += &format!(" (rule {rule})");
        }
        if let Some(url) = &self.url {
            line += &format!("; approve at {url}");
        } else if let Some(command) = &self.command {
            line += &format!("; a person approves it by: {command}");
        }
        line
    }

    /// Adds the reasons per access.
    #[must_use]
    pub fn with_accesses(mut self, accesses: Vec<AccessRefusal>) -> Self {
        self.accesses = accesses;
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}
