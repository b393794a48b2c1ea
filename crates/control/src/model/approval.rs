//! An approval's life: asked for, answered, used once. The rules stand here, without I/O; a store applies
//! them inside a transaction.

use jiff::Timestamp;
use lockgate_core::{approval::TicketState, principal::Principal, verdict::ApprovalTerms};
use serde::{Deserialize, Serialize};

use super::stored::{StoredPrincipal, StoredTerms};

/// What is asked for. See [`lockgate_core::approval::Ask`], of which this is the owned form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRequest {
    /// Names the thing asked for.
    pub key: String,
    /// Who asks.
    #[serde(with = "StoredPrincipal")]
    pub requester: Principal,
    /// The session of the request that asks.
    pub session: String,
    /// On which upstream.
    pub upstream: String,
    /// For what.
    pub accesses: Vec<AskedAccess>,
    /// The rules that demand it.
    pub rules: Vec<String>,
    /// Who may approve, how many, for how long.
    #[serde(with = "StoredTerms")]
    pub terms: ApprovalTerms,
    /// The exchange that asks.
    pub exchange: String,
}

/// One access that approval is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedAccess {
    /// The protocol's name.
    pub protocol: String,
    /// The action.
    pub action: String,
    /// What is acted on.
    pub resource: String,
    /// What the access does to exactly which content.
    pub binding: String,
    /// The protocol's attributes as text, by name.
    pub attributes: Vec<(String, String)>,
}

/// A request for approval and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Its id: a UUIDv7.
    pub id: String,
    /// What was asked.
    pub request: ApprovalRequest,
    /// Where it stood when it was read.
    pub state: TicketState,
    /// What people answered, in order; one per person.
    pub decisions: Vec<Decision>,
    /// When it was asked for.
    pub created: Timestamp,
    /// Until when it can be answered, or used.
    pub expires: Timestamp,
    /// The exchange that used it up.
    pub used_by: Option<String>,
}

/// One person's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Whose.
    pub by: Principal,
    /// Which.
    pub answer: Answer,
    /// Why, in their words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// What a person answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

/// The states by name, without what belongs to them: for lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody, or not enough people, answered yet.
    Pending,
    /// Enough people approved; not used yet.
    Approved,
    /// Somebody refused.
    Denied,
    /// It was not answered, or not used, in time.
    Expired,
    /// It was approved and has been used.
    Used,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Approved, Self::Denied, Self::Expired, Self::Used];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Used => "used",
        }
    }

    /// Whether nothing can change it any more.
    pub fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Approved => false,
            Self::Denied | Self::Expired | Self::Used => true,
        }
    }
}

impl From<&TicketState> for State {
    fn from(state: &TicketState) -> Self {
        match state {
            TicketState::Pending => Self::Pending,
            TicketState::Approved { .. } => Self::Approved,
            TicketState::Denied { .. } => Self::Denied,
            TicketState::Expired => Self::Expired,
            TicketState::Used => Self::Used,
        }
    }
}

/// Why an answer does not count, or an approval can't be used. Always the caller's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDecided {
    /// Who asks never approves.
    #[error("whoever asked for an approval can't decide it, whatever their role")]
    OwnRequest,
    /// The terms name groups, and they are in none.
    #[error("it takes a member of {}", .0.join(" or "))]
    NotInGroups(Vec<String>),
    /// Its state can't be changed by this any more.
    #[error("the approval is {}: ask for a new one by repeating the request", .0.word())]
    NotOpen(State),
    /// It has not been approved.
    #[error("the approval is still pending")]
    StillPending,
}

/// Whether both are the same person: the issuer's name for them, whatever groups they are in.
pub fn same_person(one: &Principal, other: &Principal) -> bool {
    one.issuer == other.issuer && one.subject == other.subject
}

impl Approval {
    /// A new request for approval.
    pub(crate) fn new(id: String, request: ApprovalRequest, now: Timestamp) -> Self {
        let expires = after(now, &request.terms);
        let state = TicketState::Pending;
        Self { id, request, state, decisions: Vec::new(), created: now, expires, used_by: None }
    }

