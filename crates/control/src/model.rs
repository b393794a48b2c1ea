//! What the control plane keeps: published policies, approvals, what can be searched, the audit.
//!
//! Plain types, neither generated nor rows: `convert` turns the first into these, a
//! [`crate::store::Store`] the second.

mod approval;
mod search;
mod stored;

use jiff::Timestamp;
use lockgate_core::principal::Principal;

pub use approval::{
    Answer, Approval, ApprovalRequest, AskedAccess, Decision, NotDecided, State, same_person,
};
pub use search::{EntryFilter, Session, Verdict};

/// One publication of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedPolicy {
    /// Its place in the log of publications, from 1.
    pub revision: u64,
    /// The hash of the text.
    pub version: String,
    /// The document; empty in lists.
    pub text: String,
    /// Who published it.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
    /// Why, in the publisher's words.
    pub comment: String,
    /// Whether it is the one in force.
    pub current: bool,
}

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyProblem {
    /// From 1; 0 where it concerns the document as a whole.
    pub line: u32,
    /// From 1; 0 where it concerns the document as a whole.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}, column {}: {}", self.column, self.message),
        }
    }
}

/// One administrative act.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEvent {
    /// Its place in the audit, from 1, without gaps.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Principal,
    /// What was done, e.g. `policy.publish`.
    pub action: String,
    /// To what: a policy's version, an approval's id.
    pub target: String,
    /// The reason or comment given.
    pub detail: String,
}

/// A part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// At most this many; 0: a default.
    pub size: u32,
    /// [`Page::next`] of the page before.
    pub token: Option<String>,
}

impl PageRequest {
    /// The first page, of at most `size`.
    pub fn first(size: u32) -> Self {
        Self { size, token: None }
    }

    /// What is given out at once where nothing is asked for, and at most.
    pub(crate) fn limit(&self) -> u32 {
        const DEFAULT: u32 = 100;
        const MAX: u32 = 1000;
        if self.size == 0 { DEFAULT } else { self.size.min(MAX) }
    }
}

/// A part of a list, and how to get the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// In the order of the list.
    pub items: Vec<T>,
    /// For the next page, where there is one.
    pub next: Option<String>,
}
