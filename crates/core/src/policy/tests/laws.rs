//! What holds for every policy.

use proptest::{prelude::*, sample::select};

use super::{access, agent, load};
use crate::{
    access::{Access, Attributes},
    policy::Policy,
    verdict::{Effect, Verdict},
};

const MATCHES: &[&str] = &[
    "everything: true",
    "git: { action: push }",
    "git: { action: fetch }",
    "git: { refs: [refs/heads/main] }",
    "git: { refs: [refs/heads/*, refs/tags/v1] }",
    "git: { options: a }",
    "not: { git: { refs: [refs/heads/main] } }",
    "not: { git: { options: [a, b] } }",
    "any: [ { git: { change: force } }, { k8s: { action: read } } ]",
    "all: [ { not: { git: { change: delete } } }, { who: group:ci } ]",
    "git: { paths: ['a/**'] }",
    "not: { git: { paths: ['a/**'] } }",
    "git: { findings: any }",
    "not: { git: { findings: any } }",
    "git: { messages: ['^x', y] }",
    "not: { git: { file_size: { min: 1KiB } } }",
    "who: group:nobody",
    "k8s: { replicas: { max: 3 } }",
];

const OBLIGATIONS: &[&str] = &[
    "{}",
    "{ mask: all }",
    "{ mask: aws-access-key-id, record: { retain: 365d } }",
    "{ record: { payload: digest, retain: 1d, on_failure: best_effort } }",
    "{ record: { payload: full, on_failure: strict } }",
];

const ACCESSES: &[&str] = &[
    "git fetch repository=a",
    "git push repository=a ref=refs/heads/main change=update",
    "git push repository=a ref=refs/heads/x change=force option=a",
    "git push repository=a ref=refs/heads/x change=create option=a,c",
    "git push repository=a ref=refs/tags/v1 change=delete",
    "git push repository=a ref=refs/heads/x path=a/b,c message=x,z file_size=4KiB finding=",
    "git push repository=a ref=refs/heads/x path= message= file_size=0 finding=",
    "git push repository=a ref=refs/heads/x path=a/b message=y file_size=1 finding=github-pat",
    "k8s read resource=secrets",
    "k8s write resource=deployments replicas=2",
];

#[derive(Debug, Clone)]
struct Written {
    matches: &'static str,
    effect: Effect,
    oblige: &'static str,
    from: &'static str,
    shadow: bool,
}

fn written() -> impl Strategy<Value = Written> {
    let effect = select(&[Effect::Allow, Effect::RequireApproval, Effect::Deny][..]);
    let from = select(
        &["{}", "{ from: group:a }", "{ from: [group:a, group:b], count: 2 }", "{ from: group:c }"][..],
    );
    (select(MATCHES), effect, select(OBLIGATIONS), from, prop::bool::weighted(0.1)).prop_map(
        |(matches, effect, oblige, from, shadow)| {
            // git alone can't be masked, and a rule that denies obliges to nothing.
            let oblige =
                if effect == Effect::Deny || matches.starts_with("git") { OBLIGATIONS[0] } else { oblige };
            Written { matches, effect, oblige, from, shadow }
        },
    )
}

fn policy(rules: &[Written]) -> Policy {
    let mut text = "version: 1\nrules:\n".to_owned();
    for (index, rule) in rules.iter().enumerate() {
        let Written { matches, effect, oblige, from, shadow } = rule;
        text.push_str(&format!("  - {{ id: r{index}, match: {{ {matches} }}, decide: {}", effect.word()));
        match effect {
            Effect::Allow => text.push_str(&format!(", oblige: {oblige}")),
            Effect::RequireApproval => text.push_str(&format!(", oblige: {oblige}, approval: {from}")),
            Effect::Deny => {}
        }
        text.push_str(if *shadow { ", mode: shadow }\n" } else { " }\n" });
    }
    load(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// Everything of a verdict that a request feels.
fn felt(policy: &Policy, accesses: &[Access]) -> String {
    let verdict = policy.judge(&agent(), "forge", accesses);
    let effects: Vec<Effect> = verdict.grounds().accesses.iter().map(|ground| ground.effect).collect();
    match &verdict {
        Verdict::Permit(permit) => format!("permit {effects:?} {:?}", permit.obligations()),
        Verdict::Hold(hold) => format!("hold {effects:?} {:?} {:?}", hold.obligations(), hold.terms()),
        Verdict::Denial(_) => format!("deny {effects:?}"),
    }
}

fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Permit(_) => 0,
        Verdict::Hold(_) => 1,
        Verdict::Denial(_) => 2,
    }
}

fn accesses() -> impl Strategy<Value = Vec<Access>> {
    prop::collection::vec(select(ACCESSES).prop_map(access), 1..4)
}

fn documents() -> impl Strategy<Value = Vec<Written>> {
    prop::collection::vec(written(), 0..8)
}

