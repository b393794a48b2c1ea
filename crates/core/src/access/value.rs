//! What an attribute holds, and as much of it as is written down.
//!
//! A policy sees all of a value. A recording, the index and a refusal hold of a long list its first items
//! and how many more there are, each item cut short, on one line and with what looks like a secret masked:
//! a commit's message is whatever its author wrote.

use std::{fmt, sync::LazyLock};

use lockgate_detect::{KnownValues, MaskOptions, Masker, RuleSet, TagKey};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::text::plain;

/// Items of a list that are written down, and characters of each and of all of them.
const ITEMS: usize = 100;
const ITEM: usize = 200;
const ALL: usize = 4_000;
/// Characters of a list in the index and in a line for people.
const LINE: usize = 1_000;

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text: matched by globs, choices or regexes.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// A count or a size in bytes.
    Number(u64),
    /// Several texts: a matcher matches where any of them does, in a rule that allows where all do.
    List(Vec<String>),
    /// Secrets that were found.
    Findings {
        /// Those that are known one by one.
        list: Vec<Finding>,
        /// How many more there are, by rules that are not said: what a matcher takes of them is the side
        /// that allows less.
        further: u64,
    },
}

/// A secret that was found in what a request brings, as it is told; never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The detector's rule.
    pub rule: String,
    /// Where, e.g. `config.py line 3 (commit 1a2b3c4)`. May be empty.
    pub place: String,
    /// The keyed tag by which two findings of the same secret are known as such. May be empty.
    pub tag: String,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inside = if self.place.is_empty() { "" } else { " in " };
        write!(f, "{}{inside}{}", self.rule, self.place)
    }
}

impl Finding {
    /// As it is written down.
    pub(crate) fn shown(&self) -> String {
        Self { place: shown(&self.place), ..self.clone() }.to_string()
    }
}

impl Value {
    /// The text of a value, out of what was recorded of it: what its `Display` says.
    pub fn text_of_recorded(recorded: &serde_json::Value) -> String {
        use serde_json::Value as Json;
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let item = |item: &Json| match item {
            Json::Object(of) => {
                let field = |name| of.get(name).map(text).unwrap_or_default();
                Finding { rule: field("rule"), place: field("place"), tag: String::new() }.to_string()
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => text(item),
        };
        match recorded {
            Json::String(text) => text.clone(),
            Json::Array(items) => listed(items.iter().map(item), 0, LINE),
            Json::Object(of) => {
                let first = of.get("first").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
                let more = of.get("more").and_then(Json::as_u64).unwrap_or_default();
                listed(first.iter().map(item), more, LINE)
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => recorded.to_string(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::List(list) => f.write_str(&listed(list.iter().map(|text| shown(text)), 0, LINE)),
            Self::Findings { list, further } => {
                f.write_str(&listed(list.iter().map(Finding::shown), *further, LINE))
            }
        }
    }
}

/// A list is an array, or where not all of it is there `{ "first": [...], "more": 17 }`.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::List(list) => {
                let first = first(list.iter().map(|text| shown(text)), ALL, |text| text.len());
                array(serializer, &first, list.len() as u64)
            }
            Self::Findings { list, further } => {
                let findings = list.iter().map(|it| Finding { place: shown(&it.place), ..it.clone() });
                let first = first(findings, ALL, |finding| finding.place.len());
                array(serializer, &first, list.len() as u64 + further)
            }
        }
    }
}

fn array<S: Serializer, T: Serialize>(serializer: S, first: &[T], length: u64) -> Result<S::Ok, S::Error> {
    if first.len() as u64 == length {
        return first.serialize(serializer);
    }
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("first", first)?;
    map.serialize_entry("more", &(length - first.len() as u64))?;
    map.end()
}

/// The first items of a list: as many as are written down at most and fit, but one in any case.
fn first<T>(items: impl Iterator<Item = T>, limit: usize, length: impl Fn(&T) -> usize) -> Vec<T> {
    let (mut first, mut taken) = (Vec::new(), 0);
    for item in items.take(ITEMS) {
        taken += length(&item) + 2;
        if taken > limit && !first.is_empty() {
            break;
        }
        first.push(item);
    }
    first
}

