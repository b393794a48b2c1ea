//! Takes typed values out of the tree; what does not fit is told and left out.

use std::time::Duration;

use super::{
    errors::{At, Errors, quoted, suggestion},
    yaml::{Key, Kind, Node},
};

/// The fields of a map whose keys are known.
pub(super) struct Fields<'a> {
    /// Where the map begins.
    pub(super) at: At,
    entries: &'a [(Key, Node)],
}

impl<'a> Fields<'a> {
    /// Reads a map; tells every key that is not known.
    pub(super) fn read(node: &'a Node, what: &str, known: &[&str], errors: &mut Errors) -> Option<Self> {
        let entries = entries(node, what, errors)?;
        for (key, _) in entries {
            if !known.contains(&key.name.as_str()) {
                let hint = suggestion(&key.name, known.iter().copied());
                errors.push(key.at, format!("unknown key {} in {what}{hint}", quoted(&key.name)));
            }
        }
        Some(Self { at: node.at, entries })
    }

    /// The value of a key, where it is there.
    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, name: &str, what: &str, errors: &mut Errors) -> Option<&'a Node> {
        let node = self.get(name);
        if node.is_none() {
            errors.push(self.at, format!("{what} needs the key {name:?}"));
        }
        node
    }
}

/// The entries of a map, whatever its keys.
pub(super) fn entries<'a>(node: &'a Node, what: &str, errors: &mut Errors) -> Option<&'a [(Key, Node)]> {
    match &node.kind {
        Kind::Map(entries) => Some(entries),
        Kind::Null | Kind::Text(_) | Kind::List(_) => {
            wrong(node, &format!("{what} is a map"), errors);
            None
        }
    }
}

/// The items of a list.
pub(super) fn list<'a>(node: &'a Node, what: &str, errors: &mut Errors) -> Option<&'a [Node]> {
    match &node.kind {
        Kind::List(items) => Some(items),
        Kind::Null | Kind::Text(_) | Kind::Map(_) => {
            wrong(node, &format!("{what} is a list"), errors);
            None
        }
    }
}

/// A text.
pub(super) fn text<'a>(node: &'a Node, what: &str, errors: &mut Errors) -> Option<&'a str> {
    match &node.kind {
        Kind::Text(text) if text.is_empty() => {
            errors.push(node.at, format!("{what} is empty"));
            None
        }
        Kind::Text(text) => Some(text),
        Kind::Null | Kind::List(_) | Kind::Map(_) => {
            wrong(node, &format!("{what} is a text"), errors);
            None
        }
    }
}

