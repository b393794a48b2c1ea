//! Explanation: for each rule whether it matched, and if not, the first matcher that failed.

use std::fmt;

use serde::Serialize;

use super::{Policy, reason::clean};
use crate::{
    access::Access,
    principal::Principal,
    verdict::{ApprovalTerms, Effect, Ground, Obligations},
};

/// What the policy says to one access, and why. It proves nothing: it holds no permit.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// Who asks.
    pub principal: String,
    /// The groups they are in.
    pub groups: Vec<String>,
    /// What is asked for, e.g. `git push on team/app`.
    pub asked: String,
    /// On which upstream.
    pub upstream: String,
    /// The rules, in the order of the document.
    pub rules: Vec<RuleTrace>,
    /// The verdict, with the deciding rules and what the caller is told.
    pub ground: Ground,
    /// What the verdict asks besides; nothing comes of it where it is to deny.
    pub obligations: Obligations,
    /// Whose approval is needed, where one is.
    pub approval: Option<ApprovalTerms>,
}

/// What became of one rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleTrace {
    /// The rule.
    pub id: String,
    /// What it decides where it matches.
    pub effect: Effect,
    /// Whether it only watches.
    pub shadow: bool,
    /// Why it does not match; `None` where it does.
    pub failed: Option<FailedMatcher>,
}

/// The first matcher that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedMatcher {
    /// Where it stands in the rule's `match`, e.g. `any[1].git.refs`.
    pub path: String,
    /// What it expects.
    pub expected: String,
    /// What there is.
    pub actual: String,
}

impl Policy {
    /// Explains what [`Policy::judge`] says to one access.
    pub fn explain(&self, principal: &Principal, upstream: &str, access: &Access) -> Explanation {
        let asked = self.asked(principal, upstream, access);
        let rules = self.rules.iter().map(|rule| RuleTrace {
            id: rule.id.clone(),
            effect: rule.effect,
            shadow: rule.shadow,
            failed: rule.when.check(&asked).err().map(|condition| FailedMatcher {
                path: condition.path().to_owned(),
                expected: condition.expected(),
                actual: condition.actual(&asked),
            }),
        });
        let decision = self.decide(&asked);
        let held = decision.ground.effect == Effect::RequireApproval;
        Explanation {
            principal: clean(&principal.to_string()),
            groups: self.groups(principal),
            asked: clean(&format!("{} {} on {}", access.protocol, access.action, access.resource)),
            upstream: clean(upstream),
            rules: rules.collect(),
            approval: decision.demand.filter(|_| held).and_then(|demand| demand.terms()),
            obligations: decision.oblige.with_defaults(self.record),
            ground: decision.ground,
        }
    }
}

impl Explanation {
    /// Why a rule did not decide: `; prod-push: git.refs is x, expected y`.
    pub(super) fn why_not(&self, rule: &str) -> Option<String> {
        let trace = self.rules.iter().find(|trace| trace.id == rule)?;
        Some(match &trace.failed {
            Some(failed) => format!("; {rule} does not match: {failed}"),
            None if trace.shadow => format!("; {rule} matches, but in shadow mode"),
            None => format!("; {rule} matches, and a stricter rule decides"),
        })
    }
}

impl fmt::Display for FailedMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.path, self.expected, self.actual)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} asks for {}, upstream {}", self.principal, self.asked, self.upstream)?;
        if !self.groups.is_empty() {
            writeln!(f, "in groups: {}", self.groups.join(", "))?;
        }
        for RuleTrace { id, effect, shadow, failed } in &self.rules {
            let shadow = if *shadow { ", shadow" } else { "" };
            match failed {
                None => writeln!(f, "  + {id} ({}{shadow}): matches", effect.word())?,
                Some(failed) => writeln!(f, "  - {id} ({}{shadow}): {failed}", effect.word())?,
            }
        }
        let by =
            if self.ground.rules.is_empty() { "default".to_owned() } else { self.ground.rules.join(", ") };
        write!(f, "{} by {by}", self.ground.effect.word())?;
        if !self.ground.reason.is_empty() {
            write!(f, ": {}", self.ground.reason)?;
        }
        if self.ground.effect != Effect::Deny && !self.obligations.mask.is_empty() {
            let mask: Vec<&str> = self.obligations.mask.iter().map(String::as_str).collect();
            write!(f, "\nmasks: {}", mask.join(", "))?;
        }
        Ok(())
    }
}
