//! The Kubernetes API as a [`Protocol`] of the pipeline.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header, request};
use http_body::Body as _;
use lockgate_core::{
    access::Schema,
    body::Body,
    protocol::{Classified, Context, LongRunning, Protocol, Sets, Upgrade},
    refusal::{Refusal, RefusalKind},
};

use crate::{
    begin::Begin,
    body::Brought,
    classify::{self, Asked, SCHEMA},
    config::Config,
    content::{Content as Understood, Refused, Writing},
    dialect::{Known, Kube},
    facts::Detector,
    identity, log,
    mask::{Format, Masking, Subject},
    parse::{
        info::{Address, Info, Resource},
        query::Query,
    },
    respond,
    sessions::{Owner, Sessions},
    show::Write,
    stream::Purpose,
    upgrade,
};

/// Header fields that mean something to the API server. Those of a stream's beginning are made anew from what was
/// understood of them, in [`crate::upgrade`].
const HEADERS: &[HeaderName] = &[
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONTENT_TYPE,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::USER_AGENT,
];

/// The Kubernetes API.
#[derive(Debug, Clone, Default)]
pub struct Kubernetes {
    config: Arc<Config>,
    sessions: Arc<Sessions>,
}

impl Kubernetes {
    /// Within these bounds.
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config), sessions: Arc::default() }
    }

    async fn understand(&self, context: Context<'_>, request: Request<Body>) -> Result<Classified, Refusal> {
        let (head, body) = request.into_parts();
        let query = Query::parse(head.uri.query()).map_err(invalid)?;
        let address = Address::parse(&head.method, &head.uri, &query).map_err(invalid)?;
        let identity = identity::headers(context).map_err(invalid)?;
        let mut dialect = self.dialect(context, &address, &query);
        match self.read(context, &address, &query, &head, body, &identity).await {
            Ok(read) => dialect.asks(context, address, &query, head, read, identity),
            Err(Refused::Plain(refusal)) => {
                Ok(Classified::Refused { refusal: *refusal, dialect: Arc::new(dialect) })
            }
            Err(Refused::Unprocessable(refusal, field)) => {
                dialect.unprocessable = Some(field);
                Ok(Classified::Refused { refusal: *refusal, dialect: Arc::new(dialect) })
            }
        }
    }

    /// How the client is answered, as far as the address says.
    fn dialect(&self, context: Context<'_>, address: &Address, query: &Query) -> Kube {
        let resource = address.info.resource().cloned();
        Kube {
            is_long_running: resource.as_ref().is_some_and(|resource| resource.is_long_running(query)),
            resource,
            wait: self.config.wait,
            begin: None,
            write: None,
            command: query.all("command").map(str::to_owned).collect(),
            unprocessable: None,
            restoring: None,
            limit: None,
            known: Known { sessions: Arc::clone(&self.sessions), owner: Owner::of(context) },
            config: Arc::clone(&self.config),
        }
    }

    /// Reads what the request brings.
    async fn read(
        &self,
        context: Context<'_>,
        address: &Address,
        query: &Query,
        head: &request::Parts,
        body: Body,
        identity: &HeaderMap,
    ) -> Result<Read, Refused> {
        let resource = address.info.resource();
        // Discovery is the same for all, and kubectl would show no reason for its refusal.
        if resource.is_some() && identity::is_somebody_else(&head.headers) {
            let reason = "this gateway says who you are: nobody can be impersonated through it (`--as`)";
            return Err(Refusal::new(RefusalKind::Denied, reason).into());
        }
        let is_proxy = resource.is_some_and(Resource::is_proxy);
        if !is_proxy {
            query.check().map_err(invalid)?;
        }
        let stream = upgrade::understand(resource, head).map_err(invalid)?;
        let purpose = purpose(resource, query).ok_or_else(|| invalid("a port is no number"))?;
        let stream = stream.map(|stream| (stream, purpose));
        if stream.is_some() || is_proxy {
            return Ok(Read { stream, brought: Brought::Stream(body), content: Understood::default() });
        }
        let brought = Brought::read(&head.headers, body, self.config.request).await?;
        let content = match (resource, &brought) {
            (Some(resource), Brought::Whole(body)) => {
                let masking = || self.masking(context, resource);
                let writing = Writing {
                    context,
                    address,
                    resource,
                    content_type: head.headers.get(header::CONTENT_TYPE),
                    body,
                    identity,
                    masking: &masking,
                    detector: &self.config.detector,
                };
                writing.understand().await?
            }
            (None, _) | (_, Brought::Stream(_)) => Understood::default(),
        };
        Ok(Read { stream, brought, content })
    }

    /// As a read of an object is masked in this session.
    fn masking(&self, context: Context<'_>, resource: &Resource) -> Masking {
        let own = context.upstream.credentials.known();
        let known = self.sessions.of(&Owner::of(context), own);
        let Detector { rules, key, .. } = &self.config.detector;
        Masking::new(Subject::of(resource, false), Format::Json, rules, &known, key, self.config.mask)
    }
}

