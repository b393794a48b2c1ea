//! Where the control plane keeps its state. One trait, so that every implementation is held to the same
//! conformance suite.
//!
//! Each method is one transaction, the audit event of an administrative act included: it happened and is
//! written down, or neither. The rules of an approval's life are not a store's to know; it applies
//! [`crate::model::Approval`]'s to a row that nobody else changes meanwhile.

#[cfg(test)]
mod conformance;
mod sqlite;

use jiff::Timestamp;
use lockgate_core::{index::Entry, principal::Principal};

use crate::model::{
    Approval, ApprovalRequest, AuditEvent, Decision, EntryFilter, NotDecided, Page, PageRequest,
    PublishedPolicy, Session, State,
};

pub use sqlite::SqliteStore;

/// A policy to be published, checked already.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The hash of the text.
    pub version: String,
    /// The document.
    pub text: String,
    /// Who publishes.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub comment: String,
    /// Only while this version is in force.
    pub if_current: Option<String>,
    /// What the audit calls it.
    pub act: PolicyAct,
}

/// How a policy came into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyAct {
    /// Its text was sent.
    Publish,
    /// It had been in force before.
    RollBack,
}

impl PolicyAct {
    /// The audit's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Publish => "policy.publish",
            Self::RollBack => "policy.roll_back",
        }
    }
}

/// Which policy is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which<'a> {
    /// The one in force.
    Current,
    /// The one in force before it.
    Previous,
    /// The latest publication of this version.
    Version(&'a str),
}

/// How many requests of one principal may wait for an answer: more, and no human would find any in the list.
pub const MAX_PENDING: u64 = 200;

/// Keeps the state.
#[tonic::async_trait]
pub trait Store: std::fmt::Debug + Send + Sync + 'static {
    /// Makes a policy the one in force. The text in force already is left as it is.
    async fn publish(&self, publication: Publication) -> Result<PublishedPolicy, StoreError>;

    /// A policy with its text, where there is one.
    async fn policy(&self, which: Which<'_>) -> Result<Option<PublishedPolicy>, StoreError>;

    /// The log of publications, newest first, without texts.
    async fn policies(&self, page: &PageRequest) -> Result<Page<PublishedPolicy>, StoreError>;

    /// Finds the open approval that answers this request, or makes a new one.
    async fn request_approval(
        &self,
        request: ApprovalRequest,
        now: Timestamp,
    ) -> Result<Approval, StoreError>;

    /// An approval as it is now.
    async fn approval(&self, id: &str, now: Timestamp) -> Result<Approval, StoreError>;

    /// Approvals in one of these states (none: in any), newest first.
    async fn approvals(
        &self,
        states: &[State],
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<Approval>, StoreError>;

    /// Takes a person's answer.
    async fn decide(&self, id: &str, decision: Decision) -> Result<Approval, StoreError>;

    /// Uses an approval up, for one exchange.
    async fn redeem(&self, id: &str, exchange: &str, now: Timestamp) -> Result<Approval, StoreError>;

    /// Stores entries; each replaces an earlier one of its exchange.
    async fn put_entries(&self, entries: &[Entry]) -> Result<(), StoreError>;

    /// Adds the entries of exchanges that there is none of yet, which a person has read from the recordings. What
    /// proxies said stays as it is.
    async fn restore_entries(
        &self,
        entries: &[Entry],
        by: &Principal,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Entries, newest first.
    async fn search_entries(
        &self,
        filter: &EntryFilter,
        page: &PageRequest,
    ) -> Result<Page<Entry>, StoreError>;

    /// Sessions of matching entries, by the latest of these, newest first.
    async fn search_sessions(
        &self,
        filter: &EntryFilter,
        page: &PageRequest,
    ) -> Result<Page<Session>, StoreError>;

    /// One entry.
    async fn entry(&self, exchange: &str) -> Result<Entry, StoreError>;

    /// The audit, newest first.
    async fn audit(&self, page: &PageRequest) -> Result<Page<AuditEvent>, StoreError>;

    /// Ends it: what was answered is durable, and nothing is left open.
    async fn close(&self);
}

/// Why a store does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The caller: there is no such thing.
    #[error("there is no {what} {id:?}")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// The caller: another policy came into force meanwhile.
    #[error("the policy in force is {current}, not the one this was based on: look at it and publish again")]
    NotCurrent {
        /// The version in force.
        current: String,
    },
    /// The caller: an answer that does not count, or an approval that can't be used.
    #[error(transparent)]
    NotDecided(#[from] NotDecided),
    /// The caller: they have asked for more than people can answer.
    #[error("{MAX_PENDING} requests of yours wait for approval already: let people answer those first")]
    TooManyPending,
    /// The caller: a page token that this store did not give out.
    #[error("the page token is not one that was given out for this list")]
    PageToken,
    /// We: the database can't be reached, is full, or broken.
    #[error("the database of the control plane does not answer")]
    Database(#[from] sqlx::Error),
    /// We: the database can't be brought to this version.
    #[error("the database of the control plane can't be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// We: a row that this version does not understand.
    #[error("the database holds something unknown in {column}")]
    Row {
        /// Where.
        column: &'static str,
    },
}
