//! What a request asks for, derived from its method and address exactly as the API server derives it
//! (`pkg/endpoints/request/requestinfo.go` of k8s.io/apiserver).
//!
//! The API server decodes the path before it splits it, so that `/api%2Fv1/pods` is a list of pods. What two readers
//! could split in two ways is refused here, and the path that goes upstream is written anew from what was understood.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::{Method, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::query::{Query, QueryError};

/// What may stand in a path's segment as it is (RFC 3986, section 3.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b':')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=');

/// Subresources that go with a namespace itself.
const OF_NAMESPACES: [&str; 2] = ["status", "finalize"];

/// Parts of a path at most, before what a proxy is asked for.
const DEPTH: usize = 16;

/// An address can't be understood, or could be understood in two ways. The client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InfoError {
    /// A slash, or another byte, is written so that some split the path there and some do not.
    #[error("the path has an encoded slash, an empty part, `.` or `..`, or is none")]
    Ambiguous,
    /// `CONNECT`, `OPTIONS` and others by which nothing is read or written.
    #[error("the method is none that the API has")]
    Method,
    /// Not UTF-8, or with control characters.
    #[error("the path is not text")]
    NotText,
    /// Deeper than any resource.
    #[error("the path is too deep")]
    TooDeep,
    /// `/api/v1/watch` or `/api/v1/proxy` alone: the API server knows no such thing.
    #[error("the path names no resource")]
    NoResource,
    /// The query.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Info {
    /// An object, or a collection of them.
    Resource(Resource),
    /// Anything else: discovery, health, version.
    Other {
        /// The path, decoded.
        path: String,
        /// The verb, as of a resource: `get`, `create`, `update`, `patch` or `delete`.
        verb: &'static str,
    },
}

/// A request for a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection` or `proxy`.
    pub verb: &'static str,
    /// The API group; empty for the core.
    pub group: String,
    /// The version.
    pub version: String,
    /// The resource in the plural, e.g. `pods`.
    pub resource: String,
    /// The subresource, e.g. `exec`; else empty.
    pub subresource: String,
    /// The namespace; empty where it is of the cluster, or of all namespaces.
    pub namespace: String,
    /// The name; empty for a collection.
    pub name: String,
    /// What comes behind the subresource, as it was sent: the path that a proxy is asked for.
    pub rest: String,
}

/// An address that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What is asked for.
    pub info: Info,
    /// The path as it goes upstream.
    pub path: String,
}

impl Address {
    /// Understands a method and an address.
    ///
    /// # Errors
    /// [`InfoError`] for what the API server would refuse, or others could read differently.
    pub fn parse(method: &Method, uri: &Uri, query: &Query) -> Result<Self, InfoError> {
        // Without a path the root is asked for. What begins otherwise is `*`, which is no path.
        let raw = if uri.path().is_empty() { "/" } else { uri.path() };
        if !raw.starts_with('/') {
            return Err(InfoError::Ambiguous);
        }
        let parts = parts(raw)?;
        let (info, own) = info(method, &parts, query, raw)?;
        // Others than proxies may be called `proxy`, and are no reason to trust what comes behind.
        if parts.unclear.is_some_and(|at| at < own) {
            return Err(InfoError::Ambiguous);
        }
        let path = match &info {
            Info::Resource(resource) if resource.is_proxy() => {
                written(&parts.names[..own], false) + &resource.rest
            }
            Info::Resource(_) | Info::Other { .. } if parts.is_cut => return Err(InfoError::TooDeep),
            Info::Resource(_) => written(&parts.names, false),
            // Discovery tells `/api` from `/api/`.
            Info::Other { .. } => written(&parts.names, raw.len() > 1 && raw.ends_with('/')),
        };
        Ok(Self { info, path })
    }

