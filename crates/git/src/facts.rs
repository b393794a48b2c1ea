//! What a push brings to one ref, found by looking into its content: what a policy can ask for and an
//! approver is shown. Plain values; who finds them is the inspection, who names them for policies is
//! [`crate::classify`].

use crate::oid::Oid;

/// Which facts somebody will ask for. Each costs: what nobody asks for is not looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Commits and tags: how many, by whom, with which messages and signatures.
    pub history: bool,
    /// Which paths change.
    pub paths: bool,
    /// What files hold: their sizes, and secrets in them. In messages and names, too.
    pub content: bool,
}

impl Wanted {
    /// Whether anything is.
    pub fn any(self) -> bool {
        self.history || self.paths || self.content
    }

    /// What either wants.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            history: self.history || other.history,
            paths: self.paths || other.paths,
            content: self.content || other.content,
        }
    }

    /// Whether the trees of commits must be compared: for paths, and to say where content stands.
    pub(crate) fn trees(self) -> bool {
        self.paths || self.content
    }
}

/// What one update brings: everything that the new tip reaches and the old one (for a new ref: the
/// upstream's default branch) does not, whether the pack holds it or the upstream has it already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// How many commits.
    pub commits: u64,
    /// Every path that any of the commits adds, changes or removes compared with each of its parents, or
    /// that differs between the two tips; sorted, each once. A merge counts where it differs from all its
    /// parents: what it takes over from one of them is either brought by a commit of this update, or on the
    /// upstream already and shown by the comparison of the tips. Bytes that are not UTF-8 are replaced.
    pub paths: Vec<String>,
    /// Bytes of the largest file among those added or changed.
    pub largest: u64,
    /// The addresses of the commits' authors; sorted, each once.
    pub authors: Vec<String>,
    /// The addresses of their committers; sorted, each once.
    pub committers: Vec<String>,
    /// The commits' messages, the newest first.
    pub messages: Vec<String>,
    /// How many commits carry no signature. Whether one that is there is valid is not said.
    pub unsigned: u64,
    /// What the new tip is where the ref is a tag.
    pub tag: Option<TagKind>,
    /// Secrets.
    pub findings: Vec<Found>,
    /// How many more there are than are listed, at least.
    pub further: u64,
}

/// What a tag's ref points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagKind {
    /// No tag object, but a commit, tree or blob.
    Lightweight,
    /// A tag object.
    Annotated,
    /// A tag object with a signature, which is not verified here.
    Signed,
}

/// A secret that was found; never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The detector's rule.
    pub rule: String,
    /// The commit or tag that brings it; `None` for an object of the pack that none of them reaches.
    pub commit: Option<Oid>,
    /// The file; or `(message)`, `(author)`, `(committer)`, `(tagger)`, `(header)` for what stands in the
    /// commit or tag itself, `(path)` for the name of a file, `(blob)` for one that has no name.
    pub path: String,
    /// The line within it, from 1; 0 where there are no lines.
    pub line: u64,
    /// The keyed tag by which two findings of the same secret are known as such.
    pub tag: String,
}
