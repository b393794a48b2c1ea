//! Evaluation: the only place that makes a permit, a hold or a denial.
//!
//! Deny goes before require_approval, that before allow, and that before the default; the order of the
//! rules does not matter to the effect. Over several accesses of one request the strictest wins.

use tracing::{error, info};

use super::{
    Policy,
    condition::{Asked, Outcome},
    describe, reason,
    rule::Rule,
    terms::{Demand, Oblige, add, unite},
};
use crate::{
    access::Access,
    principal::Principal,
    verdict::{Denial, Effect, Ground, Grounds, Hold, Obligations, Permit, Verdict},
};

/// What the policy says to one access.
pub(super) struct Decision {
    pub(super) ground: Ground,
    pub(super) oblige: Oblige,
    pub(super) demand: Option<Demand>,
}

impl Policy {
    /// Judges everything that one request asks for. Who asks for nothing is refused.
    pub fn judge(&self, principal: &Principal, upstream: &str, accesses: &[Access]) -> Verdict {
        let mut obligations: Option<Obligations> = None;
        let mut demand: Option<Demand> = None;
        let mut grounds =
            Grounds { policy: self.version.clone(), accesses: Vec::with_capacity(accesses.len()) };
        for access in accesses {
            let asked = self.asked(principal, upstream, access);
            self.report_shadows(&asked);
            let decision = self.decide(&asked);
            let other = decision.oblige.with_defaults(self.record);
            obligations = Some(match obligations {
                Some(obligations) => unite(obligations, other),
                None => other,
            });
            if let Some(other) = decision.demand {
                add(&mut demand, other);
            }
            grounds.accesses.push(decision.ground);
        }
        let strictest = grounds.accesses.iter().map(|ground| ground.effect).max();
        let (Some(strictest), Some(obligations)) = (strictest, obligations) else {
            return Verdict::Denial(Denial::new(grounds));
        };
        match strictest {
            Effect::Deny => Verdict::Denial(Denial::new(grounds)),
            Effect::Allow => Verdict::Permit(Permit::new(grounds, obligations)),
            Effect::RequireApproval => match demand.and_then(|demand| demand.terms()) {
                Some(terms) => Verdict::Hold(Hold::new(grounds, obligations, terms)),
                None => Verdict::Denial(Denial::new(apart(grounds))),
            },
        }
    }

    pub(super) fn asked<'a>(
        &'a self,
        principal: &'a Principal,
        upstream: &'a str,
        access: &'a Access,
    ) -> Asked<'a> {
        let part = self.part(access);
        let open = self.partial && part.is_some_and(|part| access.attributes.get(part).is_none());
        Asked { principal, upstream, access, part, open, groups: &self.groups }
    }

    /// Judges one access. Where an attribute is open, as for the value of it that is best for the caller.
    pub(super) fn decide(&self, asked: &Asked<'_>) -> Decision {
        if let Some(fault) = describe::fault(&self.schemas, asked.access) {
            error!(fault, "an access that the policy cannot judge is refused");
            let reason = "the gateway cannot judge this request".to_owned();
            let ground = Ground { effect: Effect::Deny, rules: Vec::new(), reason };
            return Decision { ground, oblige: Oblige::default(), demand: None };
        }
        let maskable = self.maskable(asked.access);
        let mut oblige = Oblige::default();
        let mut demand = None;
        let mut deciding: Option<&Rule> = None;
        let mut rules = Vec::new();
        let mut partly = Vec::new();
        for rule in self.rules.iter().filter(|rule| !rule.shadow) {
            match rule.when.outcome(asked) {
                Outcome::Yes => {}
                // What forbids some part is for the judgement of that part.
                Outcome::Open if rule.effect == Effect::Allow => {
                    oblige.unite(&rule.oblige, maskable);
                    partly.push(rule);
                    continue;
                }
                Outcome::Open | Outcome::No => continue,
            }
            oblige.unite(&rule.oblige, maskable);
            if let Some(terms) = &rule.approval {
                add(&mut demand, Demand::new(terms));
            }
            let effect = deciding.map(|rule| rule.effect);
            if effect < Some(rule.effect) {
                deciding = Some(rule);
                rules.clear();
            }
            if deciding.is_some_and(|deciding| deciding.effect == rule.effect) {
                rules.push(rule.id.clone());
            }
        }
        if deciding.is_none() && self.default != Effect::Allow {
            deciding = partly.first().copied();
            rules.extend(partly.iter().map(|rule| rule.id.clone()));
        }
        let ground = match deciding {
            None => Ground { effect: self.default, rules, reason: self.default_reason(asked.access) },
            Some(rule) => ground(rule, rules, demand.as_ref(), asked),
        };
        Decision { ground, oblige, demand }
    }

    fn maskable(&self, access: &Access) -> bool {
        let schema = self.schemas.iter().find(|schema| schema.protocol == access.protocol);
        schema.and_then(|schema| schema.action(access.action)).is_some_and(|action| action.maskable)
    }

    fn default_reason(&self, access: &Access) -> String {
        match self.default {
            Effect::Allow => String::new(),
            Effect::RequireApproval | Effect::Deny => reason::no_rule(access),
        }
    }

    /// Says what the rules would do that only watch.
    fn report_shadows(&self, asked: &Asked<'_>) {
        for rule in self.rules.iter().filter(|rule| rule.shadow && rule.when.outcome(asked) == Outcome::Yes) {
            info!(
                rule = rule.id,
                would = rule.effect.word(),
                principal = %asked.principal,
                upstream = asked.upstream,
                action = asked.access.action,
                resource = asked.access.resource,
                "a shadow rule matches"
            );
        }
    }
}

/// The ground of the first of the rules that decide.
fn ground(rule: &Rule, rules: Vec<String>, demand: Option<&Demand>, asked: &Asked<'_>) -> Ground {
    let reason = || match &rule.reason {
        Some(template) => template.render(asked, &rule.when),
        None => reason::by_default(rule.effect, &rule.id, asked.access),
    };
    match rule.effect {
        Effect::Allow => Ground { effect: Effect::Allow, rules, reason: String::new() },
        Effect::Deny => Ground { effect: Effect::Deny, rules, reason: reason() },
        Effect::RequireApproval => match demand.and_then(Demand::terms) {
            Some(terms) => {
                let by = reason::approvers(&terms);
                let reason = match &rule.reason {
                    Some(_) => format!("{} (needs approval by {by})", reason()),
                    None => format!("{} by {by}", reason()),
                };
                Ground { effect: Effect::RequireApproval, rules, reason }
            }
            None => {
                let all = rules.join(" and ");
                let reason = format!(
                    "the rules {all} need the approval of different groups: none can give it for all"
                );
                Ground { effect: Effect::Deny, rules, reason }
            }
        },
    }
}

/// Each access could be approved, but no one approval is good for all: none is asked for.
fn apart(mut grounds: Grounds) -> Grounds {
    for ground in &mut grounds.accesses {
        if ground.effect == Effect::RequireApproval {
            ground.effect = Effect::Deny;
            ground
                .reason
                .push_str("; the request's other parts need the approval of others: send them apart");
        }
    }
    grounds
}