    /// The state's name.
    pub fn state(&self) -> State {
        (&self.state).into()
    }

    /// Whether asking for `request` again is asking for this one again. An approval that was given on other
    /// terms is not: a policy that has become stricter must be satisfied anew.
    pub(crate) fn answers(&self, request: &ApprovalRequest) -> bool {
        !self.state().is_final() && self.request.key == request.key && self.request.terms == request.terms
    }

    /// Takes a person's answer; says whether it changed anything.
    ///
    /// # Errors
    /// When the person may not answer, or it is too late. Nothing is changed then.
    pub(crate) fn decide(&mut self, decision: Decision) -> Result<bool, NotDecided> {
        self.state = self.state_at(decision.at);
        self.may_decide(&decision.by)?;
        if self.state().is_final() {
            return Err(NotDecided::NotOpen(self.state()));
        }
        let earlier = self.decisions.iter().position(|other| same_person(&other.by, &decision.by));
        match (decision.answer, earlier) {
            (Answer::Approve, Some(_)) => return Ok(false),
            // Who approved can still take it back, as long as it was not used.
            (Answer::Deny, Some(earlier)) => drop(self.decisions.remove(earlier)),
            (Answer::Approve | Answer::Deny, None) => {}
        }
        let (now, pending) = (decision.at, self.state == TicketState::Pending);
        self.decisions.push(decision);
        self.state = self.state_at(now);
        if pending && self.state() == State::Approved {
            self.expires = after(now, &self.request.terms);
        }
        Ok(true)
    }

    /// Uses it up for one exchange; again for the same exchange changes nothing. Says whether it did.
    ///
    /// # Errors
    /// When it is not approved, or was used by another exchange. Nothing is changed then.
    pub(crate) fn redeem(&mut self, exchange: &str, now: Timestamp) -> Result<bool, NotDecided> {
        self.state = self.state_at(now);
        if self.used_by.as_deref() == Some(exchange) {
            return Ok(false);
        }
        match self.state() {
            State::Approved => {}
            State::Pending => return Err(NotDecided::StillPending),
            state @ (State::Denied | State::Expired | State::Used) => return Err(NotDecided::NotOpen(state)),
        }
        self.used_by = Some(exchange.to_owned());
        self.state = TicketState::Used;
        Ok(true)
    }

    /// Where it stands, from what was answered and the time.
    pub(crate) fn state_at(&self, now: Timestamp) -> TicketState {
        if let Some(no) = self.decisions.iter().find(|decision| decision.answer == Answer::Deny) {
            return TicketState::Denied { by: no.by.to_string(), reason: no.reason.clone() };
        }
        if self.used_by.is_some() {
            return TicketState::Used;
        }
        if now >= self.expires {
            return TicketState::Expired;
        }
        // A count of 0 never reaches here: the door refuses it.
        if self.decisions.len() >= self.request.terms.count.max(1) as usize {
            return TicketState::Approved { by: self.approvers() };
        }
        TicketState::Pending
    }

    /// Who approved.
    pub fn approvers(&self) -> Vec<String> {
        let yes = self.decisions.iter().filter(|decision| decision.answer == Answer::Approve);
        yes.map(|decision| decision.by.to_string()).collect()
    }

    fn may_decide(&self, person: &Principal) -> Result<(), NotDecided> {
        if same_person(person, &self.request.requester) {
            return Err(NotDecided::OwnRequest);
        }
        let from = &self.request.terms.from;
        if !from.is_empty() && !person.groups.iter().any(|group| from.contains(group)) {
            return Err(NotDecided::NotInGroups(from.iter().cloned().collect()));
        }
        Ok(())
    }
}

/// When what begins now ends by the terms.
fn after(now: Timestamp, terms: &ApprovalTerms) -> Timestamp {
    now.checked_add(terms.ttl).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