/// One text, or a list of some: each with its place. Never empty.
pub(super) fn texts<'a>(node: &'a Node, what: &str, errors: &mut Errors) -> Option<Vec<(At, &'a str)>> {
    match &node.kind {
        Kind::List(items) if items.is_empty() => {
            errors.push(node.at, format!("{what} is an empty list, which matches nothing"));
            None
        }
        Kind::List(items) => {
            items.iter().map(|item| text(item, what, errors).map(|text| (item.at, text))).collect()
        }
        Kind::Text(_) => text(node, what, errors).map(|text| vec![(node.at, text)]),
        Kind::Null | Kind::Map(_) => {
            wrong(node, &format!("{what} is a text or a list of texts"), errors);
            None
        }
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(node: &Node, what: &str, words: &[(&str, T)], errors: &mut Errors) -> Option<T> {
    let word = text(node, what, errors)?;
    let found = words.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    if found.is_none() {
        let hint = suggestion(word, words.iter().map(|(name, _)| *name));
        errors.push(node.at, format!("{what} cannot be {}{hint}", quoted(word)));
    }
    found
}

/// `true` or `false`.
pub(super) fn flag(node: &Node, what: &str, errors: &mut Errors) -> Option<bool> {
    word(node, what, &[("true", true), ("false", false)], errors)
}

/// A whole number.
pub(super) fn number(node: &Node, what: &str, errors: &mut Errors) -> Option<u64> {
    let text = text(node, what, errors)?;
    let number = if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None };
    if number.is_none() {
        errors.push(node.at, format!("{what} is a whole number, not {}", quoted(text)));
    }
    number
}

/// Reads a value of some type.
pub(super) type Reader<T> = fn(&Node, &str, &mut Errors) -> Option<T>;

/// A size in bytes, such as `512` or `10MiB`.
pub(super) fn size(node: &Node, what: &str, errors: &mut Errors) -> Option<u64> {
    let text = text(node, what, errors)?;
    let size = parse_size(text);
    if size.is_none() {
        errors.push(node.at, format!("{what} is a size such as 512 or 10MiB, not {}", quoted(text)));
    }
    size
}

/// A whole number, of bytes or of the unit behind it.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A duration such as `90s`, `1h30m` or `90d`, between two bounds.
pub(super) fn duration(
    node: &Node,
    what: &str,
    (least, most): (&str, &str),
    errors: &mut Errors,
) -> Option<Duration> {
    let written = text(node, what, errors)?;
    let Some(duration) = parse_duration(written) else {
        let message = format!("{what} is a duration such as 30s, 1h30m or 90d, not {}", quoted(written));
        errors.push(node.at, message);
        return None;
    };
    let within = parse_duration(least).is_some_and(|least| least <= duration)
        && parse_duration(most).is_some_and(|most| duration <= most);
    if !within {
        errors.push(node.at, format!("{what} is from {least} to {most}, not {}", quoted(written)));
    }
    within.then_some(duration)
}

/// Numbers with the units s, m, h, d, each at most once and the larger first.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut units = [('d', 86_400_u64), ('h', 3_600), ('m', 60), ('s', 1)].into_iter();
    let mut seconds = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.chars().next()?;
        let (_, size) = units.find(|(name, _)| *name == unit)?;
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(size)?)?;
        rest = &tail[unit.len_utf8()..];
    }
    (!text.is_empty()).then_some(Duration::from_secs(seconds))
}

/// Tells that a node is not what it should be.
pub(super) fn wrong(node: &Node, should: &str, errors: &mut Errors) {
    let found = match &node.kind {
        Kind::Null => "nothing",
        Kind::Text(_) => "a text",
        Kind::List(_) => "a list",
        Kind::Map(_) => "a map",
    };
    errors.push(node.at, format!("{should}, but here is {found}"));
}

/// Whether a text can name a rule or a group: 1 to 64 of lower-case letters, digits, `-`, `_`, `.`.
pub(super) fn is_slug(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    starts && text.len() <= 64 && text.bytes().all(inside)
}

/// A name in a message or a log: without control characters.
pub(super) fn slug<'a>(at: At, text: &'a str, what: &str, errors: &mut Errors) -> Option<&'a str> {
    if is_slug(text) {
        return Some(text);
    }
    let shape = "lower-case letters, digits, - _ and ., at most 64, beginning with a letter or digit";
    errors.push(at, format!("{what} cannot be {}: it has {shape}", quoted(text)));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(parse_duration(text), seconds.map(Duration::from_secs), "{text}");
        };
        check("90s", Some(90));
        check("1h30m", Some(5_400));
        check("90d", Some(7_776_000));
        check("0s", Some(0));
        for wrong in
            ["", "90", "s", "1x", "1m1h", "1h1h", "-1s", "1.5h", "1 h", "99999999999999999999d", "1é"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: Option<u64>| assert_eq!(parse_size(text), bytes, "{text}");
        check("0", Some(0));
        check("512", Some(512));
        check("10MiB", Some(10 << 20));
        check("1KiB", Some(1024));
        check("4GiB", Some(4 << 30));
        for wrong in
            ["", "MiB", "1MB", "1 MiB", "-1", "1.5GiB", "99999999999999999999", "99999999999GiB", "1é"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn slugs() {
        for right in ["a", "prod-push", "0.x_y"] {
            assert!(is_slug(right), "{right}");
        }
        for wrong in ["", "-a", "A", "a b", "a/b", "é", &"a".repeat(65)] {
            assert!(!is_slug(wrong), "{wrong}");
        }
    }
}
