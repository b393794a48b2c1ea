//! Addresses: which endpoint of the distribution API a path is, and what of its query counts.
//!
//! What goes upstream is made anew from what was understood, so that nobody reads another address in it.

use http::Uri;
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

use super::name::{Digest, Reference, is_repository, is_tag};

/// An upload's id of this gateway.
const ID: usize = 64;

/// An endpoint, with all that its path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v2/`.
    Base,
    /// `/v2/_catalog`.
    Catalog,
    /// `/v2/<name>/manifests/<reference>`.
    Manifest(String, Reference),
    /// `/v2/<name>/blobs/<digest>`.
    Blob(String, Digest),
    /// `/v2/<name>/blobs/uploads/`.
    Uploads(String),
    /// `/v2/<name>/blobs/uploads/<id>`.
    Upload(String, String),
    /// `/v2/<name>/tags/list`.
    Tags(String),
    /// `/v2/<name>/referrers/<digest>`.
    Referrers(String, Digest),
}

/// Why an address is none: the client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Not of the API.
    #[error("there is no such endpoint")]
    Unknown,
    /// Not a repository.
    #[error("the repository's name is invalid")]
    Name,
    /// Neither tag nor digest.
    #[error("the reference is neither a tag nor a digest that can be checked")]
    Reference,
    /// Not a digest.
    #[error("the digest is none that can be checked: sha256 and sha512 are")]
    Digest,
    /// Not of ours.
    #[error("there is no such upload")]
    Upload,
    /// Said twice.
    #[error("the query says the same thing twice")]
    Twice,
}

impl Endpoint {
    /// Understands a path.
    ///
    /// # Errors
    /// [`RouteError`].
    pub fn parse(path: &str) -> Result<Self, RouteError> {
        let path = percent_decode_str(path).decode_utf8().map_err(|_| RouteError::Unknown)?;
        let rest = match &*path {
            "/v2" | "/v2/" => return Ok(Self::Base),
            "/v2/_catalog" => return Ok(Self::Catalog),
            path => path.strip_prefix("/v2/").ok_or(RouteError::Unknown)?,
        };
        let parts: Vec<&str> = rest.split('/').collect();
        let name = |parts: &[&str]| {
            let name = parts.join("/");
            if is_repository(&name) { Ok(name) } else { Err(RouteError::Name) }
        };
        let digest = |text: &str| Digest::parse(text).ok_or(RouteError::Digest);
        match parts.as_slice() {
            [of @ .., "blobs", "uploads"] | [of @ .., "blobs", "uploads", ""] => Ok(Self::Uploads(name(of)?)),
            [of @ .., "blobs", "uploads", id] => {
                let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
                if id.len() > ID || !id.bytes().all(is_id) {
                    return Err(RouteError::Upload);
                }
                Ok(Self::Upload(name(of)?, (*id).to_owned()))
            }
            [of @ .., "tags", "list"] => Ok(Self::Tags(name(of)?)),
            [of @ .., "manifests", reference] => {
                let reference = Reference::parse(reference).ok_or(RouteError::Reference)?;
                Ok(Self::Manifest(name(of)?, reference))
            }
            [of @ .., "blobs", text] => Ok(Self::Blob(name(of)?, digest(text)?)),
            [of @ .., "referrers", text] => Ok(Self::Referrers(name(of)?, digest(text)?)),
            _ => Err(RouteError::Unknown),
        }
    }

    /// The repository that it is in.
    pub fn repository(&self) -> Option<&str> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Uploads(name)
            | Self::Upload(name, _)
            | Self::Tags(name)
            | Self::Referrers(name, _) => Some(name),
        }
    }

    /// What follows the repository, with a slash.
    pub fn rest(&self) -> String {
        match self {
            Self::Base => "/".to_owned(),
            Self::Catalog => "/_catalog".to_owned(),
            Self::Manifest(_, reference) => format!("/manifests/{}", reference.as_str()),
            Self::Blob(_, digest) => format!("/blobs/{digest}"),
            Self::Uploads(_) => "/blobs/uploads/".to_owned(),
            Self::Upload(_, id) => format!("/blobs/uploads/{id}"),
            Self::Tags(_) => "/tags/list".to_owned(),
            Self::Referrers(_, digest) => format!("/referrers/{digest}"),
        }
    }
}

