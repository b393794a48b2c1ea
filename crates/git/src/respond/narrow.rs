//! Fetches from repositories of which the client may not see every ref.
//!
//! What is listed is filtered, which by itself hides nothing from who knows a name: so a fetch may ask
//! only for what a visible ref points to. Which that is the upstream is asked anew for each fetch, and the
//! request goes on as it was understood, without what could reach further: filters and single objects,
//! tags that come along, depths that are counted from any commit that the client names.
//!
//! What a client says that it *has* is passed on: whoever knows the name of a hidden object can find out
//! that it is there, but gets nothing of it.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header, response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use lockgate_core::{
    body::{self, Body, BodyError},
    protocol::{Content, Dialect, HoldStyle, Narrow, Narrowed, Permits},
    refusal::{Refusal, RefusalKind},
};

use super::{AdvertisementDialect, FetchDialect, content, has_type, plain, refuse_fetch};
use crate::{
    advertise,
    config::NarrowConfig,
    parse::fetch::{FetchError, FetchParser, FetchRequest, Form, INFINITE, Line},
    refs::{self, RefsError, Tips},
    route::{Endpoint, Route, Service},
};

const PROTOCOL: HeaderName = HeaderName::from_static("git-protocol");

/// The list of refs before a fetch or push.
pub(super) fn advertisement(
    dialect: &AdvertisementDialect,
    narrow: Narrow<'_>,
    mut request: Request<Body>,
) -> Narrowed {
    request.headers_mut().remove(header::ACCEPT_ENCODING);
    let (dialect, permits) = (*dialect, Arc::clone(narrow.permits));
    Narrowed { request, dialect: Arc::new(VisibleAdvertisement { dialect, permits }) }
}

/// A clone or fetch, and the list of refs in version 2.
pub(super) async fn fetch(
    dialect: &FetchDialect,
    narrow: Narrow<'_>,
    request: Request<Body>,
) -> Result<Narrowed, Refusal> {
    let (mut head, body) = request.into_parts();
    let mut asked = read(body, dialect.limits.request).await?;
    let dialect = *dialect;
    let dialect: Arc<dyn Dialect> = match asked.form {
        Form::List => {
            let (symrefs, permits) = (has_symrefs(&mut asked), Arc::clone(narrow.permits));
            Arc::new(VisibleList { dialect, permits, symrefs })
        }
        Form::Fetch | Form::Old => {
            let route = Route::parse(&head.method, &head.uri)?;
            let listing = tokio::time::timeout(dialect.limits.time, tips(narrow, &route, dialect.limits));
            let late =
                |_| Refusal::new(RefusalKind::UpstreamTimeout, "the upstream took too long to list its refs");
            allow(&mut asked, &listing.await.map_err(late)??)?;
            Arc::new(dialect)
        }
    };
    for name in [header::ACCEPT_ENCODING, header::CONTENT_LENGTH] {
        head.headers.remove(name);
    }
    // The upstream reads the request in the version in which it was understood.
    match asked.form {
        Form::List | Form::Fetch => {
            drop(head.headers.insert(PROTOCOL, HeaderValue::from_static("version=2")))
        }
        Form::Old => drop(head.headers.remove(PROTOCOL)),
    }
    Ok(Narrowed { request: Request::from_parts(head, body::full(asked.write())), dialect })
}

/// Asks for symbolic refs in any case, without which a `HEAD` can't be judged; whether the client did.
fn has_symrefs(asked: &mut FetchRequest) -> bool {
    let flag = Line::Flag("symrefs");
    let has = asked.lines.contains(&flag);
    if !has {
        asked.lines.push(flag);
    }
    has
}

/// Refuses what is not to be seen, and takes out what could bring more along.
fn allow(asked: &mut FetchRequest, tips: &Tips) -> Result<(), Refusal> {
    let denied = |what: String| {
        let reason = format!("no ref that you may read is {what}: it has moved, or is hidden");
        Err(Refusal::new(RefusalKind::Denied, reason))
    };
    for line in &mut asked.lines {
        match line {
            Line::Want(oid) if !tips.has(oid) => return denied(format!("at {oid}")),
            Line::WantRef(name) if !tips.shows(name) => return denied(format!("called {name}")),
            Line::DeepenNot(name) if !tips.shows_short(name) => return denied(format!("called {name}")),
            // For this depth alone git goes on from every commit that the client says its history ends at,
            // whether a wanted one reaches it or not.
            Line::Deepen(depth) => *depth = (*depth).min(INFINITE - 1),
            Line::Want(_)
            | Line::WantRef(_)
            | Line::DeepenNot(_)
            | Line::DeepenSince(_)
            | Line::Have(_)
            | Line::Shallow(_)
            | Line::RefPrefix(_)
            | Line::Flag(_)
            | Line::Done
            | Line::Flush => {}
        }
    }
    asked.lines.retain(|line| *line != Line::Flag("include-tag"));
    asked.capabilities.retain(|word| word != "include-tag" && word != "filter");
    Ok(())
}