/// A request that was read.
struct Read {
    /// The stream that it begins, and what for.
    stream: Option<(upgrade::Stream, Purpose)>,
    brought: Brought,
    content: Understood,
}

impl Protocol for Kubernetes {
    fn schema(&self) -> &'static Schema {
        &SCHEMA
    }

    fn request_headers(&self) -> &'static [HeaderName] {
        HEADERS
    }

    fn classify<'a>(
        &'a self,
        context: Context<'a>,
        request: Request<Body>,
    ) -> BoxFuture<'a, Result<Classified, Refusal>> {
        Box::pin(self.understand(context, request))
    }

    fn resource(&self, method: &Method, uri: &Uri) -> Option<String> {
        let query = Query::parse(uri.query()).ok()?;
        match Address::parse(method, uri, &query).ok()?.info {
            Info::Resource(resource) => Some(resource.shown()),
            Info::Other { path, .. } => Some(path),
        }
    }

    fn upgrades(&self, head: &request::Parts) -> bool {
        upgrade::is_asked(head)
    }

    fn refuse(&self, _: &request::Parts, refusal: &Refusal) -> Response<Body> {
        respond::refuse(refusal, None)
    }
}

/// What a stream is for: of a port-forward ports may stand in the query; none where one is no number.
fn purpose(resource: Option<&Resource>, query: &Query) -> Option<Purpose> {
    match resource.map(|resource| &*resource.subresource) {
        Some("portforward") => {
            let ports: Option<Vec<u16>> = query.all("ports").map(|port| port.parse().ok()).collect();
            ports.map(Purpose::Forward)
        }
        Some(_) | None => Some(Purpose::Command),
    }
}

impl Kube {
    /// Says what is asked for, and makes the request that goes upstream.
    fn asks(
        mut self,
        context: Context<'_>,
        address: Address,
        query: &Query,
        mut head: request::Parts,
        read: Read,
        mut set: HeaderMap,
    ) -> Result<Classified, Refusal> {
        let Read { stream, mut brought, mut content } = read;
        let asked = Asked {
            method: &head.method,
            path: &address.path,
            headers: &head.headers,
            body: brought.seen(),
            is_dry_run: classify::is_dry_run(&address.info, query, content.is_dry_run),
        };
        let restored = content.restored.take();
        let version = restored.as_ref().map(|restored| &*restored.version);
        let mut accesses = classify::accesses(&address.info, query, asked, content, version);
        let is_proxy = self.resource.as_ref().is_some_and(Resource::is_proxy);
        if is_proxy && matches!(&brought, Brought::Stream(body) if !body.is_end_stream()) {
            // It is not read here, so that people approve it while it waits or not at all.
            let alone = format!(" body of {}", context.exchange);
            accesses.iter_mut().for_each(|access| access.binding += &alone);
        }
        if let Some(restored) = restored {
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(restored.body.len()));
            brought = Brought::Whole(restored.body);
            self.restoring = Some((restored.field, restored.reason));
            if self.resource.as_ref().is_some_and(|resource| resource.verb == "update") {
                head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
        }
        if let Some((stream, purpose)) = stream {
            set.extend(stream.headers().clone());
            head.extensions.insert(Upgrade(stream.token()));
            self.wait = self.config.wait_stream;
            let (begin, body) = Begin::of(stream, purpose, &self.command, brought.into_body());
            self.begin = Some(begin);
            brought = Brought::Stream(body);
        }
        if self.is_long_running {
            head.extensions.insert(LongRunning);
        }
        head.uri = address.uri(&head.uri).ok_or_else(|| invalid("the path is not a path"))?;
        if let Some(limit) = self.resource.as_ref().and_then(|resource| log::limit(resource, query)) {
            self.limit = Some(limit);
            head.uri = log::whole(&head.uri).ok_or_else(|| invalid("the path is not a path"))?;
        }
        self.write = self.write(&head, &brought, &set);
        head.extensions.insert(Sets(set));
        let request = Request::from_parts(head, brought.into_body());
        Ok(Classified::Asks { accesses, request, dialect: Arc::new(self) })
    }

    /// The write, where people can be shown what it changes.
    fn write(&self, head: &request::Parts, brought: &Brought, identity: &HeaderMap) -> Option<Write> {
        let resource = self.resource.as_ref().filter(|resource| classify::can_be_tried(resource))?;
        let Brought::Whole(body) = brought else { return None };
        (resource.verb != "deletecollection").then(|| Write {
            method: head.method.clone(),
            uri: head.uri.clone(),
            content_type: head.headers.get(header::CONTENT_TYPE).cloned(),
            body: body.clone(),
            identity: identity.clone(),
            resource: resource.clone(),
            detector: self.config.detector.clone(),
        })
    }
}

fn invalid(error: impl ToString) -> Refusal {
    Refusal::new(RefusalKind::Invalid, error.to_string())
}
