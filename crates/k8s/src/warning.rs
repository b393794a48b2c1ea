//! `Warning` headers (RFC 7234, section 5.5), which kubectl prints: ours, and those of the API server, in which
//! webhooks and deprecated fields may quote what was written.

use http::{HeaderMap, HeaderValue, header};
use lockgate_core::layers::mask::Secrets;

/// Adds one of ours, whose text needs no escapes.
pub(crate) fn add(headers: &mut HeaderMap, text: &str) {
    if let Ok(warning) = HeaderValue::from_str(&format!("299 - \"lockgate: {text}\"")) {
        headers.append(header::WARNING, warning);
    }
}

/// Masks those of the upstream. Quotes and backslashes are escaped in them as in JSON, and known values are found so.
pub(crate) fn mask(headers: &mut HeaderMap, secrets: &Secrets) {
    if secrets.is_empty() {
        return;
    }
    let header::Entry::Occupied(mut warnings) = headers.entry(header::WARNING) else { return };
    for warning in warnings.iter_mut() {
        let masked = secrets.masker().whole(warning.as_bytes());
        // Placeholders are plain letters, so that it still is a header.
        *warning = HeaderValue::from_bytes(&masked).unwrap_or(HeaderValue::from_static(""));
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use lockgate_detect::{KnownValues, RuleSet, TagKey};

    use super::*;

    #[test]
    fn warnings_are_masked_by_value_and_by_pattern() {
        let known = KnownValues::new();
        known.add("secret", b"pl4nted-S3cret").unwrap();
        known.add("secret", br#"with"quotes\and"#).unwrap();
        let secrets = Secrets {
            rules: RuleSet::builtin(),
            demanded: true,
            names: Arc::new(BTreeSet::new()),
            known: Some(known),
            key: TagKey::new(b"test"),
        };
        let check = |texts: &[&str], expected: &[&str]| {
            let mut headers = HeaderMap::new();
            for text in texts {
                headers.append(header::WARNING, HeaderValue::from_str(text).unwrap());
            }
            mask(&mut headers, &secrets);
            let shown: Vec<_> = headers
                .get_all(header::WARNING)
                .iter()
                .map(|it| {
                    let text = it.to_str().unwrap();
                    let at = text.find("[MASKED:").zip(text.find(']'));
                    at.map_or(text.to_owned(), |(from, to)| {
                        format!("{}<M>{}", &text[..from], &text[to + 1..])
                    })
                })
                .collect();
            assert_eq!(shown, expected);
        };
        check(
            &[
                r#"299 - "v1 is \"old\"""#,
                r#"299 - "was pl4nted-S3cret""#,
                r#"299 - "it is cGw0bnRlZC1TM2NyZXQ=""#,
            ],
            &[r#"299 - "v1 is \"old\"""#, r#"299 - "was <M>""#, r#"299 - "it is <M>Q=""#],
        );
        let token = concat!("ghp_", "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx");
        check(&[&format!("299 - \"{token} is one\"")], &[r#"299 - "<M> is one""#]);
        check(&[r#"299 - "it has with\"quotes\\and in it""#], &[r#"299 - "it has <M> in it""#]);
        check(&[], &[]);
    }
}
