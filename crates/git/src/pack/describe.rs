//! Commits for people: who, when, what.

use gix_object::{CommitRef, bstr::BStr, date::Time};

use crate::{
    oid::{ObjectFormat, Oid},
    refname::printable,
};

/// Characters of a name, address or subject that are kept.
const LONGEST: usize = 200;

/// A commit, as far as people want to see it in a list. All text is one line and shows all it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its name.
    pub oid: Oid,
    /// What it stands on.
    pub parents: Vec<Oid>,
    /// Who wrote it; anybody can write any name there.
    pub author: Person,
    /// Who committed it; the same holds.
    pub committer: Person,
    /// The first line of its message.
    pub subject: String,
    /// Whether it carries a signature, which is not verified here.
    pub signed: bool,
}

/// Who did something to a commit, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
    /// Seconds since 1970.
    pub time: i64,
    /// Seconds east of UTC.
    pub offset: i32,
}

impl Commit {
    /// Reads a commit's content; `None` where it is none.
    pub(crate) fn parse(oid: Oid, content: &[u8]) -> Option<Self> {
        let commit = CommitRef::from_bytes(content, hash(oid.format())).ok()?;
        let (author, committer) = (commit.author().ok()?, commit.committer().ok()?);
        Some(Self {
            oid,
            parents: commit.parents().filter_map(|parent| Oid::from_bytes(parent.as_slice())).collect(),
            author: person(author.name, author.email, author.time().ok()),
            committer: person(committer.name, committer.email, committer.time().ok()),
            subject: line(commit.message().title),
            signed: signed(&commit),
        })
    }
}

/// What an inspection needs to know of a commit.
#[derive(Debug, Clone)]
pub(crate) struct Details {
    /// The author's address.
    pub(crate) author: String,
    /// The committer's address.
    pub(crate) committer: String,
    pub(crate) message: String,
    pub(crate) signed: bool,
}

impl Details {
    /// Reads a commit's content; `None` where it is none.
    pub(crate) fn parse(format: ObjectFormat, content: &[u8]) -> Option<Self> {
        let commit = CommitRef::from_bytes(content, hash(format)).ok()?;
        Some(Self {
            author: commit.author().ok()?.email.to_string(),
            committer: commit.committer().ok()?.email.to_string(),
            message: commit.message.to_string(),
            signed: signed(&commit),
        })
    }
}

fn hash(format: ObjectFormat) -> gix_hash::Kind {
    match format {
        ObjectFormat::Sha1 => gix_hash::Kind::Sha1,
        ObjectFormat::Sha256 => gix_hash::Kind::Sha256,
    }
}

fn signed(commit: &CommitRef<'_>) -> bool {
    ["gpgsig", "gpgsig-sha256"].iter().any(|name| commit.extra_headers().find(name).is_some())
}

fn person(name: &BStr, email: &BStr, time: Option<Time>) -> Person {
    let time = time.unwrap_or_default();
    Person { name: line(name), email: line(email), time: time.seconds, offset: time.offset }
}

fn line(text: &BStr) -> String {
    printable(&String::from_utf8_lossy(text)).chars().take(LONGEST).collect()
}
