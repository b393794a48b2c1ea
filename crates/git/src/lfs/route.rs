//! The addresses of LFS below a repository, as git-lfs finds them: `<repository>.git/info/lfs/...`.
//!
//! Transfers have addresses of the gateway's own: `objects/<oid>` to download and upload, and
//! `objects/<oid>/verify`. What stands there on an upstream is never asked for by these.

use http::{Method, Uri};
use lockgate_core::refusal::{Refusal, RefusalKind};

use super::oid::LfsOid;
use crate::route::{self, invalid};

/// One kind of request about one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transfer {
    Download,
    Upload,
    Verify,
}

impl Transfer {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
            Self::Verify => "verify",
        }
    }
}

/// What is addressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `POST objects/batch`.
    Batch,
    /// Of one object.
    Transfer(Transfer, LfsOid),
    /// `GET locks`, with this query.
    Locks(String),
    /// `POST locks`.
    Lock,
    /// `POST locks/verify`.
    VerifyLocks,
    /// `POST locks/<id>/unlock`.
    Unlock(String),
}

/// An address that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LfsRoute {
    pub(crate) endpoint: Endpoint,
    /// See [`route::Route::repository`].
    pub(crate) repository: String,
    /// See [`route::Route::path`].
    pub(crate) path: String,
}

/// What a query of `GET locks` may ask for.
const QUERY: [&str; 5] = ["path", "id", "cursor", "limit", "refspec"];

impl LfsRoute {
    /// Whether an address is one of LFS, understood or not: who asks there reads JSON.
    pub(crate) fn is_lfs(uri: &Uri) -> bool {
        let rest = uri.path().rsplit_once("/info/lfs/").map(|(_, rest)| rest);
        rest.is_some_and(|rest| rest == "locks" || rest.starts_with("locks/") || rest.starts_with("objects/"))
    }

    /// Reads the method, path and query of a request; the path is relative to the upstream.
    ///
    /// # Errors
    /// As [`route::Route::parse`].
    pub(crate) fn parse(method: &Method, uri: &Uri) -> Result<Self, Refusal> {
        let segments = route::segments(uri.path())?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (repository, endpoint) = match &*segments {
            [repository @ .., "info", "lfs", "objects", "batch"] => {
                (repository, only_post(method, Endpoint::Batch)?)
            }
            [repository @ .., "info", "lfs", "objects", oid] => {
                let transfer = match *method {
                    Method::GET => Transfer::Download,
                    Method::PUT => Transfer::Upload,
                    _ => return Err(wrong_method("GET and PUT")),
                };
                (repository, Endpoint::Transfer(transfer, object(oid)?))
            }
            [repository @ .., "info", "lfs", "objects", oid, "verify"] => {
                let endpoint = Endpoint::Transfer(Transfer::Verify, object(oid)?);
                (repository, only_post(method, endpoint)?)
            }
            [repository @ .., "info", "lfs", "locks"] => match *method {
                Method::GET => (repository, Endpoint::Locks(locks_query(uri.query().unwrap_or_default())?)),
                Method::POST => (repository, Endpoint::Lock),
                _ => return Err(wrong_method("GET and POST")),
            },
            [repository @ .., "info", "lfs", "locks", "verify"] => {
                (repository, only_post(method, Endpoint::VerifyLocks)?)
            }
            [repository @ .., "info", "lfs", "locks", id, "unlock"] => {
                (repository, only_post(method, Endpoint::Unlock((*id).to_owned()))?)
            }
            _ => return Err(Refusal::new(RefusalKind::NotFound, "no such LFS service here")),
        };
        if uri.query().is_some() && !matches!(endpoint, Endpoint::Locks(_)) {
            return Err(invalid("this LFS address has no query"));
        }
        Ok(Self { endpoint, repository: route::policy_name(repository)?, path: route::encode(repository) })
    }

    /// The path and query that go upstream; for a transfer, its address on this gateway.
    pub(crate) fn uri(&self) -> String {
        let lfs = format!("{}/info/lfs", self.path);
        match &self.endpoint {
            Endpoint::Batch => format!("{lfs}/objects/batch"),
            Endpoint::Transfer(Transfer::Download | Transfer::Upload, oid) => format!("{lfs}/objects/{oid}"),
            Endpoint::Transfer(Transfer::Verify, oid) => format!("{lfs}/objects/{oid}/verify"),
            Endpoint::Locks(query) if query.is_empty() => format!("{lfs}/locks"),
            Endpoint::Locks(query) => format!("{lfs}/locks?{query}"),
            Endpoint::Lock => format!("{lfs}/locks"),
            Endpoint::VerifyLocks => format!("{lfs}/locks/verify"),
            Endpoint::Unlock(id) => format!("{lfs}/locks{}/unlock", route::encode(&[id])),
        }
    }

    /// The same repository, another address.
    pub(crate) fn at(&self, endpoint: Endpoint) -> Self {
        Self { endpoint, ..self.clone() }
    }
}

fn only_post(method: &Method, endpoint: Endpoint) -> Result<Endpoint, Refusal> {
    if method == Method::POST { Ok(endpoint) } else { Err(wrong_method("POST")) }
}

