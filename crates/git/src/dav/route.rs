//! The addresses of WebDAV below a repository, as git http-push uses them; there are no others.
//!
//! Here the repository must be known, for what is written into one must not be a part of another: its path ends
//! with the one part of the address that ends with `.git`, and none of its parts is called as folders within
//! repositories are. Source: git's http-push.c.

use http::{Method, Uri};
use lockgate_core::refusal::{Refusal, RefusalKind};

use crate::{
    oid::Oid,
    refname,
    route::{self, invalid, unknown},
};

/// The methods that are understood, or at least refused with their reason (RFC 4918).
const METHODS: [&str; 9] =
    ["PROPFIND", "MKCOL", "PUT", "MOVE", "LOCK", "UNLOCK", "DELETE", "COPY", "PROPPATCH"];

/// Folders of a repository that hold what others name.
const WITHIN: [&str; 2] = ["refs", "objects"];

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `PROPFIND` of the repository, its refs, or a folder of objects.
    List,
    /// `MKCOL` of a folder for refs below a name, or without one of those that a repository has, or for objects.
    Folder(Option<String>),
    /// `PUT` of an object, under its name or, on its way there, that and a suffix.
    Object(Oid),
    /// `MOVE` of an object to its name.
    Settle(Oid),
    /// `LOCK` of a ref; without one, of the list of refs.
    Lock(Option<String>),
    /// `UNLOCK` of the same.
    Unlock(Option<String>),
    /// `PUT` of a ref.
    Ref(String),
    /// `DELETE` of a ref.
    Deletion(String),
    /// `PUT` of `info/refs`, the list that dumb clients believe.
    InfoRefs,
}

/// An address that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DavRoute {
    pub(crate) endpoint: Endpoint,
    /// See [`route::Route::repository`].
    pub(crate) repository: String,
    /// See [`route::Route::path`].
    pub(crate) path: String,
    /// The same, as the client wrote it.
    pub(crate) written: String,
    /// See [`route::Route::file`]; that of a folder ends with a slash.
    pub(crate) file: String,
}

/// Whether a method is one of WebDAV, understood or not.
pub(crate) fn is_dav(method: &Method) -> bool {
    METHODS.contains(&method.as_str())
}

impl DavRoute {
    /// Reads the method and path of a request; the path is relative to the upstream.
    ///
    /// # Errors
    /// [`RefusalKind::NotFound`] for what git http-push does not do, [`RefusalKind::Invalid`] for what could be
    /// read in two ways, or is no name of a ref.
    pub(crate) fn parse(method: &Method, uri: &Uri) -> Result<Self, Refusal> {
        let path = uri.path();
        let folders = ["PROPFIND", "MKCOL"].contains(&method.as_str());
        let decoded = route::segments(path.strip_suffix('/').filter(|_| folders).unwrap_or(path))?;
        let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let repository = route::repository_of(&segments)?;
        let is_known = repository.last().is_some_and(|last| last.ends_with(".git"));
        if !is_known || uri.query().is_some() {
            return Err(unknown());
        }
        if repository.iter().any(|part| WITHIN.contains(part)) {
            return Err(route::ambiguous());
        }
        let below = &segments[repository.len()..];
        let endpoint = endpoint(method, below)?;
        let slash = match endpoint {
            Endpoint::Folder(_) => "/",
            Endpoint::List if path.ends_with('/') => "/",
            Endpoint::List
            | Endpoint::Object(_)
            | Endpoint::Settle(_)
            | Endpoint::Lock(_)
            | Endpoint::Unlock(_)
            | Endpoint::Ref(_)
            | Endpoint::Deletion(_)
            | Endpoint::InfoRefs => "",
        };
        Ok(Self {
            endpoint,
            repository: route::policy_name(repository)?,
            path: route::encode(repository),
            written: path
                .splitn(repository.len() + 2, '/')
                .take(repository.len() + 1)
                .collect::<Vec<_>>()
                .join("/"),
            file: route::encode(below) + slash,
        })
    }

    /// The path that goes upstream.
    pub(crate) fn uri(&self) -> Result<Uri, Refusal> {
        format!("{}{}", self.path, self.file).parse().map_err(|_| too_long())
    }

    /// Where an object is kept, for good.
    pub(crate) fn of_object(&self, name: &Oid) -> String {
        let hex = name.to_string();
        let (folder, file) = hex.split_at(2);
        format!("{}/objects/{folder}/{file}", self.path)
    }
}

