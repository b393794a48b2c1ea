//! The Kubernetes API as a [`Protocol`] of the pipeline.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::{HeaderName, Method, Request, Response, StatusCode, Uri, header, request, response};
use lockgate_core::{
    access::Schema,
    body::Body,
    layers::mask::{self, Secrets},
    protocol::{Classified, Content, Context, Dialect, HoldStyle, LongRunning, Protocol, Sets, Upgrade},
    refusal::{Refusal, RefusalKind},
};

use crate::{
    begin::Begin,
    body::Brought,
    classify::{self, Asked, SCHEMA},
    config::Config,
    identity,
    parse::{
        info::{Address, Info, Resource},
        query::Query,
    },
    respond,
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
}

impl Kubernetes {
    /// Within these bounds.
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config) }
    }

    async fn understand(&self, context: Context<'_>, request: Request<Body>) -> Result<Classified, Refusal> {
        let (mut head, body) = request.into_parts();
        let query = Query::parse(head.uri.query()).map_err(invalid)?;
        let address = Address::parse(&head.method, &head.uri, &query).map_err(invalid)?;
        let resource = address.info.resource().cloned();
        let is_proxy = resource.as_ref().is_some_and(Resource::is_proxy);
        let mut dialect = Kube { resource: resource.clone(), wait: self.config.wait, begin: None };
        let read = async {
            if !is_proxy {
                query.check().map_err(invalid)?;
            }
            let stream = upgrade::understand(resource.as_ref(), &head).map_err(invalid)?;
            let brought = if stream.is_some() || is_proxy {
                Brought::Stream(body)
            } else {
                Brought::read(&head.headers, body, self.config.request).await?
            };
            Ok((stream, brought))
        };
        let (stream, mut brought) = match read.await {
            Ok(read) => read,
            Err(refusal) => return Ok(Classified::Refused { refusal, dialect: Arc::new(dialect) }),
        };
        let asked =
            Asked { method: &head.method, path: &address.path, headers: &head.headers, body: brought.seen() };
        let access = classify::access(&address.info, &query, asked);
        let mut set = identity::headers(context).map_err(invalid)?;
        if let Some(stream) = stream {
            set.extend(stream.headers().clone());
            head.extensions.insert(Upgrade(stream.token()));
            dialect.wait = self.config.wait_stream;
            let (begin, body) = Begin::of(stream, purpose(resource.as_ref(), &query), brought.into_body());
            dialect.begin = Some(begin);
            brought = Brought::Stream(body);
        }
        head.extensions.insert(Sets(set));
        if resource.is_some_and(|resource| resource.is_long_running(&query)) {
            head.extensions.insert(LongRunning);
        }
        head.uri = address.uri(&head.uri).ok_or_else(|| invalid("the path is not a path"))?;
        let request = Request::from_parts(head, brought.into_body());
        Ok(Classified::Asks { accesses: vec![access], request, dialect: Arc::new(dialect) })
    }
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

/// What a stream is for: of a port-forward by WebSocket the ports stand in the query.
fn purpose(resource: Option<&Resource>, query: &Query) -> Purpose {
    match resource.map(|resource| &*resource.subresource) {
        Some("portforward") => {
            Purpose::Forward(query.all("ports").filter_map(|port| port.parse().ok()).collect())
        }
        Some(_) | None => Purpose::Command,
    }
}

/// How a client of the API is answered.
struct Kube {
    resource: Option<Resource>,
    wait: Duration,
    /// Where a stream is to begin.
    begin: Option<Begin>,
}

impl Dialect for Kube {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        respond::refuse(refusal, self.resource.as_ref())
    }

    fn hold(&self) -> HoldStyle {
        HoldStyle::Wait(self.wait)
    }

    fn content(&self, head: &response::Parts) -> Content {
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        match kind {
            Some(kind) if kind.starts_with("application/vnd.kubernetes.protobuf") => Content::Opaque,
            Some(_) | None => Content::Text,
        }
    }

    fn mask<'a>(
        &'a self,
        response: Response<Body>,
        secrets: &'a Secrets,
    ) -> BoxFuture<'a, Result<Response<Body>, Refusal>> {
        Box::pin(async move {
            match &self.begin {
                Some(begin) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    begin.join(response, secrets)
                }
                Some(_) | None => {
                    let (head, body) = response.into_parts();
                    let content = self.content(&head);
                    mask::by_content(content, Response::from_parts(head, body), secrets)
                }
            }
        })
    }
}

fn invalid(error: impl ToString) -> Refusal {
    Refusal::new(RefusalKind::Invalid, error.to_string())
}
