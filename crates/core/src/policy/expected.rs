//! What a matcher compares an attribute with: how it is read, and what it matches.

use std::fmt;

use lockgate_detect::RuleSet;

use super::{
    compile::Compiler,
    condition::Doubt,
    errors::{quoted, suggestion},
    glob::Globs,
    pattern::Patterns,
    read::{self, Fields},
    yaml::{Kind, Node},
};
use crate::access::{Attribute, Matcher, Value};

/// The regular expressions of one document: each takes some memory.
const MAX_REGEXES: usize = 200;

/// The word that stands for any finding.
const ANY: &str = "any";

/// What an attribute is compared with.
#[derive(Debug)]
pub(super) enum Expected {
    Globs(Globs),
    Patterns(Patterns),
    Words(Vec<&'static str>),
    /// By the names of detection rules; any where there are none.
    Findings(Option<Globs>),
    Flag(bool),
    Range {
        min: u64,
        max: u64,
    },
}

impl Expected {
    pub(super) fn matches(&self, value: &Value, doubt: Doubt) -> bool {
        match value {
            Value::Text(text) => self.holds(text).unwrap_or(doubt.absent),
            Value::List(list) => self.among(list.iter().map(String::as_str), doubt),
            Value::Findings { list, further } if *further == 0 => {
                self.among(list.iter().map(|finding| &*finding.rule), doubt)
            }
            // Each could be by any rule: one of them is taken to match, where it is not that all must.
            Value::Findings { .. } => matches!(self, Self::Findings(None)) || !doubt.all,
            Value::Flag(flag) if let Self::Flag(expected) = self => expected == flag,
            Value::Number(number) if let Self::Range { min, max } = self => (min..=max).contains(&number),
            // Cannot be: the access was checked against the schema before.
            Value::Flag(_) | Value::Number(_) => doubt.absent,
        }
    }

    /// Nothing in an empty list matches.
    fn among<'a>(&self, mut items: impl ExactSizeIterator<Item = &'a str>, doubt: Doubt) -> bool {
        let mut holds = |text: &str| self.holds(text).unwrap_or(doubt.absent);
        items.len() > 0 && if doubt.all { items.all(&mut holds) } else { items.any(&mut holds) }
    }

    /// Whether it matches one text; `None` where it is not compared with text, which cannot be: the access
    /// was checked against the schema before.
    pub(super) fn holds(&self, text: &str) -> Option<bool> {
        match self {
            Self::Globs(globs) | Self::Findings(Some(globs)) => Some(globs.matches(text)),
            Self::Patterns(patterns) => Some(patterns.matches(text)),
            Self::Words(words) => Some(words.contains(&text)),
            Self::Findings(None) => Some(true),
            Self::Flag(_) | Self::Range { .. } => None,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Globs(globs) | Self::Findings(Some(globs)) => write!(f, "{globs}"),
            Self::Patterns(patterns) => write!(f, "{patterns}"),
            Self::Words(words) => f.write_str(&words.join(" or ")),
            Self::Findings(None) => f.write_str(ANY),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Range { min: 0, max } => write!(f, "at most {max}"),
            Self::Range { min, max: u64::MAX } => write!(f, "at least {min}"),
            Self::Range { min, max } => write!(f, "{min} to {max}"),
        }
    }
}

