//! What the writer of a wrong document reads.

use insta::assert_snapshot;

use super::load;

fn errors(text: &str) -> String {
    load(text).expect_err("the document is wrong").to_string()
}

/// The errors of one rule, which begins in line 3.
fn rule(text: &str) -> String {
    errors(&format!("version: 1\nrules:\n  - {{ id: r, {text} }}\n"))
}

#[test]
fn documents() {
    assert_snapshot!(errors(""), @"1:1: the document is empty");
    assert_snapshot!(errors("# nothing\n"), @"1:1: the document is empty");
    assert_snapshot!(errors("~"), @"1:1: a policy is a map, but here is nothing");
    assert_snapshot!(errors("- 1"), @"1:1: a policy is a map, but here is a list");
    assert_snapshot!(errors("rules: []"), @r#"1:1: a policy needs the key "version""#);
    assert_snapshot!(errors("version: 2"), @"1:10: the only version is 1");
    assert_snapshot!(errors("version: one"), @r#"1:10: version is a whole number, not "one""#);
    assert_snapshot!(errors("version: 1\n---\nversion: 1"), @"3:1: a policy is one YAML document, and here begins another");
    assert_snapshot!(errors("version: 1\nrulez: []"), @r#"2:1: unknown key "rulez" in a policy: did you mean "rules"?"#);
    assert_snapshot!(errors("version: 1\nversion: 1"), @r#"2:1: the key "version" is here twice"#);
    assert_snapshot!(errors("version: 1\nrules: {}"), @"2:8: rules is a list, but here is a map");
    assert_snapshot!(errors("version: 1\nrules: [\n"), @"2:8: not YAML: unclosed bracket '['");
    assert_snapshot!(errors("version: 1\n\trules: []"), @"1:10: not YAML: while scanning a plain scalar, found a tab");
    assert_snapshot!(errors("%YAML 1.2\n---\nversion: 1"), @"1:1: not YAML: YAML directives are disallowed");
    assert_snapshot!(errors("version: 1\n? [a]\n: b"), @"2:3: a key is a word");
    assert_snapshot!(errors("version: 1\ndefaults: { decide: require_approval }"), @r#"2:21: defaults.decide cannot be "require_approval": it is one of deny, allow"#);
    assert_snapshot!(errors("version: 1\ndefaults: { record: { retain: 90, payload: none, on_failure: x } }"), @r#"
    2:31: retain is a duration such as 30s, 1h30m or 90d, not "90"
    2:44: payload cannot be "none": it is one of full, digest
    2:62: on_failure cannot be "x": it is one of strict, best_effort
    "#);
    assert_snapshot!(errors("version: 1\ndefaults: { record: { retain: 9999d } }"), @r#"2:31: retain is from 1h to 3650d, not "9999d""#);
}

#[test]
fn yaml_that_hides_what_applies() {
    assert_snapshot!(errors("version: &v 1\nrules: *v"), @r"
    1:13: anchors and aliases are not supported: write it out
    2:8: anchors and aliases are not supported: write it out
    ");
    assert_snapshot!(errors("version: *nowhere"), @"1:10: anchors and aliases are not supported: write it out");
    assert_snapshot!(errors("version: !!int 1\nrules: !rules []"), @r"
    1:16: tags are not supported
    2:15: tags are not supported
    ");
    assert_snapshot!(errors("version: 1\n<<: { rules: [] }"), @r#"2:1: unknown key "<<" in a policy: it is one of version, groups, rules, defaults, tests"#);
}

#[test]
fn several_at_once() {
    let text = "version: 1
groups:
  agents: [ { issuer: github, claims: { a: b } } ]
rules:
  - id: Prod Push
    match: { git: { action: pull, refz: [main], change: forced } }
    decide: ask
  - id: two
    match: { who: [agnets, group:anything], gti: { action: push } }
    decide: deny
    approval: { count: 0 }
  - id: two
    match: {}
    decide: require_approval
    approval: { from: [human], count: 0, hold: 2h, ttl: 1h, on_disconnect: wait }
    mode: observe
tests:
  - { who: agents, git: { action: push, ref: x }, expect: { decide: deny, rule: tow } }
";
    assert_snapshot!(errors(text), @r#"
    3:31: unknown key "claims" in a group's member: did you mean "claim"?
    5:9: a rule's id cannot be "Prod Push": it has lower-case letters, digits, - _ and ., at most 64, beginning with a letter or digit
    6:29: git has no action "pull": it is one of fetch, push
    6:35: git has no attribute "refz": did you mean "refs"?
    6:57: change cannot be "forced": did you mean "force"?
    7:13: decide cannot be "ask": it is one of allow, require_approval, deny
    9:20: no group "agnets" in `groups`: did you mean "agents"? (a group that the configuration derives from tokens is written group:<name>)
    9:45: unknown key "gti" in match: it is one of git, k8s, who, upstreams, any, all, not, everything
    11:15: approval belongs to a rule with `decide: require_approval`
    12:9: there is another rule with the id "two"
    13:12: an empty match: what matches everything says `everything: true`
    15:24: no group "human" in `groups`: there is only "agents" (a group that the configuration derives from tokens is written group:<name>)
    15:39: count is from 1 to 20 people
    15:48: hold is from 0s to 1h, not "2h"
    15:76: on_disconnect cannot be "wait": it is one of cancel, continue
    16:11: mode cannot be "observe": it is one of enforce, shadow
    18:81: there is no rule "tow": there is only "two"
    "#);
}

#[test]
fn matches() {
    assert_snapshot!(rule("match: { git: {} }, decide: deny"), @"3:28: an empty matcher: for every request say `action: [fetch, push]`");
    assert_snapshot!(rule("match: { git: { refs: [] } }, decide: deny"), @"3:36: refs is an empty list, which matches nothing");
    assert_snapshot!(rule("match: { git: { refs: ['!main'] } }, decide: deny"), @"3:37: a glob cannot be negated by `!`: put the matcher under `not`");
    assert_snapshot!(rule("match: { git: { refs: [main, 'v[0-9]'] } }, decide: deny"), @r"3:43: `[` means nothing in a glob: list the alternatives, or write `\[`");
    assert_snapshot!(rule("match: { git: { refs: [main], ref: main } }, decide: deny"), @"3:44: ref is matched twice");
    assert_snapshot!(rule("match: { git: { refs: { a: b } } }, decide: deny"), @"3:36: refs is a text or a list of texts, but here is a map");
    assert_snapshot!(rule("match: { git: { refs: [''] } }, decide: deny"), @"3:37: refs is empty");
    assert_snapshot!(rule("match: { git: { refs: [~] } }, decide: deny"), @"3:37: refs is a text, but here is nothing");
    assert_snapshot!(rule("match: { k8s: { dry_run: yes } }, decide: deny"), @r#"3:39: dry_run cannot be "yes": it is one of true, false"#);
    assert_snapshot!(rule("match: { k8s: { replicas: [1] } }, decide: deny"), @"3:40: replicas is a map, but here is a list");
    assert_snapshot!(rule("match: { k8s: { replicas: { min: -1 } } }, decide: deny"), @r#"3:47: min is a whole number, not "-1""#);
    assert_snapshot!(rule("match: { k8s: { replicas: { min: 3, max: 2 } } }, decide: deny"), @"3:40: replicas needs a min, or a max, and the min is not above the max");
    assert_snapshot!(rule("match: { git: { action: push }, k8s: { action: read } }, decide: deny"), @"3:21: this can never match: one request is of one protocol and has one action");
    assert_snapshot!(rule("match: { all: [ { git: { action: push } }, { git: { action: fetch } } ] }, decide: deny"), @"3:28: this can never match: one request is of one protocol and has one action");
    assert_snapshot!(rule("match: { git: { action: fetch, changes: create, paths: 'a/**' } }, decide: deny"), @r"
    3:45: change is said of push only: beside `action: fetch` it never matches
    3:62: path is said of push only: beside `action: fetch` it never matches
    ");
    assert_snapshot!(rule("match: { not: { k8s: { replicas: { min: 2 }, action: [read] } } }, decide: allow"), @"3:37: replicas is said of write only: beside `action: read` it never matches");
    assert_snapshot!(rule("match: { git: { paths: a }, k8s: { dry_run: true } }, decide: deny"), @"3:21: this can never match: one request is of one protocol and has one action");
    assert_snapshot!(rule("match: { all: [ { git: { paths: a } }, { git: { action: fetch } } ] }, decide: deny"), @"3:28: this can never match: one request is of one protocol and has one action");
    assert_snapshot!(rule("match: { git: { findings: any, reads: x } }, decide: deny"), @"3:28: this can never match: no action has all of these attributes");
    assert_snapshot!(rule("match: { any: [] }, decide: deny"), @"3:28: any is an empty list");
    assert_snapshot!(rule("match: { any: { git: { action: push } } }, decide: deny"), @"3:28: any is a list, but here is a map");
    assert_snapshot!(rule("match: { everything: false }, decide: deny"), @"3:35: a rule that matches nothing is no rule");
    assert_snapshot!(rule("match: { everything: true, who: ['a:b'] }, decide: deny"), @"3:23: `everything` stands alone: leave it out, the other keys say what matches");
    assert_snapshot!(rule("match: { who: ['*:b', ':x', 'a:'] }, decide: deny"), @r"
    3:29: a principal is written <issuer>:<glob of subjects>, the issuer by its name
    3:36: a principal is written <issuer>:<glob of subjects>, the issuer by its name
    3:42: a principal is written <issuer>:<glob of subjects>, the issuer by its name
    ");
    assert_snapshot!(rule("match: { who: ['group:'] }, decide: deny"), @"3:29: a group's name is missing");
    assert_snapshot!(rule("match: [git], decide: deny"), @"3:21: match is a map, but here is a list");
}

#[test]
fn what_is_looked_for_in_content() {
    let git = |matcher: &str| rule(&format!("match: {{ git: {{ {matcher} }} }}, decide: deny"));
    assert_snapshot!(git("messages: [fine, '(a']"), @"3:47: not a regular expression: unclosed group");
    assert_snapshot!(git("messages: ['a(?=b)', '[a-', '((a{1000}){1000}){1000}']"), @"3:41: not a regular expression: look-around, including look-ahead and look-behind, is not supported");
    assert_snapshot!(git("messages: { a: b }"), @"3:40: messages is a text or a list of texts, but here is a map");
    assert_snapshot!(git("file_size: { max: 10MB }"), @r#"3:48: max is a size such as 512 or 10MiB, not "10MB""#);
    assert_snapshot!(git("file_size: ten"), @r#"3:41: file_size is a size such as 512 or 10MiB, not "ten""#);
    assert_snapshot!(git("file_size: { min: 2KiB, max: 1KiB }"), @"3:41: file_size needs a min, or a max, and the min is not above the max");
    assert_snapshot!(git("findings: [github-pat, github-pta, 'gitlab-pats-*']"), @r#"
    3:53: no rule of detection is called "github-pta": did you mean "github-pat"?
    3:65: no rule of detection is called "gitlab-pats-*": did you mean "gitlab-pat"?
    "#);
    assert_snapshot!(git("findings: []"), @"3:40: findings is an empty list, which matches nothing");
    assert_snapshot!(git("findings: true"), @r#"3:40: no rule of detection is called "true""#);
}

#[test]
fn what_a_rule_asks_for() {
    let any = "match: { everything: true }";
    let k8s = "match: { k8s: { action: read } }";
    assert_snapshot!(rule(&format!("{any}, decide: allow, approval: {{ count: 1 }}")), @"3:68: approval belongs to a rule with `decide: require_approval`");
    assert_snapshot!(rule(&format!("{any}, decide: deny, oblige: {{ mask: [all] }}")), @"3:65: a rule that denies obliges to nothing: nothing comes of the request");
    assert_snapshot!(rule(&format!("{k8s}, decide: allow, oblige: {{ mask: [alll, github-pta] }}")), @r#"
    3:80: no rule of detection is called "alll": did you mean "all"?
    3:86: no rule of detection is called "github-pta": did you mean "github-pat"?
    "#);
    assert_snapshot!(rule("match: { git: { action: fetch } }, decide: allow, oblige: { mask: all }"), @"3:80: nothing can be masked in what this rule reaches (git fetch): a mask would break it, or do nothing");
    assert_snapshot!(rule("match: { any: [ { git: { refs: x } } ] }, decide: allow, oblige: { mask: all }"), @"3:87: nothing can be masked in what this rule reaches (git fetch, git push): a mask would break it, or do nothing");
    assert_snapshot!(rule(&format!("{any}, decide: require_approval, approval: {{ ttl: 5m, hold: 10m }}")), @"3:96: the client would be held longer than the approval can live: see ttl");
    assert_snapshot!(rule(&format!("{any}, decide: require_approval, approval: {{ ttl: 31d, count: 21 }}")), @r#"
    3:86: ttl is from 1m to 30d, not "31d"
    3:98: count is from 1 to 20 people
    "#);
    assert_snapshot!(rule(&format!("{any}, decide: require_approval, approval: {{ from: [] }}")), @"3:87: from is an empty list, which matches nothing");
}

#[test]
fn reasons() {
    let reason =
        |match_: &str, text: &str| rule(&format!("match: {match_}, decide: deny, reason: \"{text}\""));
    let git = "{ git: { action: push } }";
    assert_snapshot!(reason(git, "{refs} of {repo}"), @r#"3:70: the reason has an unknown placeholder "repo": it is one of repository, ref, change, kind, option, path, message, file_size, finding, voucher, read, principal, upstream, action, resource"#);
    assert_snapshot!(reason(git, "{namespace}"), @r#"3:70: the reason has an unknown placeholder "namespace": it is one of repository, ref, change, kind, option, path, message, file_size, finding, voucher, read, principal, upstream, action, resource"#);
    assert_snapshot!(reason(git, "{ref"), @"3:70: a `{` is not closed in the reason; a brace is written `{{`");
    assert_snapshot!(reason(git, "ref}"), @"3:70: a `}` without its `{` in the reason; a brace is written `}}`");
    assert_snapshot!(reason(git, "{a{ref}}"), @"3:70: a `{` is not closed in the reason; a brace is written `{{`");
    assert_snapshot!(reason(git, "a\\nb"), @"3:70: a reason is one line of at most 500 characters");
    assert_snapshot!(reason(git, ""), @"3:70: reason is empty");
    assert_snapshot!(rule("match: { everything: true }, decide: allow, reason: why not"), @"3:66: nobody is told the reason of a rule that allows: write a comment");
}

#[test]
fn tests_in_the_document() {
    let test = |test: &str| {
        let rule = "{ id: main, match: { git: { action: push, refs: [refs/heads/main] } }, decide: allow }";
        let watch = "{ id: watch, match: { everything: true }, decide: deny, mode: shadow }";
        errors(&format!("version: 1\nrules:\n  - {rule}\n  - {watch}\ntests:\n  - {{ {test} }}"))
    };
    let by = "who: 'github:x'";
    assert_snapshot!(test(by), @"6:5: a test has `who`, a protocol with an action, and `expect`");
    assert_snapshot!(test("git: { action: push }, expect: { decide: deny }"), @"6:5: a test has `who`, a protocol with an action, and `expect`");
    assert_snapshot!(test(&format!("{by}, git: {{ action: push }}, expect: deny")), @"6:55: expect is a map, but here is a text");
    assert_snapshot!(test(&format!("{by}, git: {{ ref: x }}, expect: {{ decide: deny }}")), @"6:29: what is asked of git needs an action");
    assert_snapshot!(test(&format!("{by}, git: {{ action: push, reff: x }}, expect: {{ decide: deny }}")), @r#"6:45: there is no attribute "reff": did you mean "ref"?"#);
    assert_snapshot!(test(&format!("{by}, git: {{ action: push, change: x }}, expect: {{ decide: deny }}")), @r#"6:53: change cannot be "x": it is one of create, update, force, delete"#);
    assert_snapshot!(test(&format!("{by}, git: {{ action: psh }}, expect: {{ decide: deny }}")), @r#"6:39: there is no action "psh": did you mean "push"?"#);
    assert_snapshot!(test(&format!("{by}, svn: {{ action: push }}, expect: {{ decide: deny }}")), @r#"6:24: unknown key "svn" in a test: it is one of git, k8s, who, upstream, expect"#);
    assert_snapshot!(
        test(&format!("{by}, git: {{ action: push }}, k8s: {{ action: read }}, expect: {{ decide: deny }}")), @"6:47: a test asks for one thing of one protocol");
    assert_snapshot!(
        test(&format!("{by}, git: {{ action: push, ref: refs/heads/x }}, expect: {{ decide: allow, rule: main }}")), @"6:5: test failed: expected allow by main, got deny by default; main does not match: git.refs: expected refs/heads/main, got refs/heads/x");
    assert_snapshot!(
        test(&format!("{by}, git: {{ action: push, ref: refs/heads/main }}, expect: {{ decide: deny, rule: watch }}")), @"6:5: test failed: expected deny by watch, got allow by main; watch matches, but in shadow mode");
    assert_snapshot!(
        test(&format!("{by}, git: {{ action: push, ref: refs/heads/main }}, expect: {{ decide: allow, rule: default }}")), @"6:5: test failed: expected allow by default, got allow by main");
}
