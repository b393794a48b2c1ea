//! Where an upstream's repositories are: its URL, taken apart.
//!
//! `https://registry.example/` has all of them; `https://registry.example/v2/team/` those that begin with `team/`,
//! which clients call without. What stands before `/v2` belongs to the registry itself.

use http::Uri;
use lockgate_core::{protocol::Called, upstream::Upstream};
use url::Url;

/// An upstream's repositories, and by what path clients reach them here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Up to `/v2`.
    registry: String,
    /// What names of repositories begin with there; empty, or with a slash at the end.
    prefix: String,
    /// The path by which clients reach it, without a slash at the end: `/v2/<upstream>`.
    path: String,
    /// What names of repositories begin with for clients; empty, or with a slash at the end.
    name: String,
}

impl Place {
    pub(crate) fn of(upstream: &Upstream, called: Option<&Called>) -> Self {
        let (registry, prefix) = split(&upstream.url);
        let path = called_path(called);
        let path = if path.is_empty() { "/v2".to_owned() } else { path };
        Self { registry, prefix, path, name: Self::prefix(called) }
    }

    /// What clients call repositories by, before the upstream's own names.
    pub(crate) fn prefix(called: Option<&Called>) -> String {
        called_path(called).rsplit_once("/v2/").map(|(_, name)| format!("{name}/")).unwrap_or_default()
    }

    /// The upstream's address of something in a repository, or of what is in none.
    pub(crate) fn url(&self, repository: Option<&str>, rest: &str) -> String {
        match repository {
            Some(name) => format!("{}/{}{rest}", self.registry, self.own_name(name)),
            None => format!("{}{rest}", self.registry),
        }
    }

    /// As a URL, to resolve others against.
    pub(crate) fn asked(&self, repository: Option<&str>, rest: &str) -> Option<Url> {
        Url::parse(&self.url(repository, rest)).ok()
    }

    /// The path by which clients reach something.
    pub(crate) fn path(&self, repository: Option<&str>, rest: &str) -> String {
        match repository {
            Some(name) => format!("{}/{name}{rest}", self.path),
            None => format!("{}{rest}", self.path),
        }
    }

    /// What clients call a repository of the upstream's; `None` where it is out of their reach.
    pub(crate) fn named(&self, upstreams: &str) -> Option<String> {
        Some(format!("{}{}", self.name, upstreams.strip_prefix(&self.prefix)?))
    }

    /// The repository that clients call so; `None` where it is none of these.
    pub(crate) fn unnamed<'a>(&self, clients: &'a str) -> Option<&'a str> {
        clients.strip_prefix(&self.name)
    }

    /// What the registry itself calls a repository.
    pub(crate) fn own_name(&self, repository: &str) -> String {
        format!("{}{repository}", self.prefix)
    }

    /// What clients call a repository.
    pub(crate) fn client_name(&self, repository: &str) -> String {
        format!("{}{repository}", self.name)
    }
}

/// The path by which clients called the upstream; empty where it has a host of its own.
fn called_path(called: Option<&Called>) -> String {
    let uri = called.and_then(|called| called.0.parse::<Uri>().ok());
    uri.map(|uri| uri.path().trim_end_matches('/').to_owned()).unwrap_or_default()
}

/// The registry's own URL with `/v2`, and what its repositories' names begin with.
pub(crate) fn split(url: &Uri) -> (String, String) {
    let path = url.path().trim_end_matches('/');
    let (before, prefix) =
        match path.find("/v2").filter(|at| matches!(path.as_bytes().get(at + 3), None | Some(b'/'))) {
            Some(at) => (&path[..at], path[at + 3..].trim_matches('/')),
            None => (path, ""),
        };
    let origin = match (url.scheme_str(), url.authority()) {
        (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
        _ => String::new(),
    };
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    (format!("{origin}{before}/v2"), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_mapped_both_ways() {
        let check = |url: &str, called: Option<&str>, there: &str, here: &str| {
            let upstream = Upstream::new("hub", "oci", url.parse().unwrap());
            let place = Place::of(&upstream, called.map(|called| Called(called.to_owned())).as_ref());
            assert_eq!(place.url(Some("app"), "/tags/list"), there);
            assert_eq!(place.path(Some("app"), "/tags/list"), here);
        };
        let by_name = Some("https://gate:1/v2/hub");
        check("https://r:5000/", by_name, "https://r:5000/v2/app/tags/list", "/v2/hub/app/tags/list");
        check("https://r", Some("https://hub"), "https://r/v2/app/tags/list", "/v2/app/tags/list");
        check("https://r/v2/team/", None, "https://r/v2/team/app/tags/list", "/v2/app/tags/list");
        check("https://r/art/v2", by_name, "https://r/art/v2/app/tags/list", "/v2/hub/app/tags/list");
        check("https://r/art/v2x/", by_name, "https://r/art/v2x/v2/app/tags/list", "/v2/hub/app/tags/list");
    }

    #[test]
    fn names_are_those_that_clients_use() {
        let upstream = Upstream::new("hub", "oci", "https://r/v2/team".parse().unwrap());
        let place = Place::of(&upstream, Some(&Called("http://gate/v2/hub".into())));
        assert_eq!(place.named("team/app").as_deref(), Some("hub/app"));
        assert_eq!(place.named("other/app"), None);
        assert_eq!(place.client_name("app"), "hub/app");
        assert_eq!(place.url(None, "/_catalog"), "https://r/v2/_catalog");
    }
}
