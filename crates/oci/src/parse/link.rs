//! Where an upstream's answers lead: `Link` to the next page, `Location` of an upload.

use http::{HeaderMap, HeaderValue, header};
use url::Url;

/// The query of the next page, where there is one (RFC 8288). Where it leads besides is the same list, or nowhere.
pub fn next(headers: &HeaderMap, asked: &Url) -> Option<String> {
    let links = headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.filter_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let relation = parameter.trim().strip_prefix("rel=").map(|value| value.trim_matches('"'));
            relation.is_some_and(|relation| relation.eq_ignore_ascii_case("next"))
        });
        is_next.then_some(target)
    });
    let url = asked.join(next.into_iter().next()?).ok()?;
    (url.path() == asked.path()).then(|| url.query().unwrap_or_default().to_owned())
}

/// Where an upload goes on: the only `Location`, absolute. Registries give it without a host, or with the one and the
/// scheme by which they believe to be called.
pub fn location(headers: &HeaderMap, asked: &Url) -> Option<Url> {
    let mut locations = headers.get_all(header::LOCATION).iter();
    let (Some(location), None) = (locations.next(), locations.next()) else { return None };
    let mut url = asked.join(location.to_str().ok()?).ok()?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    // By another scheme it would be another origin, and so nowhere.
    let same_host = url.host_str() == asked.host_str();
    if same_host && url.scheme() != asked.scheme() && (url.port() == asked.port() || url.port().is_none()) {
        let _ = url.set_scheme(asked.scheme());
        let _ = url.set_port(asked.port());
    }
    url.set_fragment(None);
    Some(url)
}

/// The address at which an upload ends: the digest is set, whatever it says of one.
pub fn with_digest(location: &Url, digest: &str) -> Url {
    let mut url = location.clone();
    let others: Vec<(String, String)> = location
        .query_pairs()
        .filter(|(name, _)| name != "digest")
        .map(|(a, b)| (a.into(), b.into()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair("digest", digest);
    url
}

#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let asked = Url::parse("https://registry.example:5000/v2/a/tags/list?n=2");
    let (Ok(asked), Ok(value)) = (asked, HeaderValue::from_bytes(bytes)) else { return };
    let headers = HeaderMap::from_iter([(header::LINK, value.clone()), (header::LOCATION, value)]);
    if let Some(query) = next(&headers, &asked) {
        assert!(!query.contains(['<', '>', '"', '#', ' ']), "it stands between angle brackets again");
    }
    if let Some(url) = location(&headers, &asked) {
        assert!(
            matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.fragment().is_none()
        );
        let with = with_digest(&url, "sha256:a");
        let digests: Vec<_> = with.query_pairs().filter(|(name, _)| name == "digest").collect();
        assert_eq!(digests.len(), 1);
        assert_eq!((with.origin(), with.path()), (url.origin(), url.path()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_next_page_is_one_of_the_same_list() {
        let check = |link: &str, expected: Option<&str>| {
            let headers = HeaderMap::from_iter([(header::LINK, HeaderValue::from_str(link).unwrap())]);
            let url = asked("https://registry.example/v2/a/tags/list?n=2");
            assert_eq!(next(&headers, &url).as_deref(), expected, "{link}");
        };
        check("</v2/a/tags/list?n=2&last=b>; rel=\"next\"", Some("n=2&last=b"));
        check("<https://other.example/v2/a/tags/list?last=b>; rel=next", Some("last=b"));
        check("<?last=b>; title=x; rel=\"next\"", Some("last=b"));
        check("</v2/other/tags/list?last=b>; rel=\"next\"", None);
        check("</v2/a/tags/list?last=b>; rel=\"prev\"", None);
        check("nonsense", None);
    }

    #[test]
    fn uploads_go_on_where_the_registry_says() {
        let check = |base: &str, location_: &str, expected: Option<&str>| {
            let headers =
                HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_str(location_).unwrap())]);
            let url = location(&headers, &asked(base));
            assert_eq!(url.as_ref().map(Url::as_str), expected, "{location_}");
        };
        let base = "https://registry.example:5000/v2/a/blobs/uploads/";
        check(base, "/up/1?s=x#f", Some("https://registry.example:5000/up/1?s=x"));
        check(base, "1", Some("https://registry.example:5000/v2/a/blobs/uploads/1"));
        check(base, "http://registry.example:5000/up/1", Some("https://registry.example:5000/up/1"));
        check(base, "http://registry.example/up/1", Some("https://registry.example:5000/up/1"));
        check(base, "http://169.254.169.254/up", Some("http://169.254.169.254/up"));
        check(base, "https://u:p@registry.example:5000/up", None);
        check(base, "ftp://registry.example/up", None);
        let twice =
            HeaderMap::from_iter([header::LOCATION; 1].map(|name| (name, HeaderValue::from_static("/a"))));
        let mut twice = twice;
        twice.append(header::LOCATION, HeaderValue::from_static("/b"));
        assert_eq!(location(&twice, &asked(base)), None);
    }

    #[test]
    fn the_digest_is_set_once() {
        let check = |url: &str, expected: &str| {
            assert_eq!(with_digest(&asked(url), "sha256:a").as_str(), expected);
        };
        check("http://r/up?_state=a%2Bb%3D", "http://r/up?_state=a%2Bb%3D&digest=sha256%3Aa");
        check("http://r/up", "http://r/up?digest=sha256%3Aa");
        check("http://r/up?digest=sha256:b&x=1", "http://r/up?x=1&digest=sha256%3Aa");
    }

    proptest! {
        #[test]
        fn any_location_is_read(text in "[ -~]{0,60}") {
            let headers = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_str(&text).unwrap())]);
            if let Some(url) = location(&headers, &asked("https://registry.example/v2/")) {
                prop_assert!(matches!(url.scheme(), "http" | "https") && url.username().is_empty());
            }
        }
    }
}
