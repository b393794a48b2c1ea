//! What a registry asks for: `WWW-Authenticate` (RFC 9110, section 11.6.1), as registries use it.

use http::{HeaderMap, header};

/// Bytes of a challenge at most.
const MAX: usize = 8 << 10;

/// What a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// A user and a password.
    Basic,
    /// A token, to be had there.
    Bearer {
        /// The address of the token server.
        realm: String,
        /// What the token server knows the registry by.
        service: Option<String>,
    },
}

/// The challenges in an answer, of the schemes that are known.
pub fn read(headers: &HeaderMap) -> Vec<Challenge> {
    let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
    values.filter_map(|value| value.to_str().ok()).filter(|text| text.len() <= MAX).flat_map(parse).collect()
}

/// The challenges in one field: schemes with parameters, all between commas, some in quotes.
pub fn parse(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for item in items(text) {
        let is_parameter = |item: &str| item.find('=').is_some_and(|at| !item[..at].trim_end().contains(' '));
        let parameter = if is_parameter(item) {
            Some(item)
        } else {
            let (scheme, parameter) = item.split_once(' ').unwrap_or((item, ""));
            found.push((scheme.to_ascii_lowercase(), Vec::new()));
            Some(parameter.trim()).filter(|parameter| !parameter.is_empty())
        };
        if let (Some((name, value)), Some((_, of))) =
            (parameter.and_then(|parameter| parameter.split_once('=')), found.last_mut())
        {
            of.push((name.trim().to_ascii_lowercase(), unquoted(value.trim())));
        }
    }
    found.into_iter().filter_map(|(scheme, of)| known(&scheme, of)).collect()
}

fn known(scheme: &str, of: Vec<(String, String)>) -> Option<Challenge> {
    let get = |name: &str| of.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone());
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer { realm: get("realm")?, service: get("service") }),
        _ => None,
    }
}

/// The parts between commas that are not in quotes.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |c| {
        let was_escaped = std::mem::take(&mut escaped);
        match c {
            '\\' if quoted && !was_escaped => escaped = true,
            '"' if !was_escaped => quoted = !quoted,
            ',' => return !quoted,
            _ => {}
        }
        false
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

fn unquoted(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"') else { return text.to_owned() };
    let (mut out, mut characters) = (String::new(), inner.chars());
    while let Some(c) = characters.next() {
        match c {
            '\\' => out.extend(characters.next()),
            '"' => break,
            c => out.push(c),
        }
    }
    out
}

#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        for challenge in parse(text) {
            if let Challenge::Bearer { realm, .. } = challenge {
                assert!(realm.len() <= text.len(), "nothing is made up");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned) }
    }

    #[test]
    fn challenges_are_those_of_registries() {
        let check = |text: &str, expected: &[Challenge]| assert_eq!(parse(text), expected, "{text}");
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        check(hub, &[bearer("https://auth.docker.io/token", Some("registry.docker.io"))]);
        check("Basic realm=\"a, b\"", &[Challenge::Basic]);
        check("bearer  realm=x , service = y", &[bearer("x", Some("y"))]);
        check("Negotiate, Basic realm=x, Bearer realm=\"y\\\"z\"", &[Challenge::Basic, bearer("y\"z", None)]);
        check("Basic", &[Challenge::Basic]);
        check("Bearer service=y", &[]);
        check("realm=x", &[]);
        check("", &[]);
        check(",,,\"", &[]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn quoting_is_undone(realm in "[ -~]{0,30}") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(parse(&format!("Bearer realm=\"{quoted}\",service=s")), [bearer(&realm, Some("s"))]);
        }
    }
}
