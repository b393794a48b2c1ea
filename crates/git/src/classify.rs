//! What a request to git asks for, as accesses that a policy decides. Pure: no I/O, no state.
//!
//! Reading (clone, fetch, and the list of refs that precedes a push) is one access, `fetch`, on the
//! repository. A push is one access per ref update. An update counts as `force` unless it was shown to
//! be a fast-forward; moving a tag is always `force`, as it is for git.

use lockgate_core::access::{Access, Action, Attribute, Attributes, Matcher, Schema, Value};

use crate::parse::{Command, PushRequest};

/// The names that policies may use for git.
pub static SCHEMA: Schema = Schema {
    protocol: "git",
    actions: &[
        // Objects are verified by their hash: nothing of an answer can be masked.
        Action { name: FETCH, mutates: false, maskable: false },
        Action { name: PUSH, mutates: true, maskable: false },
    ],
    attributes: &[
        Attribute {
            name: "repository",
            plural: "repositories",
            matcher: Matcher::Glob,
            doc: "the repository's path on the upstream, without .git",
        },
        Attribute {
            name: "ref",
            plural: "refs",
            matcher: Matcher::Glob,
            doc: "the full name of the ref that a push updates, e.g. refs/heads/main",
        },
        Attribute {
            name: "change",
            plural: "changes",
            matcher: Matcher::Choice(&["create", "update", "force", "delete"]),
            doc: "what a push does to the ref; an update that is not shown to be a fast-forward is force",
        },
        Attribute {
            name: "kind",
            plural: "kinds",
            matcher: Matcher::Choice(&["branch", "tag", "other"]),
            doc: "refs/heads/ is a branch, refs/tags/ a tag",
        },
        Attribute {
            name: "ancestry",
            plural: "ancestries",
            matcher: Matcher::Choice(&["fast-forward", "diverged", "unknown"]),
            doc: "of the new tip of an existing branch to its old one; unknown where it could not be shown",
        },
        Attribute {
            name: "option",
            plural: "options",
            matcher: Matcher::Glob,
            doc: "the options of a push (git push -o)",
        },
        Attribute {
            name: "atomic",
            plural: "atomic",
            matcher: Matcher::Flag,
            doc: "whether all refs of a push are to be updated or none",
        },
        Attribute {
            name: "signed",
            plural: "signed",
            matcher: Matcher::Flag,
            doc: "whether a push carries a certificate, which only the upstream verifies",
        },
    ],
};

const FETCH: &str = "fetch";
const PUSH: &str = "push";

/// How the new tip of a ref relates to the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// The old tip was seen among the ancestors of the new one.
    FastForward,
    /// It is not among them.
    Diverged,
    /// It could not be found out.
    Unknown,
}

impl Ancestry {
    fn word(self) -> &'static str {
        match self {
            Self::FastForward => "fast-forward",
            Self::Diverged => "diverged",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether an update is one of a tag.
pub(crate) fn is_tag(command: &Command) -> bool {
    Kind::of(&command.name) == Kind::Tag
}

/// Whether how an update changes its ref depends on the history: neither creations nor deletions do,
/// and moving a tag is forced in any case.
pub fn needs_ancestry(command: &Command) -> bool {
    !command.old.is_null() && !command.new.is_null() && Kind::of(&command.name) != Kind::Tag
}

/// The access of a clone or fetch, and of every list of refs.
pub fn fetch(repository: &str) -> Access {
    Access {
        protocol: SCHEMA.protocol,
        action: FETCH,
        resource: repository.to_owned(),
        attributes: Attributes::new().with("repository", repository),
        binding: repository.to_owned(),
    }
}

/// The accesses of a push, one per ref update in its order. `ancestry` says of each what was found
/// out; only those that need it are looked at.
pub fn push(repository: &str, request: &PushRequest, ancestry: &[Ancestry]) -> Vec<Access> {
    let options: String = request.options.iter().map(|option| format!(" -o {option:?}")).collect();
    let known = ancestry.iter().copied().chain(std::iter::repeat(Ancestry::Unknown));
    let accesses = request.commands.iter().zip(known).map(|(command, ancestry)| {
        let mut attributes = Attributes::new()
            .with("repository", repository)
            .with("ref", &*command.name)
            .with("change", change(command, ancestry))
            .with("kind", Kind::of(&command.name).word());
        if needs_ancestry(command) {
            attributes = attributes.with("ancestry", ancestry.word());
        }
        if !request.options.is_empty() {
            attributes = attributes.with("option", Value::List(request.options.clone()));
        }
        Access {
            protocol: SCHEMA.protocol,
            action: PUSH,
            resource: repository.to_owned(),
            attributes: attributes
                .with("atomic", request.capabilities.has("atomic"))
                .with("signed", request.certificate),
            // The names of objects are digests of all they reach, so the pack needs none of its own.
            binding: format!("{} {}..{}{options}", command.name, command.old, command.new),
        }
    });
    accesses.collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Branch,
    Tag,
    Other,
}

impl Kind {
    fn of(name: &str) -> Self {
        if name.starts_with("refs/heads/") {
            Self::Branch
        } else if name.starts_with("refs/tags/") {
            Self::Tag
        } else {
            Self::Other
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Branch => "branch",
            Self::Tag => "tag",
            Self::Other => "other",
        }
    }
}

fn change(command: &Command, ancestry: Ancestry) -> &'static str {
    match (command.old.is_null(), command.new.is_null()) {
        (true, _) => "create",
        (false, true) => "delete",
        (false, false) if needs_ancestry(command) && ancestry == Ancestry::FastForward => "update",
        (false, false) => "force",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oid::Oid, parse::Capabilities};

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
            let access = push("app", &request(name, old, new, &[]), ancestry).remove(0);
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
        let access = push("app", &request("refs/heads/a", 1, 2, &["ci.skip", "a \"b\""]), &[]).remove(0);
        insta::assert_snapshot!(access.binding, @r#"refs/heads/a 0101010101010101010101010101010101010101..0202020202020202020202020202020202020202 -o "ci.skip" -o "a \"b\"""#);
        assert_eq!(access.attributes.get("option").unwrap().to_string(), "ci.skip,a \"b\"");
    }

    #[test]
    fn uses_only_names_of_the_schema() {
        let accesses = [fetch("app"), push("app", &request("refs/heads/a", 1, 2, &["x"]), &[]).remove(0)];
        for access in accesses {
            assert!(SCHEMA.action(access.action).is_some());
            for (name, value) in access.attributes.iter() {
                let attribute = SCHEMA.attribute(name).unwrap();
                if let Matcher::Choice(words) = attribute.matcher {
                    assert!(words.contains(&&*value.to_string()), "{name} {value}");
                }
            }
        }
    }
}
