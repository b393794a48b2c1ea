//! Approvals: what a human answers to one request, bound to exactly what was shown.
//!
//! The pipeline asks through [`Approvals`]; the control plane answers. Asking twice for the same thing
//! is the same approval, and a granted one is used up by [`Approvals::redeem`]: only that yields the
//! [`Granted`] which turns a hold into a permit.

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use futures::future::BoxFuture;

use crate::{access::Access, principal::Caller, verdict::ApprovalTerms};

/// A request for approval.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Names the thing asked for: principal, upstream and every access's binding. See [`Ask::key`].
    pub key: String,
    /// Who asks.
    pub caller: Caller,
    /// On which upstream.
    pub upstream: String,
    /// For what.
    pub accesses: Vec<Access>,
    /// The rules that demand it.
    pub rules: Vec<String>,
    /// Who may approve, how many, for how long.
    pub terms: ApprovalTerms,
    /// The exchange that asks, where an approver finds the content in the recording.
    pub exchange: String,
}

impl Ask {
    /// The key under which the same request by the same principal is the same approval: SHA-256, hex.
    pub fn key(caller: &Caller, upstream: &str, accesses: &[Access]) -> String {
        let mut digest = Context::new(&SHA256);
        let mut part = |text: &str| {
            digest.update(&(text.len() as u64).to_be_bytes());
            digest.update(text.as_bytes());
        };
        part(&caller.principal.issuer);
        part(&caller.principal.subject);
        part(upstream);
        for access in accesses {
            part(access.action);
            part(&access.resource);
            part(&access.binding);
        }
        hex::encode(digest.finish())
    }
}

/// Where a request for approval stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Its id.
    pub id: String,
    /// The page where a human sees and decides it, if there is one.
    pub url: Option<String>,
    /// The command that approves it.
    pub command: String,
    /// What was decided so far.
    pub state: TicketState,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketState {
    /// Nobody, or not enough people, answered yet.
    Pending,
    /// Enough people approved; not used yet.
    Approved {
        /// Who.
        by: Vec<String>,
    },
    /// Somebody refused.
    Denied {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// It was not answered, or not used, in time.
    Expired,
    /// It was approved and has been used.
    Used,
}

/// An approval that has been used up for one request: the only way from a hold to a permit. Whoever
/// implements [`Approvals`] makes it, after the control plane said that this use is the first.
#[derive(Debug, Clone)]
pub struct Granted {
    /// The approval's id.
    pub id: String,
    /// Who approved.
    pub by: Vec<String>,
}

/// Why no answer can be had: always our fault, and never a pass.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApprovalError {
    /// The control plane can't be reached.
    #[error("the control plane can't be reached")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The approval is not open for use: already used, expired, or gone.
    #[error("the approval {0} can't be used any more")]
    NotUsable(String),
}

/// Who answers requests for approval.
pub trait Approvals: Send + Sync {
    /// Asks, or finds what was asked before under the same key and is still open.
    fn ask(&self, ask: Ask) -> BoxFuture<'_, Result<Ticket, ApprovalError>>;

    /// Resolves when the ticket is no longer pending. The caller sets the time limit.
    fn decided<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<TicketState, ApprovalError>>;

    /// Uses an approved ticket up, for one exchange.
    fn redeem<'a>(&'a self, id: &'a str, exchange: &'a str) -> BoxFuture<'a, Result<Granted, ApprovalError>>;
}
