//! The rules file: TOML in, rules out; what is wrong is told with its line and column.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::check::Check;
use super::compile::{Fault, Field, Rule, Spec};
use super::{Class, RuleSet, sample};
use crate::filter::{KNOWN, Target};

/// A rules document cannot be used; the author of the document is at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct RuleError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    classes: HashSet<Class>,
    #[serde(default)]
    disable: Vec<Spanned<String>>,
    #[serde(default, rename = "rule")]
    rules: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Spanned<String>,
    #[serde(default)]
    description: String,
    source: Option<String>,
    #[serde(default)]
    class: Class,
    pattern: Spanned<String>,
    before: Option<Spanned<String>>,
    entropy: Option<f32>,
    #[serde(default)]
    allow: Vec<Spanned<String>>,
    check: Option<Check>,
    #[serde(default, rename = "true")]
    true_samples: Vec<Spanned<String>>,
    #[serde(default, rename = "false")]
    false_samples: Vec<Spanned<String>>,
}

/// Rules without building or trying them.
pub(super) fn parse(text: &str) -> Result<Vec<Arc<Rule>>, RuleError> {
    let document = read(text)?;
    let mut allowed = HashMap::new();
    let rules = document.rules.iter().map(|entry| {
        let mut rule = entry.rule(text)?;
        rule.share_allow(&mut allowed);
        Ok(Arc::new(rule))
    });
    rules.collect()
}

/// Everything that keeps rules of `text` from being parsed.
#[cfg(test)]
pub(super) fn faults(text: &str) -> Vec<String> {
    match read(text) {
        Ok(document) => document
            .rules
            .iter()
            .filter_map(|entry| entry.rule(text).err())
            .map(|fault| fault.to_string())
            .collect(),
        Err(fault) => vec![fault.to_string()],
    }
}

pub(super) fn load(text: &str, builtin: &[Arc<Rule>]) -> Result<RuleSet, RuleError> {
    let document = read(text)?;
    let mut rules: Vec<Arc<Rule>> = builtin
        .iter()
        .filter(|rule| rule.class != Class::Personal || document.classes.contains(&Class::Personal))
        .cloned()
        .collect();
    for id in &document.disable {
        if !builtin.iter().any(|rule| *rule.id == **id.as_ref()) {
            return Err(error(text, id.span(), format!("there is no built-in rule `{}`", id.as_ref())));
        }
        rules.retain(|rule| *rule.id != **id.as_ref());
    }
    let mut seen = HashSet::new();
    for entry in &document.rules {
        if !seen.insert(entry.id.as_ref()) {
            return Err(error(text, entry.id.span(), format!("rule `{}` is there twice", entry.id.as_ref())));
        }
        let rule = Arc::new(entry.rule(text)?);
        rule.try_program().map_err(|fault| entry.blame(text, fault))?;
        entry.try_samples(text, &rule)?;
        match rules.iter_mut().find(|other| other.id == rule.id) {
            Some(other) => *other = rule,
            None => rules.push(rule),
        }
    }
    if rules.len() >= usize::from(KNOWN) {
        return Err(error(text, 0..0, format!("more than {} rules", Target::MAX - 1)));
    }
    Ok(RuleSet::assemble(rules))
}

fn read(text: &str) -> Result<Document, RuleError> {
    toml::from_str(text)
        .map_err(|fault| error(text, fault.span().unwrap_or(0..0), fault.message().to_owned()))
}

impl Entry {
    fn rule(&self, text: &str) -> Result<Rule, RuleError> {
        let id = self.id.as_ref();
        if id.is_empty()
            || id.len() > 64
            || !id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        {
            let reason = "an id is 1 to 64 lower-case letters, digits and dashes";
            return Err(error(text, self.id.span(), reason.to_owned()));
        }
        let owned = |values: &[Spanned<String>]| values.iter().map(|value| value.as_ref().clone()).collect();
        let spec = Spec {
            id: id.clone(),
            description: self.description.clone(),
            source: self.source.clone(),
            class: self.class,
            pattern: self.pattern.as_ref().clone(),
            before: self.before.as_ref().map(|pattern| pattern.as_ref().clone()),
            entropy: self.entropy,
            allow: owned(&self.allow),
            check: self.check,
            true_samples: owned(&self.true_samples),
            false_samples: owned(&self.false_samples),
        };
        Rule::new(spec).map_err(|fault| self.blame(text, fault))
    }

    fn blame(&self, text: &str, fault: Fault) -> RuleError {
        let span = match fault.field {
            Field::Pattern => self.pattern.span(),
            Field::Before => self.before.as_ref().map_or(0..0, Spanned::span),
            Field::Allow(index) => self.allow.get(index).map_or(0..0, Spanned::span),
        };
        error(text, span, format!("rule `{}`: {}", self.id.as_ref(), fault.reason))
    }

    /// A rule that gets its own samples wrong does not say what its author meant.
    fn try_samples(&self, text: &str, rule: &Arc<Rule>) -> Result<(), RuleError> {
        let set = RuleSet::assemble(vec![Arc::clone(rule)]);
        for (samples, expected) in [(&self.true_samples, true), (&self.false_samples, false)] {
            for template in samples {
                let expanded = sample::expand(template.as_ref(), 0)
                    .map_err(|reason| error(text, template.span(), reason))?;
                if sample::is_found(&set, &expanded) != expected {
                    let wrong =
                        if expected { "does not find its true sample" } else { "finds its false sample" };
                    return Err(error(text, template.span(), format!("rule `{}` {wrong}", rule.id)));
                }
            }
        }
        Ok(())
    }
}

fn error(text: &str, span: Range<usize>, reason: String) -> RuleError {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    RuleError { line, column, reason }
}
