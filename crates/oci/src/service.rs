//! OCI distribution as a [`Protocol`] of the pipeline.

mod login;
mod mount;
mod pull;
mod push;
mod retries;
mod tags;
mod upload;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::{HeaderName, Method, Request, Response, StatusCode, Uri, header, request};
use lockgate_core::{
    access::{Access, Outline, Schema},
    body::Body,
    principal::Caller,
    protocol::{Called, Classified, Context, Direct, Protocol, Root},
    refusal::{Refusal, RefusalKind},
    secret::Secret,
};

pub(crate) use self::tags::Moves;
use self::{retries::Retries, tags::Tags};
use crate::{
    bases::Bases,
    body,
    classify::{self, SCHEMA, Verb},
    config::Config,
    parse::route::{Endpoint, Query, RouteError},
    place::Place,
    respond::{self, Answers, Code, Shape, TOKEN},
    scan::Scans,
    show::Show,
    signature::Signatures,
    sizes::Sizes,
    tokens::Tokens,
    uploads::Uploads,
};

/// Header fields that mean something to registries. Nobody is asked for an encoding: content is named by its digest.
const HEADERS: &[HeaderName] = &[
    header::ACCEPT,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::RANGE,
    header::USER_AGENT,
];

/// What lists are asked for with; the last two by registries whose pages go on so (Quay, and those of AWS and Azure).
const LIST: &[&str] = &["n", "last", "artifactType", "next_page", "nextToken"];

/// Where clients insist on registries.
const ROOT: Root = Root { segment: "v2", common: &["/v2/", "/v2", TOKEN] };

/// Registries.
pub struct Registry {
    config: Config,
    tokens: Tokens,
    uploads: Arc<Uploads>,
    scans: Arc<Scans>,
    sizes: Arc<Sizes>,
    retries: Retries,
    signatures: Signatures,
    bases: Bases,
    tags: Arc<Tags>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

/// A request that is refused while it is read, with the registry's word for why.
pub(crate) struct Refused {
    pub(crate) refusal: Box<Refusal>,
    pub(crate) code: Option<Code>,
    pub(crate) status: Option<StatusCode>,
}

impl Refused {
    pub(crate) fn new(kind: RefusalKind, code: Code, reason: impl Into<String>) -> Self {
        Self { refusal: Refusal::new(kind, reason).into(), code: Some(code), status: None }
    }

    fn with_status(self, status: StatusCode) -> Self {
        Self { status: Some(status), ..self }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { refusal: refusal.into(), code: None, status: None }
    }
}

impl From<RouteError> for Refused {
    fn from(error: RouteError) -> Self {
        let (kind, code) = match error {
            RouteError::Unknown => (RefusalKind::NotFound, Code::Unsupported),
            RouteError::Name => (RefusalKind::Invalid, Code::NameInvalid),
            RouteError::Reference => (RefusalKind::Invalid, Code::ManifestInvalid),
            RouteError::Digest => (RefusalKind::Invalid, Code::DigestInvalid),
            RouteError::Upload => (RefusalKind::NotFound, Code::BlobUploadUnknown),
            RouteError::Twice => (RefusalKind::Invalid, Code::Unsupported),
        };
        Self::new(kind, code, error.to_string())
    }
}

/// A request that is understood so far.
struct Asked<'a> {
    context: Context<'a>,
    endpoint: Endpoint,
    query: Query,
    place: Place,
    head: request::Parts,
    /// The repository from which something goes into the one that is asked for.
    from: Option<String>,
}

/// What is to be decided, where it goes, and how it is answered.
struct Read {
    accesses: Vec<Access>,
    url: String,
    body: Body,
    shape: Shape,
    code: Option<Code>,
    show: Option<Show>,
}

impl Registry {
    /// Within these bounds.
    pub fn new(config: Config) -> Self {
        let tokens = Tokens::new(config.token, config.token_key.bytes());
        let uploads = Arc::new(Uploads::new(config.uploads, config.uploads_of_one, config.upload_idle));
        let scans = Arc::new(Scans::new(config.scan.clone()));
        let trust = config.registries.iter().map(|(name, of)| (name.clone(), of.trust.clone()));
        let signatures = Signatures::new(trust.collect());
        Self {
            config,
            tokens,
            uploads,
            scans,
            sizes: Arc::default(),
            retries: Retries::default(),
            signatures,
            bases: Bases::default(),
            tags: Arc::default(),
        }
    }

