//! Which verdict comes of which rules.

use insta::assert_snapshot;

use super::{access, agent, judged, load, principal, rules, show};
use crate::{
    access::{Access, Attributes},
    policy::{Policy, PolicyHandle},
    principal::Principal,
    verdict::{Payload, Verdict},
};

const MATRIX: &str = "
version: 1
groups:
  agents: [ { issuer: github, claim: { repository_owner_id: '1234' } } ]
  people: [ { issuer: okta, group: staff }, { issuer: okta, claim: { team: [release, 'sec-*'] } } ]
rules:
  - { id: read, match: { who: [agents, people], git: { action: fetch } }, decide: allow }
  - { id: branch, match: { who: agents, git: { action: push, refs: refs/heads/**, change: [create, update] } }, decide: allow }
  - { id: prod, match: { git: { action: push, refs: refs/heads/main } }, decide: require_approval }
  - { id: no-loss, match: { git: { change: [force, delete], refs: [refs/heads/main, refs/tags/**] } }, decide: deny }
  - { id: staff, match: { who: people, not: { git: { refs: refs/tags/** } } }, decide: allow }
";

/// Every kind of caller by every kind of request.
#[test]
fn golden_matrix() {
    let policy = load(MATRIX).unwrap();
    let callers = [
        ("agent", agent()),
        ("staff", principal("okta", "ada", &["staff"], "{}")),
        ("security", principal("okta", "eve", &[], r#"{ "team": ["x", "sec-red"] }"#)),
        ("stranger", principal("okta", "bob", &[], r#"{ "team": "sec/red" }"#)),
        ("other owner", principal("github", "x", &[], r#"{ "repository_owner_id": 12345 }"#)),
        ("passthrough", Principal::passthrough(Some("ada"))),
    ];
    let asked = [
        "git fetch repository=a",
        "git push repository=a ref=refs/heads/x change=create",
        "git push repository=a ref=refs/heads/x change=force",
        "git push repository=a ref=refs/heads/main change=update",
        "git push repository=a ref=refs/heads/main change=delete",
        "git push repository=a ref=refs/tags/v1 change=create",
        "k8s read resource=pods",
    ];
    let mut matrix = String::new();
    for asked in asked {
        matrix.push_str(&format!("{asked}\n"));
        for (name, caller) in &callers {
            matrix.push_str(&format!("    {name}: {}\n", judged(&policy, caller, &[asked])));
        }
    }
    assert_snapshot!(matrix, @r"
    git fetch repository=a
        agent: permit [allow read]
        staff: permit [allow read]
        security: permit [allow read]
        stranger: deny [deny ]
        other owner: deny [deny ]
        passthrough: deny [deny ]
    git push repository=a ref=refs/heads/x change=create
        agent: permit [allow branch]
        staff: permit [allow staff]
        security: permit [allow staff]
        stranger: deny [deny ]
        other owner: deny [deny ]
        passthrough: deny [deny ]
    git push repository=a ref=refs/heads/x change=force
        agent: deny [deny ]
        staff: permit [allow staff]
        security: permit [allow staff]
        stranger: deny [deny ]
        other owner: deny [deny ]
        passthrough: deny [deny ]
    git push repository=a ref=refs/heads/main change=update
        agent: hold [require_approval prod]
        staff: hold [require_approval prod]
        security: hold [require_approval prod]
        stranger: hold [require_approval prod]
        other owner: hold [require_approval prod]
        passthrough: hold [require_approval prod]
    git push repository=a ref=refs/heads/main change=delete
        agent: deny [deny no-loss]
        staff: deny [deny no-loss]
        security: deny [deny no-loss]
        stranger: deny [deny no-loss]
        other owner: deny [deny no-loss]
        passthrough: deny [deny no-loss]
    git push repository=a ref=refs/tags/v1 change=create
        agent: deny [deny ]
        staff: deny [deny ]
        security: deny [deny ]
        stranger: deny [deny ]
        other owner: deny [deny ]
        passthrough: deny [deny ]
    k8s read resource=pods
        agent: deny [deny ]
        staff: permit [allow staff]
        security: permit [allow staff]
        stranger: deny [deny ]
        other owner: deny [deny ]
        passthrough: deny [deny ]
    ");
}

#[test]
fn the_strictest_access_decides() {
    let policy = load(MATRIX).unwrap();
    let feature = "git push repository=a ref=refs/heads/x change=create";
    let main = "git push repository=a ref=refs/heads/main change=update";
    let tag = "git push repository=a ref=refs/tags/v1 change=delete";
    assert_snapshot!(judged(&policy, &agent(), &[feature, main]), @"hold [allow branch] [require_approval prod]");
    assert_snapshot!(judged(&policy, &agent(), &[feature, main, tag]), @"deny [allow branch] [require_approval prod] [deny no-loss]");
    assert_snapshot!(judged(&policy, &agent(), &[]), @"deny");
}

#[test]
fn what_no_rule_decides_takes_the_default() {
    let open = load("version: 1\ndefaults: { decide: allow }").unwrap();
    assert_snapshot!(judged(&open, &agent(), &["git fetch"]), @"permit [allow ]");
    assert_snapshot!(judged(&open, &agent(), &[]), @"deny");
    let closed = load("version: 1").unwrap();
    assert_snapshot!(judged(&closed, &agent(), &["git fetch"]), @"deny [deny ]");
}

#[test]
fn shadow_rules_have_no_effect() {
    let policy = rules(&[
        "{ id: all, match: { everything: true }, decide: allow }",
        "{ id: watch, match: { everything: true }, decide: deny, mode: shadow }",
        "{ id: mask, match: { everything: true }, decide: allow, mode: shadow, oblige: { mask: [all] } }",
    ]);
    let verdict = policy.judge(&agent(), "forge", &[access("k8s read")]);
    assert_eq!(show(&verdict), "permit [allow all]");
    let Verdict::Permit(permit) = verdict else { panic!("a permit") };
    assert!(permit.obligations().mask.is_empty());
}

#[test]
fn obligations_are_united() {
    let defaults = "defaults: { record: { retain: 30d, payload: full, on_failure: strict } }";
    let check = |rules: &[&str], asked: &[&str]| {
        let rules: String = rules.iter().enumerate().fold(String::new(), |text, (index, oblige)| {
            format!("{text}  - {{ id: r{index}, match: {{ everything: true }}, decide: allow, oblige: {oblige} }}\n")
        });
        let policy = load(&format!("version: 1\nrules:\n{rules}{defaults}")).unwrap();
        let accesses: Vec<Access> = asked.iter().map(|text| access(text)).collect();
        let Verdict::Permit(permit) = policy.judge(&agent(), "forge", &accesses) else { panic!("a permit") };
        let obligations = permit.obligations();
        format!("{:?} {:?}", obligations.mask, obligations.record)
    };
    let digest = "{ record: { retain: 1d, payload: digest, on_failure: best_effort } }";
    let full = "{ mask: [all, github-pat], record: { payload: full } }";
    let long = "{ mask: aws-access-key-id, record: { retain: 365d } }";
    assert_snapshot!(check(&["{}"], &["k8s read"]), @"{} RecordTerms { retain: 2592000s, payload: Full, on_failure: Strict }");
    assert_snapshot!(check(&[digest], &["k8s read"]), @"{} RecordTerms { retain: 86400s, payload: Digest, on_failure: BestEffort }");
    assert_snapshot!(check(&[digest, full], &["k8s read"]), @r#"{"all", "github-pat"} RecordTerms { retain: 86400s, payload: Full, on_failure: BestEffort }"#);
    assert_snapshot!(check(&[full, long, digest], &["k8s read"]), @r#"{"all", "aws-access-key-id", "github-pat"} RecordTerms { retain: 31536000s, payload: Full, on_failure: BestEffort }"#);
    // git content cannot be masked; what the rule asks besides applies.
    assert_snapshot!(check(&[full, long], &["git fetch"]), @"{} RecordTerms { retain: 31536000s, payload: Full, on_failure: Strict }");
    assert_snapshot!(check(&[full, long], &["git fetch", "k8s read"]), @r#"{"all", "aws-access-key-id", "github-pat"} RecordTerms { retain: 31536000s, payload: Full, on_failure: Strict }"#);
}

#[test]
fn what_one_access_obliges_to_does_not_weaken_another() {
    let policy = rules(&[
        "{ id: all, match: { everything: true }, decide: allow }",
        "{ id: less, match: { git: { action: fetch } }, decide: allow, oblige: { record: { payload: digest } } }",
    ]);
    let payload = |asked: &[&str]| {
        let accesses: Vec<Access> = asked.iter().map(|text| access(text)).collect();
        let Verdict::Permit(permit) = policy.judge(&agent(), "forge", &accesses) else { panic!("a permit") };
        permit.obligations().record.payload
    };
    assert_eq!(payload(&["git fetch"]), Payload::Digest);
    assert_eq!(payload(&["git fetch", "git push"]), Payload::Full);
}

#[test]
fn demands_for_approval_are_all_met() {
    let on = |id: &str, name: &str, approval: &str| {
        format!(
            "{{ id: {id}, match: {{ git: {{ refs: [{name}, ab] }} }}, decide: require_approval, approval: {approval} }}"
        )
    };
    let check = |a: &str, b: &str, asked: &[&str]| {
        let policy = rules(&[&on("a", "a", a), &on("b", "b", b)]);
        let accesses: Vec<Access> =
            asked.iter().map(|name| access(&format!("git push ref={name}"))).collect();
        let verdict = policy.judge(&agent(), "forge", &accesses);
        let terms = match &verdict {
            Verdict::Hold(hold) => format!("{:?}\n", hold.terms()),
            Verdict::Permit(_) | Verdict::Denial(_) => String::new(),
        };
        let reasons: Vec<&str> = verdict.grounds().accesses.iter().map(|ground| &*ground.reason).collect();
        format!("{}\n{terms}{}", show(&verdict), reasons.join("\n"))
    };
    let release = "{ from: [group:release], count: 2 }";
    let security = "{ from: [group:security, group:release], hold: 1m, ttl: 5m, on_disconnect: continue }";
    let legal = "{ from: [group:legal] }";
    assert_snapshot!(check(release, security, &["b"]), @r#"
    hold [require_approval b]
    ApprovalTerms { from: {"release", "security"}, count: 1, hold: 60s, ttl: 300s, on_disconnect: Continue }
    push needs approval by one person of release or security
    "#);
    assert_snapshot!(check(release, security, &["ab"]), @r#"
    hold [require_approval a+b]
    ApprovalTerms { from: {"release"}, count: 2, hold: 60s, ttl: 300s, on_disconnect: Cancel }
    push needs approval by 2 people of release
    "#);
    assert_snapshot!(check(release, security, &["b", "a"]), @r#"
    hold [require_approval b] [require_approval a]
    ApprovalTerms { from: {"release"}, count: 2, hold: 60s, ttl: 300s, on_disconnect: Cancel }
    push needs approval by one person of release or security
    push needs approval by 2 people of release
    "#);
    assert_snapshot!(check(release, "{}", &["ab"]), @r#"
    hold [require_approval a+b]
    ApprovalTerms { from: {"release"}, count: 2, hold: 600s, ttl: 3600s, on_disconnect: Cancel }
    push needs approval by 2 people of release
    "#);
    assert_snapshot!(check(release, legal, &["ab"]), @r"
    deny [deny a+b]
    the rules a and b need the approval of different groups: none can give it for all
    ");
    assert_snapshot!(check(release, legal, &["a", "b"]), @r"
    deny [deny a] [deny b]
    push needs approval by 2 people of release; the request's other parts need the approval of others: send them apart
    push needs approval by one person of legal; the request's other parts need the approval of others: send them apart
    ");
    assert_snapshot!(check(release, "{ ttl: 2m }", &["b"]), @r"
    hold [require_approval b]
    ApprovalTerms { from: {}, count: 1, hold: 120s, ttl: 120s, on_disconnect: Cancel }
    push needs approval by one person
    ");
}

#[test]
fn reasons() {
    let check = |rule: &str, asked: Access| {
        let policy = rules(&[rule]);
        policy.judge(&agent(), "forge", &[asked]).grounds().accesses[0].reason.clone()
    };
    let push = || access("git push repository=team/app ref=refs/heads/main option=a,b");
    let rule = |decide: &str, reason: &str| {
        format!("{{ id: r, match: {{ git: {{ action: push }} }}, decide: {decide}, reason: \"{reason}\" }}")
    };
    let all =
        rule("deny", "{{{ref}}} of {repository} {options} {kind} {principal} {upstream} {action} {resource}");
    assert_snapshot!(check(&all, push()), @"{refs/heads/main} of team/app a, b - github:repo:org/app:ref:x forge push team/app");
    assert_snapshot!(check(&rule("require_approval", "main is production"), push()), @"main is production (needs approval by one person)");
    assert_snapshot!(check("{ id: r, match: { git: { action: push } }, decide: deny }", push()), @"push on team/app is denied by the rule r");
    let attributes = Attributes::new().with("ref", format!("a\r\n\u{1b}[31m{}", "x".repeat(300)));
    let hostile = Access { attributes, resource: "\u{7}bell".into(), ..push() };
    assert_snapshot!(check(&rule("deny", "{resource} {ref}"), hostile.clone()), @" bell a   [31mxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…");
    assert_snapshot!(check("{ id: r, match: { k8s: { action: read } }, decide: deny }", hostile), @"no rule allows push on  bell");
}

#[test]
fn versions_and_terms() {
    let policy = load("version: 1\n").unwrap();
    assert_eq!(policy.version(), "09bfcc6a14b83e2192b8673677725c84883ee9cd0c70e45c9ec09daa8f2b2847");
    let verdict = policy.judge(&agent(), "forge", &[access("git fetch")]);
    assert_eq!(verdict.grounds().policy, policy.version());
    assert_ne!(load("version: 1 ").unwrap().version(), policy.version());
    let text = "version: 1\ndefaults: { record: { retain: 7d, payload: digest, on_failure: best_effort } }";
    assert_snapshot!(format!("{:?}", load(text).unwrap().record_terms_before_verdict()), @"RecordTerms { retain: 604800s, payload: Digest, on_failure: BestEffort }");
}

#[test]
fn a_handle_is_shared_and_empty_at_first() {
    fn shared<T: Send + Sync>(_: &T) {}
    let handle = PolicyHandle::new();
    let clone = handle.clone();
    shared(&handle);
    assert!(handle.current().is_none());
    let policy: Policy = load("version: 1").unwrap();
    let version = policy.version().to_owned();
    handle.set(policy);
    assert_eq!(clone.current().unwrap().version(), version);
}
