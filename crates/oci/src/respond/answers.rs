//! How the client of one request is answered: what the upstream says, with addresses that lead back here, and with
//! content that is what its digest says.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, response};
use http_body::Body as _;
use lockgate_core::{
    body::{self as bodies, Body},
    protocol::{Content, Context, Dialect, Direct, Expected, HoldStyle, Probe},
    refusal::{Refusal, RefusalKind},
};
use serde_json::Value;

use super::{Code, refuse, retry};
use crate::{
    body::{self, Sender},
    parse::{
        link,
        name::{Digest, Reference},
        route::Endpoint,
    },
    place::Place,
    read::Reader,
    service::{Moves, relative},
    show::Show,
    uploads::{Claim, Owner, Progress, Uploads},
};

const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const UPLOAD: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// What the answer is to.
pub(crate) enum Shape {
    /// Something whose answer leads nowhere.
    Plain,
    /// A manifest, which is what this says.
    Manifest(Reference),
    /// A blob, read whole, or in part where that was asked for.
    Blob(Digest, bool),
    /// The beginning of an upload, or a whole blob.
    Begin {
        /// Where uploads are kept.
        uploads: Arc<Uploads>,
        /// Whose it will be.
        owner: Owner,
        /// What is known of its content when it begins, which is nothing.
        progress: std::sync::Mutex<Option<Box<Progress>>>,
        /// The blob, where it is all there.
        whole: Option<Digest>,
    },
    /// A part of an upload.
    Chunk(Arc<Claim>),
    /// The state of an upload.
    Status(String),
    /// The end of an upload.
    Commit(Arc<Claim>, Digest),
    /// No more of an upload.
    Cancel(Arc<Claim>),
    /// A manifest that is written, and the tags that this moves.
    Pushed(Digest, Arc<Moves>),
    /// A page of a list.
    List,
}

/// How the client of one request is answered.
pub(crate) struct Answers {
    pub(crate) shape: Shape,
    pub(crate) endpoint: Endpoint,
    pub(crate) method: Method,
    pub(crate) place: Place,
    pub(crate) code: Option<Code>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) wait: Duration,
    /// Bytes of a manifest, and of a list.
    pub(crate) limits: (usize, usize),
    /// What people are shown, where they are asked.
    pub(crate) show: Option<Show>,
    /// Whether who has to wait too long is told to try again.
    pub(crate) is_retried: bool,
}

