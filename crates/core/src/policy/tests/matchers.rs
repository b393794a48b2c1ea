//! Which accesses and principals a matcher matches.

use super::{access, agent, judged, load, principal, rules};
use crate::{
    access::{Access, Attributes, Value},
    principal::Principal,
    verdict::Verdict,
};

/// The table in `condition.rs`: what is absent or only partly matches never widens what is allowed.
#[test]
fn doubt_never_widens() {
    let check = |rule: &str, expected: [&str; 4]| {
        let decide = if rule.contains("decide: allow") { "deny" } else { "allow" };
        let document = format!("version: 1\nrules: [ {rule} ]\ndefaults: {{ decide: {decide} }}");
        let policy = load(&document).unwrap();
        let asked = ["git push", "git push option=a", "git push option=a,b", "git push option=b,c"];
        let words = asked.map(|asked| policy.judge(&agent(), "forge", &[access(asked)]).word());
        assert_eq!(words, expected, "{rule}");
    };
    let allow = ["deny", "permit", "deny", "deny"];
    check("{ id: r, match: { git: { options: a } }, decide: allow }", allow);
    check("{ id: r, match: { not: { not: { git: { options: a } } } }, decide: allow }", allow);
    check(
        "{ id: r, match: { not: { git: { options: a } } }, decide: allow }",
        ["deny", "deny", "deny", "permit"],
    );
    let deny = ["permit", "deny", "deny", "permit"];
    check("{ id: r, match: { git: { options: a } }, decide: deny }", deny);
    check("{ id: r, match: { not: { not: { git: { options: a } } } }, decide: deny }", deny);
    check(
        "{ id: r, match: { not: { git: { options: a } } }, decide: deny }",
        ["deny", "permit", "deny", "deny"],
    );
    let hold = "{ id: r, match: { not: { git: { options: a } } }, decide: require_approval }";
    check(hold, ["hold", "permit", "hold", "hold"]);
}

/// Who brings more that vouches for a request is not allowed less.
#[test]
fn one_that_vouches_is_enough() {
    let check = |matcher: &str, effect: &str, expected: [&str; 5]| {
        let otherwise = if effect == "allow" { "deny" } else { "allow" };
        let rule = format!("{{ id: r, match: {matcher}, decide: {effect} }}");
        let document = format!("version: 1\nrules: [ {rule} ]\ndefaults: {{ decide: {otherwise} }}");
        let policy = load(&document).unwrap();
        let empty = {
            let access = access("git push");
            Access { attributes: access.attributes.with("voucher", Value::List(Vec::new())), ..access }
        };
        let asked = ["git push", "git push voucher=a", "git push voucher=a,b", "git push voucher=b"];
        let asked = asked.map(access).into_iter().chain([empty]);
        let words: Vec<_> = asked.map(|asked| policy.judge(&agent(), "forge", &[asked]).word()).collect();
        assert_eq!(words, expected, "{matcher} {effect}");
    };
    let (is, not) = ("{ git: { vouchers: a } }", "{ not: { git: { vouchers: a } } }");
    check(is, "allow", ["deny", "permit", "permit", "deny", "deny"]);
    check(not, "allow", ["deny", "deny", "deny", "permit", "permit"]);
    check(is, "deny", ["permit", "deny", "deny", "permit", "permit"]);
    check(not, "deny", ["deny", "permit", "permit", "deny", "deny"]);
}

/// Some servers take `TEAM/Prod` for `team/prod`, some for another: whichever allows less.
#[test]
fn the_case_of_names_never_widens() {
    let check = |matcher: &str, effect: &str, expected: [&str; 3]| {
        let otherwise = if effect == "allow" { "deny" } else { "allow" };
        let rule = format!("{{ id: r, match: {matcher}, decide: {effect} }}");
        let document = format!("version: 1\nrules: [ {rule} ]\ndefaults: {{ decide: {otherwise} }}");
        let policy = load(&document).unwrap();
        let asked = ["team/Prod", "TEAM/prod", "team/other"];
        let asked = asked.map(|name| access(&format!("git fetch repository={name}")));
        let words = asked.map(|asked| policy.judge(&agent(), "forge", &[asked]).word());
        assert_eq!(words, expected, "{matcher} {effect}");
    };
    for name in ["team/Prod", "team/Pro?"] {
        let (is, not) = (
            format!("{{ git: {{ repository: '{name}' }} }}"),
            format!("{{ not: {{ git: {{ repository: '{name}' }} }} }}"),
        );
        check(&is, "allow", ["permit", "deny", "deny"]);
        check(&not, "allow", ["deny", "deny", "permit"]);
        check(&is, "deny", ["deny", "deny", "permit"]);
        check(&not, "deny", ["permit", "deny", "deny"]);
        check(&is, "require_approval", ["hold", "hold", "permit"]);
    }
}