/// `a, b and 17 more`: as much as fits in about that many characters, of the items and further ones.
pub(crate) fn listed(items: impl ExactSizeIterator<Item = String>, further: u64, limit: usize) -> String {
    let length = items.len() as u64 + further;
    let first = first(items, limit, String::len);
    match length - first.len() as u64 {
        more if first.is_empty() && more > 0 => format!("{more}"),
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// An item of a list as it is written down.
pub(crate) fn shown(text: &str) -> String {
    // What begins before the cut is masked as far as it goes.
    let begin: String = text.trim_end().chars().take(ITEM + ALL).collect();
    let mut masker = Masker::new(&SECRETS.0, &KnownValues::new(), &SECRETS.1, MaskOptions::default());
    let masked = masker.whole(begin.as_bytes());
    let masked = String::from_utf8_lossy(&masked);
    let mut shown = plain(&masked, ITEM);
    if shown.len() < masked.len() {
        shown.push('…');
    }
    shown
}

/// What is masked, by tags that nobody can compare: they are of no recording.
static SECRETS: LazyLock<(RuleSet, TagKey)> =
    LazyLock::new(|| (RuleSet::builtin(), TagKey::new(uuid::Uuid::new_v4().as_bytes())));

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &Value) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn short_lists_are_written_whole() {
        let list = Value::List(vec!["a".into(), "b c".into()]);
        assert_eq!((list.to_string(), json(&list)), ("a, b c".into(), r#"["a","b c"]"#.into()));
        let none = Value::List(Vec::new());
        assert_eq!((none.to_string(), json(&none)), (String::new(), "[]".into()));
    }

    #[test]
    fn long_lists_are_cut() {
        let list = Value::List((0..1_000_000).map(|n| format!("path/{n:07}")).collect());
        insta::assert_snapshot!(list.to_string().split_off(980), @"path/0000070 and 999929 more");
        let text = json(&list);
        assert!(text.starts_with(r#"{"first":["path/0000000","path/0000001","#), "{text}");
        assert!(text.ends_with(r#""path/0000099"],"more":999900}"#), "{text}");
        for items in [0, 1, 50, 99, 100, 101, 1000] {
            let lists =
                [vec!["x".to_owned(); items], vec!["é".repeat(150); items], vec!["é".repeat(500); items]];
            for value in lists.map(Value::List) {
                let recorded = serde_json::to_value(&value).unwrap();
                assert_eq!(Value::text_of_recorded(&recorded), value.to_string());
            }
        }
        let long = Value::List(vec!["x".repeat(1_000_000); 1000]);
        assert!(json(&long).len() < 5_000 && long.to_string().len() < 1_500);
        assert!(long.to_string().ends_with(" and 996 more"), "{long}");
    }

    #[test]
    fn what_is_written_is_one_line_without_secrets() {
        let token = concat!("ghp_", "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx");
        let message = format!("fix\r\n\u{1b}[1m the token {token}\n");
        let list = Value::List(vec![message]);
        for text in [list.to_string(), json(&list)] {
            assert!(text.contains("fix   [1m the token [MASKED:github-pat:"), "{text}");
            assert!(!text.contains(token), "{text}");
        }
    }

    fn findings(list: Vec<Finding>, further: u64) -> Value {
        Value::Findings { list, further }
    }

    #[test]
    fn findings_are_told_by_rule_and_place() {
        let finding =
            |place: &str| Finding { rule: "github-pat".into(), place: place.into(), tag: "0a1b2c3d".into() };
        let list = findings(vec![finding("config.py line 3 (commit 1a2b3c4)"), finding("")], 0);
        insta::assert_snapshot!(list, @"github-pat in config.py line 3 (commit 1a2b3c4), github-pat");
        insta::assert_snapshot!(json(&list), @r#"[{"rule":"github-pat","place":"config.py line 3 (commit 1a2b3c4)","tag":"0a1b2c3d"},{"rule":"github-pat","place":"","tag":"0a1b2c3d"}]"#);
        let many = findings(vec![finding(&"p".repeat(150)); 200], 1_000);
        assert!(many.to_string().ends_with(" and 1194 more"), "{many}");
        for value in [list, many.clone()] {
            let recorded = serde_json::to_value(&value).unwrap();
            assert_eq!(Value::text_of_recorded(&recorded), value.to_string());
        }
        assert!(json(&many).ends_with(r#""more":1174}"#), "{}", json(&many));
    }
}
