//! Transfers: one object up or down, or the word that it went up.

use std::sync::Arc;

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http::{HeaderValue, Method, Response, StatusCode, header, request, response};
use http_body_util::BodyExt as _;
use lockgate_core::{
    body::{self as core_body, Body},
    protocol::{Classified, Content, Context, Dialect, Direct, HoldStyle},
    refusal::{Refusal, RefusalKind},
    spool::{Spool, SpoolError, Spools},
};

use super::{
    Lfs, TICKET, access,
    body::{Verifier, WrongContent, broken, verified, whole},
    json_request, malformed, now,
    oid::LfsOid,
    parse::Object,
    respond,
    route::{LfsRoute, Transfer},
    ticket::{Grant, Purpose, TicketError},
    upstream_request,
};

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

impl Lfs {
    pub(super) async fn transfer(
        &self,
        context: Context<'_>,
        route: &LfsRoute,
        (transfer, oid): (Transfer, LfsOid),
        head: request::Parts,
        mut body: Body,
    ) -> Result<Classified, Refusal> {
        let asked = match self.grant(context, route, transfer, oid, &head) {
            Ok(grant) => {
                let object = Object { oid, size: grant.size };
                let understood = match transfer {
                    Transfer::Download => download(route, &object, &head),
                    Transfer::Upload => self.upload(context, route, &object, &head, &mut body).await,
                    Transfer::Verify => self.verify(context, route, &object, &head, &mut body).await,
                };
                understood.map(|understood| (understood, object, grant))
            }
            Err(refusal) => Err(refusal),
        };
        let ((access, mut request), object, grant) = match asked {
            Ok(asked) => asked,
            Err(refusal) => {
                // Who still sends does not listen.
                self.config.drain.drain(&mut body).await;
                return Err(refusal);
            }
        };
        let Grant { url, headers, authenticated, .. } = grant;
        request.extensions_mut().insert(Direct { url, headers, credential: !authenticated });
        let dialect = TransferDialect { transfer, object, wait: self.config.wait };
        Ok(Classified::Asks { accesses: vec![access], request, dialect: Arc::new(dialect) })
    }

    /// What the request's ticket is good for.
    fn grant(
        &self,
        context: Context<'_>,
        route: &LfsRoute,
        transfer: Transfer,
        oid: LfsOid,
        head: &request::Parts,
    ) -> Result<Grant, Refusal> {
        let purpose = Purpose {
            principal: context.principal,
            upstream: &context.upstream.name,
            repository: &route.repository,
            transfer,
            oid,
        };
        let ticket = head.headers.get(TICKET).and_then(|ticket| ticket.to_str().ok()).unwrap_or_default();
        self.tickets.open(&purpose, ticket, now()).map_err(|error| {
            let kind = match &error {
                TicketError::Unknown | TicketError::Expired => RefusalKind::Denied,
            };
            Refusal::new(kind, error.to_string()).because(&error)
        })
    }

    async fn upload(
        &self,
        context: Context<'_>,
        route: &LfsRoute,
        object: &Object,
        head: &request::Parts,
        body: &mut Body,
    ) -> Result<Understood, Refusal> {
        let spool = receive(body, object, context.spools).await?;
        let wanted = self.wanted(context);
        let findings = match wanted.content {
            true => self.scan.search(object.oid, &spool).await?,
            false => Vec::new(),
        };
        let access = access::upload(&route.repository, wanted, object, findings);
        let mut request =
            upstream_request(Method::PUT, &route.uri(), &head.headers, spool.body_after(Bytes::new()))?;
        request.headers_mut().insert(header::CONTENT_TYPE, OCTETS);
        Ok((access, request))
    }

    async fn verify(
        &self,
        context: Context<'_>,
        route: &LfsRoute,
        object: &Object,
        head: &request::Parts,
        body: &mut Body,
    ) -> Result<Understood, Refusal> {
        let body = std::mem::replace(body, core_body::empty());
        let text = self.json(head, body).await?;
        let named: Object = serde_json::from_slice(&text).map_err(|error| malformed(error.into()))?;
        if named != *object {
            return Err(Refusal::new(RefusalKind::Invalid, "the LFS object is another than the path's"));
        }
        let request = json_request(&route.uri(), &head.headers, object)?;
        Ok((access::verify(&route.repository, self.wanted(context), object), request))
    }
}