    async fn understand(&self, context: Context<'_>, request: Request<Body>) -> Result<Classified, Refusal> {
        let (head, mut body) = request.into_parts();
        let place = Place::of(context.upstream, head.extensions.get::<Called>());
        let agent = head.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let is_impatient = agent.is_some_and(is_impatient);
        let (method, wait) = (head.method.clone(), self.patience(is_impatient));
        let endpoint = Endpoint::parse(head.uri.path());
        let of = endpoint.clone().unwrap_or(Endpoint::Base);
        let answers = |shape, code, status, show| Answers {
            shape,
            endpoint: of.clone(),
            method: method.clone(),
            place: place.clone(),
            code,
            status,
            wait,
            limits: (self.config.manifest, self.config.list),
            show,
            is_retried: false,
        };
        let read = async {
            let (endpoint, query) = (endpoint?, Query::parse(&head.uri));
            let (place, head) = (place.clone(), head.clone());
            let mut asked = Asked { context, endpoint, query, place, head, from: None };
            let read = self.read(&mut asked, &mut body).await?;
            let uri: Uri = read.url.parse().map_err(|_| RouteError::Unknown)?;
            let mut head = asked.head;
            if let Shape::Manifest(_) = read.shape {
                // A part of one can't be checked.
                head.headers.remove(header::RANGE);
                head.headers.remove(header::IF_RANGE);
            }
            // What the address is relative to the upstream, for its credential and its redirects; where it really
            // goes is the other.
            head.uri = relative_with(&asked.endpoint, asked.from.as_deref()).ok_or(RouteError::Unknown)?;
            head.extensions.insert(Direct { url: uri, headers: Default::default(), credential: true });
            Ok::<_, Refused>((
                Request::from_parts(head, body::lingering(read.body)),
                read.accesses,
                (read.shape, read.code, read.show),
            ))
        };
        match read.await {
            Ok((request, accesses, (shape, code, show))) => {
                // Who gives up is told to try again, and comes back by itself; but not for ever.
                let is_push = accesses.iter().any(|access| access.action == classify::PUSH);
                let again = is_impatient && is_push && self.retries.may_retry(context.principal, &accesses);
                let mut dialect = answers(shape, code, None, show);
                dialect.is_retried = again;
                Ok(Classified::Asks { accesses, request, dialect: Arc::new(dialect) })
            }
            Err(refused) => {
                body::linger(body).await;
                let dialect = Arc::new(answers(Shape::Plain, refused.code, refused.status, None));
                Ok(Classified::Refused { refusal: *refused.refusal, dialect })
            }
        }
    }

    /// Understands a request; takes its body where it goes on.
    async fn read(&self, asked: &mut Asked<'_>, body: &mut Body) -> Result<Read, Refused> {
        let method = asked.head.method.clone();
        let is_read = method == Method::GET || method == Method::HEAD;
        let endpoint = asked.endpoint.clone();
        match &endpoint {
            Endpoint::Manifest(_, reference) if is_read => self.pull(asked, reference).await,
            Endpoint::Blob(_, digest) if is_read => {
                let may_be_part = asked.head.headers.contains_key(header::RANGE);
                Ok(asked.plainly(Verb::Pull, Shape::Blob(digest.clone(), may_be_part), &[]))
            }
            Endpoint::Tags(_) | Endpoint::Catalog if is_read => {
                Ok(asked.plainly(Verb::List, Shape::List, LIST))
            }
            Endpoint::Referrers(..) if is_read => {
                let artifact = asked.query.get("artifactType")?.map(str::to_owned);
                let mut read = asked.plainly(Verb::List, Shape::List, LIST);
                if let (Some(artifact), Some(access)) = (artifact, read.accesses.first_mut()) {
                    let attributes = std::mem::take(&mut access.attributes);
                    access.attributes = attributes.with("artifact_type", artifact);
                }
                Ok(read)
            }
            Endpoint::Manifest(..) | Endpoint::Blob(..) if method == Method::DELETE => {
                Ok(asked.plainly(Verb::Delete, Shape::Plain, &[]))
            }
            Endpoint::Manifest(_, reference) if method == Method::PUT => {
                self.push(asked, reference, std::mem::replace(body, body::empty())).await
            }
            Endpoint::Uploads(_) if method == Method::POST => self.begin(asked, body).await,
            Endpoint::Upload(_, id) => self.upload(asked, id, body).await,
            Endpoint::Base
            | Endpoint::Catalog
            | Endpoint::Manifest(..)
            | Endpoint::Blob(..)
            | Endpoint::Uploads(_)
            | Endpoint::Tags(_)
            | Endpoint::Referrers(..) => {
                let refused =
                    Refused::new(RefusalKind::Invalid, Code::Unsupported, "this can't be done there");
                Err(refused.with_status(StatusCode::METHOD_NOT_ALLOWED))
            }
        }
    }