impl Answers {
    /// By which path clients reach something of the same repository.
    fn here(&self, rest: &str) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.place.path(self.endpoint.repository(), rest)).ok()
    }

    /// Leads clients on to an upload of theirs.
    fn leads_to(&self, id: &str, headers: &mut HeaderMap) {
        let location = self.here(&format!("/blobs/uploads/{id}"));
        set(headers, header::LOCATION, location);
        set(headers, UPLOAD, HeaderValue::from_str(id).ok());
    }

    /// Where an upload goes on, as the upstream says.
    fn goes_on(&self, headers: &HeaderMap, asked: &url::Url) -> Result<url::Url, Refusal> {
        link::location(headers, asked).ok_or_else(|| strange("does not say where the upload goes on"))
    }

    fn begun(
        &self,
        response: Response<Body>,
        uploads: &Uploads,
        owner: &Owner,
        progress: Option<Progress>,
    ) -> Result<Response<Body>, Refusal> {
        let (mut head, body) = response.into_parts();
        let asked = self.place.asked(self.endpoint.repository(), &self.endpoint.rest());
        let asked = asked.ok_or_else(|| strange("has no address"))?;
        let location = self.goes_on(&head.headers, &asked)?;
        let id = uploads.begin(owner.clone(), location, progress);
        self.leads_to(&id, &mut head.headers);
        Ok(Response::from_parts(head, body))
    }

    fn moved(&self, response: Response<Body>, claim: &Claim) -> Result<Response<Body>, Refusal> {
        let (mut head, body) = response.into_parts();
        if head.headers.contains_key(header::LOCATION) {
            claim.moved(self.goes_on(&head.headers, claim.location())?);
        }
        self.leads_to(claim.id(), &mut head.headers);
        // Whoever has this answer may go on at once.
        claim.release();
        Ok(Response::from_parts(head, body))
    }

    /// Ends an upload upstream, of whose parts nothing is to become.
    async fn cancel(&self, probe: &dyn Probe, claim: &Claim) {
        let (Ok(url), Some(path)) = (claim.location().as_str().parse(), relative(&self.endpoint)) else {
            return;
        };
        let mut request = Request::new(body::empty());
        (*request.method_mut(), *request.uri_mut()) = (Method::DELETE, path);
        request.extensions_mut().insert(Direct { url, headers: HeaderMap::new(), credential: true });
        match probe.send(request).await {
            Ok(response) => tracing::debug!(status = %response.status(), "a refused upload was ended"),
            Err(refusal) => tracing::info!(reason = refusal.reason, "a refused upload can't be ended"),
        }
    }

    fn blob(
        &self,
        response: Response<Body>,
        digest: &Digest,
        may_be_part: bool,
    ) -> Result<Response<Body>, Refusal> {
        // A part can't be checked, nor can nothing.
        let is_part = may_be_part && response.status() == StatusCode::PARTIAL_CONTENT;
        if is_part || !self.is_whole(&response)? {
            return Ok(response);
        }
        if response.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(strange("encodes what is named by its digest"));
        }
        let mut response = response;
        let is_long = response.body().size_hint().exact().is_some_and(|length| length > 0);
        match digest.sha256().filter(|_| is_long) {
            Some(sha256) => drop(response.extensions_mut().insert(Expected(sha256))),
            None => response = response.map(|body| body::checked(body, digest.clone(), Sender::Upstream)),
        }
        Ok(response)
    }

    /// Whether an answer brings what was asked for. None may bring it under another status, and so unchecked.
    fn is_whole(&self, response: &Response<Body>) -> Result<bool, Refusal> {
        match response.status() {
            StatusCode::OK => Ok(self.method != Method::HEAD),
            status if status.is_success() => Err(strange("gives something else than what was asked for")),
            _ => Ok(false),
        }
    }

    async fn manifest(
        &self,
        response: Response<Body>,
        reference: &Reference,
    ) -> Result<Response<Body>, Refusal> {
        if !self.is_whole(&response)? {
            return Ok(response);
        }
        let (head, bytes) = self.whole(response, self.limits.0).await?;
        let said = head.headers.get(DIGEST).and_then(|value| Digest::parse(value.to_str().ok()?));
        let asked = match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => None,
        };
        for expected in said.iter().chain(&asked) {
            if Digest::of(expected.algorithm(), &bytes) != *expected {
                return Err(strange("gives another manifest than its digest says"));
            }
        }
        if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err() {
            return Err(strange("gives what is no manifest"));
        }
        Ok(Response::from_parts(head, bodies::full(bytes)))
    }

    /// A page of a list: the next one is here too, and repositories have the names that clients know.
    async fn list(&self, response: Response<Body>) -> Result<Response<Body>, Refusal> {
        if response.status() != StatusCode::OK || self.method == Method::HEAD {
            return Ok(response);
        }
        let asked = self.place.asked(self.endpoint.repository(), &self.endpoint.rest());
        let next = asked.and_then(|asked| link::next(response.headers(), &asked));
        let (mut head, bytes) = self.whole(response, self.limits.1).await?;
        head.headers.remove(header::LINK);
        if let Some(query) = next {
            let path = self.place.path(self.endpoint.repository(), &self.endpoint.rest());
            set(
                &mut head.headers,
                header::LINK,
                HeaderValue::from_str(&format!("<{path}?{query}>; rel=\"next\"")).ok(),
            );
        }
        let Ok(mut list) = serde_json::from_slice::<Value>(&bytes) else {
            return Err(strange("gives what is no list"));
        };
        let bytes = if self.rename(&mut list) { Bytes::from(list.to_string()) } else { bytes };
        head.headers.remove(header::CONTENT_LENGTH);
        Ok(Response::from_parts(head, bodies::full(bytes)))
    }

    /// Whether anything is called otherwise here.
    fn rename(&self, list: &mut Value) -> bool {
        if let (Endpoint::Tags(name), Some(of)) = (&self.endpoint, list.get_mut("name")) {
            *of = self.place.client_name(name).into();
            return true;
        }
        match (&self.endpoint, list.get_mut("repositories").and_then(Value::as_array_mut)) {
            (Endpoint::Catalog, Some(names)) => {
                let named = names.iter().filter_map(|name| self.place.named(name.as_str()?));
                *names = named.map(Value::from).collect();
                true
            }
            _ => false,
        }
    }

    async fn whole(&self, response: Response<Body>, max: usize) -> Result<(response::Parts, Bytes), Refusal> {
        let (head, body) = response.into_parts();
        if head.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(strange("encodes its answer, though nobody asked for that"));
        }
        let read = body::read(body, max).await.map_err(|error| {
            Refusal::new(RefusalKind::UpstreamUnavailable, "the upstream broke its answer off")
                .because(&error)
        })?;
        Ok((head, read.ok_or_else(|| strange("gives more than is taken here"))?))
    }

    async fn shaped(&self, response: Response<Body>) -> Result<Response<Body>, Refusal> {
        let (status, succeeded) = (response.status(), response.status().is_success());
        let mut response = match &self.shape {
            Shape::Plain => response,
            Shape::Manifest(reference) => self.manifest(response, reference).await?,
            Shape::Blob(digest, may_be_part) => self.blob(response, digest, *may_be_part)?,
            Shape::List => self.list(response).await?,
            Shape::Begin { uploads, owner, progress, .. } if status == StatusCode::ACCEPTED => {
                let progress = progress.lock().map_or(None, |mut progress| progress.take());
                return self.begun(response, uploads, owner, progress.map(|progress| *progress));
            }
            Shape::Chunk(claim) if succeeded => return self.moved(response, claim),
            Shape::Status(id) if succeeded => {
                let (mut head, body) = response.into_parts();
                self.leads_to(id, &mut head.headers);
                return Ok(Response::from_parts(head, body));
            }
            Shape::Commit(claim, _) | Shape::Cancel(claim) if succeeded => {
                claim.end();
                response
            }
            Shape::Chunk(claim) => {
                claim.lose_progress();
                response
            }
            Shape::Begin { .. }
            | Shape::Status(_)
            | Shape::Commit(..)
            | Shape::Cancel(_)
            | Shape::Pushed(..) => response,
        };
        let made = match &self.shape {
            Shape::Begin { whole, .. } => whole.as_ref().map(|digest| format!("/blobs/{digest}")),
            Shape::Commit(_, digest) => Some(format!("/blobs/{digest}")),
            Shape::Pushed(digest, moves) => {
                moves.release();
                Some(format!("/manifests/{digest}"))
            }
            Shape::Plain
            | Shape::Manifest(_)
            | Shape::Blob(..)
            | Shape::Chunk(_)
            | Shape::Status(_)
            | Shape::Cancel(_)
            | Shape::List => None,
        };
        let location = made.filter(|_| succeeded).and_then(|rest| self.here(&rest));
        set(response.headers_mut(), header::LOCATION, location);
        Ok(response)
    }
}