fn endpoint(method: &Method, below: &[&str]) -> Result<Endpoint, Refusal> {
    match (method.as_str(), below) {
        ("PROPFIND", []) => Ok(Endpoint::List),
        ("PROPFIND", ["objects", folder]) if is_hex(folder, 2) => Ok(Endpoint::List),
        ("PROPFIND", ["refs", ..]) => Ok(Endpoint::List),
        ("MKCOL", ["objects", folder]) if is_hex(folder, 2) => Ok(Endpoint::Folder(None)),
        ("MKCOL", ["info"] | ["refs"]) => Ok(Endpoint::Folder(None)),
        ("MKCOL", ["refs", ..]) => reference(below).map(|name| Endpoint::Folder(Some(name))),
        ("PUT", ["objects", folder, file]) => {
            let (rest, suffix) = file.split_once('_').map_or((*file, None), |(rest, of)| (rest, Some(of)));
            object(folder, rest, suffix).map(Endpoint::Object).ok_or_else(outside)
        }
        ("MOVE", ["objects", folder, file]) => {
            let parts = file.split_once('_');
            let name = parts.and_then(|(rest, suffix)| object(folder, rest, Some(suffix)));
            name.map(Endpoint::Settle).ok_or_else(outside)
        }
        ("LOCK", ["info", "refs"]) => Ok(Endpoint::Lock(None)),
        ("UNLOCK", ["info", "refs"]) => Ok(Endpoint::Unlock(None)),
        ("PUT", ["info", "refs"]) => Ok(Endpoint::InfoRefs),
        ("LOCK", ["refs", ..]) => reference(below).map(|name| Endpoint::Lock(Some(name))),
        ("UNLOCK", ["refs", ..]) => reference(below).map(|name| Endpoint::Unlock(Some(name))),
        ("PUT", ["refs", ..]) => reference(below).map(Endpoint::Ref),
        ("DELETE", ["refs", ..]) => reference(below).map(Endpoint::Deletion),
        _ => Err(outside()),
    }
}

/// The name of a ref.
fn reference(below: &[&str]) -> Result<String, Refusal> {
    let name = below.join("/");
    match refname::fault(&name) {
        None => Ok(name),
        Some(fault) => Err(invalid(&format!("the path names a ref that can't be: {fault}"))),
    }
}

