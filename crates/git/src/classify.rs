//! What a request to git asks for, as accesses that a policy decides. Pure: no I/O, no state.
//!
//! Reading (clone, fetch, and the list of refs that precedes a push) is one access, `fetch`, on the
//! repository; a file of dumb HTTP is a `read-file` besides. A push is one access per ref update; by WebDAV the
//! objects before it are one `write-object` each. An
//! update counts as `force` unless it was shown to be a fast-forward; moving a tag is always `force`, as
//! it is for git.
//!
//! What its content brings is said where the policy asks for it, and then always: of an update that
//! brings nothing (a deletion, say) the lists are empty and the counts zero. A push whose content is asked
//! for and was not looked into is refused here.

pub(crate) mod content;

use lockgate_core::{
    access::{Access, Action, Attribute, Attributes, Matcher, Outline, Schema, Value},
    refusal::{Refusal, RefusalKind},
};

pub use self::content::wanted;
use crate::{
    facts::{Facts, Wanted},
    parse::{Command, PushRequest},
};

/// The names that policies may use for git.
pub static SCHEMA: Schema = Schema {
    protocol: "git",
    actions: &[
        // Objects are verified by their hash: nothing of an answer can be masked.
        Action { name: FETCH, mutates: false, maskable: false, parts: Some("ref") },
        Action { name: PUSH, mutates: true, maskable: false, parts: None },
        Action { name: READ_FILE, mutates: false, maskable: false, parts: None },
        Action { name: WRITE_OBJECT, mutates: true, maskable: false, parts: None },
    ],
    attributes: &[
        Attribute::new(
            "repository",
            "repositories",
            Matcher::Name,
            "the repository's path on the upstream, without .git",
        ),
        Attribute::new(
            "ref",
            "refs",
            Matcher::Under("refs/"),
            "the full name of a ref that a push updates, e.g. refs/heads/main; or that a fetch reads",
        )
        .only(&[FETCH, PUSH]),
        Attribute::new(
            "change",
            "changes",
            Matcher::Choice(&["create", "update", "force", "delete"]),
            "what a push does to the ref; an update that is not shown to be a fast-forward is force",
        )
        .only(&[PUSH]),
        Attribute::new(
            "kind",
            "kinds",
            Matcher::Choice(&["branch", "tag", "other"]),
            "refs/heads/ is a branch, refs/tags/ a tag",
        )
        .only(&[PUSH]),
        Attribute::new(
            "ancestry",
            "ancestries",
            Matcher::Choice(&["fast-forward", "diverged", "unknown"]),
            "of the new tip of an existing branch to its old one; unknown where it could not be shown",
        )
        .only(&[PUSH]),
        Attribute::glob("option", "options", "the options of a push (git push -o)").only(&[PUSH]),
        Attribute::flag("atomic", "atomic", "whether all refs of a push are to be updated or none")
            .only(&[PUSH]),
        Attribute::flag(
            "signed",
            "signed",
            "whether a push carries a certificate, which only the upstream verifies",
        )
        .only(&[PUSH]),
        Attribute::glob(
            "path",
            "paths",
            "the files that any of the commits adds, changes or removes, e.g. .github/workflows/ci.yml",
        )
        .only(&[PUSH]),
        Attribute::glob(
            "author",
            "authors",
            "the addresses of the commits' authors, which anybody can write into a commit",
        )
        .only(&[PUSH]),
        Attribute::glob(
            "committer",
            "committers",
            "the addresses of the commits' committers, which anybody can write into a commit",
        )
        .only(&[PUSH]),
        Attribute::new("message", "messages", Matcher::Regex, "the commits' messages, whole").only(&[PUSH]),
        Attribute::new("commits", "commits", Matcher::Number, "how many commits").only(&[PUSH]),
        Attribute::new(
            "file_size",
            "file_sizes",
            Matcher::Size,
            "of the largest file that is added or changed",
        )
        .only(&[PUSH]),
        Attribute::flag(
            "unsigned",
            "unsigned",
            "whether any commit carries no signature; one that is there is not verified",
        )
        .only(&[PUSH]),
        Attribute::new(
            "tag",
            "tags",
            Matcher::Choice(&["lightweight", "annotated", "signed"]),
            "what a tag points at or is; absent where the ref is none",
        )
        .only(&[PUSH]),
        Attribute::new(
            "finding",
            "findings",
            Matcher::Finding,
            "the secrets in files, messages and names, by the rule that found them",
        )
        .only(&[PUSH]),
        Attribute::flag(
            "lfs",
            "lfs",
            "whether it is about LFS objects or locks, beside the repository and without a ref",
        ),
    ],
    masks: &[],
};

