//! What a request brings, as rules see it: lists, patterns, sizes, findings.

use insta::assert_snapshot;

use super::{access, agent, judged, load, rules};
use crate::{
    access::{Access, Attributes, Finding, Value},
    policy::Policy,
};

fn needs(policy: &Policy) -> Vec<&'static str> {
    let needs = policy.needs("git");
    super::GIT.attributes.iter().map(|attribute| attribute.name).filter(|name| needs.has(name)).collect()
}

#[test]
fn a_policy_says_what_it_looks_at() {
    let check = |written: &[&str], expected: &[&str]| assert_eq!(needs(&rules(written)), expected);
    check(&["{ id: r, match: { git: { action: push } }, decide: deny }"], &[]);
    check(&["{ id: r, match: { git: { paths: a, messages: b } }, decide: deny }"], &["path", "message"]);
    check(&["{ id: r, match: { k8s: { resources: a } }, decide: deny }"], &[]);
    check(&["{ id: r, match: { git: { findings: any } }, decide: deny, mode: shadow }"], &["finding"]);
    check(
        &[
            "{ id: r, match: { any: [ { not: { git: { file_size: { min: 1 } } } }, { who: group:a } ] }, decide: deny }",
        ],
        &["file_size"],
    );
    check(
        &["{ id: r, match: { git: { action: push } }, decide: deny, reason: 'not {paths} of {ref}' }"],
        &["ref", "path"],
    );
    // A reason that could be of either protocol is asked of both.
    check(&["{ id: r, match: { everything: true }, decide: deny, reason: '{finding}' }"], &["finding"]);
    check(
        &[
            "{ id: a, match: { git: { refs: a } }, decide: allow }",
            "{ id: b, match: { git: { refs: b, paths: b } }, decide: deny }",
        ],
        &["ref", "path"],
    );
    let policy = rules(&["{ id: r, match: { k8s: { resources: a } }, decide: deny }"]);
    assert!(policy.needs("k8s").has("resource") && !policy.needs("svn").has("resource"));
}

/// The table in `condition.rs`, for lists that are known: nothing matches in an empty one.
#[test]
fn an_empty_list_is_no_doubt() {
    let check = |rule: &str, expected: [&str; 5]| {
        let decide = if rule.contains("decide: allow") { "deny" } else { "allow" };
        let policy =
            load(&format!("version: 1\nrules: [ {rule} ]\ndefaults: {{ decide: {decide} }}")).unwrap();
        let asked = [
            "git push",
            "git push path=",
            "git push path=docs/a",
            "git push path=docs/a,src/b",
            "git push path=src/b",
        ];
        let words = asked.map(|asked| policy.judge(&agent(), "forge", &[access(asked)]).word());
        assert_eq!(words, expected, "{rule}");
    };
    let paths = "git: { paths: ['docs/**'] }";
    check(
        &format!("{{ id: r, match: {{ {paths} }}, decide: allow }}"),
        ["deny", "deny", "permit", "deny", "deny"],
    );
    check(
        &format!("{{ id: r, match: {{ not: {{ {paths} }} }}, decide: allow }}"),
        ["deny", "permit", "deny", "deny", "permit"],
    );
    check(
        &format!("{{ id: r, match: {{ {paths} }}, decide: deny }}"),
        ["permit", "permit", "deny", "deny", "permit"],
    );
    check(
        &format!("{{ id: r, match: {{ not: {{ {paths} }} }}, decide: deny }}"),
        ["deny", "deny", "permit", "deny", "deny"],
    );
    check(
        &format!("{{ id: r, match: {{ not: {{ {paths} }} }}, decide: require_approval }}"),
        ["hold", "hold", "permit", "hold", "hold"],
    );
}

