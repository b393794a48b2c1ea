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

/// Of a push whose change, paths and findings are open.
#[test]
fn what_can_only_be_denied_is_known_to_be() {
    let check = |lines: &[&str], default: &str, expected: bool| {
        let rules: String = lines.iter().map(|rule| format!("  - {rule}\n")).collect();
        let text = format!("version: 1\nrules:\n{rules}defaults: {{ decide: {default} }}");
        let policy = super::load(&text).unwrap();
        let outline = |name: &str| Outline {
            access: access(&format!("git push repository=a ref=refs/heads/{name} change=force")),
            open: vec!["change", "path", "finding"],
        };
        assert_eq!(policy.may_pass(&agent(), "forge", &[outline("main")]), expected, "{lines:?}");
        let both = [outline("x"), outline("main")];
        assert!(expected || !policy.may_pass(&agent(), "forge", &both), "one that can't pass keeps all");
    };
    let never = "{ id: never, match: { git: { refs: refs/heads/main } }, decide: deny }";
    let secrets = "{ id: secrets, match: { git: { findings: any } }, decide: deny }";
    let held = "{ id: held, match: { git: { paths: a } }, decide: require_approval }";
    let clean = "{ id: clean, match: { not: { git: { findings: any } } }, decide: allow }";
    check(&[PUSH], "deny", true);
    check(&[PUSH, secrets], "deny", true);
    check(&[PUSH, never], "deny", false);
    check(&[held], "deny", true);
    check(&[clean], "deny", true);
    check(&[secrets], "deny", false);
    check(&[secrets], "allow", true);
    check(&[never], "allow", false);
    let elsewhere = "{ id: x, match: { git: { refs: refs/heads/x, paths: a } }, decide: allow }";
    check(&[elsewhere], "deny", false);
    let shadow = "{ id: never, mode: shadow, match: { git: { refs: refs/heads/main } }, decide: deny }";
    check(&[PUSH, shadow], "deny", true);
}