/// A query, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes it.
    pub fn parse(uri: &Uri) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The only value of that name.
    ///
    /// # Errors
    /// [`RouteError::Twice`].
    pub fn get(&self, name: &str) -> Result<Option<&str>, RouteError> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            (_, Some(_)) => Err(RouteError::Twice),
        }
    }

    /// A digest of that name.
    ///
    /// # Errors
    /// [`RouteError`].
    pub fn digest(&self, name: &str) -> Result<Option<Digest>, RouteError> {
        let digest = |text| Digest::parse(text).ok_or(RouteError::Digest);
        self.get(name)?.map(digest).transpose()
    }

    /// The further tags of a manifest.
    ///
    /// # Errors
    /// [`RouteError`].
    pub fn tags(&self) -> Result<Vec<String>, RouteError> {
        let tag = |text: &str| if is_tag(text) { Ok(text.to_owned()) } else { Err(RouteError::Reference) };
        self.all("tag").map(tag).collect()
    }

    /// All of these names, encoded anew. With a question mark where there is anything.
    pub fn encoded(&self, names: &[&str]) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.0 {
            if names.contains(&name.as_str()) {
                text.append_pair(name, value);
            }
        }
        let text = text.finish();
        if text.is_empty() { text } else { format!("?{text}") }
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn check(path: &str, expected: Result<&str, RouteError>) {
        let endpoint = Endpoint::parse(path);
        let shown = endpoint.as_ref().map(|of| format!("{}{}", of.repository().unwrap_or("-"), of.rest()));
        assert_eq!(
            shown.as_deref().map_err(|error| **error),
            expected.as_ref().copied().map_err(|error| *error),
            "{path}"
        );
    }

    #[test]
    fn paths_are_endpoints() {
        check("/v2", Ok("-/"));
        check("/v2/", Ok("-/"));
        check("/v2/_catalog", Ok("-/_catalog"));
        check("/v2/a/manifests/v1", Ok("a/manifests/v1"));
        check(&format!("/v2/a/b/manifests/{HEX}"), Ok(&format!("a/b/manifests/{HEX}")));
        check(&format!("/v2/a/b/blobs/{}", HEX.replace(':', "%3A")), Ok(&format!("a/b/blobs/{HEX}")));
        check("/v2/a/blobs/uploads", Ok("a/blobs/uploads/"));
        check("/v2/a/blobs/uploads/", Ok("a/blobs/uploads/"));
        check("/v2/a/blobs/uploads/0-9", Ok("a/blobs/uploads/0-9"));
        check("/v2/tags/list/tags/list", Ok("tags/list/tags/list"));
        check(&format!("/v2/a/referrers/{HEX}"), Ok(&format!("a/referrers/{HEX}")));
    }

    #[test]
    fn the_rest_is_none() {
        for path in [
            "",
            "/",
            "/v1/",
            "/v2/a",
            "/v2/a/manifests",
            "/token",
            "/v2/a/manifests/b/c",
            "/v2/%ff/tags/list",
        ] {
            check(path, Err(RouteError::Unknown));
        }
        for path in [
            "/v2/tags/list",
            "/v2/A/tags/list",
            "/v2/a/../b/tags/list",
            "/v2/a%2F%2Fb/tags/list",
            "/v2/%2e%2e/tags/list",
        ] {
            check(path, Err(RouteError::Name));
        }
        check("/v2/a/manifests/a:b", Err(RouteError::Reference));
        check("/v2/a/manifests/%2561", Err(RouteError::Reference));
        check("/v2/a/blobs/b", Err(RouteError::Digest));
        check("/v2/a/blobs/uploads/a.b", Err(RouteError::Upload));
        check(&format!("/v2/a/blobs/uploads/{}", "a".repeat(65)), Err(RouteError::Upload));
    }

    #[test]
    fn queries_say_things_once() {
        let query = |text: &str| Query::parse(&format!("/x?{text}").parse().unwrap());
        assert_eq!(query("n=1&last=a%20b").encoded(&["last", "n"]), "?n=1&last=a+b");
        assert_eq!(query("n=1&x=2").encoded(&["n"]), "?n=1");
        assert_eq!(query("x=2").encoded(&["n"]), "");
        assert_eq!(query("x=2").encoded(&[]), "");
        assert_eq!(query("mount=a&mount=b").get("mount"), Err(RouteError::Twice));
        assert_eq!(query("digest=md5:1").digest("digest"), Err(RouteError::Digest));
        assert_eq!(query(&format!("digest={HEX}")).digest("digest").unwrap().unwrap().as_str(), HEX);
        assert_eq!(query("tag=a&tag=b").tags().unwrap(), ["a", "b"]);
        assert_eq!(query("tag=a/b").tags(), Err(RouteError::Reference));
    }

    proptest! {
        #[test]
        fn what_is_understood_is_understood_again(path in "/v2/[a-z%/]{0,12}/(tags/list|manifests/[a-z%.]{1,4}|blobs/uploads/[a-z]{0,3})") {
            if let Ok(endpoint) = Endpoint::parse(&path) {
                let again = format!("/v2/{}{}", endpoint.repository().unwrap(), endpoint.rest());
                prop_assert_eq!(Endpoint::parse(&again), Ok(endpoint));
            }
        }
    }
}
