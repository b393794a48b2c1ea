//! The policy as a whole: documents in, verdicts and errors out.

mod content;
mod errors;
mod examples;
mod explain;
mod foresee;
mod hostile;
mod laws;
mod matchers;
mod sight;
mod verdicts;

use crate::{
    access::{Access, Action, Attribute, Matcher, Schema},
    policy::{Policy, PolicyErrors},
    principal::Principal,
    verdict::Verdict,
};

static GIT: Schema = Schema {
    protocol: "git",
    actions: &[
        Action { name: "fetch", mutates: false, maskable: false, parts: Some("ref") },
        Action { name: "push", mutates: true, maskable: false, parts: None },
    ],
    attributes: &[
        attribute("repository", "repositories", Matcher::Name),
        attribute("ref", "refs", Matcher::Glob),
        attribute("change", "changes", Matcher::Choice(&["create", "update", "force", "delete"]))
            .only(&["push"]),
        attribute("kind", "kinds", Matcher::Choice(&["branch", "tag", "other"])).only(&["push"]),
        attribute("option", "options", Matcher::Glob).only(&["push"]),
        attribute("path", "paths", Matcher::Glob).only(&["push"]),
        attribute("message", "messages", Matcher::Regex).only(&["push"]),
        attribute("file_size", "file_sizes", Matcher::Size).only(&["push"]),
        attribute("finding", "findings", Matcher::Finding).only(&["push"]),
        attribute("voucher", "vouchers", Matcher::Vouches),
        attribute("read", "reads", Matcher::Glob).only(&["fetch"]),
    ],
    masks: &[],
};

static K8S: Schema = Schema {
    protocol: "k8s",
    actions: &[
        Action { name: "read", mutates: false, maskable: true, parts: None },
        Action { name: "write", mutates: true, maskable: true, parts: None },
    ],
    attributes: &[
        attribute("resource", "resources", Matcher::Glob),
        attribute("namespace", "namespaces", Matcher::Glob),
        attribute("dry_run", "dry_run", Matcher::Flag),
        attribute("replicas", "replicas", Matcher::Number).only(&["write"]),
    ],
    masks: &[],
};

const fn attribute(name: &'static str, plural: &'static str, matcher: Matcher) -> Attribute {
    Attribute::new(name, plural, matcher, "")
}

pub(super) fn load(text: &str) -> Result<Policy, PolicyErrors> {
    Policy::load(text, &[&GIT, &K8S])
}

/// A policy of rules alone, each a line of YAML.
fn rules(rules: &[&str]) -> Policy {
    let rules: String = rules.iter().map(|rule| format!("  - {rule}\n")).collect();
    load(&format!("version: 1\nrules:\n{rules}")).unwrap_or_else(|errors| panic!("{errors}\n{rules}"))
}

fn principal(issuer: &str, subject: &str, groups: &[&str], claims: &str) -> Principal {
    Principal {
        issuer: issuer.into(),
        subject: subject.into(),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        claims: serde_json::from_str(claims).unwrap(),
    }
}

fn agent() -> Principal {
    principal("github", "repo:org/app:ref:x", &["ci"], r#"{ "repository_owner_id": "1234" }"#)
}

/// An access as it is written in one line: `git push repository=team/app ref=a,b path=`. A list of
/// nothing is written as the last.
fn access(text: &str) -> Access {
    let policy = load("version: 1").unwrap();
    let mut words = text.split(' ');
    let (protocol, action) = (words.next().unwrap(), words.next().unwrap());
    let attributes = words.map(|word| {
        let (name, values) = word.split_once('=').unwrap();
        (name, values.split(',').filter(|value| !value.is_empty()).collect())
    });
    policy.access(protocol, action, attributes).unwrap()
}

/// The verdict on some accesses, as its word and what the first that decides says.
fn judged(policy: &Policy, principal: &Principal, accesses: &[&str]) -> String {
    let accesses: Vec<Access> = accesses.iter().map(|text| access(text)).collect();
    show(&policy.judge(principal, "forge", &accesses))
}

fn show(verdict: &Verdict) -> String {
    let mut shown = verdict.word().to_owned();
    for ground in &verdict.grounds().accesses {
        shown.push_str(&format!(" [{} {}]", ground.effect.word(), ground.rules.join("+")));
    }
    shown
}