proptest! {
    #[test]
    fn the_order_of_rules_does_not_matter(
        (rules, shuffled) in documents().prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        accesses in accesses(),
    ) {
        prop_assert_eq!(felt(&policy(&rules), &accesses), felt(&policy(&shuffled), &accesses));
    }

    #[test]
    fn a_rule_that_restricts_never_loosens(rules in documents(), added in written(), accesses in accesses()) {
        prop_assume!(added.effect == Effect::Deny || added.effect == Effect::RequireApproval && !added.shadow);
        // Where nothing allowed it, an approval is more than the default gave.
        let judge = |rules: &[Written]| policy(rules).judge(&agent(), "forge", &accesses);
        let before = judge(&rules);
        let by_rule = before.grounds().accesses.iter().all(|ground| !ground.rules.is_empty());
        prop_assume!(added.effect == Effect::Deny || by_rule);
        let after = judge(&[&rules[..], &[added]].concat());
        prop_assert!(rank(&after) >= rank(&before));
    }

    #[test]
    fn a_rule_that_allows_never_undoes_another(rules in documents(), added in written(), accesses in accesses()) {
        let added = Written { effect: Effect::Allow, ..added };
        let before = policy(&rules);
        let after = policy(&[&rules[..], &[added]].concat());
        for access in &accesses {
            let accesses = std::slice::from_ref(access);
            let (before, after) =
                (before.judge(&agent(), "forge", accesses), after.judge(&agent(), "forge", accesses));
            if !before.grounds().accesses[0].rules.is_empty() {
                prop_assert_eq!(rank(&after), rank(&before));
            }
        }
    }

    #[test]
    fn a_request_is_judged_as_its_strictest_access(rules in documents(), accesses in accesses()) {
        let policy = policy(&rules);
        let alone = accesses.iter().map(|access| rank(&policy.judge(&agent(), "x", std::slice::from_ref(access))));
        let together = rank(&policy.judge(&agent(), "x", &accesses));
        // Together it may be stricter: approvals by different people are not one approval.
        prop_assert!(together >= alone.clone().max().unwrap_or(2));
        prop_assert!(together == 2 || Some(together) == alone.max());
    }

    #[test]
    fn an_explanation_says_what_is_judged(rules in documents(), asked in select(ACCESSES)) {
        let policy = policy(&rules);
        let access = access(asked);
        let explanation = policy.explain(&agent(), "x", &access);
        let verdict = policy.judge(&agent(), "x", std::slice::from_ref(&access));
        let ground = &verdict.grounds().accesses[0];
        prop_assert_eq!(&explanation.ground.rules, &ground.rules);
        prop_assert_eq!(explanation.ground.effect, ground.effect);
        let strictest = explanation.rules.iter().filter(|rule| rule.failed.is_none() && !rule.shadow).map(|rule| rule.effect).max();
        if ground.rules.is_empty() {
            prop_assert_eq!(strictest, None);
        } else {
            // Demands that no approval meets are a denial.
            prop_assert!(strictest == Some(ground.effect) || (strictest, ground.effect) == (Some(Effect::RequireApproval), Effect::Deny));
        }
    }

    #[test]
    fn obligations_only_grow(rules in documents(), added in written(), accesses in accesses()) {
        let added = Written { effect: Effect::Allow, ..added };
        let judge = |rules: &[Written]| policy(rules).judge(&agent(), "forge", &accesses);
        if let (Verdict::Permit(before), Verdict::Permit(after)) = (judge(&rules), judge(&[&rules[..], &[added]].concat())) {
            prop_assert!(before.obligations().mask.is_subset(&after.obligations().mask));
        }
    }

    /// What a policy does not say that it looks at makes no difference to it.
    #[test]
    fn what_is_not_needed_has_no_effect(rules in documents(), asked in select(ACCESSES)) {
        let policy = policy(&rules);
        let access = access(asked);
        let needs = policy.needs(access.protocol);
        let needed = access.attributes.iter().filter(|(name, _)| needs.has(name));
        let attributes = needed.fold(Attributes::new(), |all, (name, value)| all.with(name, value.clone()));
        let less = Access { attributes, ..access.clone() };
        prop_assert_eq!(felt(&policy, &[access]), felt(&policy, &[less]));
    }

    /// A rule that allows what says nothing allows it also when it says something.
    #[test]
    fn what_is_absent_allows_no_more(matches in select(MATCHES), asked in select(ACCESSES)) {
        let allow = Written { matches, effect: Effect::Allow, oblige: OBLIGATIONS[0], from: "{}", shadow: false };
        let policy = policy(&[allow]);
        let access = access(asked);
        let bare = Access { attributes: Attributes::new(), ..access.clone() };
        if rank(&policy.judge(&agent(), "x", &[bare])) == 0 {
            prop_assert_eq!(rank(&policy.judge(&agent(), "x", &[access])), 0);
        }
    }
}
