//! What a configuration and a policy are each right in, and wrong together: said at the start and by
//! `lockgate config check`. Nothing that passes because of it is passed unseen, so it is advice, not an error.

use lockgate_control::{operator::LOCAL_ISSUER, roles::Role};
use lockgate_core::{
    policy::{ApprovalRule, Kin, Policy},
    principal::Principal,
};

use crate::config::{Auth, Config};

/// Those who may approve: whoever runs lockgate, and those of an issuer.
struct Approvers<'a> {
    kin: Kin<'a>,
    /// Whether they may decide whatever their groups are.
    by_role: bool,
    /// Whether it is one person.
    alone: bool,
}

/// What should be looked at, in sentences.
pub(crate) fn advice(config: &Config, policy: &Policy) -> Vec<String> {
    let approvers = approvers(config);
    let mut advice = Vec::new();
    for rule in policy.approval_rules() {
        advice.extend(nobody(config, policy, &approvers, &rule));
        advice.extend(unverified(config, &rule));
    }
    advice.extend(strangers(config, policy));
    advice.extend(unsaid(config, policy));
    advice
}

/// Groups with members of an issuer that there is not. Of a control plane's alone the proxies have the issuers.
fn strangers(config: &Config, policy: &Policy) -> Vec<String> {
    let own = [LOCAL_ISSUER, Principal::PASSTHROUGH];
    let is_known = |name: &str| {
        own.contains(&name) || config.file.issuers.iter().any(|issuer| issuer.name.value.0 == name)
    };
    let mut advice = Vec::new();
    for (group, issuers) in policy.defined_groups().filter(|_| !config.file.upstreams.is_empty()) {
        advice.extend(issuers.filter(|name| !is_known(name)).map(|name| {
            format!("group {group}: nobody is in it by issuer `{name}`: no entry of `issuers` has this name")
        }));
    }
    advice
}

/// What the policy asks of images, and no registry is told anything of.
fn unsaid(config: &Config, policy: &Policy) -> Vec<String> {
    let needs = policy.needs("oci");
    let registries = || config.file.upstreams.iter().filter(|upstream| upstream.kind.value == "oci");
    let is_asked = |names: &[&str]| names.iter().any(|name| needs.has(name)) && registries().count() > 0;
    let mut advice = Vec::new();
    if is_asked(&["signed_by", "signer"]) && registries().all(|upstream| upstream.signatures.is_none()) {
        let text =
            "the policy asks who signed images, and no upstream says whose `signatures` count: nobody's do";
        advice.push(text.to_owned());
    }
    if is_asked(&["built_on"]) && registries().all(|upstream| upstream.bases.is_none()) {
        let text = "the policy asks what images are built on, and no upstream names `bases`: none is known";
        advice.push(text.to_owned());
    }
    advice
}

fn approvers(config: &Config) -> Vec<Approvers<'_>> {
    let operator = &config.file.control.operator;
    let by_role = operator.roles.iter().any(|role| matches!(role, Role::Approver | Role::Admin));
    let kin = Kin { issuer: LOCAL_ISSUER, groups: Some(&operator.groups), claims: false };
    let operator = Approvers { kin, by_role, alone: true };
    let people = config.file.issuers.iter().map(|issuer| {
        let groups = if issuer.groups_claim.is_some() { None } else { Some(&[][..]) };
        let kin = Kin { issuer: &issuer.name.value.0, groups, claims: true };
        Approvers { kin, by_role: false, alone: false }
    });
    [operator].into_iter().chain(people).collect()
}

/// A rule that asks for people who can't be had.
fn nobody(
    config: &Config,
    policy: &Policy,
    approvers: &[Approvers<'_>],
    rule: &ApprovalRule<'_>,
) -> Option<String> {
    let roles = &config.file.control.roles;
    let may_decide = |them: &&Approvers<'_>| {
        let mut named = roles.approver.iter().chain(&roles.admin);
        them.by_role || named.any(|group| policy.may_hold(group, &them.kin))
    };
    let is_asked = |them: &&Approvers<'_>| {
        let from = &rule.terms.from;
        from.is_empty() || from.iter().any(|group| policy.may_hold(group, &them.kin))
    };
    let (id, count) = (rule.id, rule.terms.count);
    let whom: Vec<_> = rule.terms.from.iter().map(String::as_str).collect();
    let whom =
        if whom.is_empty() { "an approver".to_owned() } else { format!("one of {}", whom.join(" or ")) };
    let able: Vec<_> = approvers.iter().filter(may_decide).filter(is_asked).collect();
    if able.is_empty() {
        return Some(format!(
            "rule {id}: nobody can approve: it asks for {whom}, and neither the operator \
             (`control.operator.groups`) nor people of an issuer (`groups_claim`, `control.roles`) can be that"
        ));
    }
    (count > 1 && able.iter().all(|them| them.alone)).then(|| {
        format!(
            "rule {id}: it asks for {count} people, and only the operator can approve: give people of an issuer \
             the role (`groups_claim`, `control.roles`)"
        )
    })
}

/// A rule under which whoever asks may approve it themselves, because nobody knows who asks.
fn unverified(config: &Config, rule: &ApprovalRule<'_>) -> Option<String> {
    let kin = Kin { issuer: Principal::PASSTHROUGH, groups: Some(&[]), claims: false };
    let asked = config.file.upstreams.iter().filter(|upstream| {
        upstream.auth == Auth::Passthrough
            && rule.may_match(&upstream.name.value.0, &upstream.kind.value, &kin)
    });
    let names: Vec<_> = asked.map(|upstream| &*upstream.name.value.0).collect();
    (rule.terms.count == 1 && !names.is_empty()).then(|| {
        format!(
            "rule {}: callers of {} are not verified (`auth: passthrough`), so that whoever asks may approve it \
             themselves: `count: 2` has somebody else look",
            rule.id,
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests;