#[test]
fn an_access_beside_the_schema_is_refused() {
    let policy = load("version: 1\ndefaults: { decide: allow }").unwrap();
    let check = |access: Access| {
        let verdict = policy.judge(&agent(), "forge", &[access]);
        assert_eq!(verdict.word(), "deny");
        assert_eq!(verdict.grounds().accesses[0].reason, "the gateway cannot judge this request");
    };
    let fetch = access("git fetch");
    check(Access { protocol: "svn", ..fetch.clone() });
    check(Access { action: "pull", ..fetch.clone() });
    let with =
        |name, value: Value| Access { attributes: Attributes::new().with(name, value), ..fetch.clone() };
    check(with("branch", Value::from("x")));
    check(with("refs", Value::from("x")));
    check(with("ref", Value::Flag(true)));
    check(with("change", Value::from("rename")));
    check(with("change", Value::List(vec!["force".into(), "rename".into()])));
    let k8s = access("k8s read");
    check(Access { attributes: Attributes::new().with("dry_run", "true"), ..k8s });
}

#[test]
fn matchers() {
    let check = |matcher: &str, yes: &[&str], no: &[&str]| {
        let policy = rules(&[&format!("{{ id: r, match: {matcher}, decide: allow }}")]);
        for asked in yes {
            assert_eq!(judged(&policy, &agent(), &[asked]), "permit [allow r]", "{matcher} {asked}");
        }
        for asked in no {
            assert_eq!(judged(&policy, &agent(), &[asked]), "deny [deny ]", "{matcher} {asked}");
        }
    };
    check("{ everything: true }", &["git fetch", "k8s write"], &[]);
    check("{ git: { action: [fetch, push] } }", &["git fetch", "git push"], &["k8s read"]);
    check("{ upstreams: [forge, x] }", &["git fetch"], &[]);
    check("{ upstreams: 'for' }", &[], &["git fetch"]);
    check(
        "{ k8s: { dry_run: true } }",
        &["k8s write dry_run=true"],
        &["k8s write dry_run=false", "k8s write"],
    );
    check(
        "{ k8s: { replicas: { max: 3 } } }",
        &["k8s write replicas=3"],
        &["k8s write replicas=4", "k8s write"],
    );
    check("{ k8s: { replicas: { min: 2, max: 3 } } }", &["k8s read replicas=2"], &["k8s read replicas=1"]);
    check("{ k8s: { replicas: 0 } }", &["k8s read replicas=0"], &["k8s read replicas=1"]);
    check(
        "{ git: { repository: 'team/*', ref: '**' } }",
        &["git push repository=team/a ref=x"],
        &["git push repository=team/a"],
    );
    check("{ any: [ { git: { ref: a } }, { git: { ref: b } } ] }", &["git push ref=b"], &["git push ref=c"]);
    check(
        "{ all: [ { git: { ref: 'a*' } }, { git: { ref: '*b' } } ] }",
        &["git push ref=ab"],
        &["git push ref=a"],
    );
    check("{ not: { git: { action: push } } }", &["git fetch", "k8s write"], &["git push"]);
}

#[test]
fn people_and_groups() {
    let groups = "groups:
  pods: [ { issuer: cluster, claim: { /kubernetes.io/namespace: 'ci-*' } } ]
  flags: [ { issuer: okta, claim: { verified: 'true', level: '3' } } ]
  both: [ { issuer: okta, claim: { aud: 'x/**' }, group: staff } ]
";
    let check = |who: &str, caller: Principal, expected: bool| {
        let text =
            format!("version: 1\n{groups}rules: [ {{ id: r, match: {{ who: {who} }}, decide: allow }} ]");
        let verdict = load(&text).unwrap().judge(&caller, "forge", &[access("git fetch")]);
        assert_eq!(matches!(verdict, Verdict::Permit(_)), expected, "{who} {caller}");
    };
    let ada =
        || principal("okta", "ada/x", &["staff"], r#"{ "aud": ["y", "x/1"], "verified": true, "level": 3 }"#);
    check("'okta:ada/*'", ada(), true);
    check("'okta:ada'", ada(), false);
    check("'github:ada/*'", ada(), false);
    check("group:staff", ada(), true);
    check("group:pods", ada(), false);
    check("both", ada(), true);
    check("flags", ada(), true);
    check("[pods, group:staff]", ada(), true);
    let pod = |claims| principal("cluster", "p", &[], claims);
    check("pods", pod(r#"{ "kubernetes.io": { "namespace": "ci-1" } }"#), true);
    check("pods", pod(r#"{ "kubernetes.io": { "namespace": "prod" } }"#), false);
    check("pods", pod(r#"{ "kubernetes.io": "ci-1" }"#), false);
    check("pods", pod(r#"{ "kubernetes.io": { "namespace": { "a": "ci-1" } } }"#), false);
    check("pods", principal("okta", "p", &["pods"], "{}"), true);
    let policy = load(&format!("version: 1\n{groups}")).unwrap();
    assert_eq!(policy.groups(&ada()), ["both", "flags", "staff"]);
}
