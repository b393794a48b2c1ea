//! How git is answered: refusals, holds and rewritten advertisements in the dialect of each request.
//!
//! An unmodified git shows the reason everywhere: as `! [remote rejected]` per ref and `remote:` lines
//! on a push, as `fatal: remote error:` on a fetch, as `remote:` lines where it only lists refs.

mod narrow;
mod push;
pub(crate) mod text;

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderValue, Request, Response, StatusCode, header, response};
use lockgate_core::{
    body::{self, Body},
    protocol::{Content, Dialect, HoldStyle, Narrow, Narrowed},
    refusal::{Refusal, RefusalKind},
};

use crate::{
    advertise,
    config::NarrowConfig,
    pkt,
    route::{Endpoint, Service},
};

pub(crate) use push::{PushDialect, refuse_unread};

/// What a client is told that gave no valid credential.
const TOKEN_HELP: &str = "\
  git: give the token as the password, with any user name; or as a header:
  git -c http.extraHeader=\"Authorization: Bearer $TOKEN\" ...
";

/// The answers to a list of refs.
#[derive(Clone, Copy)]
pub(crate) struct AdvertisementDialect {
    pub(crate) service: Service,
    /// Whether only git's own media types are answers: plain web servers serve repositories, too.
    pub(crate) strict: bool,
    pub(crate) wait: Duration,
    pub(crate) limits: NarrowConfig,
}

impl Dialect for AdvertisementDialect {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        plain(refusal)
    }

    fn hold(&self) -> HoldStyle {
        HoldStyle::Wait(self.wait)
    }

    fn narrow<'a>(
        &'a self,
        narrow: Narrow<'a>,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Narrowed, Refusal>> {
        Box::pin(async move { Ok(narrow::advertisement(self, narrow, request)) })
    }

    fn answer<'a>(&'a self, response: Response<Body>) -> BoxFuture<'a, Result<Response<Body>, Refusal>> {
        Box::pin(async move {
            if self.strict {
                check_type(&response, &self.service.media_type("advertisement"))?;
            }
            Ok(self.respond(response))
        })
    }

    /// Asks pushing clients for whole packs: a thin one has deltas against objects that it lacks.
    fn respond(&self, response: Response<Body>) -> Response<Body> {
        let advertised = has_type(response.headers(), &self.service.media_type("advertisement"));
        let encoded = response.headers().contains_key(header::CONTENT_ENCODING);
        if self.service == Service::UploadPack || !advertised || encoded {
            return response;
        }
        let (mut head, body) = response.into_parts();
        head.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(head, advertise::with_capability(body, "no-thin"))
    }

    fn content(&self, head: &response::Parts) -> Content {
        content(head)
    }
}

/// The answers to a clone or fetch.
#[derive(Clone, Copy)]
pub(crate) struct FetchDialect {
    /// See [`AdvertisementDialect`].
    pub(crate) strict: bool,
    pub(crate) wait: Duration,
    pub(crate) limits: NarrowConfig,
}

impl Dialect for FetchDialect {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        refuse_fetch(refusal)
    }

    fn hold(&self) -> HoldStyle {
        HoldStyle::Wait(self.wait)
    }

    fn narrow<'a>(
        &'a self,
        narrow: Narrow<'a>,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Narrowed, Refusal>> {
        Box::pin(narrow::fetch(self, narrow, request))
    }

    fn answer<'a>(&'a self, response: Response<Body>) -> BoxFuture<'a, Result<Response<Body>, Refusal>> {
        Box::pin(async move {
            if self.strict {
                check_type(&response, &Service::UploadPack.media_type("result"))?;
            }
            Ok(response)
        })
    }

    fn content(&self, head: &response::Parts) -> Content {
        content(head)
    }
}

/// The answers to a file's reading.
pub(crate) struct FileDialect {
    pub(crate) wait: Duration,
}

impl Dialect for FileDialect {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        plain(refusal)
    }

    fn hold(&self) -> HoldStyle {
        HoldStyle::Wait(self.wait)
    }

    /// Objects, whatever a plain web server takes them for.
    fn content(&self, _: &response::Parts) -> Content {
        Content::Opaque
    }
}

/// A refusal of a request that was not understood, or not read to where a dialect is known.
pub(crate) fn refuse(endpoint: Option<Endpoint>, refusal: &Refusal) -> Response<Body> {
    match endpoint {
        // Only a status makes git ask for a credential.
        _ if refusal.kind == RefusalKind::Unauthenticated => challenge(refusal),
        Some(Endpoint::Rpc(Service::ReceivePack)) => refuse_unread(refusal),
        Some(Endpoint::Rpc(Service::UploadPack)) => refuse_fetch(refusal),
        Some(Endpoint::Advertisement(_) | Endpoint::File) | None => plain(refusal),
    }
}

/// The result of a service that has nothing to say: the answer to a probe, or to a push of nothing.
pub(crate) fn nothing(service: Service) -> Response<Body> {
    result(service, Bytes::new())
}

/// A refusal as a status and text, which git prints as `remote:` lines.
pub(crate) fn plain(refusal: &Refusal) -> Response<Body> {
    let mut text = text::lines(refusal, &[]).join("\n");
    text.push('\n');
    let mut response = with_type("text/plain; charset=utf-8", text.into());
    *response.status_mut() = refusal.kind.status();
    response
}

fn challenge(refusal: &Refusal) -> Response<Body> {
    let text = format!("{}\n{TOKEN_HELP}", text::lines(refusal, &[]).join("\n"));
    let mut response = with_type("text/plain; charset=utf-8", text.into());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let realm = HeaderValue::from_static("Basic realm=\"lockgate\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    response
}

/// A refusal as an error line, understood in every version of the protocol.
fn refuse_fetch(refusal: &Refusal) -> Response<Body> {
    let mut line = format!("ERR {}\n", text::lines(refusal, &[]).join("\n"));
    line.truncate(line.floor_char_boundary(pkt::MAX_DATA));
    let mut frame = Vec::new();
    pkt::write(&mut frame, line.as_bytes());
    result(Service::UploadPack, frame.into())
}

fn result(service: Service, bytes: Bytes) -> Response<Body> {
    with_type(&service.media_type("result"), bytes)
}

fn with_type(media_type: &str, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(body::full(bytes));
    let media_type = HeaderValue::from_str(media_type);
    let media_type = media_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn has_type(headers: &http::HeaderMap, expected: &str) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value == expected)
}

/// A web page that a server shows instead would be an empty repository to git.
fn check_type(response: &Response<Body>, expected: &str) -> Result<(), Refusal> {
    if response.status() != StatusCode::OK || has_type(response.headers(), expected) {
        return Ok(());
    }
    let reason = "the upstream answered with something else than git's protocol: a web page, perhaps";
    Err(Refusal::new(RefusalKind::UpstreamInvalid, reason))
}

/// Git's own media types are verified by hash or framed; the rest is somebody's message.
fn content(head: &response::Parts) -> Content {
    let media_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match media_type {
        Some(text) if text.starts_with("application/x-git-") => Content::Opaque,
        Some(_) | None => Content::Text,
    }
}

#[cfg(test)]
mod tests;
