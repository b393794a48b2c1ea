//! What is read part by part is judged part by part.

use std::sync::Arc;

use super::{access, agent, judged, rules};

/// The verdict on the fetch as a whole, and which of some refs are seen.
fn check(lines: &[&str], verdict: &str, seen: Option<&[&str]>) {
    let policy = Arc::new(rules(lines));
    assert_eq!(judged(&policy, &agent(), &["git fetch repository=a"]), verdict, "{lines:?}");
    let sight = policy.sight(&Arc::new(agent()), "forge", &access("git fetch repository=a"));
    let refs = ["refs/heads/main", "refs/heads/x", "refs/heads/security/x", "refs/tags/v1"];
    let found = sight.map(|sight| refs.into_iter().filter(|name| sight.permits(name)).collect::<Vec<_>>());
    assert_eq!(found.as_deref(), seen, "{lines:?}");
}

const ALL: &str = "{ id: all, match: { git: { action: fetch } }, decide: allow }";
const HIDE: &str =
    "{ id: hide, match: { git: { action: fetch, refs: refs/heads/security/** } }, decide: deny }";
const SOME: &str =
    "{ id: some, match: { git: { action: fetch, refs: [refs/heads/main, refs/tags/**] } }, decide: allow }";

#[test]
fn a_document_that_says_nothing_of_refs_costs_nothing() {
    check(&[ALL], "permit [allow all]", None);
    check(&[], "deny [deny ]", None);
    let push = "{ id: p, match: { git: { action: push, refs: refs/heads/main } }, decide: deny }";
    check(&[ALL, push], "permit [allow all]", None);
    let any = "{ id: any, match: { git: { refs: refs/heads/main } }, decide: require_approval }";
    check(&[ALL, any], "permit [allow all]", None);
    let both = "{ id: both, match: { git: { action: [fetch, push], refs: refs/heads/main } }, decide: deny }";
    let seen = ["refs/heads/x", "refs/heads/security/x", "refs/tags/v1"];
    check(&[ALL, any, both], "permit [allow all]", Some(&seen));
    check(
        &[ALL, any, HIDE],
        "permit [allow all]",
        Some(&["refs/heads/main", "refs/heads/x", "refs/tags/v1"]),
    );
    let shadow = HIDE.replace("id: hide,", "id: hide, mode: shadow,");
    check(&[ALL, &shadow], "permit [allow all]", None);
}

#[test]
fn refs_are_hidden_or_alone_allowed() {
    let but_security = ["refs/heads/main", "refs/heads/x", "refs/tags/v1"];
    check(&[ALL, HIDE], "permit [allow all]", Some(&but_security));
    check(&[SOME], "permit [allow some]", Some(&["refs/heads/main", "refs/tags/v1"]));
    check(&[SOME, HIDE], "permit [allow some]", Some(&["refs/heads/main", "refs/tags/v1"]));
    let not = "{ id: rest, match: { git: { action: fetch }, not: { git: { action: fetch, refs: refs/heads/* } } }, decide: deny }";
    check(&[ALL, not], "permit [allow all]", Some(&["refs/heads/main", "refs/heads/x"]));
    let any = "{ id: any, match: { git: { action: fetch }, any: [ { git: { action: fetch, refs: refs/tags/* } }, { upstreams: forge } ] }, decide: allow }";
    check(&[any], "permit [allow any]", None);
    let other = "{ id: any, match: { git: { action: fetch }, any: [ { git: { action: fetch, refs: refs/tags/* } }, { upstreams: x } ] }, decide: allow }";
    check(&[other], "permit [allow any]", Some(&["refs/tags/v1"]));
}

#[test]
fn what_does_not_depend_on_the_ref_is_judged_as_a_whole() {
    check(&[ALL, SOME], "permit [allow all]", None);
    let none = "{ id: none, match: { git: { action: fetch } }, decide: deny }";
    check(&[SOME, none], "deny [deny none]", None);
    let elsewhere = HIDE.replace("action: fetch,", "action: fetch, repositories: b,");
    check(&[ALL, &elsewhere], "permit [allow all]", None);
    check(&[HIDE], "deny [deny ]", None);
    let ask = "{ id: ask, match: { git: { action: fetch, refs: refs/heads/x } }, decide: require_approval }";
    let seen = ["refs/heads/main", "refs/heads/security/x", "refs/tags/v1"];
    check(&[ALL, ask], "permit [allow all]", Some(&seen));
}

#[test]
fn a_ref_that_is_given_is_judged_by_itself() {
    let policy = rules(&[ALL, HIDE]);
    let fetch = "git fetch repository=a ref=refs/heads/security/x";
    assert_eq!(judged(&policy, &agent(), &[fetch]), "deny [deny hide]");
    let shown = policy.explain(&agent(), "forge", &access("git fetch repository=a")).to_string();
    assert!(
        shown.contains("- hide (deny): git.refs: expected refs/heads/security/**, got every ref, each"),
        "{shown}"
    );
}
