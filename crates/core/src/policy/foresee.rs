//! What the policy will say to a request of which not everything is known yet.
//!
//! Only where no verdict but a permit or a denial can come of it, and a permit can: then its beginning may go
//! upstream, for what nobody has to approve need not wait, and what is refused is cut off before its end.

use super::{
    Policy,
    condition::{Asked, Matcher, Outlook},
};
use crate::{
    access::Outline,
    principal::Principal,
    verdict::{Effect, Provisional},
};

impl Policy {
    /// Judges what one request asks for as far as it is known. `None` where an approval may be needed, where it
    /// is denied already, or where only a part of what is asked for may be read.
    pub fn foresee(
        &self,
        principal: &Principal,
        upstream: &str,
        outlines: &[Outline],
    ) -> Option<Provisional> {
        let mut open = Vec::new();
        for outline in outlines {
            self.foresee_one(principal, upstream, outline, &mut open)?;
        }
        open.sort_unstable();
        open.dedup();
        (!outlines.is_empty()).then(|| Provisional::new(self.version.clone(), open))
    }

    /// Whether anything but a denial can come of what one request asks for, as far as it is known.
    pub fn may_pass(&self, principal: &Principal, upstream: &str, outlines: &[Outline]) -> bool {
        outlines.iter().all(|outline| {
            let asked = self.asked(principal, upstream, &outline.access);
            if asked.open {
                return true;
            }
            let mut may_pass = self.default != Effect::Deny;
            for rule in self.rules.iter().filter(|rule| !rule.shadow) {
                let Outlook { may_hold, may_fail } =
                    rule.when.outlook(&|matcher| outlined(matcher, &asked, outline));
                match rule.effect {
                    Effect::Allow | Effect::RequireApproval => may_pass |= may_hold,
                    Effect::Deny if may_hold && !may_fail => return false,
                    Effect::Deny => {}
                }
            }
            may_pass
        })
    }

    fn foresee_one(
        &self,
        principal: &Principal,
        upstream: &str,
        outline: &Outline,
        open: &mut Vec<String>,
    ) -> Option<()> {
        let asked = self.asked(principal, upstream, &outline.access);
        if asked.open {
            return None;
        }
        let (mut may_pass, mut passes) = (self.default == Effect::Allow, self.default == Effect::Allow);
        for rule in self.rules.iter().filter(|rule| !rule.shadow) {
            let Outlook { may_hold, may_fail } =
                rule.when.outlook(&|matcher| outlined(matcher, &asked, outline));
            match rule.effect {
                Effect::Allow => {
                    may_pass |= may_hold;
                    passes |= !may_fail;
                }
                Effect::RequireApproval if may_hold => return None,
                Effect::Deny if may_hold && !may_fail => return None,
                Effect::Deny if may_hold => open.push(rule.id.clone()),
                Effect::RequireApproval | Effect::Deny => {}
            }
        }
        // Where no rule is certain to allow it, the default may be what decides.
        (passes || (may_pass && self.default == Effect::Deny)).then_some(())
    }
}

fn outlined(matcher: &Matcher, asked: &Asked<'_>, outline: &Outline) -> Outlook {
    match matcher {
        Matcher::Attribute { name, .. } if outline.open.contains(name) => Outlook::OPEN,
        Matcher::Attribute { .. }
        | Matcher::Everything
        | Matcher::Who { .. }
        | Matcher::Upstreams(_)
        | Matcher::Protocol(_)
        | Matcher::Actions(_) => Outlook::certain(matcher.matches(asked)),
    }
}