/// The object that is kept there, in the one writing that git knows.
fn object(folder: &str, rest: &str, suffix: Option<&str>) -> Option<Oid> {
    let name = Oid::from_hex(format!("{folder}{rest}").as_bytes())?;
    let width = name.format().width() * 2;
    let written = is_hex(folder, 2) && is_hex(rest, width - 2);
    (written && suffix.is_none_or(|suffix| is_hex(suffix, width))).then_some(name)
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn outside() -> Refusal {
    let reason = "by WebDAV there are objects, refs and info/refs of a repository, as git http-push writes them, \
                  and nothing else";
    Refusal::new(RefusalKind::NotFound, reason)
}

pub(super) fn too_long() -> Refusal {
    invalid("the path is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef01234567";

    fn parse(method: &str, uri: &str) -> Result<DavRoute, RefusalKind> {
        let method = method.parse().unwrap();
        DavRoute::parse(&method, &uri.parse().unwrap()).map_err(|refusal| refusal.kind)
    }

    /// Where an object is, below its repository.
    fn place(hex: &str) -> String {
        format!("objects/{}/{}", &hex[..2], &hex[2..])
    }

    #[test]
    fn understands_what_http_push_does() {
        let check = |method: &str, file: &str, endpoint| {
            let uri = format!("/team/app.git/{file}");
            let route = parse(method, &uri).unwrap();
            assert_eq!((&route.endpoint, &*route.repository), (&endpoint, "team/app"), "{method} {uri}");
            assert_eq!((&*route.path, &*route.written), ("/team/app.git", "/team/app.git"));
            assert_eq!(route.uri().unwrap(), *uri);
        };
        for file in ["", "refs/", "refs/heads/", "refs/heads/x", "objects/00/", "objects/ff"] {
            check("PROPFIND", file, Endpoint::List);
        }
        for file in ["objects/a0/", "info/", "refs/"] {
            check("MKCOL", file, Endpoint::Folder(None));
        }
        for name in ["refs/heads", "refs/heads/a/b"] {
            check("MKCOL", &format!("{name}/"), Endpoint::Folder(Some(name.into())));
        }
        let long = "0a".repeat(32);
        for hex in [HEX, &long] {
            let (name, file) = (Oid::from_hex(hex.as_bytes()).unwrap(), place(hex));
            check("PUT", &file, Endpoint::Object(name));
            check("PUT", &format!("{file}_{hex}"), Endpoint::Object(name));
            check("MOVE", &format!("{file}_{hex}"), Endpoint::Settle(name));
            let route = parse("PUT", &format!("/app.git/{file}_{hex}")).unwrap();
            assert_eq!(route.of_object(&name), format!("/app.git/{file}"));
        }
        for file in ["info/refs", "refs/heads/x", "refs/stash"] {
            let name = || Some(file.to_owned()).filter(|file| file != "info/refs");
            check("LOCK", file, Endpoint::Lock(name()));
            check("UNLOCK", file, Endpoint::Unlock(name()));
        }
        check("PUT", "info/refs", Endpoint::InfoRefs);
        check("PUT", "refs/heads/a/b", Endpoint::Ref("refs/heads/a/b".into()));
        check("DELETE", "refs/tags/v1.0", Endpoint::Deletion("refs/tags/v1.0".into()));
        let route = parse("MKCOL", "/%74eam/%C3%A9.git/refs/heads").unwrap();
        assert_eq!((&*route.path, &*route.written), ("/team/%C3%A9.git", "/%74eam/%C3%A9.git"));
        assert_eq!((&*route.repository, &*route.file), ("team/é", "/refs/heads/"));
    }

    #[test]
    fn refuses_the_rest() {
        use RefusalKind::{Invalid, NotFound};
        let check = |method: &str, uri: &str, kind| {
            assert_eq!(parse(method, uri).unwrap_err(), kind, "{method} {uri}");
        };
        let object = place(HEX);
        for file in
            ["config", "HEAD", "packed-refs", "hooks/post-update", "objects/info/alternates", "description"]
        {
            for method in METHODS {
                check(method, &format!("/a.git/{file}"), NotFound);
            }
        }
        for method in ["COPY", "PROPPATCH"] {
            check(method, "/a.git/refs/heads/x", NotFound);
        }
        let pack = format!("/a.git/objects/pack/pack-{HEX}.pack");
        check("PUT", &pack, NotFound);
        check("MKCOL", "/a.git/objects/pack/", NotFound);
        check("MKCOL", "/a.git/objects/A0/", NotFound);
        check("MKCOL", "/a.git/", NotFound);
        check("MKCOL", "/a.git/hooks/", NotFound);
        check("PUT", &format!("/a.git/{}", place(&HEX.to_uppercase())), NotFound);
        check("PUT", &format!("/a.git/{}", place(&HEX[1..])), NotFound);
        check("PUT", &format!("/a.git/{object}_"), NotFound);
        check("PUT", &format!("/a.git/{object}_{HEX}_{HEX}"), NotFound);
        check("PUT", &format!("/a.git/{object}_{}", "0".repeat(64)), NotFound);
        check("PUT", &format!("/a.git/objects/012/{}", &HEX[3..]), NotFound);
        check("MOVE", &format!("/a.git/{object}"), NotFound);
        check("MOVE", "/a.git/refs/heads/x", NotFound);
        check("DELETE", &format!("/a.git/{object}"), NotFound);
        check("DELETE", "/a.git/info/refs", NotFound);
        check("DELETE", "/a.git", NotFound);
        check("LOCK", &format!("/a.git/{object}"), NotFound);
        // Folders are no files.
        for method in ["PUT", "DELETE", "LOCK", "UNLOCK", "MOVE"] {
            check(method, "/a.git/refs/heads/x/", Invalid);
        }
        for file in ["refs", "refs/heads/a..b", "refs/heads/x.lock", "refs/heads/.DAV", "refs/heads/a~1"] {
            check("PUT", &format!("/a.git/{file}"), Invalid);
            check("DELETE", &format!("/a.git/{file}"), Invalid);
        }
        check("MKCOL", "/a.git/refs/heads/.DAV/", Invalid);
        check("PROPFIND", "/a.git/refs//", Invalid);
        check("PUT", "/a.git/refs/heads/%2e%2e/x", Invalid);
        check("PUT", "/a.git/refs/heads/a%2fb", Invalid);
        check("PUT", "/a.git/refs/heads/x?y", NotFound);
        // Nobody knows whose these are.
        check("PUT", "/a/refs/heads/x", NotFound);
        check("PROPFIND", "/a/", NotFound);
        check("PUT", "/a.git/b.git/refs/heads/x", Invalid);
        check("PUT", "/a/refs/heads/b.git/refs/heads/x", Invalid);
        check("PUT", "/a/.git/refs/heads/x", Invalid);
        check("PUT", "/.git/refs/heads/x", Invalid);
    }
}
