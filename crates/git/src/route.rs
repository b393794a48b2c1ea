//! The addresses of git over HTTP, and the repository that each names.
//!
//! The path that goes upstream is written anew from what was understood: no traversal, no encoded
//! slash, no second reading is left in it. The policy sees the repository decoded and without `.git`,
//! because servers take both for the same.

use http::{Method, Uri};
use lockgate_core::refusal::{Refusal, RefusalKind};

use crate::refname::is_hidden;

/// Files lie less deep.
const DEPTH: usize = 32;

/// A service of smart HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl Service {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UploadPack => "git-upload-pack",
            Self::ReceivePack => "git-receive-pack",
        }
    }

    /// The media type of its advertisement, request or result.
    pub fn media_type(self, of: &str) -> String {
        format!("application/x-{}-{of}", self.name())
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::UploadPack, Self::ReceivePack].into_iter().find(|service| service.name() == name)
    }
}

/// What is addressed of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET <repository>/info/refs?service=...`: the refs, and what the service can do.
    Advertisement(Service),
    /// `POST <repository>/git-...-pack`.
    Rpc(Service),
    /// `GET` of anything else: a file of the repository over dumb HTTP, or one that may be anybody's.
    /// Only read: what is written by WebDAV has addresses of its own.
    File,
}

/// An address that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// What is addressed.
    pub endpoint: Endpoint,
    /// The repository as policies name it: decoded, no slash at its ends, no `.git`.
    pub repository: String,
    /// The repository's path, encoded, as it goes upstream; begins with a slash.
    pub path: String,
    /// The file's path below that, encoded; begins with a slash. Empty where `repository` is the path of a file
    /// that may be anybody's.
    pub file: String,
}

impl Route {
    /// Reads the method, path and query of a request; the path is relative to the upstream.
    ///
    /// # Errors
    /// [`RefusalKind::NotFound`] for what smart HTTP does not have, [`RefusalKind::Invalid`] for what
    /// could be read in two ways.
    pub fn parse(method: &Method, uri: &Uri) -> Result<Self, Refusal> {
        let segments = segments(uri.path())?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (endpoint, repository) = match (&*segments, uri.query()) {
            ([repository @ .., "info", "refs"], Some(query)) => {
                (Endpoint::Advertisement(service(query)?), repository)
            }
            ([repository @ .., name], query) if let Some(service) = Service::from_name(name) => {
                if query.is_some() {
                    return Err(invalid("a request to a git service has no query"));
                }
                (Endpoint::Rpc(service), repository)
            }
            (segments, None) => (Endpoint::File, repository_of(segments)?),
            (_, Some(_)) => return Err(unknown()),
        };
        let takes = match endpoint {
            Endpoint::Advertisement(_) => method == Method::GET,
            Endpoint::Rpc(_) => method == Method::POST,
            Endpoint::File => method == Method::GET || method == Method::HEAD,
        };
        if !takes {
            return Err(if endpoint == Endpoint::File { unknown() } else { wrong_method(method) });
        }
        let file = encode(&segments[repository.len()..]);
        Ok(Self { endpoint, repository: policy_name(repository)?, path: encode(repository), file })
    }

    /// The path and query that go upstream.
    pub fn uri(&self) -> Option<Uri> {
        let text = match self.endpoint {
            Endpoint::Advertisement(service) => format!("{}/info/refs?service={}", self.path, service.name()),
            Endpoint::Rpc(service) => format!("{}/{}", self.path, service.name()),
            Endpoint::File => format!("{}{}", self.path, self.file),
        };
        text.parse().ok()
    }
}

