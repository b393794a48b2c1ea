//! The words that a caller is told, from a rule's template or by default.
//!
//! What goes in comes from the request itself: control characters are taken out and it is cut short, so
//! that nobody writes to another's terminal through a refusal.

use std::{fmt::Write as _, str::CharIndices};

use super::{
    compile::{Compiler, Reach},
    condition::{Asked, Condition},
    errors::{At, quoted, suggestion},
};
use crate::{
    access::{Access, Finding, Schema, Value, listed, shown},
    text::plain,
    verdict::{ApprovalTerms, Effect},
};

/// The longest template and the longest value that goes into one, in characters.
const MAX_TEMPLATE: usize = 500;
const MAX_VALUE: usize = 200;

/// What stands for an attribute that a request does not have, and for a list of none.
const NOTHING: &str = "-";

/// A rule's `reason`.
#[derive(Debug)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Principal,
    Upstream,
    Action,
    Resource,
    Attribute(&'static str),
}

const OWN: [&str; 4] = ["principal", "upstream", "action", "resource"];

impl Compiler<'_> {
    /// Reads a template such as `{ref} of {repository} is protected`; `{{` and `}}` are braces.
    pub(super) fn template(&mut self, at: At, text: &str, reach: &Reach) -> Option<Template> {
        if text.chars().count() > MAX_TEMPLATE || text.chars().any(char::is_control) {
            self.errors.push(at, format!("a reason is one line of at most {MAX_TEMPLATE} characters"));
            return None;
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut chars = text.char_indices();
        while let Some((_, c)) = chars.next() {
            match c {
                '{' | '}' if chars.as_str().starts_with(c) => {
                    chars.next();
                    literal.push(c);
                }
                '{' => {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                    let Some(name) = placeholder(&mut chars) else {
                        self.errors.push(at, "a `{` is not closed in the reason; a brace is written `{{`");
                        return None;
                    };
                    parts.push(self.part(at, name, reach)?);
                }
                '}' => {
                    self.errors.push(at, "a `}` without its `{` in the reason; a brace is written `}}`");
                    return None;
                }
                c => literal.push(c),
            }
        }
        parts.push(Part::Text(literal));
        Some(Template(parts))
    }

    fn part(&mut self, at: At, name: &str, reach: &Reach) -> Option<Part> {
        match name {
            "principal" => return Some(Part::Principal),
            "upstream" => return Some(Part::Upstream),
            "action" => return Some(Part::Action),
            "resource" => return Some(Part::Resource),
            _ => {}
        }
        let reached =
            |schema: &&&'static Schema| reach.iter().any(|(protocol, _)| *protocol == schema.protocol);
        let reached: Vec<&'static Schema> = self.schemas.iter().filter(reached).copied().collect();
        let found = |schema: &&'static Schema| Some((schema.protocol, schema.attribute(name)?.name));
        self.needs.extend(reached.iter().filter_map(found));
        match reached.iter().find_map(found) {
            Some((_, attribute)) => Some(Part::Attribute(attribute)),
            None => {
                let names =
                    reached.iter().flat_map(|schema| schema.attributes).map(|attribute| attribute.name);
                let names = names.chain(OWN);
                let hint = suggestion(name, names);
                self.errors.push(at, format!("the reason has an unknown placeholder {}{hint}", quoted(name)));
                None
            }
        }
    }
}

fn placeholder<'a>(chars: &mut CharIndices<'a>) -> Option<&'a str> {
    let rest = chars.as_str();
    let end = rest.find(['}', '{']).filter(|end| rest[*end..].starts_with('}'))?;
    let name = &rest[..end];
    chars.by_ref().find(|(_, c)| *c == '}')?;
    Some(name)
}

impl Template {
    /// The text, for a rule that matches when `when` does.
    pub(super) fn render(&self, asked: &Asked<'_>, when: &Condition) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Principal => text.push_str(&clean(&asked.principal.to_string())),
                Part::Upstream => text.push_str(&clean(asked.upstream)),
                Part::Action => text.push_str(asked.access.action),
                Part::Resource => text.push_str(&clean(&asked.access.resource)),
                Part::Attribute(name) => match asked.access.attributes.get(name) {
                    Some(value) => text.push_str(&told(name, value, when)),
                    None => text.push_str(NOTHING),
                },
            }
        }
        text
    }
}

/// A value as people are told it. Of a list, the items by which the rule matches: which of a thousand
/// changed paths it is about.
fn told(name: &str, value: &Value, when: &Condition) -> String {
    let mut matchers = Vec::new();
    when.on(name, false, &mut matchers);
    let counts = |text: &str| {
        matchers.iter().any(|(expected, negated)| expected.holds(text).is_some_and(|holds| holds != *negated))
    };
    match value {
        Value::Text(_) | Value::Flag(_) | Value::Number(_) => clean(&value.to_string()),
        Value::List(list) if list.is_empty() => NOTHING.to_owned(),
        Value::List(list) => {
            let counted: Vec<&String> = list.iter().filter(|text| counts(text)).collect();
            let told = if counted.is_empty() { list.iter().collect() } else { counted };
            listed(told.iter().map(|text| shown(text)), 0, MAX_VALUE)
        }
        Value::Findings { list, further } => {
            let counted: Vec<&Finding> = list.iter().filter(|finding| counts(&finding.rule)).collect();
            let told = if counted.is_empty() { list.iter().collect() } else { counted };
            listed(told.iter().map(|finding| finding.shown()), *further, MAX_VALUE)
        }
    }
}

/// The reason where a rule gives none.
pub(super) fn by_default(effect: Effect, rule: &str, access: &Access) -> String {
    let what = asked_for(access);
    match effect {
        Effect::Allow => String::new(),
        Effect::RequireApproval => format!("{what} needs approval"),
        Effect::Deny => format!("{what} is denied by the rule {rule}"),
    }
}

/// The reason where no rule matched.
pub(super) fn no_rule(access: &Access) -> String {
    format!("no rule allows {}", asked_for(access))
}

/// `push on team/app`.
fn asked_for(access: &Access) -> String {
    if access.resource.is_empty() {
        return access.action.to_owned();
    }
    format!("{} on {}", access.action, clean(&access.resource))
}

/// `2 people of release or security`.
pub(super) fn approvers(terms: &ApprovalTerms) -> String {
    let mut text = match terms.count {
        1 => "one person".to_owned(),
        count => format!("{count} people"),
    };
    for (index, group) in terms.from.iter().enumerate() {
        let _ = write!(text, "{}{}", if index == 0 { " of " } else { " or " }, clean(group));
    }
    text
}

/// Text of a request as people see it: one line, and short.
pub(super) fn clean(text: &str) -> String {
    let mut clean = plain(text, MAX_VALUE);
    if text.chars().nth(MAX_VALUE).is_some() {
        clean.push('…');
    }
    clean
}
