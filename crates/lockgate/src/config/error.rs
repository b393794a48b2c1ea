//! What is wrong with a configuration, where, and what to do about it. Never shows the text of a value that
//! may be a credential in the wrong place.

use std::{fmt, path::PathBuf};

use serde_saphyr::{Error, Location, MessageFormatter as _, UserMessageFormatter};

/// An error of whoever wrote the file.
#[derive(Debug)]
pub(crate) struct ConfigError {
    path: PathBuf,
    /// Line and column, from 1.
    place: Option<(u64, u64)>,
    message: String,
    hint: Option<String>,
}

impl ConfigError {
    pub(crate) fn new(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self { path: path.into(), place: None, message: message.into(), hint: None }
    }

    pub(crate) fn at(mut self, location: Location) -> Self {
        self.place = (location != Location::UNKNOWN).then(|| (location.line(), location.column()));
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn from_yaml(path: impl Into<PathBuf>, error: &Error) -> Self {
        let (message, hint) = explain(error.without_snippet());
        let described = Self { hint, ..Self::new(path, message) };
        described.at(error.location().unwrap_or(Location::UNKNOWN))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum: what is not explained better here")]
fn explain(error: &Error) -> (String, Option<String>) {
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            (format!("unknown key `{field}`"), Some(suggest(field, expected)))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            (format!("`{variant}` is not known here"), Some(suggest(variant, expected)))
        }
        Error::SerdeMissingField { field, .. } => (format!("`{field}` is missing"), None),
        Error::SerdeInvalidType { unexpected, expected, .. } => {
            (format!("expected {expected}, found {}", kind(unexpected)), None)
        }
        Error::SerdeInvalidValue { unexpected, expected, .. } => {
            (format!("expected {expected}, found {}", kind(unexpected)), None)
        }
        Error::DuplicateMappingKey { key: Some(key), .. } => (format!("`{key}` stands here twice"), None),
        Error::Unexpected { expected: "mapping start", .. } => {
            ("keys with values are expected here".into(), None)
        }
        Error::Unexpected { expected: "sequence start", .. } => {
            ("a list is expected here, its entries beginning with `-`".into(), None)
        }
        Error::Unexpected { expected: "string scalar", .. } => {
            ("a single value is expected here".into(), None)
        }
        Error::NullIntoString { .. } => ("a value is missing".into(), None),
        Error::Eof { .. } => ("the file ends too early".into(), None),
        other => (UserMessageFormatter.format_message(other).into_owned(), None),
    }
}

/// The kind of a value without the value: `string "abc"` is `a string`.
fn kind(unexpected: &str) -> String {
    let kind = unexpected.split(['"', '`']).next().unwrap_or_default().trim();
    if kind.is_empty() { "something else".into() } else { kind.to_owned() }
}

/// The key that was probably meant, or all that there are. Keys that would hold a credential in the file
/// itself are sent elsewhere.
fn suggest(word: &str, known: &[&str]) -> String {
    let with = |suffix: &str| known.contains(&format!("{word}{suffix}").as_str());
    if with("_file") && with("_env") {
        return format!("a secret does not stand in this file: use `{word}_file` or `{word}_env`");
    }
    let distance = |other: &&&str| strsim::damerau_levenshtein(word, other);
    match known.iter().min_by_key(distance) {
        Some(nearest) if distance(&nearest) <= 2.max(word.len() / 3) => format!("did you mean `{nearest}`?"),
        _ => format!("known here: {}", known.join(", ")),
    }
}
