//! Pushes by WebDAV, as git did them before smart HTTP: `git http-push` writes a repository's files one by one.
//!
//! There is no push to decide then, but files that make one. What stores an object, a folder or a lock is
//! `write-object`: an object is verified to be the one that its name says, and nothing leads to it until a ref does.
//! What writes a ref is a `push` like any other, of which less is known: that it creates, forces or deletes, but never
//! that it is a fast-forward, nor what it brings. So where the policy asks for that, nothing is brought in this way.
//! The list for dumb clients, `info/refs`, may say what refs really name; what it says besides is a push, too.
//!
//! The upstream itself compares nothing with what was judged. So what a ref named is asked before the verdict and once
//! more after it; who pushes otherwise within that moment is not noticed, but for the lock that git http-push holds.
//! Who may store at all can also make folders where refs could be, and lock a ref whose change needs an approval.
//! Nor is it asked whether an object has all that it names, as `receive-pack` would. The server's file system has to tell
//! the cases of letters apart.
//! Only for callers with a credential of their own, as all of dumb HTTP. Sources: RFC 4918; git's http-push.c.

mod files;
mod head;
mod href;
mod push;
mod refs;
mod respond;
mod route;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Instant};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, request};
use lockgate_core::{
    access::Access,
    body::{self, Body},
    protocol::{Called, Classified, Context},
    refusal::{Refusal, RefusalKind},
    upstream::Auth,
};

#[doc(hidden)]
pub use self::refs::fuzz_dav_refs;
pub(crate) use self::route::is_dav;
use self::{
    files::{Files, Packed, Seen},
    head::{DEPTH, IF},
    href::Names,
    refs::InfoRefs,
    respond::DavDialect,
    route::{DavRoute, Endpoint},
};
use crate::{
    Config, classify,
    inspect::InspectError,
    oid::Oid,
    pack::{self, Budget, LooseError},
    route::unknown,
    service::{broken, unspooled},
    work::Workshop,
};

/// Whether the body of a request is not looked at. What there is of it is XML that is written anew here; in it git
/// http-push says the repository's URL as it was given, be there a password in it.
pub(crate) fn drops_body(method: &Method) -> bool {
    is_dav(method) && method != Method::PUT
}

/// The repository that a request of WebDAV is for.
pub(crate) fn repository(method: &Method, uri: &Uri) -> Option<String> {
    DavRoute::parse(method, uri).ok().map(|route| route.repository)
}

/// What git http-push has to know of the files in a folder, and of a repository; and the lock that it asks for. It asks for
/// everything that is known of files, which are other callers' locks, too.
const KINDS: &str = r#"<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/></D:prop></D:propfind>"#;
const LOCKS: &str = r#"<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:supportedlock/></D:prop></D:propfind>"#;
const LOCK: &str = r#"<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>"#;

/// WebDAV of repositories.
#[derive(Debug)]
pub(crate) struct Dav {
    config: Config,
    /// Where objects are verified.
    workshop: Workshop,
}

/// What a request asks for, and what goes upstream for it.
struct Asked {
    accesses: Vec<Access>,
    body: Body,
    /// What was found out of refs, which must still be so when it goes upstream.
    seen: Vec<Seen>,
    packed: Packed,
    listed: Option<InfoRefs>,
}

impl Asked {
    fn of(accesses: Vec<Access>, body: Body) -> Self {
        Self { accesses, body, seen: Vec::new(), packed: Packed::WithoutFile, listed: None }
    }
}

impl Dav {
    pub(crate) fn new(config: &Config) -> Self {
        Self { workshop: Workshop::new(config.inspect.jobs), config: config.clone() }
    }

    /// Understands a request.
    pub(crate) async fn read(
        &self,
        context: Context<'_>,
        request: Request<Body>,
    ) -> Result<Classified, Refusal> {
        match context.upstream.auth {
            Auth::Oidc => return Err(unknown()),
            // There a ref could have many names.
            Auth::Passthrough if context.upstream.ignore_case => return Err(unknown()),
            Auth::Passthrough => {}
        }
        let (head, mut body) = request.into_parts();
        let understood = self.understand(context, &head, &mut body).await;
        // Who still sends does not listen.
        self.config.drain.drain(&mut body).await;
        understood
    }

    async fn understand(
        &self,
        context: Context<'_>,
        head: &request::Parts,
        body: &mut Body,
    ) -> Result<Classified, Refusal> {
        let mut route = DavRoute::parse(&head.method, &head.uri)?;
        route.repository = context.upstream.name_of(route.repository);
        let headers = head::upstream(context, &route, &head.headers, self.config.dav.lock)?;
        let Asked { accesses, body, seen, packed, listed } =
            self.asked(context, &route, &headers, body).await?;
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = route.uri()?;
        *request.headers_mut() = headers;
        let dialect = DavDialect {
            names: names(context, &route, head.extensions.get()),
            path: route.path,
            seen,
            packed,
            listed,
            wait: self.config.wait,
            limits: self.config.dav.clone(),
        };
        Ok(Classified::Asks { accesses, request, dialect: Arc::new(dialect) })
    }