    /// How long a client waits that may have to: some give up after 30 seconds without an answer.
    fn patience(&self, is_impatient: bool) -> Duration {
        if is_impatient { self.config.wait_impatient } else { self.config.wait }
    }
}

/// Whether a client gives up after 30 seconds without an answer: containerd does, and docker where it pushes by it.
fn is_impatient(agent: &str) -> bool {
    let version = |text: &str| {
        let mut numbers = text.split(['.', '+', '-', ' ']).map(str::parse::<u32>);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    match agent.split_once('/') {
        Some(("containerd", _)) => true,
        Some(("docker", rest)) => version(rest).is_some_and(|version| version >= (29, 7)),
        _ => false,
    }
}

impl Asked<'_> {
    /// Whether any of this may pass, whatever is found out of its content.
    fn may_pass(&self, accesses: &[Access]) -> bool {
        let outline = |access: &Access| Outline { access: access.clone(), open: classify::of_content() };
        self.context.probe.may_pass(&accesses.iter().map(outline).collect::<Vec<_>>())
    }

    /// What has no body that counts, and is what its address says.
    fn plainly(&self, verb: Verb, shape: Shape, parameters: &[&str]) -> Read {
        let url = self.place.url(self.endpoint.repository(), &self.endpoint.rest());
        Read {
            accesses: vec![classify::access(verb, &self.endpoint)],
            url: url + &self.query.encoded(parameters),
            body: body::empty(),
            shape,
            code: None,
            show: None,
        }
    }
}

/// The path of an endpoint, relative to its upstream.
pub(crate) fn relative(endpoint: &Endpoint) -> Option<Uri> {
    relative_with(endpoint, None)
}

/// The same, with the repository from which something goes there.
fn relative_with(endpoint: &Endpoint, from: Option<&str>) -> Option<Uri> {
    let mut path = match endpoint.repository() {
        Some(repository) => format!("/v2/{repository}{}", endpoint.rest()),
        None => format!("/v2{}", endpoint.rest()),
    };
    if let Some(from) = from {
        path = format!("{path}?from={from}");
    }
    path.parse().ok()
}

impl Protocol for Registry {
    fn schema(&self) -> &'static Schema {
        &SCHEMA
    }

    fn request_headers(&self) -> &'static [HeaderName] {
        HEADERS
    }

    fn root(&self) -> Option<Root> {
        Some(ROOT)
    }

    fn classify<'a>(
        &'a self,
        context: Context<'a>,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Classified, Refusal>> {
        Box::pin(self.understand(context, request))
    }

    fn unauthenticated<'a>(
        &'a self,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Response<Body>, Request<Body>>> {
        Box::pin(login::unauthenticated(request))
    }

    fn caller(&self, token: &Secret) -> Option<Caller> {
        self.tokens.caller(token)
    }

    fn welcome(&self, caller: &Caller, head: &request::Parts) -> Option<Response<Body>> {
        login::welcome(&self.tokens, caller, head)
    }

    fn resource(&self, _: &Method, uri: &Uri) -> Option<String> {
        Endpoint::parse(uri.path()).ok()?.repository().map(str::to_owned)
    }

    fn wants(&self, method: &Method, uri: &Uri) -> Option<String> {
        let query = Query::parse(uri);
        let from = query.get("from").ok().flatten();
        Some(crate::credential::wanted(method, &Endpoint::parse(uri.path()).ok()?, from))
    }

    fn refuse(&self, head: &request::Parts, refusal: &Refusal) -> Response<Body> {
        respond::refuse_plainly(head, refusal)
    }
}
