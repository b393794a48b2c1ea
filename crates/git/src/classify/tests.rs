//! What is said of an update.

use lockgate_core::policy::Policy;

use super::*;
use crate::{
    facts::{Found, TagKind},
    oid::Oid,
    parse::Capabilities,
};

fn request(name: &str, old: u8, new: u8, options: &[&str]) -> PushRequest {
    let oid = |byte| Oid::from_bytes(&[byte; 20]).unwrap();
    PushRequest {
        shallow: Vec::new(),
        commands: vec![Command { old: oid(old), new: oid(new), name: name.to_owned() }],
        capabilities: Capabilities::parse(b"report-status atomic").unwrap(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        certificate: false,
    }
}

#[test]
fn says_what_changes() {
    use Ancestry::{Diverged, FastForward, Unknown};
    let check = |name, (old, new), ancestry: &[Ancestry], expected: [&str; 3]| {
        let access =
            push("app", &request(name, old, new, &[]), ancestry, Content::default()).unwrap().remove(0);
        let value = |name| access.attributes.get(name).map(ToString::to_string).unwrap_or_default();
        assert_eq!([value("change"), value("kind"), value("ancestry")], expected);
    };
    let (branch, tag, note) = ("refs/heads/a", "refs/tags/a", "refs/notes/a");
    check(branch, (0, 1), &[Unknown], ["create", "branch", ""]);
    check(branch, (1, 0), &[Unknown], ["delete", "branch", ""]);
    check(branch, (1, 2), &[FastForward], ["update", "branch", "fast-forward"]);
    check(branch, (1, 2), &[Diverged], ["force", "branch", "diverged"]);
    check(branch, (1, 2), &[Unknown], ["force", "branch", "unknown"]);
    check(branch, (1, 2), &[], ["force", "branch", "unknown"]);
    check(tag, (0, 1), &[Unknown], ["create", "tag", ""]);
    check(tag, (1, 2), &[FastForward], ["force", "tag", ""]);
    check(tag, (1, 0), &[Unknown], ["delete", "tag", ""]);
    check(note, (1, 2), &[FastForward], ["update", "other", "fast-forward"]);
    check("refs/headsx", (0, 1), &[Unknown], ["create", "other", ""]);
}

#[test]
fn binds_an_approval_to_content_and_options() {
    let access =
        push("app", &request("refs/heads/a", 1, 2, &["ci.skip", "a \"b\""]), &[], Content::default())
            .unwrap()
            .remove(0);
    insta::assert_snapshot!(access.binding, @r#"refs/heads/a 0101010101010101010101010101010101010101..0202020202020202020202020202020202020202 -o "ci.skip" -o "a \"b\"""#);
    assert_eq!(access.attributes.get("option").unwrap().to_string(), "ci.skip, a \"b\"");
}

#[test]
fn uses_only_names_of_the_schema() {
    let request = request("refs/tags/a", 1, 2, &["x"]);
    let content = Content { wanted: EVERYTHING, facts: Some(&[facts()]) };
    let push = push("app", &request, &[], content).unwrap().remove(0);
    assert_eq!(push.attributes.iter().count(), SCHEMA.attributes.len() - 1, "all but the ancestry");
    for access in [fetch("app"), push] {
        assert!(SCHEMA.action(access.action).is_some());
        for (name, value) in access.attributes.iter() {
            let attribute = SCHEMA.attribute(name).unwrap();
            if let Matcher::Choice(words) = attribute.matcher {
                assert!(words.contains(&&*value.to_string()), "{name} {value}");
            }
        }
    }
}

const EVERYTHING: Wanted = Wanted { history: true, paths: true, content: true };

fn facts() -> Facts {
    let found = |commit, path: &str, line| Found {
        rule: "github-pat".into(),
        commit,
        path: path.into(),
        line,
        tag: "0a1b2c3d".into(),
    };
    Facts {
        commits: 2,
        paths: vec!["a/b".into(), "c".into()],
        largest: 1 << 20,
        authors: vec!["ada@example.com".into()],
        committers: vec!["bot@example.com".into()],
        messages: vec!["one\n\ntwo\n".into(), "three".into()],
        unsigned: 1,
        tag: Some(TagKind::Annotated),
        further: 2,
        findings: vec![
            found(Oid::from_bytes(&[0xab; 20]), "config.py", 3),
            found(Oid::from_bytes(&[0xab; 32]), "(message)", 0),
            found(None, "(path)", 0),
        ],
    }
}

#[test]
fn says_what_the_content_brings() {
    let said = |wanted: Wanted, facts: Facts| {
        let content = Content { wanted, facts: Some(&[facts]) };
        let access = push("app", &request("refs/tags/a", 0, 1, &[]), &[], content).unwrap().remove(0);
        let said = access.attributes.iter().skip(4);
        said.map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(said(EVERYTHING, facts()), @r"
    author: ada@example.com
    committer: bot@example.com
    message: one  two, three
    commits: 2
    unsigned: true
    tag: annotated
    path: a/b, c
    file_size: 1048576
    finding: github-pat in config.py line 3 (commit abababa), github-pat in (message) (commit abababa), github-pat in (path) (in no commit) and 2 more
    atomic: true
    signed: false
    lfs: false
    ");
    insta::assert_snapshot!(said(EVERYTHING, Facts::default()), @r"
    author: 
    committer: 
    message: 
    commits: 0
    unsigned: false
    path: 
    file_size: 0
    finding: 
    atomic: true
    signed: false
    lfs: false
    ");
    insta::assert_snapshot!(said(Wanted { history: true, ..Wanted::default() }, facts()), @r"
    author: ada@example.com
    committer: bot@example.com
    message: one  two, three
    commits: 2
    unsigned: true
    tag: annotated
    atomic: true
    signed: false
    lfs: false
    ");
    insta::assert_snapshot!(said(Wanted { paths: true, ..Wanted::default() }, facts()), @r"
    path: a/b, c
    atomic: true
    signed: false
    lfs: false
    ");
    insta::assert_snapshot!(said(Wanted { content: true, ..Wanted::default() }, facts()), @r"
    file_size: 1048576
    finding: github-pat in config.py line 3 (commit abababa), github-pat in (message) (commit abababa), github-pat in (path) (in no commit) and 2 more
    atomic: true
    signed: false
    lfs: false
    ");
    insta::assert_snapshot!(said(Wanted::default(), facts()), @r"
    atomic: true
    signed: false
    lfs: false
    ");
}

#[test]
fn what_was_not_looked_into_is_refused() {
    let check = |wanted: Wanted, facts: Option<&[Facts]>, expected: Result<usize, RefusalKind>| {
        let accesses = push("app", &request("refs/heads/a", 1, 2, &[]), &[], Content { wanted, facts });
        assert_eq!(accesses.map(|it| it.len()).map_err(|refusal| refusal.kind), expected, "{wanted:?}");
    };
    check(Wanted::default(), None, Ok(1));
    for wanted in [
        Wanted { history: true, ..Wanted::default() },
        Wanted { paths: true, ..Wanted::default() },
        Wanted { content: true, ..Wanted::default() },
    ] {
        check(wanted, None, Err(RefusalKind::Internal));
        check(wanted, Some(&[]), Err(RefusalKind::Internal));
        check(wanted, Some(&[facts(), facts()]), Err(RefusalKind::Internal));
        check(wanted, Some(&[facts()]), Ok(1));
    }
}

/// Whatever attribute a policy asks for, what is looked for says it.
#[test]
fn what_a_policy_needs_is_wanted() {
    for attribute in SCHEMA.attributes {
        let wanted = wanted(&[attribute.name].into_iter().collect());
        let content = Content { wanted, facts: Some(&[facts()]) };
        let access = push("app", &request("refs/heads/a", 1, 2, &["x"]), &[], content).unwrap().remove(0);
        assert!(access.attributes.get(attribute.name).is_some(), "{}", attribute.name);
    }
}

#[test]
fn reads_files_of_what_may_be_fetched() {
    let check = |repository, file_path, expected: &[&str]| {
        let accesses = file(repository, file_path);
        let accesses: Vec<_> = accesses.iter().map(|a| format!("{} {}", a.action, a.resource)).collect();
        assert_eq!(accesses, expected);
    };
    check("a/b", "/HEAD", &["fetch a/b", "read-file a/b"]);
    check("a/b/c", "", &["fetch a/b/c", "read-file a/b/c", "fetch a", "fetch a/b"]);
}

#[test]
fn refs_that_are_none_are_no_matchers() {
    let check = |refs: &str| {
        let text = format!(
            "version: 1\nrules:\n  - {{ id: r, match: {{ git: {{ refs: ['{refs}'] }} }}, decide: deny }}\n"
        );
        Policy::load(&text, &[&SCHEMA]).map(drop).map_err(|errors| errors.to_string())
    };
    for good in ["refs/heads/main", "refs/**", "**", "*/heads/x", "re?s/heads/x"] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in ["main", "heads/*", "ref", "origin/**"] {
        let expected = format!("3:37: \"{bad}\" never matches: every one begins with refs/");
        assert_eq!(check(bad).unwrap_err().trim(), expected);
    }
}