fn object(text: &str) -> Result<LfsOid, Refusal> {
    LfsOid::from_hex(text).ok_or_else(|| invalid("the path names no LFS object"))
}

/// The query of a list of locks, written anew: known keys, each once.
fn locks_query(query: &str) -> Result<String, Refusal> {
    let wrong = || invalid("the query asks for what no list of locks has");
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        // In a form's encoding a plus is a space.
        let value = route::decode(&value.replace('+', " ")).ok_or_else(wrong)?;
        if !QUERY.contains(&name) || seen.iter().any(|(known, _)| *known == name) {
            return Err(wrong());
        }
        if value.chars().any(crate::refname::is_hidden) {
            return Err(wrong());
        }
        seen.push((name, value));
    }
    let pairs = seen.iter().map(|(name, value)| format!("{name}={}", &route::encode(&[value])[1..]));
    Ok(pairs.collect::<Vec<_>>().join("&"))
}

fn wrong_method(methods: &str) -> Refusal {
    invalid(&format!("this address takes {methods} only"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, uri: &str) -> Result<LfsRoute, RefusalKind> {
        let method = method.parse().unwrap();
        LfsRoute::parse(&method, &uri.parse().unwrap()).map_err(|refusal| refusal.kind)
    }

    #[test]
    fn understands_lfs() {
        let oid = "0123456789abcdef".repeat(4);
        let object = LfsOid::from_hex(&oid).unwrap();
        let check = |method: &str, rest: &str, endpoint| {
            let uri = format!("/team/app.git/info/lfs/{rest}");
            let route = parse(method, &uri).unwrap();
            assert_eq!((&route.endpoint, &*route.repository), (&endpoint, "team/app"), "{uri}");
            assert_eq!(route.uri(), uri);
        };
        check("POST", "objects/batch", Endpoint::Batch);
        check("GET", &format!("objects/{oid}"), Endpoint::Transfer(Transfer::Download, object));
        check("PUT", &format!("objects/{oid}"), Endpoint::Transfer(Transfer::Upload, object));
        check("POST", &format!("objects/{oid}/verify"), Endpoint::Transfer(Transfer::Verify, object));
        check("GET", "locks", Endpoint::Locks(String::new()));
        let query = "path=a%2Fb%20c&limit=5&refspec=refs%2Fheads%2Fmain";
        check("GET", &format!("locks?{query}"), Endpoint::Locks(query.into()));
        check("POST", "locks", Endpoint::Lock);
        check("POST", "locks/verify", Endpoint::VerifyLocks);
        check("POST", "locks/12-ab/unlock", Endpoint::Unlock("12-ab".into()));
        // Only the last one counts.
        let route = parse("POST", "/info/lfs/app/info/lfs/objects/batch").unwrap();
        assert_eq!(route.repository, "info/lfs/app");
    }

    #[test]
    fn leaves_git_its_addresses() {
        let check =
            |uri: &str, expected| assert_eq!(LfsRoute::is_lfs(&uri.parse().unwrap()), expected, "{uri}");
        check("/a/info/lfs/objects/batch", true);
        check("/a/info/lfs/objects/nothing", true);
        check("/a/info/lfs/locks?path=x", true);
        check("/info/lfs/app.git/info/refs?service=git-upload-pack", false);
        check("/a/info/lfs/", false);
    }

    #[test]
    fn refuses_the_rest() {
        use RefusalKind::{Invalid, NotFound};
        let oid = "0123456789abcdef".repeat(4);
        let check = |method: &str, uri: &str, kind| {
            assert_eq!(parse(method, uri).unwrap_err(), kind, "{method} {uri}");
        };
        check("GET", "/a/info/lfs/objects/batch", Invalid);
        check("HEAD", &format!("/a/info/lfs/objects/{oid}"), Invalid);
        check("DELETE", &format!("/a/info/lfs/objects/{oid}"), Invalid);
        check("GET", &format!("/a/info/lfs/objects/{}", oid.to_uppercase()), Invalid);
        check("GET", "/a/info/lfs/objects/12", Invalid);
        check("GET", &format!("/a/info/lfs/objects/{oid}?token=x"), Invalid);
        check("GET", &format!("/a/info/lfs/objects/{oid}/verify"), Invalid);
        check("POST", "/info/lfs/objects/batch", Invalid);
        check("POST", "/a/../b/info/lfs/objects/batch", Invalid);
        check("POST", "/a/.git/info/lfs/objects/batch", Invalid);
        check("POST", "/a/info/lfs/objects/batch?x", Invalid);
        check("POST", "/a/info/lfs/objects/other/batch", NotFound);
        check("POST", "/a/info/lfs/locks/%2e%2e/unlock", Invalid);
        check("POST", "/a/info/lfs/locks/a%2fb/unlock", Invalid);
        check("DELETE", "/a/info/lfs/locks", Invalid);
        for query in ["x=1", "path", "path=a&path=b", "path=%zz", "path=%0a", "path=a;limit=1&=1"] {
            check("GET", &format!("/a/info/lfs/locks?{query}"), Invalid);
        }
    }
}
