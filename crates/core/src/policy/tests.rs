//! The policy as a whole.

use crate::{
    access::{Access, Action, Attribute, Matcher, Schema},
    policy::{Policy, PolicyErrors},
    principal::Principal,
    verdict::Verdict,
};

static GIT: Schema = Schema {
    protocol: "git",
    actions: &[
        Action { name: "fetch", mutates: false, maskable: false },
        Action { name: "push", mutates: true, maskable: false },
    ],
    attributes: &[
        attribute("repository", "repositories", Matcher::Glob),
        attribute("ref", "refs", Matcher::Glob),
        attribute("change", "changes", Matcher::Choice(&["create", "update", "force", "delete"])),
        attribute("kind", "kinds", Matcher::Choice(&["branch", "tag", "other"])),
        attribute("option", "options", Matcher::Glob),
    ],
};

static K8S: Schema = Schema {
    protocol: "k8s",
    actions: &[
        Action { name: "read", mutates: false, maskable: true },
        Action { name: "write", mutates: true, maskable: true },
    ],
    attributes: &[
        attribute("resource", "resources", Matcher::Glob),
        attribute("namespace", "namespaces", Matcher::Glob),
        attribute("dry_run", "dry_run", Matcher::Flag),
        attribute("replicas", "replicas", Matcher::Number),
    ],
};

const fn attribute(name: &'static str, plural: &'static str, matcher: Matcher) -> Attribute {
    Attribute { name, plural, matcher, doc: "" }
}

fn load(text: &str) -> Result<Policy, PolicyErrors> {
    Policy::load(text, &[&GIT, &K8S])
}

fn agent() -> Principal {
    Principal {
        issuer: "github".into(),
        subject: "repo:org/app:ref:refs/heads/main".into(),
        groups: vec!["ci".into()],
        claims: serde_json::from_str(r#"{ "repository_owner_id": "1234" }"#).unwrap(),
    }
}

fn push(policy: &Policy, name: &str) -> Access {
    policy.access("git", "push", [("repository", vec!["team/app"]), ("ref", vec![name])]).unwrap()
}

#[test]
fn the_example_of_the_design() {
    let policy = load(
        "version: 1
groups: { agents: [ { issuer: github, claim: { repository_owner_id: \"1234\" } } ] }
rules:
  - id: prod-push
    match: { git: { action: push, refs: [refs/heads/main, 'refs/heads/release/**'] } }
    decide: require_approval
    approval: { from: [group:release], count: 1, hold: 10m, ttl: 1h }
  - id: secret-reads
    match: { any: [ { k8s: { resources: [secrets], action: [read] } } ] }
    decide: allow
    oblige: { mask: [all] }
defaults: { decide: deny, record: { retain: 90d, payload: full, on_failure: strict } }
tests:
  - { who: agents, git: { action: push, ref: refs/heads/main }, expect: { decide: require_approval, rule: prod-push } }
",
    )
    .unwrap_or_else(|errors| panic!("{errors}"));
    let verdict = policy.judge(&agent(), "prod", &[push(&policy, "refs/heads/main")]);
    let Verdict::Hold(hold) = verdict else { panic!("{verdict:?}") };
    assert_eq!(hold.grounds().accesses[0].rules, ["prod-push"]);
    assert_eq!(
        hold.grounds().accesses[0].reason,
        "push on team/app needs approval (by one person of release)"
    );
    assert_eq!(hold.terms().from.iter().collect::<Vec<_>>(), ["release"]);
    let verdict = policy.judge(&agent(), "prod", &[push(&policy, "refs/heads/x")]);
    let Verdict::Denial(denial) = verdict else { panic!("{verdict:?}") };
    assert_eq!(denial.grounds().accesses[0].reason, "no rule allows push on team/app");
}
