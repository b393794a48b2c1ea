//! What `explain` tells.

use insta::assert_snapshot;

use super::{access, agent, load};

const POLICY: &str = "
version: 1
groups: { agents: [ { issuer: github, claim: { repository_owner_id: '1234' } } ] }
rules:
  - { id: fetch, match: { who: agents, git: { action: fetch } }, decide: allow }
  - { id: people, match: { who: [group:staff, 'okta:*'] }, decide: allow }
  - { id: prod, match: { who: agents, upstreams: 'for*', git: { action: push, refs: [refs/heads/main, 'refs/heads/release/**'] } }, decide: require_approval, approval: { from: group:release, count: 2 }, reason: '{ref} is production' }
  - { id: tags, match: { any: [ { git: { kind: tag } }, { all: [ { git: { change: delete } }, { not: { who: agents } } ] } ] }, decide: deny }
  - { id: not-main, match: { not: { git: { refs: refs/heads/main } } }, decide: deny }
  - { id: elsewhere, match: { upstreams: [prod] }, decide: deny }
  - { id: big, match: { k8s: { replicas: { max: 3 } } }, decide: allow }
  - { id: watch, match: { git: { action: push } }, decide: deny, mode: shadow }
";

#[test]
fn for_people() {
    let policy = load(POLICY).unwrap();
    let explain = |asked: &str| policy.explain(&agent(), "forge", &access(asked)).to_string();
    assert_snapshot!(explain("git push repository=a/b ref=refs/heads/main change=delete kind=branch"), @r"
    github:repo:org/app:ref:x asks for git push on a/b, upstream forge
    in groups: agents, ci
      - fetch (allow): git.action: expected fetch, got push
      - people (allow): who: expected group:staff or okta:*, got github:repo:org/app:ref:x
      + prod (require_approval): matches
      - tags (deny): any: expected one of 2 to match, got none does: see any[0].git.kind, any[1].all[1].not
      - not-main (deny): not: expected no match, got it matches
      - elsewhere (deny): upstreams: expected prod, got forge
      - big (allow): k8s: expected k8s, got git
      + watch (deny, shadow): matches
    require_approval by prod: refs/heads/main is production (needs approval by 2 people of release)
    ");
    assert_snapshot!(explain("git fetch repository=a/b"), @r"
    github:repo:org/app:ref:x asks for git fetch on a/b, upstream forge
    in groups: agents, ci
      + fetch (allow): matches
      - people (allow): who: expected group:staff or okta:*, got github:repo:org/app:ref:x
      - prod (require_approval): git.action: expected push, got fetch
      - tags (deny): any: expected one of 2 to match, got none does: see any[0].git.kind, any[1].all[0].git.change
      + not-main (deny): matches
      - elsewhere (deny): upstreams: expected prod, got forge
      - big (allow): k8s: expected k8s, got git
      - watch (deny, shadow): git.action: expected push, got fetch
    deny by not-main: fetch on a/b is denied by the rule not-main
    ");
    assert_snapshot!(explain("k8s write resource=pods replicas=5"), @r"
    github:repo:org/app:ref:x asks for k8s write on pods, upstream forge
    in groups: agents, ci
      - fetch (allow): git: expected git, got k8s
      - people (allow): who: expected group:staff or okta:*, got github:repo:org/app:ref:x
      - prod (require_approval): git: expected git, got k8s
      - tags (deny): any: expected one of 2 to match, got none does: see any[0].git, any[1].all[0].git
      + not-main (deny): matches
      - elsewhere (deny): upstreams: expected prod, got forge
      - big (allow): k8s.replicas: expected at most 3, got 5
      - watch (deny, shadow): git: expected git, got k8s
    deny by not-main: write on pods is denied by the rule not-main
    ");
}

#[test]
fn obligations_are_told() {
    let text = "version: 1\nrules: [ { id: r, match: { k8s: { action: read } }, decide: allow, oblige: { mask: all } } ]";
    let explanation = load(text).unwrap().explain(&agent(), "x", &access("k8s read resource=secrets"));
    assert_snapshot!(explanation, @r"
    github:repo:org/app:ref:x asks for k8s read on secrets, upstream x
    in groups: ci
      + r (allow): matches
    allow by r
    masks: all
    ");
    assert_snapshot!(serde_json::to_string(&explanation).unwrap(), @r#"{"principal":"github:repo:org/app:ref:x","groups":["ci"],"asked":"k8s read on secrets","upstream":"x","rules":[{"id":"r","effect":"allow","shadow":false,"failed":null}],"ground":{"effect":"allow","rules":["r"],"reason":""},"obligations":{"mask":["all"],"record":{"retain":{"secs":7776000,"nanos":0},"payload":"full","on_failure":"strict"}},"approval":null}"#);
}

#[test]
fn accesses_are_written_in_words() {
    let policy = load("version: 1").unwrap();
    let error = |protocol: &str, action: &str, attribute: (&'static str, &'static str)| {
        policy.access(protocol, action, [(attribute.0, vec![attribute.1])]).unwrap_err().to_string()
    };
    assert_snapshot!(error("gti", "push", ("ref", "x")), @r#"there is no protocol "gti": it is one of git, k8s"#);
    assert_snapshot!(error("git", "pull", ("ref", "x")), @r#"there is no action "pull": it is one of fetch, push"#);
    assert_snapshot!(error("git", "push", ("reff", "x")), @r#"there is no attribute "reff": did you mean "ref"?"#);
    assert_snapshot!(error("git", "push", ("change", "forced")), @r#"change cannot be "forced": did you mean "force"?"#);
    assert_snapshot!(error("k8s", "read", ("dry_run", "no")), @r#"dry_run cannot be "no": it is true or false"#);
    assert_snapshot!(error("k8s", "read", ("replicas", "-1")), @r#"replicas cannot be "-1": it is a whole number"#);
    assert_eq!(access("git push repository=team/app").resource, "team/app");
}
