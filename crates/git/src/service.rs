//! The protocol: a request comes in, what it asks for and how it is answered goes out.
//!
//! The only place of this crate where bodies are read. A push is read to its end before anything is
//! decided, and drained where it is refused before that, for git does not listen while it sends.

mod aside;
mod push;
mod shown;

pub(crate) use self::push::{broken, unspooled};

use std::sync::Arc;

use bytes::BytesMut;
use futures::{FutureExt as _, future::BoxFuture, stream};
use http::{HeaderMap, HeaderName, Method, Request, Response, Uri, header, request};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use lockgate_core::{
    access::Schema,
    body::{self, Body, BodyError},
    protocol::{Classified, Context, Protocol},
    refusal::{Refusal, RefusalKind},
    upstream::Auth,
};

use crate::{
    Config, SCHEMA,
    ancestry::Prover,
    classify,
    dav::{self, Dav},
    gzip,
    inspect::Inspector,
    lfs::{self, Lfs},
    parse::{fetch::FetchError, framing::FetchFraming},
    pkt,
    respond::{self, AdvertisementDialect, FetchDialect, FileDialect},
    route::{Endpoint, Route, Service, unknown},
};

/// What git sends, and servers of git look at.
static HEADERS: [HeaderName; 9] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::PRAGMA,
    header::USER_AGENT,
    HeaderName::from_static("git-protocol"),
];

/// Bytes of a fetch that are read before any of it goes on: git asks in one piece below its `http.postBuffer`.
const FRONT: usize = 1 << 20;

/// Git over smart HTTP.
#[derive(Debug)]
pub struct Git {
    config: Config,
    prover: Prover,
    inspector: Inspector,
    lfs: Arc<Lfs>,
    dav: Dav,
}

impl Git {
    /// With these limits.
    pub fn new(config: Config) -> Self {
        let prover = Prover::new(config.ancestry.clone());
        let inspector = Inspector::new(config.inspect.clone());
        let lfs = Arc::new(Lfs::new(&config));
        let dav = Dav::new(&config);
        Self { config, prover, inspector, lfs, dav }
    }

    async fn read(&self, context: Context<'_>, request: Request<Body>) -> Result<Classified, Refusal> {
        if lfs::is_lfs(request.uri()) {
            return self.lfs.read(context, request).await;
        }
        if dav::is_dav(request.method()) {
            return self.dav.read(context, request).await;
        }
        let (mut head, body) = request.into_parts();
        let mut route = Route::parse(&head.method, &head.uri)?;
        route.repository = context.upstream.name_of(route.repository);
        let uri = route.uri();
        head.uri = uri.ok_or_else(|| Refusal::new(RefusalKind::Invalid, "the path is too long"))?;
        match route.endpoint {
            Endpoint::Advertisement(service) => Ok(self.advertisement(context, &route, service, head)),
            Endpoint::File => self.file(context, &route, head),
            Endpoint::Rpc(service) => {
                check_type(&head.headers, service)?;
                let gzipped = is_gzipped(&head.headers)?;
                // The framing is that of the decoded body from here on.
                for name in [header::CONTENT_ENCODING, header::CONTENT_LENGTH, header::EXPECT] {
                    head.headers.remove(name);
                }
                match service {
                    Service::UploadPack => {
                        let decoded = if gzipped { gzip::decode(body, self.config.inflated) } else { body };
                        let body = self.framed(decoded).await?;
                        Ok(self.fetch(context, &route, head, body))
                    }
                    // The spool has its own limit.
                    Service::ReceivePack if gzipped => {
                        self.push(context, &route, head, gzip::decode(body, u64::MAX)).await
                    }
                    Service::ReceivePack => self.push(context, &route, head, body).await,
                }
            }
        }
    }

    fn advertisement(
        &self,
        context: Context<'_>,
        route: &Route,
        service: Service,
        mut head: request::Parts,
    ) -> Classified {
        for name in [header::CONTENT_ENCODING, header::CONTENT_LENGTH, header::CONTENT_TYPE] {
            head.headers.remove(name);
        }
        if service == Service::ReceivePack {
            // It is rewritten, so it must not come compressed.
            head.headers.remove(header::ACCEPT_ENCODING);
        }
        Classified::Asks {
            accesses: vec![classify::fetch(&route.repository)],
            request: Request::from_parts(head, body::empty()),
            dialect: Arc::new(AdvertisementDialect {
                service,
                strict: context.upstream.auth == Auth::Oidc,
                wait: self.config.wait,
                limits: self.config.narrow,
            }),
        }
    }

    /// Dumb HTTP gives away everything that a repository holds, whatever is said of its refs: only to callers
    /// who come to the upstream with a credential of their own.
    fn file(
        &self,
        context: Context<'_>,
        route: &Route,
        mut head: request::Parts,
    ) -> Result<Classified, Refusal> {
        match context.upstream.auth {
            Auth::Oidc => return Err(unknown()),
            Auth::Passthrough => {}
        }
        for name in [header::CONTENT_ENCODING, header::CONTENT_LENGTH, header::CONTENT_TYPE] {
            head.headers.remove(name);
        }
        Ok(Classified::Asks {
            accesses: classify::file(&route.repository, &route.file),
            request: Request::from_parts(head, body::empty()),
            dialect: Arc::new(FileDialect { wait: self.config.wait }),
        })
    }