impl Compiler<'_> {
    /// Reads what an attribute is compared with.
    pub(super) fn compared(
        &mut self,
        attribute: &Attribute,
        node: &Node,
        what: &str,
        doubt: Doubt,
    ) -> Option<Expected> {
        Some(match attribute.matcher {
            Matcher::Glob | Matcher::Vouches => Expected::Globs(self.globs(node, what)?),
            Matcher::Under(prefix) => Expected::Globs(self.globs_under(node, what, prefix)?),
            Matcher::Name if doubt.all => Expected::Globs(self.globs(node, what)?),
            Matcher::Name => Expected::Globs(self.caseless(node, what)?),
            Matcher::Choice(words) => Expected::Words(self.words(node, what, words)?),
            Matcher::Flag => Expected::Flag(read::flag(node, what, &mut self.errors)?),
            Matcher::Number => self.range(node, what, read::number)?,
            Matcher::Size => self.range(node, what, read::size)?,
            Matcher::Regex => Expected::Patterns(self.patterns(node, what)?),
            Matcher::Finding => Expected::Findings(self.findings(node, what)?),
        })
    }

    fn caseless(&mut self, node: &Node, what: &str) -> Option<Globs> {
        let texts = read::texts(node, what, &mut self.errors)?;
        let lower: Vec<_> = texts.into_iter().map(|(at, text)| (at, text.to_lowercase())).collect();
        let lower: Vec<_> = lower.iter().map(|(at, text)| (*at, text.as_str())).collect();
        Some(self.compile_globs(&lower)?.caseless())
    }

    fn words(&mut self, node: &Node, what: &str, words: &'static [&str]) -> Option<Vec<&'static str>> {
        let mut found = Vec::new();
        for (at, text) in read::texts(node, what, &mut self.errors)? {
            match words.iter().find(|word| **word == text) {
                Some(word) => found.push(*word),
                None => {
                    let hint = suggestion(text, words.iter().copied());
                    self.errors.push(at, format!("{what} cannot be {}{hint}", quoted(text)));
                    return None;
                }
            }
        }
        Some(found)
    }

    /// `{ min: 1, max: 10 }`, or one number.
    fn range(&mut self, node: &Node, what: &str, read: read::Reader<u64>) -> Option<Expected> {
        if matches!(node.kind, Kind::Text(_)) {
            let number = read(node, what, &mut self.errors)?;
            return Some(Expected::Range { min: number, max: number });
        }
        let fields = Fields::read(node, what, &["min", "max"], &mut self.errors)?;
        let mut bound = |name, default| match fields.get(name) {
            Some(node) => read(node, name, &mut self.errors),
            None => Some(default),
        };
        let (min, max) = (bound("min", 0)?, bound("max", u64::MAX)?);
        if min > max || (min, max) == (0, u64::MAX) {
            self.errors
                .push(node.at, format!("{what} needs a min, or a max, and the min is not above the max"));
            return None;
        }
        Some(Expected::Range { min, max })
    }

    fn patterns(&mut self, node: &Node, what: &str) -> Option<Patterns> {
        let texts = read::texts(node, what, &mut self.errors)?;
        self.regexes += texts.len();
        if self.regexes > MAX_REGEXES {
            self.errors.push(node.at, format!("more than {MAX_REGEXES} regular expressions in one document"));
            return None;
        }
        match Patterns::new(texts.iter().map(|(_, text)| *text)) {
            Ok(patterns) => Some(patterns),
            Err((index, why)) => {
                self.errors.push(texts[index].0, why);
                None
            }
        }
    }

    /// `any`, or globs on the names of rules of detection: each must name one.
    fn findings(&mut self, node: &Node, what: &str) -> Option<Option<Globs>> {
        let texts = read::texts(node, what, &mut self.errors)?;
        if texts.iter().any(|(_, text)| *text == ANY) {
            return Some(None);
        }
        let globs = self.compile_globs(&texts)?;
        for (at, text) in texts {
            let one = Globs::new([text]).ok()?;
            if !RuleSet::builtin().iter().any(|rule| one.matches(rule.id())) {
                self.errors.push(at, no_detection(text));
            }
        }
        Some(Some(globs))
    }
}

/// That no rule of detection is called so.
pub(super) fn no_detection(text: &str) -> String {
    let builtin = RuleSet::builtin();
    let known = builtin.iter().map(|rule| rule.id()).chain([ANY]);
    format!("no rule of detection is called {}{}", quoted(text), suggestion(text, known))
}