#[test]
fn messages_sizes_and_findings() {
    let check = |matcher: &str, decide: &str, yes: &[&str], no: &[&str]| {
        let rule = format!("{{ id: r, match: {{ git: {{ {matcher} }} }}, decide: {decide} }}");
        let policy = rules(&[&rule]);
        for (asked, by) in yes.iter().map(|it| (it, "r")).chain(no.iter().map(|it| (it, ""))) {
            let judged = judged(&policy, &agent(), &[asked]);
            assert!(judged.ends_with(&format!(" {by}]")), "{rule} {asked}: {judged}");
        }
    };
    let (one, both) = ("git push message=APP-1:x", "git push message=APP-1:x,oops");
    check("messages: '^APP-[0-9]+'", "allow", &[one], &[both, "git push message=", "git push"]);
    check("messages: [oops, '(?i)WIP']", "deny", &[both, "git push message=wip"], &[one, "git push"]);
    check(
        "file_size: { min: 10MiB }",
        "deny",
        &["git push file_size=10485760", "git push file_size=1GiB"],
        &["git push file_size=10485759", "git push"],
    );
    check(
        "file_size: { max: 1KiB }",
        "allow",
        &["git push file_size=1024", "git push file_size=0"],
        &["git push file_size=1025", "git push"],
    );
    let (found, two) = ("git push finding=github-pat", "git push finding=aws-access-key-id,github-pat");
    check("findings: any", "deny", &[found, two], &["git push finding=", "git push"]);
    check("findings: [any]", "deny", &[found], &["git push finding="]);
    check("findings: ['aws-*']", "deny", &[two], &[found]);
    check("findings: github-pat", "allow", &[found], &[two, "git push finding=", "git push"]);
    let clean = rules(&[
        "{ id: r, match: { git: { action: push }, not: { git: { findings: any } } }, decide: allow }",
    ]);
    assert_eq!(judged(&clean, &agent(), &["git push finding="]), "permit [allow r]");
    assert_eq!(judged(&clean, &agent(), &["git push"]), "deny [deny ]", "nobody looked");
    assert_eq!(judged(&clean, &agent(), &[found]), "deny [deny ]");
}

/// Of findings that were only counted nobody knows by which rule: they are taken for what allows less.
#[test]
fn findings_beyond_count_are_in_doubt() {
    let finding = Finding { rule: "github-pat".into(), place: String::new(), tag: String::new() };
    let asked = with("finding", Value::Findings { list: vec![finding], further: 1 });
    let check = |matcher: &str, decide: &str, expected: &str| {
        let default = if decide == "allow" { "deny" } else { "allow" };
        let rule = format!("{{ id: r, match: {{ {matcher} }}, decide: {decide} }}");
        let policy =
            load(&format!("version: 1\nrules: [ {rule} ]\ndefaults: {{ decide: {default} }}")).unwrap();
        let verdict = policy.judge(&agent(), "forge", std::slice::from_ref(&asked));
        assert_eq!(verdict.word(), expected, "{rule}");
    };
    check("git: { findings: github-pat }", "allow", "deny");
    check("git: { findings: any }", "allow", "permit");
    check("not: { git: { findings: aws-access-key-id } }", "allow", "deny");
    check("git: { findings: aws-access-key-id }", "deny", "deny");
    check("not: { git: { findings: github-pat } }", "deny", "deny");
    check("not: { git: { findings: any } }", "deny", "permit");
}

fn with(name: &'static str, value: Value) -> Access {
    Access { attributes: Attributes::new().with(name, value), ..access("git push repository=a") }
}