/// What is asked for, and what goes upstream: to where the ticket says, and, for the choice of a credential, as
/// of the repository that the client named.
type Understood = (lockgate_core::access::Access, http::Request<Body>);

/// The whole is asked for, whatever range the client wants: only a whole can be verified, and a client that
/// is answered 200 begins anew.
fn download(route: &LfsRoute, object: &Object, head: &request::Parts) -> Result<Understood, Refusal> {
    let mut request = upstream_request(Method::GET, &route.uri(), &head.headers, core_body::empty())?;
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/octet-stream, */*"));
    Ok((access::download(&route.repository, object.oid), request))
}

/// Reads an object to its end: nothing of what it is not goes any further.
async fn receive(body: &mut Body, object: &Object, spools: &Spools) -> Result<Spool, Refusal> {
    if object.size > spools.max {
        return Err(unspooled(&SpoolError::TooLarge { max: spools.max }));
    }
    let (mut spool, mut verifier) = (spools.create(), Verifier::new(object.clone()));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| broken(&error))?.into_data() else { continue };
        verifier.take(&data).map_err(|error| wrong(&error))?;
        spool.write(&data).await.map_err(|error| unspooled(&error))?;
    }
    verifier.finish().map_err(|error| wrong(&error))?;
    spool.finish().await.map_err(|error| unspooled(&error))
}

fn wrong(error: &WrongContent) -> Refusal {
    Refusal::new(RefusalKind::Invalid, error.to_string())
}

fn unspooled(error: &SpoolError) -> Refusal {
    match error {
        SpoolError::TooLarge { max } => {
            Refusal::new(RefusalKind::TooLarge, format!("the LFS object is larger than {max} bytes"))
        }
        SpoolError::Body(error) => broken(error),
        SpoolError::Disk(_) => {
            Refusal::new(RefusalKind::Internal, "the LFS object can't be stored for inspection")
                .because(error)
        }
    }
}

struct TransferDialect {
    transfer: Transfer,
    object: Object,
    wait: std::time::Duration,
}

impl Dialect for TransferDialect {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        respond::refuse(refusal)
    }

    fn hold(&self) -> HoldStyle {
        HoldStyle::Wait(self.wait)
    }

    fn answer<'a>(&'a self, response: Response<Body>) -> BoxFuture<'a, Result<Response<Body>, Refusal>> {
        self.answered(response).boxed()
    }

    fn content(&self, head: &response::Parts) -> Content {
        respond::content(&head.headers)
    }
}

impl TransferDialect {
    /// Only whether it went well is told, and the object itself: an answer's headers and an error's body
    /// are of storage that the client knows nothing of.
    async fn answered(&self, response: Response<Body>) -> Result<Response<Body>, Refusal> {
        let (head, body) = response.into_parts();
        match (self.transfer, head.status) {
            (Transfer::Verify, status) if !status.is_success() => respond::failed(&head, body).await,
            (Transfer::Download, StatusCode::OK) => self.object(&head, body),
            (Transfer::Upload | Transfer::Verify, status) if status.is_success() => {
                // What it says besides is read, so that the connection can be used again.
                let _ = whole(body, 64 * 1024).await;
                Ok(Response::new(core_body::empty()))
            }
            (Transfer::Upload | Transfer::Download | Transfer::Verify, status) => {
                Ok(respond::refused_by_storage(status))
            }
        }
    }

    fn object(&self, head: &response::Parts, body: Body) -> Result<Response<Body>, Refusal> {
        let invalid = |reason: &str| Err(Refusal::new(RefusalKind::UpstreamInvalid, reason));
        if head.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return invalid("the upstream's storage encodes the LFS object, which then can't be verified");
        }
        let length = http_body::Body::size_hint(&body).exact();
        if length.is_some_and(|length| length != self.object.size) {
            return invalid("the upstream's storage has the LFS object with another size");
        }
        let mut response = Response::new(verified(body, self.object.clone()));
        response.headers_mut().insert(header::CONTENT_TYPE, OCTETS);
        response.headers_mut().insert(header::CONTENT_LENGTH, self.object.size.into());
        Ok(response)
    }
}