/// The repository in the path of one of its files: what ends with `.git`. The whole path where nothing does.
pub(crate) fn repository_of<'a>(segments: &'a [&'a str]) -> Result<&'a [&'a str], Refusal> {
    let mut named = segments.iter().enumerate().filter(|(_, segment)| segment.ends_with(".git"));
    match (named.next(), named.next()) {
        (Some(_), Some(_)) => Err(ambiguous()),
        (Some((place, _)), None) => Ok(&segments[..=place]),
        (None, _) if segments.len() > DEPTH => Err(unknown()),
        (None, _) => Ok(segments),
    }
}

/// The path's segments, decoded.
pub(crate) fn segments(path: &str) -> Result<Vec<String>, Refusal> {
    let path = path.strip_prefix('/').ok_or_else(|| invalid("the path does not begin with a slash"))?;
    path.split('/').map(|segment| decode(segment).filter(|s| is_plain(s)).ok_or_else(ambiguous)).collect()
}

fn is_plain(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && !segment.contains(['/', '\\', '%', ';', '?', '#'])
        && !segment.chars().any(is_hidden)
}

pub(crate) fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        // `from_str_radix` would take a sign.
        digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

pub(crate) fn encode(segments: &[&str]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~@+".contains(&byte) {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    path
}

/// One name for one repository: servers open `app` and `app.git` alike, and `app/.git` too.
pub(crate) fn policy_name(segments: &[&str]) -> Result<String, Refusal> {
    let name = segments.join("/");
    let name = name.strip_suffix(".git").unwrap_or(&name);
    let doubled = name.ends_with(".git");
    if name.is_empty()
        || name.ends_with('/')
        || doubled
        || segments.iter().any(|segment| segment.eq_ignore_ascii_case(".git"))
    {
        return Err(invalid("the path names no repository"));
    }
    Ok(name.to_owned())
}

fn service(query: &str) -> Result<Service, Refusal> {
    let name = query.strip_prefix("service=").filter(|name| !name.contains(['&', ';', '%', '+', '=']));
    let name = name.ok_or_else(|| invalid("the query is not service=... alone"))?;
    Service::from_name(name).ok_or_else(unknown)
}

pub(crate) fn invalid(reason: &str) -> Refusal {
    Refusal::new(RefusalKind::Invalid, reason)
}

pub(crate) fn ambiguous() -> Refusal {
    invalid("the path has empty, dotted or doubly encoded parts, or characters that no repository has")
}

fn wrong_method(method: &Method) -> Refusal {
    invalid(&format!("this address does not take {method}"))
}

/// Of what is neither smart HTTP nor a file that may be read.
pub(crate) fn unknown() -> Refusal {
    Refusal::new(
        RefusalKind::NotFound,
        "no such git service here: there are git-upload-pack and git-receive-pack over smart HTTP",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, uri: &str) -> Result<Route, RefusalKind> {
        let method = method.parse().unwrap();
        Route::parse(&method, &uri.parse().unwrap()).map_err(|refusal| refusal.kind)
    }

    #[test]
    fn understands_smart_http() {
        let check = |method: &str, uri: &str, endpoint, repository: &str, upstream: &str| {
            let route = parse(method, uri).unwrap();
            assert_eq!((route.endpoint, &*route.repository), (endpoint, repository), "{uri}");
            assert_eq!(route.uri().unwrap().to_string(), upstream);
        };
        let (fetch, push) = (Service::UploadPack, Service::ReceivePack);
        let uri = "/team/app.git/info/refs?service=git-upload-pack";
        check("GET", uri, Endpoint::Advertisement(fetch), "team/app", uri);
        let uri = "/app/info/refs?service=git-receive-pack";
        check("GET", uri, Endpoint::Advertisement(push), "app", uri);
        check("POST", "/a/b/c/git-upload-pack", Endpoint::Rpc(fetch), "a/b/c", "/a/b/c/git-upload-pack");
        check("POST", "/a/git-receive-pack", Endpoint::Rpc(push), "a", "/a/git-receive-pack");
        let uri = "/%74eam/%C3%A9%20b:c.git/git-upload-pack";
        check("POST", uri, Endpoint::Rpc(fetch), "team/é b:c", "/team/%C3%A9%20b%3Ac.git/git-upload-pack");
        let uri = "/info/refs/info/refs?service=git-upload-pack";
        check("GET", uri, Endpoint::Advertisement(fetch), "info/refs", uri);
        check(
            "POST",
            "/~user/x.git/git-upload-pack",
            Endpoint::Rpc(fetch),
            "~user/x",
            "/~user/x.git/git-upload-pack",
        );
    }

    #[test]
    fn understands_files_of_dumb_http() {
        let check = |uri: &str, repository: &str| {
            for method in ["GET", "HEAD"] {
                let route = parse(method, uri).unwrap();
                assert_eq!((route.endpoint, &*route.repository), (Endpoint::File, repository), "{uri}");
                assert_eq!(route.uri().unwrap(), uri);
            }
        };
        for file in ["HEAD", "info/refs", "packed-refs", "refs/heads/x", "objects/x/1", "x.bundle"] {
            check(&format!("/team/app.git/{file}"), "team/app");
        }
        // Nobody knows whose these are.
        for path in ["bundles/x.bundle", "app/objects/info/packs", "app/HEAD"] {
            check(&format!("/{path}"), path);
        }
    }

    #[test]
    fn refuses_the_rest() {
        use RefusalKind::{Invalid, NotFound};
        let check = |method: &str, uri: &str, kind| {
            assert_eq!(parse(method, uri).unwrap_err(), kind, "{method} {uri}")
        };
        let advertised = "info/refs?service=git-upload-pack";
        for repository in [
            "",
            "/",
            "/..",
            "/.",
            "/a/..",
            "/a/../b",
            "//a",
            "/a/",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%2e%2e%2fb",
            "/%2e%2e",
            "/a%252fb",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/a;x=1",
            "/a%3fb",
            "/a%23",
            "/a%0ab",
            "/a%ff",
            "/.git",
            "/x.git.git",
            "/app/.git",
            "/app/.GIT",
            "/app/.git/x",
            "/a%7f",
            "/%E2%80%AEa",
        ] {
            check("GET", &format!("{repository}/{advertised}"), Invalid);
            if !repository.is_empty() {
                check("POST", &format!("{repository}/git-receive-pack"), Invalid);
            }
        }
        check("POST", "/a/git-upload-archive", NotFound);
        check("PUT", "/a/objects/12/34", NotFound);
        check("PROPFIND", "/a/HEAD", NotFound);
        check("GET", "/a/HEAD?x", NotFound);
        check("GET", &"/a".repeat(33), NotFound);
        check("GET", "/a.git/b.git/HEAD", Invalid);
        check("GET", "/a/.git/config", Invalid);
        check("GET", "/a/info/refs?service=git-upload-archive", NotFound);
        check("POST", "/a/info/lfs/objects/batch", NotFound);
        check("GET", "/", Invalid);
        for query in [
            "",
            "service",
            "service=",
            "x=1",
            "service=git-upload-pack&service=git-receive-pack",
            "service=git-upload-pack&x",
            "x&service=git-upload-pack",
            "service=git%2dupload-pack",
        ] {
            let kind = if query == "service=" { NotFound } else { Invalid };
            check("GET", &format!("/a/info/refs?{query}"), kind);
        }
        check("POST", "/a/git-upload-pack?x", Invalid);
        check("POST", "/a/git-upload-pack?", Invalid);
        check("GET", "/a/git-upload-pack", Invalid);
        check("HEAD", "/a/info/refs?service=git-upload-pack", Invalid);
        check("POST", "/a/info/refs?service=git-upload-pack", Invalid);
    }
}