async fn read(mut body: Body, max: usize) -> Result<FetchRequest, Refusal> {
    let refused = |error: FetchError| {
        let kind = match &error {
            FetchError::TooLarge { .. } => RefusalKind::TooLarge,
            FetchError::Pkt(_) | FetchError::Line { .. } | FetchError::Truncated | FetchError::Trailing => {
                RefusalKind::Invalid
            }
        };
        Refusal::new(kind, error.to_string())
    };
    let mut parser = FetchParser::new(max);
    while let Some(frame) = body.frame().await {
        let broken =
            |error: BodyError| Refusal::new(RefusalKind::Invalid, "the request broke off").because(&error);
        parser.feed(&frame.map_err(broken)?.into_data().unwrap_or_default()).map_err(refused)?;
    }
    parser.finish().map_err(refused)
}

/// What the upstream has now, as far as the client may see it.
async fn tips(narrow: Narrow<'_>, route: &Route, limits: NarrowConfig) -> Result<Tips, Refusal> {
    let invalid = |reason: &str| Refusal::new(RefusalKind::UpstreamInvalid, reason);
    let route = Route { endpoint: Endpoint::Advertisement(Service::UploadPack), ..route.clone() };
    let mut request = Request::new(body::empty());
    *request.uri_mut() = route.uri().ok_or_else(|| invalid("the repository has no address"))?;
    let response = narrow.probe.send(request).await?;
    if response.status() != StatusCode::OK
        || !has_type(response.headers(), &Service::UploadPack.media_type("advertisement"))
    {
        return Err(invalid("the upstream does not list its refs"));
    }
    let nonsense = |error: ListError| invalid("the upstream's list of refs can't be read").because(&error);
    let body = whole(response.into_body(), limits.refs).await.map_err(nonsense)?;
    Tips::read(&body, &**narrow.permits).map_err(|error| nonsense(error.into()))
}

/// Why a list of refs can't be had: the upstream's fault.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("it broke off")]
    Body(#[from] BodyError),
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    #[error(transparent)]
    Refs(#[from] RefsError),
    #[error("it is compressed, which it was not asked to be")]
    Encoded,
}

async fn whole(body: Body, max: usize) -> Result<Bytes, ListError> {
    body::read(body, max).await?.ok_or(ListError::TooLarge(max))
}

/// An answer that is read whole, and of which only what `keep` makes of it is shown.
fn rewritten(
    response: Response<Body>,
    max: usize,
    keep: impl FnOnce(&[u8]) -> Result<Vec<u8>, RefsError> + Send + 'static,
) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let encoded = head.headers.remove(header::CONTENT_ENCODING).is_some_and(|value| value != "identity");
    head.headers.remove(header::CONTENT_LENGTH);
    let frames = stream::once(async move {
        let kept = async {
            if encoded {
                return Err(ListError::Encoded);
            }
            Ok(keep(&whole(body, max).await?)?)
        };
        let broken = |error: ListError| {
            tracing::warn!(%error, "the upstream's list of refs can't be shown in part");
            BodyError::Upstream(error.into())
        };
        Ok(Frame::data(kept.await.map_err(broken)?.into()))
    });
    Response::from_parts(head, StreamBody::new(frames).boxed_unsync())
}

/// A list of refs without the hidden ones.
struct VisibleAdvertisement {
    dialect: AdvertisementDialect,
    permits: Permits,
}

impl Dialect for VisibleAdvertisement {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        plain(refusal)
    }

    fn hold(&self) -> HoldStyle {
        self.dialect.hold()
    }

    fn respond(&self, response: Response<Body>) -> Response<Body> {
        let AdvertisementDialect { service, limits, .. } = self.dialect;
        if !has_type(response.headers(), &service.media_type("advertisement")) {
            return response;
        }
        let permits = Arc::clone(&self.permits);
        let see = move |body: &[u8]| refs::advertisement(body, service, &*permits);
        let shown = rewritten(response, limits.refs, see);
        match service {
            Service::UploadPack => shown,
            Service::ReceivePack => shown.map(|body| advertise::with_capability(body, "no-thin")),
        }
    }

    fn content(&self, head: &response::Parts) -> Content {
        content(head)
    }
}

/// The same in version 2.
struct VisibleList {
    dialect: FetchDialect,
    permits: Permits,
    symrefs: bool,
}

impl Dialect for VisibleList {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        refuse_fetch(refusal)
    }

    fn hold(&self) -> HoldStyle {
        self.dialect.hold()
    }

    fn respond(&self, response: Response<Body>) -> Response<Body> {
        if !has_type(response.headers(), &Service::UploadPack.media_type("result")) {
            return response;
        }
        let (permits, symrefs) = (Arc::clone(&self.permits), self.symrefs);
        let see = move |body: &[u8]| refs::listing(body, symrefs, &*permits);
        rewritten(response, self.dialect.limits.refs, see)
    }

    fn content(&self, head: &response::Parts) -> Content {
        content(head)
    }
}