/// Of a thousand paths, those that the rule is about.
#[test]
fn reasons_tell_what_matched() {
    let reason = |rule: &str, asked: &Access| {
        let policy = rules(&[&format!(
            "{{ id: r, match: {{ {rule} }}, decide: deny, reason: 'not {{paths}}{{messages}}{{findings}}' }}"
        )]);
        let verdict = policy.judge(&agent(), "forge", std::slice::from_ref(asked));
        assert_eq!(verdict.word(), "deny");
        verdict.grounds().accesses[0].reason.clone()
    };
    let mut paths: Vec<String> = (0..1000).map(|n| format!("src/{n:03}.rs")).collect();
    paths.push(".github/workflows/ci.yml".into());
    let paths = with("path", Value::List(paths));
    assert_snapshot!(reason("git: { paths: ['.github/**'] }", &paths), @"not .github/workflows/ci.yml--");
    assert_snapshot!(reason("git: { paths: ['src/*1.rs'] }", &paths), @"not src/001.rs, src/011.rs, src/021.rs, src/031.rs, src/041.rs, src/051.rs, src/061.rs, src/071.rs, src/081.rs, src/091.rs, src/101.rs, src/111.rs, src/121.rs, src/131.rs, src/141.rs, src/151.rs and 84 more--");
    assert_snapshot!(reason("not: { git: { paths: ['src/**'] } }", &paths), @"not .github/workflows/ci.yml--");
    assert_snapshot!(reason("any: [ { not: { not: { git: { paths: ['.github/**'] } } } }, { git: { refs: x } } ]", &paths), @"not .github/workflows/ci.yml--");
    assert_snapshot!(reason("git: { action: push }", &paths), @"not src/000.rs, src/001.rs, src/002.rs, src/003.rs, src/004.rs, src/005.rs, src/006.rs, src/007.rs, src/008.rs, src/009.rs, src/010.rs, src/011.rs, src/012.rs, src/013.rs, src/014.rs, src/015.rs and 985 more--");
    assert_snapshot!(reason("git: { action: push }", &with("path", Value::List(vec![]))), @"not ---");
    let messages = with("message", Value::List(vec!["fine".into(), "WIP: x\n\nlong text\n".into()]));
    assert_snapshot!(reason("git: { messages: WIP }", &messages), @"not -WIP: x  long text-");
    let found = |rule: &str, line: u32| Finding {
        rule: rule.into(),
        place: format!("config.py line {line} (commit 1a2b3c4)"),
        tag: "0a1b2c3d".into(),
    };
    let findings =
        (1..100).map(|line| found(if line == 50 { "aws-access-key-id" } else { "github-pat" }, line));
    let findings = with("finding", Value::Findings { list: findings.collect(), further: 7 });
    assert_snapshot!(reason("git: { findings: any }", &findings), @"not --github-pat in config.py line 1 (commit 1a2b3c4), github-pat in config.py line 2 (commit 1a2b3c4), github-pat in config.py line 3 (commit 1a2b3c4), github-pat in config.py line 4 (commit 1a2b3c4) and 102 more");
    assert_snapshot!(reason("git: { findings: 'aws-*' }", &findings), @"not --aws-access-key-id in config.py line 50 (commit 1a2b3c4) and 7 more");
}

#[test]
fn values_beside_the_schema_are_refused() {
    let policy = load("version: 1\ndefaults: { decide: allow }").unwrap();
    let finding = Finding { rule: "known-value".into(), place: String::new(), tag: String::new() };
    for (name, value, word) in [
        ("finding", Value::Findings { list: vec![finding.clone()], further: 0 }, "permit"),
        ("finding", Value::List(vec!["github-pat".into()]), "deny"),
        ("path", Value::Findings { list: vec![finding], further: 0 }, "deny"),
        ("file_size", Value::Number(1), "permit"),
        ("file_size", Value::from("1"), "deny"),
        ("message", Value::List(vec!["x".into()]), "permit"),
        ("message", Value::Flag(true), "deny"),
    ] {
        let access = with(name, value);
        assert_eq!(policy.judge(&agent(), "forge", std::slice::from_ref(&access)).word(), word, "{access:?}");
    }
}

#[test]
fn explanations_are_short() {
    let policy = rules(&[
        "{ id: sizes, match: { git: { file_size: { max: 10MiB } } }, decide: allow }",
        "{ id: words, match: { git: { messages: ['^a', b] } }, decide: deny }",
        "{ id: secrets, match: { git: { findings: any } }, decide: deny }",
        "{ id: docs, match: { git: { paths: 'docs/**' } }, decide: allow }",
    ]);
    let mut asked = access("git push repository=a finding= file_size=1GiB message=x");
    asked.attributes = asked.attributes.with("path", Value::List(vec!["x".repeat(300); 1000]));
    assert_snapshot!(policy.explain(&agent(), "forge", &asked), @r"
    github:repo:org/app:ref:x asks for git push on a, upstream forge
    in groups: ci
      - sizes (allow): git.file_size: expected at most 10485760, got 1073741824
      - words (deny): git.messages: expected /^a/ or /b/, got x
      - secrets (deny): git.findings: expected any, got nothing
      - docs (allow): git.paths: expected docs/**, got xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
    deny by default: no rule allows push on a
    ");
}