impl Dialect for Answers {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        if self.is_retried && refusal.kind == RefusalKind::ApprovalNeeded {
            return retry(refusal);
        }
        refuse(refusal, self.code, self.status)
    }

    fn withdraw<'a>(&'a self, probe: &'a dyn Probe, refusal: &'a Refusal) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if let (Shape::Commit(claim, _), true) = (&self.shape, is_final(refusal)) {
                // What was denied is not asked for again: it is begun anew.
                claim.end();
                self.cancel(probe, claim).await;
            }
        })
    }

    fn stands<'a>(&'a self, probe: &'a dyn Probe) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            let (Shape::Pushed(_, moves), Some(repository)) = (&self.shape, self.endpoint.repository())
            else {
                return Ok(());
            };
            let reader = Reader { probe, place: &self.place, repository, manifest: self.limits.0 };
            moves.stand(&reader).await.map_err(|refused| *refused.refusal)
        })
    }

    fn hold(&self) -> HoldStyle {
        HoldStyle::Wait(self.wait)
    }

    fn show<'a>(&'a self, context: Context<'a>) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            match &self.show {
                Some(show) => Some(show.text(context.probe, &self.place).await),
                None => None,
            }
        })
    }

    fn answer<'a>(&'a self, response: Response<Body>) -> BoxFuture<'a, Result<Response<Body>, Refusal>> {
        Box::pin(self.shaped(response))
    }

    fn content(&self, _: &response::Parts) -> Content {
        Content::Opaque
    }
}

/// Whether it is of no use to ask for the same again.
fn is_final(refusal: &Refusal) -> bool {
    matches!(refusal.kind, RefusalKind::Denied | RefusalKind::ApprovalDenied)
}

/// Sets a header, or sees that there is none.
fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => drop(headers.insert(name, value)),
        None => drop(headers.remove(name)),
    }
}

fn strange(what: &str) -> Refusal {
    Refusal::new(RefusalKind::UpstreamInvalid, format!("the upstream {what}"))
}
