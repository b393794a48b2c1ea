//! What the content of a push brings, as attributes.

use lockgate_core::access::{Attributes, Finding, Needs, Value};

use crate::facts::{Facts, Found, TagKind, Wanted};

/// The attributes that commits and tags tell, those that trees tell, and those that files tell.
const HISTORY: [&str; 6] = ["author", "committer", "message", "commits", "unsigned", "tag"];
const PATHS: [&str; 1] = ["path"];
const CONTENT: [&str; 2] = ["file_size", "finding"];

/// Digits of a commit's name that people read.
const SHORT: usize = 7;

/// What has to be looked for, for a policy that asks for these attributes.
pub fn wanted(needs: &Needs) -> Wanted {
    let any = |names: &[&str]| names.iter().any(|name| needs.has(name));
    Wanted { history: any(&HISTORY), paths: any(&PATHS), content: any(&CONTENT) }
}

/// The attributes of it.
pub(super) fn names(wanted: Wanted) -> impl Iterator<Item = &'static str> {
    let of = |is_wanted: bool, names: &'static [&'static str]| if is_wanted { names } else { &[] };
    [of(wanted.history, &HISTORY), of(wanted.paths, &PATHS), of(wanted.content, &CONTENT)]
        .into_iter()
        .flatten()
        .copied()
}

/// Adds what was wanted: every attribute of it, for one that is absent would be in doubt.
pub(crate) fn add(mut attributes: Attributes, wanted: Wanted, facts: &Facts) -> Attributes {
    if wanted.history {
        attributes = attributes
            .with("author", Value::List(facts.authors.clone()))
            .with("committer", Value::List(facts.committers.clone()))
            .with("message", Value::List(facts.messages.clone()))
            .with("commits", facts.commits)
            .with("unsigned", facts.unsigned > 0);
        if let Some(tag) = facts.tag {
            attributes = attributes.with("tag", word(tag));
        }
    }
    if wanted.paths {
        attributes = attributes.with("path", Value::List(facts.paths.clone()));
    }
    if wanted.content {
        let list = facts.findings.iter().map(finding).collect();
        attributes = attributes
            .with("file_size", facts.largest)
            .with("finding", Value::Findings { list, further: facts.further });
    }
    attributes
}

fn word(tag: TagKind) -> &'static str {
    match tag {
        TagKind::Lightweight => "lightweight",
        TagKind::Annotated => "annotated",
        TagKind::Signed => "signed",
    }
}

fn finding(found: &Found) -> Finding {
    let line = if found.line > 0 { format!(" line {}", found.line) } else { String::new() };
    let commit = match &found.commit {
        Some(commit) => format!(" (commit {})", commit.to_string().split_at(SHORT).0),
        None => " (in no commit)".to_owned(),
    };
    Finding {
        rule: found.rule.clone(),
        place: format!("{}{line}{commit}", found.path),
        tag: found.tag.clone(),
    }
}
