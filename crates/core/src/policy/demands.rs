//! What a policy demands of people, for whoever checks whether a configuration has the people for it.
//!
//! Nothing here decides: it says what may come about, whatever a request's content and a token's claims are.

use super::{
    Policy,
    condition::{Matcher, Outlook},
    group::Group,
    rule::Rule,
};
use crate::verdict::ApprovalTerms;

/// What is known beforehand of the principals of an issuer.
#[derive(Debug, Clone, Copy)]
pub struct Kin<'a> {
    /// The issuer's name.
    pub issuer: &'a str,
    /// The groups that they can be in before the policy adds its own; `None` where that is for their tokens to say.
    pub groups: Option<&'a [String]>,
    /// Whether they have claims.
    pub claims: bool,
}

/// A rule that requires an approval.
#[derive(Debug, Clone, Copy)]
pub struct ApprovalRule<'a> {
    /// Its id.
    pub id: &'a str,
    /// Whose approval.
    pub terms: &'a ApprovalTerms,
    rule: &'a Rule,
    groups: &'a [Group],
}

impl Policy {
    /// The rules in force that require an approval.
    pub fn approval_rules(&self) -> impl Iterator<Item = ApprovalRule<'_>> {
        self.rules.iter().filter(|rule| !rule.shadow).filter_map(|rule| {
            let terms = rule.approval.as_ref()?;
            Some(ApprovalRule { id: &rule.id, terms, rule, groups: &self.groups })
        })
    }

    /// The groups that the document defines, each with the issuers of its members.
    pub fn defined_groups(&self) -> impl Iterator<Item = (&str, impl Iterator<Item = &str>)> {
        self.groups.iter().map(|group| (&*group.name, group.members.iter().map(|members| &*members.issuer)))
    }

    /// Whether any of these principals may be in a group, by their token or by the document.
    pub fn may_hold(&self, group: &str, kin: &Kin<'_>) -> bool {
        let defined = self.groups.iter().find(|defined| defined.name == group);
        kin.may_have(group) || defined.is_some_and(|group| group.may_hold(kin))
    }
}

impl ApprovalRule<'_> {
    /// Whether a request of any of these principals to an upstream of this protocol may match.
    pub fn may_match(&self, upstream: &str, protocol: &str, kin: &Kin<'_>) -> bool {
        let glimpse = Glimpse { upstream, protocol, kin, groups: self.groups };
        self.rule.when.outlook(&|matcher| matcher.glimpsed(&glimpse)).may_hold
    }
}

impl Kin<'_> {
    /// Whether a token can put them into a group.
    pub(super) fn may_have(&self, group: &str) -> bool {
        self.groups.is_none_or(|groups| groups.iter().any(|name| name == group))
    }
}

/// What is known of a request before there is one.
struct Glimpse<'a> {
    upstream: &'a str,
    protocol: &'a str,
    kin: &'a Kin<'a>,
    groups: &'a [Group],
}

impl Matcher {
    fn glimpsed(&self, glimpse: &Glimpse<'_>) -> Outlook {
        match self {
            Self::Everything => Outlook::certain(true),
            Self::Upstreams(globs) => Outlook::certain(globs.matches(glimpse.upstream)),
            Self::Protocol(protocol) => Outlook::certain(*protocol == glimpse.protocol),
            Self::Who { groups, people } => {
                let kin = glimpse.kin;
                let may_hold = groups.iter().any(|group| group.may_hold(kin, glimpse.groups))
                    || people.iter().any(|people| people.issuer == kin.issuer);
                Outlook { may_hold, may_fail: true }
            }
            Self::Actions(_) | Self::Attribute { .. } => Outlook::OPEN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::load, *};

    const POLICY: &str = r#"
version: 1
groups:
  team: [ { issuer: corp, claim: { team: "a*" } } ]
  leads: [ { issuer: corp, group: lead } ]
rules:
  - { id: open, match: { git: { action: push } }, decide: require_approval }
  - { id: lab, match: { upstreams: [lab] }, decide: require_approval, approval: { from: [team], count: 2 } }
  - { id: ours, match: { who: [team, "corp:x"] }, decide: require_approval, approval: { from: [group:ops] } }
  - { id: theirs, match: { not: { any: [ { upstreams: lab }, { who: team } ] }, git: { action: [fetch, push] } }, decide: require_approval }
  - { id: tried, match: { everything: true }, decide: require_approval, mode: shadow }
  - { id: free, match: { everything: true }, decide: allow }
"#;

    fn policy() -> Policy {
        load(POLICY).unwrap()
    }

    #[test]
    fn rules_that_may_match_are_told_from_those_that_never_do() {
        let policy = policy();
        let kin = |issuer| Kin { issuer, groups: Some(&[]), claims: true };
        let matching = |upstream, protocol, kin: Kin<'_>| -> Vec<&str> {
            policy
                .approval_rules()
                .filter(|rule| rule.may_match(upstream, protocol, &kin))
                .map(|it| it.id)
                .collect()
        };
        assert_eq!(matching("forge", "git", kin("corp")), ["open", "ours", "theirs"]);
        assert_eq!(matching("lab", "git", kin("corp")), ["open", "lab", "ours"]);
        assert_eq!(matching("forge", "git", kin("passthrough")), ["open", "theirs"]);
        assert_eq!(matching("lab", "k8s", kin("passthrough")), ["lab"]);
    }

    #[test]
    fn groups_that_may_be_held_are_told_from_those_that_never_are() {
        let policy = policy();
        let held = |kin: Kin<'_>| -> Vec<&str> {
            ["team", "leads", "ops"].into_iter().filter(|group| policy.may_hold(group, &kin)).collect()
        };
        let (ops, lead) = (["ops".to_owned()], ["lead".to_owned()]);
        let corp = Kin { issuer: "corp", groups: Some(&[]), claims: true };
        assert_eq!(held(corp), ["team"]);
        assert_eq!(held(Kin { groups: None, ..corp }), ["team", "leads", "ops"]);
        assert_eq!(held(Kin { groups: Some(&lead), claims: false, ..corp }), ["leads"]);
        assert_eq!(held(Kin { issuer: "local", groups: Some(&ops), claims: false }), ["ops"]);
    }
}