const FETCH: &str = "fetch";
pub(crate) const PUSH: &str = "push";
const READ_FILE: &str = "read-file";
const WRITE_OBJECT: &str = "write-object";

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
        attributes: Attributes::new().with("repository", repository).with("lfs", false),
        binding: repository.to_owned(),
    }
}

/// The accesses of one file of a repository over dumb HTTP: who may not fetch may not read its files either.
/// One that may be anybody's could be of every repository that is named like a folder above it.
pub fn file(repository: &str, file: &str) -> Vec<Access> {
    let above = if file.is_empty() { repository } else { "" };
    let read = Access { action: READ_FILE, binding: format!("{repository}{file}"), ..fetch(repository) };
    let folders = above.match_indices('/').map(|(end, _)| fetch(&repository[..end]));
    [fetch(repository), read].into_iter().chain(folders).collect()
}

/// The access of storing what no ref leads to yet: an object, a folder, a lock.
pub fn write_object(repository: &str, binding: String) -> Access {
    Access { action: WRITE_OBJECT, binding, ..fetch(repository) }
}

/// What was looked for in a push, and what was found: one [`Facts`] per ref update, or none at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Content<'a> {
    /// What somebody asks for.
    pub wanted: Wanted,
    /// What there is of it.
    pub facts: Option<&'a [Facts]>,
}

/// The accesses of a push, one per ref update in its order. `ancestry` says of each what was found
/// out; only those that need it are looked at.
///
/// # Errors
/// [`RefusalKind::Internal`] where content is wanted and there are not the facts of every update: to a
/// policy it would look as if there were nothing in it.
pub fn push(
    repository: &str,
    request: &PushRequest,
    ancestry: &[Ancestry],
    content: Content<'_>,
) -> Result<Vec<Access>, Refusal> {
    let facts = content.of_each(request.commands.len())?;
    let options: String = request.options.iter().map(|option| format!(" -o {option:?}")).collect();
    let known = ancestry.iter().copied().chain(std::iter::repeat(Ancestry::Unknown));
    let accesses = request.commands.iter().zip(known).enumerate().map(|(place, (command, ancestry))| {
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
        if let Some(facts) = facts.get(place) {
            attributes = content::add(attributes, content.wanted, facts);
        }
        Access {
            protocol: SCHEMA.protocol,
            action: PUSH,
            resource: repository.to_owned(),
            attributes: attributes
                .with("atomic", request.capabilities.has("atomic"))
                .with("signed", request.certificate)
                .with("lfs", false),
            // The names of objects are digests of all they reach, so the pack needs none of its own.
            binding: format!("{} {}..{}{options}", command.name, command.old, command.new),
        }
    });
    Ok(accesses.collect())
}

/// The accesses of a push as they are known before its pack is: `wanted` will be said of its content.
///
/// # Errors
/// As [`push`].
pub fn outline(repository: &str, request: &PushRequest, wanted: Wanted) -> Result<Vec<Outline>, Refusal> {
    let accesses = push(repository, request, &[], Content::default())?;
    let outlines = accesses.into_iter().zip(&request.commands).map(|(access, command)| {
        let of_history: &[&'static str] = if needs_ancestry(command) { &["change", "ancestry"] } else { &[] };
        Outline { access, open: content::names(wanted).chain(of_history.iter().copied()).collect() }
    });
    Ok(outlines.collect())
}

impl<'a> Content<'a> {
    /// The facts of each of so many updates; none where nothing is wanted.
    fn of_each(self, updates: usize) -> Result<&'a [Facts], Refusal> {
        match self.facts {
            _ if !self.wanted.any() => Ok(&[]),
            Some(facts) if facts.len() == updates => Ok(facts),
            Some(_) | None => {
                let reason = "the policy asks what the push contains, and it was not looked into";
                Err(Refusal::new(RefusalKind::Internal, reason))
            }
        }
    }
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
mod tests;
