//! What the policy says to a request, and the proof that it said yes.

use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;

use crate::approval::Granted;

/// The policy's answer to everything that one request asks for: the strictest wins.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Permit(Permit),
    /// Only after a human approved exactly this.
    Hold(Hold),
    /// No.
    Denial(Denial),
}

impl Verdict {
    /// The word for it in recordings and the index.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Permit(_) => "permit",
            Self::Hold(_) => "hold",
            Self::Denial(_) => "deny",
        }
    }

    /// Why, per access.
    pub fn grounds(&self) -> &Grounds {
        match self {
            Self::Permit(permit) => &permit.grounds,
            Self::Hold(hold) => &hold.grounds,
            Self::Denial(denial) => &denial.grounds,
        }
    }
}

/// The proof that the policy allows a request. Only [`crate::policy`] can make one, directly or from a
/// [`Hold`] that was granted; forwarding takes it by value.
#[derive(Debug)]
pub struct Permit {
    grounds: Grounds,
    obligations: Obligations,
}

impl Permit {
    pub(crate) fn new(grounds: Grounds, obligations: Obligations) -> Self {
        Self { grounds, obligations }
    }

    /// Why it was given.
    pub fn grounds(&self) -> &Grounds {
        &self.grounds
    }

    /// What it asks besides.
    pub fn obligations(&self) -> &Obligations {
        &self.obligations
    }
}

/// The proof that the policy may permit a request of which not everything is known yet, that it does not forbid
/// it whatever else comes to light, and that nobody can have to approve it. Only [`crate::policy`] can make one:
/// the beginning of a request may go upstream with it, and never its end, which needs a [`Permit`].
#[derive(Debug, Serialize)]
pub struct Provisional {
    policy: String,
    open: Vec<String>,
}

impl Provisional {
    pub(crate) fn new(policy: String, open: Vec<String>) -> Self {
        Self { policy, open }
    }

    /// The rules that may still forbid it.
    pub fn open(&self) -> &[String] {
        &self.open
    }
}

/// A request that waits for people.
#[derive(Debug)]
pub struct Hold {
    grounds: Grounds,
    obligations: Obligations,
    terms: ApprovalTerms,
}

impl Hold {
    pub(crate) fn new(grounds: Grounds, obligations: Obligations, terms: ApprovalTerms) -> Self {
        Self { grounds, obligations, terms }
    }

    /// Whose approval is asked for, and how long it takes and lasts.
    pub fn terms(&self) -> &ApprovalTerms {
        &self.terms
    }

    /// Why.
    pub fn grounds(&self) -> &Grounds {
        &self.grounds
    }

    /// What it asks besides.
    pub fn obligations(&self) -> &Obligations {
        &self.obligations
    }

    /// Becomes a permit by a granted approval, which is used up by it.
    pub fn release(self, _granted: Granted) -> Permit {
        Permit::new(self.grounds, self.obligations)
    }
}

/// A request that is refused.
#[derive(Debug)]
pub struct Denial {
    grounds: Grounds,
}

impl Denial {
    pub(crate) fn new(grounds: Grounds) -> Self {
        Self { grounds }
    }

    /// Why.
    pub fn grounds(&self) -> &Grounds {
        &self.grounds
    }
}

/// Why a verdict is what it is: the policy's version and, per access in the request's order, the
/// effect and the rule that led to it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Grounds {
    /// The hash of the policy's text.
    pub policy: String,
    /// One per access, in the request's order.
    pub accesses: Vec<Ground>,
}

/// Why one access was decided so.
#[derive(Debug, Clone, Serialize)]
pub struct Ground {
    /// What the policy says to this access alone.
    pub effect: Effect,
    /// The deciding rules' ids; empty where the default decided.
    pub rules: Vec<String>,
    /// What the caller is told; empty where it is allowed.
    pub reason: String,
}

/// What a rule decides. Ordered by strictness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Let it pass.
    Allow,
    /// Let it pass after a human approved it.
    RequireApproval,
    /// Refuse it.
    Deny,
}

impl Effect {
    /// The word in policies.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::RequireApproval => "require_approval",
            Self::Deny => "deny",
        }
    }
}

/// What a verdict asks besides; those of all matching rules are united.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Obligations {
    /// Classes of secrets to mask in the response: `all`, or names of detection rules.
    pub mask: BTreeSet<String>,
    /// What is recorded.
    pub record: RecordTerms,
}

/// What is recorded, how long it is kept, and what happens when it can't be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RecordTerms {
    /// How long the recording is kept.
    pub retain: Duration,
    /// Bodies, or only their digests.
    pub payload: Payload,
    /// Without a durable place to record.
    pub on_failure: OnFailure,
}

impl Default for RecordTerms {
    fn default() -> Self {
        Self { retain: Duration::from_hours(90 * 24), payload: Payload::Full, on_failure: OnFailure::Strict }
    }
}

/// How much of a body is recorded. Ordered: where rules differ, the larger is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// Only digest and length.
    Digest,
    /// Every byte.
    Full,
}

/// What happens to an exchange that can't be recorded. Ordered: the stricter is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It goes on, and the recording says that something is missing.
    BestEffort,
    /// It is refused.
    Strict,
}

/// The terms of an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApprovalTerms {
    /// Who may approve: names of groups. Empty: anyone with the role of an approver.
    pub from: BTreeSet<String>,
    /// How many distinct people.
    pub count: u32,
    /// How long the client is kept waiting.
    pub hold: Duration,
    /// How long the request for approval, and an approval not yet used, stay valid.
    pub ttl: Duration,
    /// What becomes of the request when the client goes away while it waits.
    pub on_disconnect: OnDisconnect,
}

/// What becomes of a held request whose client has gone. Ordered: the safer is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDisconnect {
    /// It waits on, and is forwarded when approved.
    Continue,
    /// It is dropped; the approval stays open for the next attempt.
    Cancel,
}
