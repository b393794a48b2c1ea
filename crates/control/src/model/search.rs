//! What is asked of the session index, and the answer that is not an entry itself.

use jiff::Timestamp;
use lockgate_core::principal::Principal;

/// The exchanges wanted: those to which everything set here applies. In `principal`, `upstream`, `action`,
/// `resource` and the values of `attributes`, a `*` stands for any characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// The subject, or `issuer:subject`.
    pub principal: Option<String>,
    /// The session's id.
    pub session: Option<String>,
    /// The upstream's name.
    pub upstream: Option<String>,
    /// The protocol's name.
    pub protocol: Option<String>,
    /// An access's action.
    pub action: Option<String>,
    /// That access's resource.
    pub resource: Option<String>,
    /// All of them are attributes of that access, by name (`ref`).
    pub attributes: Vec<(String, String)>,
    /// One of these; empty: any.
    pub verdicts: Vec<Verdict>,
    /// How it ended; what the entry adds to the word, behind a colon or a comma, is not compared.
    pub outcome: Option<String>,
    /// Began then or later.
    pub since: Option<Timestamp>,
    /// Began before.
    pub until: Option<Timestamp>,
    /// Words that all begin a word of the entry.
    pub text: Option<String>,
}

/// What a policy said, as the index has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on.
    Permit,
    /// Only after approval.
    Hold,
    /// It is refused.
    Deny,
    /// It did not come to a verdict.
    None,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Permit, Self::Hold, Self::Deny, Self::None];

    /// The word in [`lockgate_core::index::Entry::verdict`].
    pub fn word(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Hold => "hold",
            Self::Deny => "deny",
            Self::None => "none",
        }
    }

    /// The verdict of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.word() == word)
    }
}

/// A session, as far as its exchanges match a search.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub principal: Principal,
    /// The upstreams that it used, sorted.
    pub upstreams: Vec<String>,
    /// How many exchanges.
    pub exchanges: u64,
    /// How many of them were refused by policy.
    pub denied: u64,
    /// How many of them were held for approval.
    pub held: u64,
    /// When the first began.
    pub started: Timestamp,
    /// When the last ended.
    pub ended: Timestamp,
}