    fn fetch(&self, context: Context<'_>, route: &Route, head: request::Parts, body: Body) -> Classified {
        Classified::Asks {
            accesses: vec![classify::fetch(&route.repository)],
            request: Request::from_parts(head, body),
            dialect: Arc::new(FetchDialect {
                strict: context.upstream.auth == Auth::Oidc,
                wait: self.config.wait,
                limits: self.config.narrow,
            }),
        }
    }

    /// A request to `git-upload-pack`, which goes nowhere unless it is one: looked at whole before, where it is not
    /// larger than almost all are, else as it goes.
    async fn framed(&self, mut body: Body) -> Result<Body, Refusal> {
        let (mut framing, mut front) = (FetchFraming::default(), BytesMut::new());
        while front.len() < FRONT {
            let read = match body.frame().await {
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Err(push::broken(error)),
                None => {
                    framing.finish().map_err(unframed)?;
                    return Ok(body::full(front));
                }
            };
            if let Err(error) = framing.feed(&read) {
                self.config.drain.drain(&mut body).await;
                return Err(unframed(error));
            }
            front.extend_from_slice(&read);
        }
        let rest = stream::try_unfold((body, framing), async |(mut body, mut framing)| {
            let data = body.frame().await.transpose()?.map(|frame| frame.into_data().unwrap_or_default());
            let read = match &data {
                Some(data) => framing.feed(data),
                None => framing.finish(),
            };
            read.map_err(|error| BodyError::Client(error.into()))?;
            Ok(data.map(|data| (Frame::data(data), (body, framing))))
        });
        let front = stream::iter([Ok(Frame::data(front.freeze()))]);
        Ok(StreamBody::new(futures::StreamExt::chain(front, rest)).boxed_unsync())
    }
}

impl Default for Git {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

impl Protocol for Git {
    fn schema(&self) -> &'static Schema {
        &SCHEMA
    }

    fn request_headers(&self) -> &'static [HeaderName] {
        &HEADERS
    }

    fn classify<'a>(
        &'a self,
        context: Context<'a>,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Classified, Refusal>> {
        self.read(context, request).boxed()
    }

    /// Before it sends more than a megabyte, git asks with a body of `0000` alone whether it may, and
    /// leaves its credential out in several versions: refusing that would refuse every large push.
    fn unauthenticated<'a>(
        &'a self,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Response<Body>, Request<Body>>> {
        probe(request).boxed()
    }

    fn resource(&self, method: &Method, uri: &Uri) -> Option<String> {
        if lfs::is_lfs(uri) {
            return lfs::repository(method, uri);
        }
        if dav::is_dav(method) {
            return dav::repository(method, uri);
        }
        Route::parse(method, uri).ok().map(|route| route.repository)
    }

    fn drops_body(&self, head: &request::Parts) -> bool {
        dav::drops_body(&head.method)
    }

    fn refuse(&self, head: &request::Parts, refusal: &Refusal) -> Response<Body> {
        if lfs::is_lfs(&head.uri) {
            return lfs::refuse(refusal);
        }
        let route = Route::parse(&head.method, &head.uri).ok();
        respond::refuse(route.map(|route| route.endpoint), refusal)
    }
}

fn unframed(error: FetchError) -> Refusal {
    Refusal::new(RefusalKind::Invalid, error.to_string()).because(&error)
}

/// Answers the probe; gives everything else back.
async fn probe(request: Request<Body>) -> Result<Response<Body>, Request<Body>> {
    let service = match Route::parse(request.method(), request.uri()).map(|route| route.endpoint) {
        Ok(Endpoint::Rpc(service)) => service,
        Ok(Endpoint::Advertisement(_) | Endpoint::File) | Err(_) => return Err(request),
    };
    let mut lengths = request.headers().get_all(header::CONTENT_LENGTH).iter();
    let four = lengths.next().is_some_and(|length| length == "4") && lengths.next().is_none();
    if request.method() != Method::POST || !four || request.headers().contains_key(header::CONTENT_ENCODING) {
        return Err(request);
    }
    let (head, mut body) = request.into_parts();
    let (mut read, mut last) = (BytesMut::new(), None);
    while read.len() <= pkt::FLUSH.len() {
        match body.frame().await {
            Some(Ok(frame)) => read.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Some(Err(error)) => {
                last = Some(Err(error));
                break;
            }
            None if read == pkt::FLUSH => return Ok(respond::nothing(service)),
            None => break,
        }
    }
    let read = Ok(Frame::data(read.freeze()));
    let front = stream::iter([Some(read), last].into_iter().flatten());
    let body = StreamBody::new(futures::StreamExt::chain(front, http_body_util::BodyStream::new(body)));
    Err(Request::from_parts(head, body.boxed_unsync()))
}

fn check_type(headers: &HeaderMap, service: Service) -> Result<(), Refusal> {
    let expected = service.media_type("request");
    let mut given = headers.get_all(header::CONTENT_TYPE).iter();
    if given.next().is_some_and(|value| *value == *expected) && given.next().is_none() {
        return Ok(());
    }
    Err(Refusal::new(RefusalKind::Invalid, format!("the content type is not {expected}")))
}

/// Whether the body is gzip. `x-gzip` is its older name (RFC 9110, section 8.4.1.3).
fn is_gzipped(headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    match (encodings.next().map(|value| value.as_bytes()), encodings.next()) {
        (None, _) => Ok(false),
        (Some(b"identity"), None) => Ok(false),
        (Some(b"gzip" | b"x-gzip"), None) => Ok(true),
        (Some(_), _) => Err(Refusal::new(RefusalKind::Invalid, "the body is encoded otherwise than by gzip")),
    }
}

#[cfg(test)]
mod tests;
