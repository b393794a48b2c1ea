//! Rules: what a secret looks like. A [`RuleSet`] is parsed from TOML (`load`), each pattern is compiled to
//! anchored automata (`compile`), and a match still has to pass the rule's checks (`check`).
//!
//! A loaded set is immutable and cheap to clone; nothing in it is ever half-applied.

mod allow;
mod chain;
mod check;
mod compile;
mod end;
mod entropy;
mod load;
mod opening;
mod sample;

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

pub(crate) use self::chain::{ByteClass, Chains};
pub(crate) use self::compile::{Dfa, MAX_HOLD, Rule, is_of_word, is_word_byte};
pub(crate) use self::entropy::Rolling;
pub use self::entropy::entropy;
pub use self::load::RuleError;
pub use self::sample::expand as expand_sample;
use crate::filter::{Filter, Start, Target};

const BUILTIN: &str = include_str!("../../rules/builtin.toml");

/// What kind of secret a rule finds, which decides where it is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A token whose own format tells that it is one (`ghp_...`). On everywhere.
    #[default]
    Token,
    /// A private key. On everywhere.
    Key,
    /// A password within a known construct: a URL, a connection string, an `Authorization` header, or a
    /// value without a format of its own beside its provider's name. On everywhere.
    Credential,
    /// Some value beside a word such as `password`. On in text, off in structured documents, where places
    /// are masked by path and key.
    Generic,
    /// Personal data. Off unless asked for; found without a tag, since a tag on one of few values is an
    /// oracle for guessing it.
    Personal,
}

/// A compiled, immutable set of rules; cloning it is cheap.
#[derive(Clone)]
pub struct RuleSet(Arc<Inner>);

struct Inner {
    rules: Vec<Arc<Rule>>,
    starts: Vec<Start>,
    filter: Arc<Filter>,
    structured: OnceLock<RuleSet>,
}

impl RuleSet {
    /// The rules that come with the crate, without the opt-in class of personal data.
    ///
    /// The file is parsed once per process; an automaton is built when its rule is first tried, or all of
    /// them by [`RuleSet::prepare`].
    #[must_use]
    pub fn builtin() -> Self {
        static SET: OnceLock<RuleSet> = OnceLock::new();
        SET.get_or_init(|| {
            Self::assemble(
                builtin_rules().iter().filter(|rule| rule.class != Class::Personal).cloned().collect(),
            )
        })
        .clone()
    }

    /// The built-in rules changed by a TOML document: `classes` switches opt-in classes on, `disable` takes
    /// rules out, and each `[[rule]]` adds one or replaces the built-in one of the same id.
    ///
    /// ```
    /// let rules = lockgate_detect::RuleSet::load(
    ///     r#"
    ///     classes = ["personal"]
    ///     disable = ["jwt"]
    ///     [[rule]]
    ///     id = "acme-token"
    ///     description = "ACME access token"
    ///     pattern = 'acme_(?P<secret>[A-Za-z0-9]{32})\b'
    ///     entropy = 3.0                     # bits per byte, at least
    ///     allow = ["^EXAMPLE"]              # secrets that are none
    ///     true = ["acme_<A-Za-z0-9*32>"]    # tried when the rule is loaded
    ///     false = ["acme_<A-Za-z0-9*31>"]
    ///     "#,
    /// )?;
    /// assert!(rules.iter().any(|rule| rule.id() == "acme-token"));
    /// # Ok::<(), lockgate_detect::RuleError>(())
    /// ```
    ///
    /// The secret is the group `secret`, else the first group, else the whole match. What must stand before the
    /// match, and is no part of it, is matched by `before`, which looks back 96 bytes at most. Those bytes have
    /// been passed on by then: where they are a part of the secret, as in formats whose telling part stands at
    /// the end, only the rest of it is masked. Let the pattern begin with the secret's name, where it has one.
    ///
    /// # Errors
    /// The first thing wrong in the document, with its line and column: a key that is not known, a pattern
    /// that does not parse, has no four bytes to begin with or explodes, a sample that the rule gets wrong.
    pub fn load(document: &str) -> Result<Self, RuleError> {
        load::load(document, builtin_rules())
    }