    /// `headers` are those that go upstream.
    async fn asked(
        &self,
        context: Context<'_>,
        route: &DavRoute,
        headers: &HeaderMap,
        body: &mut Body,
    ) -> Result<Asked, Refusal> {
        let write = |verb: &str| {
            let binding = format!("{verb} {}{}", route.repository, route.file);
            vec![classify::fetch(&route.repository), classify::write_object(&route.repository, binding)]
        };
        match &route.endpoint {
            Endpoint::List => {
                let accesses = classify::file(&route.repository, &route.file);
                let is_of_folder = headers.get(DEPTH).is_some_and(|depth| depth == "1");
                Ok(Asked::of(accesses, body::full(if is_of_folder { KINDS } else { LOCKS })))
            }
            Endpoint::Folder(name) => {
                let accesses = write("create");
                self.folder(context, route, name.as_deref(), &accesses).await?;
                Ok(Asked::of(accesses, body::empty()))
            }
            Endpoint::Lock(name) => {
                let accesses = self.lock(context, route, name.as_deref(), write("lock")).await?;
                // One that is there already is only kept longer.
                let is_kept = headers.contains_key(IF);
                Ok(Asked::of(accesses, if is_kept { body::empty() } else { body::full(LOCK) }))
            }
            Endpoint::Unlock(name) => {
                let accesses = self.unlock(context, route, name.as_deref(), write("unlock"))?;
                Ok(Asked::of(accesses, body::empty()))
            }
            Endpoint::Object(name) => {
                self.brings_nothing_unseen(context)?;
                let mut asked = Asked::of(write("store"), body::empty());
                if push::may_pass(context, &asked.accesses, &[]) {
                    asked.body = self.object(context, *name, body).await?;
                }
                Ok(asked)
            }
            Endpoint::Settle(_) => {
                self.brings_nothing_unseen(context)?;
                Ok(Asked::of(write("keep"), body::empty()))
            }
            Endpoint::Ref(name) => self.update(context, route, name, body).await,
            Endpoint::Deletion(name) => self.deletion(context, route, name).await,
            Endpoint::InfoRefs => {
                let unread = write("a list as");
                if !push::may_pass(context, &unread, &[]) {
                    return Ok(Asked::of(unread, body::empty()));
                }
                let list = sent(body, self.config.dav.refs).await?;
                let digest = hex::encode(digest(&SHA256, &list));
                self.info_refs(context, route, list, write(&format!("{digest} as"))).await
            }
        }
    }

    /// An object, which must be the one of that name: under that of another, it would replace it.
    async fn object(&self, context: Context<'_>, name: Oid, body: &mut Body) -> Result<Body, Refusal> {
        let mut spool = context.spools.create();
        spool.write_body(body).await.map_err(unspooled)?;
        let spool = spool.finish().await.map_err(unspooled)?;
        let (file, max) = (spool.reader(0), self.config.inspect.object);
        let budget = Budget::new(0, Instant::now() + self.config.inspect.time);
        let verified = self.workshop.run(&budget, move |budget| pack::verify(file, name, max, budget)).await;
        verified.map_err(unverified)?;
        Ok(spool.body_after(Bytes::new()))
    }

    fn files<'a>(&'a self, context: Context<'a>, route: &'a DavRoute) -> Files<'a> {
        Files { probe: context.probe, path: &route.path, limits: &self.config.dav }
    }
}

/// How the repository is called upstream, and by the client.
fn names(context: Context<'_>, route: &DavRoute, called: Option<&Called>) -> Names {
    let called = called.and_then(|called| called.0.parse::<Uri>().ok());
    let client = called.as_ref().map_or("", Uri::path).trim_end_matches('/');
    let upstream = context.upstream.url.path().trim_end_matches('/');
    Names::new(&format!("{upstream}{}", route.path), &format!("{client}{}", route.written))
}

/// The whole of what a client sends.
async fn sent(body: &mut Body, max: usize) -> Result<Bytes, Refusal> {
    let too_large = || Refusal::new(RefusalKind::TooLarge, format!("this is larger than {max} bytes"));
    body::read(body, max).await.map_err(broken)?.ok_or_else(too_large)
}

fn unverified(error: LooseError) -> Refusal {
    let kind = match error {
        LooseError::Malformed(_) | LooseError::Inflate(_) | LooseError::Other(_) => RefusalKind::Invalid,
        LooseError::TooLarge(_) => RefusalKind::TooLarge,
        LooseError::Unread(error) => return InspectError::from(error).into(),
    };
    Refusal::new(kind, error.to_string()).because(&error)
}
