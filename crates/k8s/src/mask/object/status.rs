//! The message of an error about a Secret: the API server quotes what it could not understand, up to the whole
//! object, base64 and all. What it says in its own words stays.

/// Where a dump begins: of JSON, of Go's values, of what stands around an error in a text.
const DUMPS: [&str; 5] = ["{", "map[", "[]byte", "...|", "[]uint8"];

/// What a quoted value stands behind.
const VALUE: &str = "nvalid value: ";

/// The message without what it quotes; none where it quotes nothing.
pub(super) fn without_content(message: &str, marker: impl Fn() -> String) -> Option<String> {
    let dump = DUMPS.iter().filter_map(|dump| message.find(dump)).min();
    let mut shown = String::new();
    let mut rest = &message[..dump.unwrap_or(message.len())];
    let mut is_changed = dump.is_some();
    while let Some(at) = rest.find(VALUE) {
        let (before, value) = rest.split_at(at + VALUE.len());
        shown.push_str(before);
        rest = value;
        let length = quoted(value);
        if length > 0 {
            shown.push_str(&marker());
            rest = &value[length..];
            is_changed = true;
        }
    }
    shown.push_str(rest);
    if dump.is_some() {
        shown.push_str(&marker());
    }
    is_changed.then_some(shown)
}

/// The bytes of the quoted text at the beginning, to the end where it does not end.
fn quoted(text: &str) -> usize {
    if !text.starts_with('"') {
        return 0;
    }
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expected: Option<&str>) {
        assert_eq!(without_content(message, || "<M>".to_owned()).as_deref(), expected, "{message}");
    }

    #[test]
    fn what_is_quoted_goes_and_the_rest_stays() {
        check(r#"secrets "db" not found"#, None);
        check(r#"Operation cannot be fulfilled on secrets "db": the object has been modified"#, None);
        check(
            r#"Secret "db" is invalid: type: Invalid value: "a\"b": field is immutable"#,
            Some(r#"Secret "db" is invalid: type: Invalid value: <M>: field is immutable"#),
        );
        check(
            r#"Secret "db" is invalid: patch: Invalid value: "{\"data\":{\"a\":\"c2VjcmV0\"}}": cannot"#,
            Some(r#"Secret "db" is invalid: patch: Invalid value: <M><M>"#),
        );
        check(r#"unable to decode map[data:map[a:c2VjcmV0]]"#, Some("unable to decode <M>"));
        check(r#"error found in #10 byte of ...|c2VjcmV0|..."#, Some("error found in #10 byte of <M>"));
        check(r#"a: Invalid value: "never closed"#, Some("a: Invalid value: <M>"));
    }
}
