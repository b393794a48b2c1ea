//! One ref update, and the capabilities behind the first.

use crate::{
    oid::{ObjectFormat, Oid},
    refname::is_hidden,
};

/// A ref update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The object that the ref names now, as the client believes; null to create it.
    pub old: Oid,
    /// The object that it is to name; null to delete it.
    pub new: Oid,
    /// The ref.
    pub name: String,
}

impl Command {
    /// Reads `<old> <new> <ref>`; the ref is not checked.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let mut parts = line.splitn(3, |byte| *byte == b' ');
        let (old, new, name) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self {
            old: Oid::from_hex(old)?,
            new: Oid::from_hex(new)?,
            name: std::str::from_utf8(name).ok()?.to_owned(),
        })
    }
}

/// The words in which a client says what it can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities(Vec<String>);

impl Capabilities {
    /// Reads words separated by spaces.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let words = self::text(text)?.split(' ').filter(|word| !word.is_empty());
        Some(Self(words.map(str::to_owned).collect()))
    }

    /// Whether the word is among them.
    pub fn has(&self, word: &str) -> bool {
        self.0.iter().any(|other| other == word)
    }

    /// The value of `word=value`.
    pub fn value(&self, word: &str) -> Option<&str> {
        self.0.iter().find_map(|other| other.strip_prefix(word)?.strip_prefix('='))
    }

    /// The format of object names: SHA-1 where it is not said, `None` where it is one we don't know or
    /// it is said twice.
    pub fn object_format(&self) -> Option<ObjectFormat> {
        let mut said = self.0.iter().filter_map(|word| word.strip_prefix("object-format="));
        match (said.next(), said.next()) {
            (None, _) => Some(ObjectFormat::Sha1),
            (Some(word), None) => ObjectFormat::from_word(word),
            (Some(_), Some(_)) => None,
        }
    }
}

/// A line as text, without its line feed; `None` for what people could not read.
pub(super) fn text(data: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(data.strip_suffix(b"\n").unwrap_or(data)).ok()?;
    (!line.chars().any(is_hidden)).then_some(line)
}
