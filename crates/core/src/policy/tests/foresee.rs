//! What may go on before its verdict.

use super::{access, agent, rules};
use crate::access::Outline;

const PUSH: &str = "{ id: push, match: { git: { action: push } }, decide: allow }";

/// The rules that may still forbid a push of which the change, paths and findings are open; `None` where it waits.
fn check(lines: &[&str], expected: Option<&[&str]>) {
    let push = access("git push repository=a ref=refs/heads/main change=force");
    let outline = |open: &[&'static str]| Outline { access: push.clone(), open: open.to_vec() };
    let policy = rules(lines);
    let foreseen = policy.foresee(&agent(), "forge", &[outline(&["change", "path", "finding"])]);
    assert_eq!(
        foreseen.as_ref().map(|foreseen| foreseen.open()),
        expected.map(strings).as_deref(),
        "{lines:?}"
    );
    // One of two that has to wait keeps the other.
    let fetch = Outline { access: access("git fetch repository=a"), open: Vec::new() };
    assert!(policy.foresee(&agent(), "forge", &[outline(&["path"]), fetch]).is_none(), "{lines:?}");
    assert!(policy.foresee(&agent(), "forge", &[]).is_none(), "who asks for nothing is refused");
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn what_nobody_can_have_to_approve_goes_on() {
    let secrets = "{ id: secrets, match: { git: { findings: any } }, decide: deny }";
    let loss = "{ id: loss, match: { git: { change: [force, delete] } }, decide: deny }";
    check(&[PUSH], Some(&[]));
    check(&[PUSH, secrets], Some(&["secrets"]));
    check(&[PUSH, secrets, loss], Some(&["loss", "secrets"]));
    let clean =
        "{ id: clean, match: { git: { action: push }, not: { git: { findings: any } } }, decide: allow }";
    check(&[clean], Some(&[]));
    let elsewhere =
        "{ id: tags, match: { git: { refs: refs/tags/**, paths: a } }, decide: require_approval }";
    check(&[PUSH, elsewhere], Some(&[]));
    let shadow = "{ id: shadow, mode: shadow, match: { git: { paths: a } }, decide: require_approval }";
    check(&[PUSH, shadow], Some(&[]));
}

#[test]
fn what_may_be_held_or_is_denied_waits() {
    for rule in [
        "{ id: r, match: { git: { paths: .github/** } }, decide: require_approval }",
        "{ id: r, match: { git: { change: force } }, decide: require_approval }",
        "{ id: r, match: { not: { git: { paths: docs/** } } }, decide: require_approval }",
        "{ id: r, match: { any: [ { git: { findings: any } }, { git: { refs: x } } ] }, decide: require_approval }",
        "{ id: r, match: { git: { refs: refs/heads/** } }, decide: require_approval }",
        "{ id: r, match: { git: { refs: refs/heads/main } }, decide: deny }",
    ] {
        check(&[PUSH, rule], None);
    }
    check(&[], None);
    check(&["{ id: other, match: { git: { action: push, refs: refs/heads/x } }, decide: allow }"], None);
}