    /// Only the rules of a TOML document, in the same form as for [`RuleSet::load`], on their own.
    ///
    /// # Errors
    /// As for [`RuleSet::load`].
    pub fn only(document: &str) -> Result<Self, RuleError> {
        load::load(document, &[])
    }

    /// The same rules without those that make no sense inside of a structured document.
    #[must_use]
    pub fn structured(&self) -> Self {
        self.0.structured.get_or_init(|| self.filtered(|rule| rule.class() != Class::Generic)).clone()
    }

    /// The rules of this set that `keep` accepts.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(RuleInfo<'_>) -> bool) -> Self {
        Self::assemble(self.0.rules.iter().filter(|rule| keep(RuleInfo(rule))).cloned().collect())
    }

    /// Builds every automaton now, so that no stream has to wait for one; about a second of one core.
    pub fn prepare(&self) {
        for rule in &self.0.rules {
            rule.program();
        }
    }

    /// The rules, in the order of their precedence.
    pub fn iter(&self) -> impl Iterator<Item = RuleInfo<'_>> {
        self.0.rules.iter().map(|rule| RuleInfo(rule))
    }

    /// How many rules are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.rules.len()
    }

    /// Whether there is no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.rules.is_empty()
    }

    fn assemble(rules: Vec<Arc<Rule>>) -> Self {
        let starts: Vec<Start> = rules
            .iter()
            .enumerate()
            .flat_map(|(index, rule)| {
                rule.openings.iter().enumerate().map(move |(opening, &(quad, follow))| Start {
                    quad,
                    target: index as Target,
                    opening: opening as u32,
                    follow,
                    at_word: rule.is_at_word(quad),
                    held: rule.holds_from_start(),
                })
            })
            .collect();
        let filter = Arc::new(Filter::new(starts.clone()));
        Self(Arc::new(Inner { rules, starts, filter, structured: OnceLock::new() }))
    }

    pub(crate) fn rule(&self, target: Target) -> &Arc<Rule> {
        &self.0.rules[usize::from(target)]
    }

    pub(crate) fn filter(&self) -> &Arc<Filter> {
        &self.0.filter
    }

    pub(crate) fn starts(&self) -> &[Start] {
        &self.0.starts
    }

    /// An address that is this set's as long as a clone of it lives.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleSet").field("rules", &self.len()).finish()
    }
}

/// What can be told about one rule.
#[derive(Clone, Copy)]
pub struct RuleInfo<'a>(&'a Rule);

impl<'a> RuleInfo<'a> {
    /// The name that placeholders and findings show.
    #[must_use]
    pub fn id(&self) -> &'a str {
        &self.0.id
    }

    /// One line for people.
    #[must_use]
    pub fn description(&self) -> &'a str {
        &self.0.description
    }

    /// Where the format is documented.
    #[must_use]
    pub fn source(&self) -> Option<&'a str> {
        self.0.source.as_deref()
    }

    /// The rule's class.
    #[must_use]
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// The pattern as written.
    #[must_use]
    pub fn pattern(&self) -> &'a str {
        &self.0.pattern
    }

    /// Sample templates that the rule must find; see [`expand_sample`].
    #[must_use]
    pub fn true_samples(&self) -> &'a [String] {
        &self.0.true_samples
    }

    /// Sample templates in which the rule must find nothing.
    #[must_use]
    pub fn false_samples(&self) -> &'a [String] {
        &self.0.false_samples
    }
}

impl fmt::Debug for RuleInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RuleInfo").field(&self.0.id).finish()
    }
}

fn builtin_rules() -> &'static [Arc<Rule>] {
    static RULES: OnceLock<Vec<Arc<Rule>>> = OnceLock::new();
    RULES.get_or_init(|| {
        load::parse(BUILTIN).expect("the built-in rules parse: a unit test loads and compiles each of them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_rule_compiles() {
        let wrong: Vec<String> = toml_faults();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn toml_faults() -> Vec<String> {
        let mut wrong = load::faults(BUILTIN);
        if wrong.is_empty() {
            wrong = builtin_rules()
                .iter()
                .filter_map(|rule| {
                    rule.try_program().err().map(|fault| format!("{}: {}", rule.id, fault.reason))
                })
                .collect();
        }
        wrong
    }
}