    /// The address as it goes upstream, with the query that the client sent.
    pub fn uri(&self, sent: &Uri) -> Option<Uri> {
        let text = match sent.query() {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        };
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(text.parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

impl Info {
    /// The resource, where one is asked for.
    pub fn resource(&self) -> Option<&Resource> {
        match self {
            Self::Resource(resource) => Some(resource),
            Self::Other { .. } => None,
        }
    }
}

impl Resource {
    /// Whether its answer takes as long as it likes: a watch, a log that is followed, what is behind a proxy.
    pub fn is_long_running(&self, query: &Query) -> bool {
        self.verb == "watch" || self.is_proxy() || (self.subresource == "log" && query.flag("follow"))
    }

    /// Whether it leads on to something that speaks for itself: a pod, a service, a node.
    pub fn is_proxy(&self) -> bool {
        self.verb == "proxy" || self.subresource == "proxy"
    }

    /// The resource as RBAC names it: `pods`, `pods/exec`.
    pub fn full(&self) -> Cow<'_, str> {
        if self.subresource.is_empty() {
            Cow::Borrowed(&self.resource)
        } else {
            Cow::Owned(format!("{}/{}", self.resource, self.subresource))
        }
    }

    /// As people name it: `prod/deployments.apps/web`, `nodes/n1`, `prod/pods/web/exec`.
    pub fn shown(&self) -> String {
        let mut shown = String::new();
        if !self.namespace.is_empty() && self.resource != "namespaces" {
            shown += &self.namespace;
            shown.push('/');
        }
        shown += &self.resource;
        if !self.group.is_empty() {
            shown.push('.');
            shown += &self.group;
        }
        for part in [&self.name, &self.subresource] {
            if !part.is_empty() {
                shown.push('/');
                shown += part;
            }
        }
        shown
    }
}

/// A path, taken apart.
struct Parts {
    /// The parts, decoded.
    names: Vec<String>,
    /// Where each ends in the path as it was sent.
    ends: Vec<usize>,
    /// The first that could be read in two ways, behind one that is called `proxy`.
    unclear: Option<usize>,
    /// Whether there are more, behind one that is called `proxy`.
    is_cut: bool,
}

/// The path's parts. Those behind `proxy` may be somebody else's: whether they are is judged once it is known what
/// is asked for.
fn parts(raw: &str) -> Result<Parts, InfoError> {
    let (mut names, mut ends) = (Vec::new(), Vec::new());
    let (mut unclear, mut is_cut) = (None, false);
    let mut at = 0;
    let mut open = false;
    for part in raw.split('/') {
        let end = at + part.len();
        at = end + 1;
        // Before the first slash, and behind the last.
        if part.is_empty() && (end == 0 || end == raw.len()) {
            continue;
        }
        let name = percent_decode_str(part).decode_utf8().map_err(|_| InfoError::NotText)?;
        if name.chars().any(char::is_control) {
            return Err(InfoError::NotText);
        }
        // Also behind a proxy: who is there may normalise what was judged as it is written.
        if name.split('/').any(|part| part == "." || part == "..") {
            return Err(InfoError::Ambiguous);
        }
        if name.is_empty() || name.contains('/') {
            if !open {
                return Err(InfoError::Ambiguous);
            }
            unclear = unclear.or(Some(names.len()));
        }
        if names.len() == DEPTH {
            if open {
                is_cut = true;
                continue;
            }
            return Err(InfoError::TooDeep);
        }
        open |= name == "proxy" && names.len() >= 3;
        names.push(name.into_owned());
        ends.push(end);
    }
    Ok(Parts { names, ends, unclear, is_cut })
}

/// What is asked for, and how many of the parts say so: behind them lies what a proxy is asked for.
fn info(method: &Method, parts: &Parts, query: &Query, raw: &str) -> Result<(Info, usize), InfoError> {
    let names: Vec<&str> = parts.names.iter().map(String::as_str).collect();
    let other = || {
        let path = percent_decode_str(raw).decode_utf8().map_err(|_| InfoError::NotText)?;
        let verb = verb_of(method);
        if verb.is_empty() {
            return Err(InfoError::Method);
        }
        Ok((Info::Other { path: path.into_owned(), verb }, parts.names.len()))
    };
    let (group, version, rest) = match &*names {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return other(),
    };
    let (mut verb, rest) = match rest {
        ["watch", rest @ ..] | ["proxy", rest @ ..] if rest.is_empty() => return Err(InfoError::NoResource),
        ["watch", rest @ ..] => ("watch", rest),
        ["proxy", rest @ ..] => ("proxy", rest),
        rest => (verb_of(method), rest),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, next, ..] if !OF_NAMESPACES.contains(next) => (*namespace, &rest[2..]),
        ["namespaces", namespace, ..] => (*namespace, rest),
        rest => ("", rest),
    };
    let part = |index: usize| rest.get(index).copied().unwrap_or_default();
    let mut name = part(1).to_owned();
    let subresource = if verb == "proxy" { "" } else { part(2) };
    if name.is_empty() && verb == "get" {
        verb = if query.watches() { "watch" } else { "list" };
        if let Some(selected) = query.selected_name() {
            name = selected;
        }
    }
    if name.is_empty() && verb == "delete" {
        verb = "deletecollection";
    }
    if verb.is_empty() {
        return Err(InfoError::Method);
    }
    let mut resource = Resource {
        verb,
        group: group.to_owned(),
        version: version.to_owned(),
        resource: part(0).to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name,
        rest: String::new(),
    };
    let mut own = names.len();
    if resource.is_proxy() {
        let of_proxy = if resource.verb == "proxy" { 2 } else { 3 };
        own = own.min(own - rest.len() + of_proxy);
        resource.rest = parts.ends.get(own - 1).map_or_else(String::new, |end| raw[*end..].to_owned());
    } else if rest.len() > 3 {
        // Nothing of the API server lies deeper, but what an aggregated one may have: shown as it is.
        resource.subresource = rest[2..].join("/");
    }
    Ok((Info::Resource(resource), own))
}

/// Takes a method and an address: what goes upstream is understood as the same again. For fuzzing.
#[doc(hidden)]
pub fn fuzz_address(data: &[u8]) {
    let Some((method, uri)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once(' ')) else {
        return;
    };
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), uri.parse::<Uri>()) else { return };
    let Ok(query) = Query::parse(uri.query()) else { return };
    let Ok(address) = Address::parse(&method, &uri, &query) else { return };
    let upstream = address.uri(&uri).expect("what was written can be read");
    let again = Query::parse(upstream.query()).map(|query| {
        Address::parse(&method, &upstream, &query).expect("what was understood is understood again")
    });
    assert_eq!(again, Ok(address));
}

fn verb_of(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" | "HEAD" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

fn written(names: &[String], slash: bool) -> String {
    let mut path = String::new();
    for name in names {
        path.push('/');
        path.extend(utf8_percent_encode(name, SEGMENT));
    }
    if slash || path.is_empty() {
        path.push('/');
    }
    path
}
