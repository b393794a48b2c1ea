//! What a caller may see of what a request reads, part by part: the refs of a repository.
//!
//! The upstream's answer shows which parts there are, after the request was judged as a whole. Each is then
//! judged as an access of its own, by the same policy.

use std::{fmt, sync::Arc};

use super::{Policy, condition::Outcome, rule::Rule};
use crate::{access::Access, principal::Principal, verdict::Effect};

/// Whether a rule that has an effect speaks of the parts of an action.
pub(super) fn is_partial(rules: &[Rule]) -> bool {
    rules.iter().any(|rule| !rule.shadow && rule.when.is_partial())
}

/// Which parts of one access a caller may see.
pub struct Sight {
    policy: Arc<Policy>,
    principal: Arc<Principal>,
    upstream: String,
    access: Access,
    part: &'static str,
}

impl Policy {
    /// What of an access the caller may see; `None` where nothing that the policy says depends on it.
    pub fn sight(
        self: &Arc<Self>,
        principal: &Arc<Principal>,
        upstream: &str,
        access: &Access,
    ) -> Option<Sight> {
        let asked = self.asked(principal, upstream, access);
        let part = asked.part.filter(|_| asked.open)?;
        let rules = || self.rules.iter().filter(|rule| !rule.shadow);
        let of = |outcome| {
            rules().filter(move |rule| rule.when.outcome(&asked) == outcome).map(|rule| rule.effect)
        };
        let whole = of(Outcome::Yes).max();
        let differs = |effect| match whole {
            Some(whole) => effect > whole,
            None => effect != self.default,
        };
        of(Outcome::Open).any(differs).then(|| Sight {
            policy: Arc::clone(self),
            principal: Arc::clone(principal),
            upstream: upstream.to_owned(),
            access: access.clone(),
            part,
        })
    }

    /// The attribute of which an access's action reads values that are judged one by one.
    pub(super) fn part(&self, access: &Access) -> Option<&'static str> {
        let schema = self.schemas.iter().find(|schema| schema.protocol == access.protocol)?;
        schema.action(access.action)?.parts
    }
}

impl Sight {
    /// Whether the caller may see this part.
    pub fn permits(&self, part: &str) -> bool {
        let attributes = self.access.attributes.clone().with(self.part, part);
        let access = Access { attributes, ..self.access.clone() };
        let decision = self.policy.decide(&self.policy.asked(&self.principal, &self.upstream, &access));
        decision.ground.effect == Effect::Allow
    }
}

impl fmt::Debug for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sight({} of {}, {:?})", self.part, self.access.resource, self.policy)
    }
}
