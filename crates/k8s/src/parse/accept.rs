//! The `Accept` of a request whose answer is masked: only what can be masked is asked for.
//!
//! Item by item, because `kubectl get` asks for Tables in one alternative and for objects in another: plain JSON
//! for all of them would cost it its columns.

use http::{HeaderMap, HeaderValue, header};

/// More alternatives than any client sends; what comes after them is not asked for.
const MAX_ITEMS: usize = 64;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// What an alternative may say besides its type. Others are for serializers that are not asked.
const PARAMETERS: [&str; 8] = ["as", "g", "v", "stream", "pretty", "profile", "charset", "q"];

/// The `Accept` to send upstream where the answer is to be masked; none where the client takes nothing that can
/// be (a `406`).
///
/// JSON and YAML stay as they are; protobuf becomes JSON of the same kind (`as`, `g`, `v`); wildcards, and no
/// `Accept` at all, mean JSON. Order and weights are kept.
#[must_use]
pub fn maskable(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut kept: Vec<String> = Vec::new();
    let mut is_said = false;
    let lines = headers.get_all(header::ACCEPT).iter();
    for item in lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).take(MAX_ITEMS) {
        is_said |= !item.trim_ascii().is_empty();
        if let Some(item) = std::str::from_utf8(item).ok().and_then(alternative)
            && !kept.contains(&item)
        {
            kept.push(item);
        }
    }
    if !is_said {
        return Some(HeaderValue::from_static(JSON));
    }
    (!kept.is_empty()).then(|| HeaderValue::from_str(&kept.join(",")).ok()).flatten()
}

/// One alternative in a form that can be masked.
fn alternative(item: &str) -> Option<String> {
    let mut parts = item.split(';').map(str::trim);
    let mut kept = match parts.next()?.to_ascii_lowercase().as_str() {
        JSON | "application/vnd.kubernetes.protobuf" | "*/*" | "application/*" => JSON.to_owned(),
        YAML => YAML.to_owned(),
        _ => return None,
    };
    for parameter in parts {
        let Some((name, value)) = parameter.split_once('=') else { continue };
        let is_known = PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is_known && value.bytes().all(is_token) {
            kept.push(';');
            kept.push_str(parameter);
        }
    }
    Some(kept)
}

/// RFC 9110, section 5.6.2: quoted values are not read by the API server, which splits at every comma.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Takes any header, and asks upstream for nothing but JSON and YAML. For fuzzing.
#[doc(hidden)]
pub fn fuzz_accept(data: &[u8]) {
    let Ok(line) = HeaderValue::from_bytes(data) else { return };
    let Some(asked) = maskable(&HeaderMap::from_iter([(header::ACCEPT, line)])) else { return };
    let text = asked.to_str().expect("what is written is ASCII");
    for item in text.split(',') {
        assert!(item.starts_with(JSON) || item.starts_with(YAML), "{item}");
    }
    let again = maskable(&HeaderMap::from_iter([(header::ACCEPT, asked.clone())]));
    assert_eq!(again, Some(asked), "what can be masked stays as it is");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(accept: &[&str], expected: Option<&str>) {
        let headers =
            accept.iter().map(|line| (header::ACCEPT, HeaderValue::from_str(line).unwrap())).collect();
        let asked = maskable(&headers);
        assert_eq!(asked.as_ref().map(|value| value.to_str().unwrap()), expected, "{accept:?}");
    }

    #[test]
    fn kubectl_keeps_its_tables() {
        let tables = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        check(&[tables], Some(tables));
        check(
            &[
                "application/json;as=Table;v=v1;g=meta.k8s.io, application/json;as=Table;v=v1beta1;g=meta.k8s.io, application/json",
            ],
            Some(
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            ),
        );
    }

    #[test]
    fn protobuf_becomes_json_of_the_same_kind() {
        check(&["application/vnd.kubernetes.protobuf"], Some("application/json"));
        check(&["application/vnd.kubernetes.protobuf, */*"], Some("application/json"));
        check(
            &[
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1;q=0.9,application/json;q=0.8",
            ],
            Some("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1;q=0.9,application/json;q=0.8"),
        );
        check(&["application/vnd.kubernetes.protobuf;stream=watch"], Some("application/json;stream=watch"));
        check(
            &["application/vnd.kubernetes.protobuf;type=Secret;as=Table"],
            Some("application/json;as=Table"),
        );
    }

    #[test]
    fn nothing_said_is_json_and_nothing_maskable_is_not_acceptable() {
        check(&[], Some("application/json"));
        check(&["", " , "], Some("application/json"));
        check(&["*/*"], Some("application/json"));
        check(&["application/cbor"], None);
        check(&["text/html, application/cbor-seq;q=0.5"], None);
        check(&["application/cbor, Application/YAML;q=0.5"], Some("application/yaml;q=0.5"));
        check(&["application/cbor", "application/json; pretty=1"], Some("application/json;pretty=1"));
    }

    #[test]
    fn what_two_readers_could_split_in_two_ways_is_dropped() {
        check(
            &[r#"application/json;as="Table,application/vnd.kubernetes.protobuf""#],
            Some("application/json"),
        );
        check(&["application/json;;as;=;q"], Some("application/json"));
        check(&["application/jsonx, application/json-patch+json"], None);
    }

    proptest! {
        #[test]
        fn promises_hold_on_random_input(text in "([a-z*]{1,12}/[a-z*.]{1,12}|application/json|;as=|q=0.[0-9]|[ ,;=\"]|\\PC){0,12}") {
            fuzz_accept(text.as_bytes());
        }
    }
}
