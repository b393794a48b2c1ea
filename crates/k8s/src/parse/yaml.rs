//! YAML as one value, read as the API server reads it: YAML 1.1 of go-yaml v2, by which `no` is false and `0644`
//! is 420. What would need another reader's opinion (anchors, tags, merge keys, a second document) is refused;
//! so nothing expands.

use granit_parser::{Event, Options, Parser, ScalarStyle, StrInput};
use lockgate_core::json::MAX_VALUES;
use serde_json::{Map, Number, Value};

/// The deepest nesting of each kind; as much as of JSON.
const MAX_DEPTH: usize = 128;

/// Why a text is not the one value that everybody reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// Not UTF-8.
    #[error("YAML that is not UTF-8")]
    Utf8,
    /// Not YAML, or nested too deep; where, by line.
    #[error("malformed YAML in line {0}")]
    Malformed(usize),
    /// Something that is refused; what.
    #[error("YAML with {0}")]
    Refused(&'static str),
}

/// Reads a whole document.
///
/// # Errors
/// [`YamlError`], without content.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, YamlError> {
    let text = std::str::from_utf8(bytes).map_err(|_| YamlError::Utf8)?;
    let mut reader = Reader { events: Parser::new_from_str_with_options(text, options()), left: MAX_VALUES };
    reader.document()
}

fn options() -> Options {
    granit_parser::options! {
        strict_indentation: true,
        disallow_directives: true,
        emit_unresolved_aliases: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    left: usize,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the parser's events are not ours")]
impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Value, YamlError> {
        let mut document = None;
        loop {
            match self.next()? {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => return document.ok_or(YamlError::Refused("no document")),
                _ if document.is_some() => return Err(YamlError::Refused("more than one document")),
                event => document = Some(self.value(event)?),
            }
        }
    }

    fn value(&mut self, event: Event<'a>) -> Result<Value, YamlError> {
        self.left = self.left.checked_sub(1).ok_or(YamlError::Refused("too many values"))?;
        let (value, anchor, tag) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style)?, anchor, tag),
            Event::SequenceStart(_, anchor, tag) => (self.list()?, anchor, tag),
            Event::MappingStart(_, anchor, tag) => (self.map()?, anchor, tag),
            Event::Alias(_) | Event::UnresolvedAlias(_) => return Err(YamlError::Refused("an alias")),
            _ => return Err(YamlError::Refused("an event that is not understood")),
        };
        match (anchor, tag) {
            (0, None) => Ok(value),
            (0, Some(_)) => Err(YamlError::Refused("a tag")),
            (_, _) => Err(YamlError::Refused("an anchor")),
        }
    }

    fn list(&mut self) -> Result<Value, YamlError> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::Array(list)),
                event => list.push(self.value(event)?),
            }
        }
    }

    fn map(&mut self) -> Result<Value, YamlError> {
        let mut map = Map::new();
        loop {
            let event = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Value::Object(map));
            }
            let is_merge = matches!(&event, Event::Scalar(text, ..) if text == "<<");
            // A key that is a number or a truth value becomes some word, by rules of its own.
            let Value::String(key) = self.value(event)? else {
                return Err(YamlError::Refused("a key that is not a word"));
            };
            if is_merge {
                return Err(YamlError::Refused("a merge key"));
            }
            let event = self.next()?;
            let value = self.value(event)?;
            if map.insert(key, value).is_some() {
                return Err(YamlError::Refused("a key that is there twice"));
            }
        }
    }

    fn next(&mut self) -> Result<Event<'a>, YamlError> {
        match self.events.next() {
            Some(Ok((event, _))) => Ok(event),
            Some(Err(error)) => Err(YamlError::Malformed(error.marker().line())),
            None => Err(YamlError::Refused("no end")),
        }
    }
}

