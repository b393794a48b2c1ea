//! Accesses as people write them: in a policy's tests and on a command line.

use lockgate_detect::RuleSet;

use super::{
    errors::{quoted, suggestion},
    expected::no_detection,
    read::parse_size,
};
use crate::access::{Access, Attribute, Attributes, Finding, Matcher, Schema, Value};

/// Why what was written is no access: whoever wrote it is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// No such protocol here.
    #[error("there is no protocol {0}")]
    Protocol(String),
    /// The protocol has no such action.
    #[error("there is no action {0}")]
    Action(String),
    /// The protocol has no such attribute.
    #[error("there is no attribute {0}")]
    Attribute(String),
    /// The attribute has no such value.
    #[error("{0}")]
    Value(String),
}

/// Makes an access of text; the resource is the schema's first attribute.
pub(super) fn access<'a>(
    schema: &'static Schema,
    action: &str,
    attributes: impl IntoIterator<Item = (&'a str, Vec<&'a str>)>,
) -> Result<Access, AccessError> {
    let action = schema.action(action).ok_or_else(|| {
        let names = schema.actions.iter().map(|action| action.name);
        AccessError::Action(format!("{}{}", quoted(action), suggestion(action, names)))
    })?;
    let mut values = Attributes::new();
    for (name, texts) in attributes {
        let attribute = schema.attribute(name).ok_or_else(|| {
            let names = schema.attributes.iter().map(|attribute| attribute.name);
            AccessError::Attribute(format!("{}{}", quoted(name), suggestion(name, names)))
        })?;
        values = values.with(attribute.name, value(attribute, &texts)?);
    }
    let first = schema.attributes.first().and_then(|attribute| values.get(attribute.name));
    let resource = first.map(Value::to_string).unwrap_or_default();
    let binding = String::new();
    Ok(Access { protocol: schema.protocol, action: action.name, resource, attributes: values, binding })
}

/// The value of an attribute, of text.
fn value(attribute: &Attribute, texts: &[&str]) -> Result<Value, AccessError> {
    let one = || match texts {
        [text] => Ok(*text),
        _ => Err(AccessError::Value(format!("{} is one value", attribute.name))),
    };
    let wrong = |text: &str, hint: &str| {
        AccessError::Value(format!("{} cannot be {}{hint}", attribute.name, quoted(text)))
    };
    match attribute.matcher {
        Matcher::Glob | Matcher::Under(_) | Matcher::Name | Matcher::Vouches | Matcher::Regex => {
            Ok(text_or_list(texts))
        }
        Matcher::Choice(words) => match texts.iter().find(|text| !words.contains(text)) {
            Some(text) => Err(wrong(text, &suggestion(text, words.iter().copied()))),
            None => Ok(text_or_list(texts)),
        },
        Matcher::Flag => match one()? {
            "true" => Ok(Value::Flag(true)),
            "false" => Ok(Value::Flag(false)),
            text => Err(wrong(text, ": it is true or false")),
        },
        Matcher::Number => {
            let text = one()?;
            text.parse().map(Value::Number).map_err(|_| wrong(text, ": it is a whole number"))
        }
        Matcher::Size => {
            let text = one()?;
            parse_size(text).map(Value::Number).ok_or_else(|| wrong(text, ": it is a size such as 10MiB"))
        }
        Matcher::Finding => {
            let list = texts.iter().map(|text| finding(text)).collect::<Result<_, _>>()?;
            Ok(Value::Findings { list, further: 0 })
        }
    }
}

/// A finding of a rule, in no place.
fn finding(rule: &str) -> Result<Finding, AccessError> {
    if !RuleSet::builtin().iter().any(|known| known.id() == rule) {
        return Err(AccessError::Value(no_detection(rule)));
    }
    Ok(Finding { rule: rule.to_owned(), place: String::new(), tag: String::new() })
}

fn text_or_list(texts: &[&str]) -> Value {
    match texts {
        [text] => Value::from(*text),
        _ => Value::List(texts.iter().map(|&text| text.to_owned()).collect()),
    }
}

/// What is wrong with an access that a protocol made; `None` where it says only what its schema does.
/// A policy that was checked against the schema means nothing to an access that does not keep to it.
pub(super) fn fault(schemas: &[&'static Schema], access: &Access) -> Option<String> {
    let Some(schema) = schemas.iter().find(|schema| schema.protocol == access.protocol) else {
        return Some(format!("the policy was not checked against the protocol {}", access.protocol));
    };
    if schema.action(access.action).is_none() {
        return Some(format!("the schema of {} has no action {}", schema.protocol, access.action));
    }
    access.attributes.iter().find_map(|(name, value)| {
        let attribute = schema.attributes.iter().find(|attribute| attribute.name == name);
        let fits = attribute.is_some_and(|attribute| fits(attribute.matcher, value));
        (!fits).then(|| format!("the schema of {} has no such attribute as {name}: {value}", schema.protocol))
    })
}

fn fits(matcher: Matcher, value: &Value) -> bool {
    match (matcher, value) {
        (
            Matcher::Glob | Matcher::Under(_) | Matcher::Name | Matcher::Vouches | Matcher::Regex,
            Value::Text(_) | Value::List(_),
        )
        | (Matcher::Flag, Value::Flag(_))
        | (Matcher::Number | Matcher::Size, Value::Number(_))
        | (Matcher::Finding, Value::Findings { .. }) => true,
        (Matcher::Choice(words), Value::Text(text)) => words.contains(&&**text),
        (Matcher::Choice(words), Value::List(texts)) => texts.iter().all(|text| words.contains(&&**text)),
        (
            Matcher::Glob
            | Matcher::Under(_)
            | Matcher::Name
            | Matcher::Vouches
            | Matcher::Regex
            | Matcher::Choice(_)
            | Matcher::Flag
            | Matcher::Number
            | Matcher::Size
            | Matcher::Finding,
            _,
        ) => false,
    }
}
