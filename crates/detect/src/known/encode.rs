//! The forms in which a value can appear in a text: as it is, in base64 wherever it begins within the
//! encoded data, in hexadecimal, percent-encoded, and escaped for JSON and for a shell.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Shorter encodings are left out: they would match by chance.
const MIN_NEEDLE: usize = 6;

/// Every form of `value` once, the value itself first.
pub(super) fn all(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec()];
    let more = base64_forms(value)
        .into_iter()
        .chain(hex_forms(value))
        .chain(url_forms(value))
        .chain(json_forms(value))
        .chain(shell_forms(value));
    for form in more {
        if form.len() >= MIN_NEEDLE && !forms.contains(&form) {
            forms.push(form);
        }
    }
    forms
}

/// The characters that depend on `value` alone, for each of the three places in a group of three bytes at
/// which it can begin.
fn base64_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for (offset, skip) in [(0, 0), (1, 2), (2, 3)] {
        let mut padded = vec![0; offset];
        padded.extend_from_slice(value);
        let whole = padded.len() * 8 / 6;
        for engine in [&STANDARD, &URL_SAFE] {
            let encoded = engine.encode(&padded);
            forms.push(encoded.as_bytes()[skip.min(whole)..whole].to_vec());
        }
    }
    forms
}

fn hex_forms(value: &[u8]) -> [Vec<u8>; 2] {
    let lower: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    [lower.to_ascii_uppercase().into_bytes(), lower.into_bytes()]
}

/// As browsers, form encoders and RFC 3986 purists write it, with either case of digits.
fn url_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let kept: [fn(u8) -> bool; 3] = [
        |byte| matches!(byte, b'-' | b'.' | b'_' | b'~'),
        |byte| matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'*' | b'\'' | b'(' | b')'),
        |byte| b"-._~!$&'()*+,;=:@/?#[]".contains(&byte),
    ];
    let mut forms = Vec::new();
    for keep in kept {
        for lower in [false, true] {
            let percent = escape(value, |byte| {
                if byte.is_ascii_alphanumeric() || keep(byte) {
                    None
                } else if lower {
                    Some(format!("%{byte:02x}"))
                } else {
                    Some(format!("%{byte:02X}"))
                }
            });
            if value.contains(&b' ') {
                forms.push(replace(&percent, b"%20", b"+"));
            }
            forms.push(percent);
        }
    }
    forms
}

/// As plain encoders do it, as Go does (which escapes `<`, `>` and `&`), with `\/`, and with everything
/// outside of ASCII as `\u`.
fn json_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let plain = |byte: u8| match byte {
        b'"' => Some("\\\"".to_owned()),
        b'\\' => Some("\\\\".to_owned()),
        b'\n' => Some("\\n".to_owned()),
        b'\r' => Some("\\r".to_owned()),
        b'\t' => Some("\\t".to_owned()),
        0x08 => Some("\\b".to_owned()),
        0x0c => Some("\\f".to_owned()),
        0..0x20 => Some(format!("\\u{byte:04x}")),
        _ => None,
    };
    let go = |byte: u8| match byte {
        b'<' | b'>' | b'&' => Some(format!("\\u{byte:04x}")),
        _ => plain(byte),
    };
    let slashes = |byte: u8| if byte == b'/' { Some("\\/".to_owned()) } else { plain(byte) };
    let mut forms = vec![escape(value, plain), escape(value, go), escape(value, slashes)];
    if let Ok(text) = std::str::from_utf8(value)
        && !text.is_ascii()
    {
        let mut ascii = Vec::new();
        for character in text.chars() {
            if character.is_ascii() {
                ascii.extend(escape(&[character as u8], plain));
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    ascii.extend(format!("\\u{unit:04x}").bytes());
                }
            }
        }
        forms.push(ascii);
    }
    forms
}

/// Within single quotes, within double quotes, and unquoted with backslashes.
fn shell_forms(value: &[u8]) -> [Vec<u8>; 3] {
    let bare = |byte: u8| !(byte.is_ascii_alphanumeric() || b"-_./:@%+=,\n".contains(&byte) || byte >= 0x80);
    [
        replace(value, b"'", b"'\\''"),
        escape(value, |byte| b"\"\\$`".contains(&byte).then(|| format!("\\{}", char::from(byte)))),
        escape(value, |byte| bare(byte).then(|| format!("\\{}", char::from(byte)))),
    ]
}

fn escape(value: &[u8], by: impl Fn(u8) -> Option<String>) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(value.len());
    for &byte in value {
        match by(byte) {
            Some(sequence) => escaped.extend(sequence.bytes()),
            None => escaped.push(byte),
        }
    }
    escaped
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, from) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn base64_is_found_wherever_the_value_begins(
            before in proptest::collection::vec(any::<u8>(), 0..7),
            value in proptest::collection::vec(any::<u8>(), 8..60),
            after in proptest::collection::vec(any::<u8>(), 0..7),
        ) {
            let text = STANDARD.encode([before, value.clone(), after].concat());
            prop_assert!(all(&value).iter().any(|form| memchr::memmem::find(text.as_bytes(), form).is_some()));
        }
    }

    #[test]
    fn forms() {
        let shown: Vec<String> =
            all(b"p&s \"w'/1").iter().map(|form| String::from_utf8_lossy(form).into_owned()).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        p&s "w'/1
        cCZzICJ3Jy8x
        AmcyAidycvM
        wJnMgIncnLz
        702673202277272F31
        702673202277272f31
        p%26s+%22w%27%2F1
        p%26s%20%22w%27%2F1
        p%26s+%22w%27%2f1
        p%26s%20%22w%27%2f1
        p%26s+%22w'%2F1
        p%26s%20%22w'%2F1
        p%26s+%22w'%2f1
        p%26s%20%22w'%2f1
        p&s+%22w'/1
        p&s%20%22w'/1
        p&s \"w'/1
        p\u0026s \"w'/1
        p&s \"w'\/1
        p&s "w'\''/1
        p\&s\ \"w\'/1
        "#);
    }
}