/// A scalar by go-yaml's `resolve`.
fn scalar(text: &str, style: ScalarStyle) -> Result<Value, YamlError> {
    if style != ScalarStyle::Plain {
        return Ok(Value::String(text.to_owned()));
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Ok(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Ok(Value::Bool(false));
        }
        _ => {}
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return Ok(Value::String(text.to_owned()));
    }
    number(text)
}

/// What begins like a number: one, or a word such as `1.2.3`, or refused where that is a matter of taste.
fn number(text: &str) -> Result<Value, YamlError> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    if !digits.starts_with(['+', '-'])
        && let Ok(whole) = i128::from_str_radix(digits, radix)
    {
        let whole = sign * whole;
        return i64::try_from(whole)
            .map(Value::from)
            .or_else(|_| u64::try_from(whole).map(Value::from))
            .map_err(|_| YamlError::Refused("a number that is too large"));
    }
    let looks_like_a_fraction = lower.bytes().all(|byte| byte.is_ascii_digit() || b".e+-".contains(&byte));
    match plain.parse::<f64>() {
        Ok(fraction) if looks_like_a_fraction => Number::from_f64(fraction)
            .filter(|_| fraction.abs() < 9_007_199_254_740_992.0)
            .map(Value::Number)
            .ok_or(YamlError::Refused("a number that is too large")),
        _ if lower.starts_with(".inf") || lower.starts_with(".nan") => {
            Err(YamlError::Refused("a number that JSON does not have"))
        }
        // `1_000` is a number, and `1_a` is a word as it stands.
        _ => Ok(Value::String(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(text: &str, expected: Result<Value, &'static str>) {
        assert_eq!(read(text.as_bytes()), expected.map_err(YamlError::Refused), "{text}");
    }

    #[test]
    fn scalars_mean_what_they_mean_to_the_api_server() {
        for (text, expected) in [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("'yes'", json!("yes")),
            ("~", json!(null)),
            ("0644", json!(420)),
            ("0o17", json!(15)),
            ("0x1F", json!(31)),
            ("-12", json!(-12)),
            ("1_000", json!(1000)),
            ("1.5", json!(1.5)),
            ("1.10.2", json!("1.10.2")),
            ("100m", json!("100m")),
            ("12:30", json!("12:30")),
            ("2001-12-14", json!("2001-12-14")),
            ("word", json!("word")),
            ("089", json!(89.0)),
            ("|\n  a\n  b\n", json!("a\nb\n")),
        ] {
            check(&format!("k: {text}"), Ok(json!({ "k": expected })));
        }
        check("{\"a\": [1, {\"b\": \"c\"}]}", Ok(json!({"a": [1, {"b": "c"}]})));
        check("# said\na: 1 # here\n---\n", Err("more than one document"));
    }

    #[test]
    fn what_needs_an_opinion_is_refused() {
        for (text, reason) in [
            ("a: &x 1\nb: *x\n", "an anchor"),
            ("a: *x\n", "an alias"),
            ("a: !!str 1\n", "a tag"),
            ("<<: {a: 1}\n", "a merge key"),
            ("a: 1\na: 2\n", "a key that is there twice"),
            ("a: 1\n\"a\": 2\n", "a key that is there twice"),
            ("1: 2\n", "a key that is not a word"),
            ("yes: 2\n", "a key that is not a word"),
            ("a: 1\n---\nb: 2\n", "more than one document"),
            ("", "no document"),
            ("a: .inf\n", "a number that JSON does not have"),
            ("a: 1e300\n", "a number that is too large"),
        ] {
            check(text, Err(reason));
        }
        assert_eq!(read(b"a: \xff"), Err(YamlError::Utf8));
        assert!(matches!(read("[".repeat(100_000).as_bytes()), Err(YamlError::Malformed(_))));
        assert!(matches!(read("- ".repeat(100_000).as_bytes()), Err(YamlError::Malformed(_))));
        assert!(matches!(read(b"a: [1"), Err(YamlError::Malformed(_))));
    }
}
