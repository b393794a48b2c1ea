//! What is wrong with a policy document, and where. As much as can be told is told at once.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyError {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// What is wrong there, in one line.
    pub message: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Why a document is refused: whoever wrote it is at fault. Never empty, in the order of the text, and
/// printed one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyErrors(Vec<PolicyError>);

impl PolicyErrors {
    /// All that is wrong, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &PolicyError> {
        self.0.iter()
    }
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}

/// A place in the text; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl At {
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// Gathers errors while a document is read.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<PolicyError>);

impl Errors {
    /// More than a person reads; keeps the answer to a hostile document small.
    const MOST: usize = 100;

    pub(super) fn push(&mut self, at: At, message: impl Into<String>) {
        if self.0.len() < Self::MOST {
            self.0.push(PolicyError { line: at.line, column: at.column, message: message.into() });
        }
    }

    pub(super) fn into_result<T>(self, value: impl FnOnce() -> T) -> Result<T, PolicyErrors> {
        if self.0.is_empty() { Ok(value()) } else { Err(self.refuse()) }
    }

    /// The errors; there is at least one.
    pub(super) fn refuse(mut self) -> PolicyErrors {
        self.0.sort();
        self.0.dedup();
        PolicyErrors(self.0)
    }
}

/// Text of a document as an error shows it: quoted, escaped, short.
pub(super) fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    let mut shown: String = text.chars().take(MOST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// `: did you mean "refs"?` where one of the known names is near, else what is known, else nothing.
pub(super) fn suggestion<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .map(|name| (distance(wrong, name), *name))
        .filter(|(distance, name)| *distance <= 1.max(name.chars().count() / 3))
        .min();
    match near {
        Some((_, name)) => format!(": did you mean {name:?}?"),
        None if known.is_empty() || known.len() > 20 => String::new(),
        None if known.len() == 1 => format!(": there is only {:?}", known[0]),
        None => format!(": it is one of {}", known.join(", ")),
    }
}

/// Levenshtein's distance; names longer than any of ours are simply far.
fn distance(a: &str, b: &str) -> usize {
    const MOST: usize = 64;
    if a.len() > MOST || b.len() > MOST {
        return MOST;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        let known = ["refs", "repositories", "change"];
        assert_eq!(suggestion("refz", known), ": did you mean \"refs\"?");
        assert_eq!(suggestion("repositoris", known), ": did you mean \"repositories\"?");
        assert_eq!(suggestion("verbs", known), ": it is one of refs, repositories, change");
        assert_eq!(suggestion(&"x".repeat(100), []), "");
    }

    #[test]
    fn what_is_shown_is_short_and_escaped() {
        assert_eq!(quoted("a\u{1b}[1m"), "\"a\\u{1b}[1m\"");
        assert_eq!(quoted(&"é".repeat(100)).chars().count(), 63);
    }
}
