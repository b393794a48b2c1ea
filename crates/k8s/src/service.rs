//! The Kubernetes API as a [`Protocol`] of the pipeline.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request, response,
};
use http_body::Body as _;
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
    classify::{self, ALL_BUT_HELM, Asked, SCHEMA},
    config::Config,
    content::{Content as Understood, Refused, Writing},
    facts::Detector,
    identity, log,
    mask::{Format, Masking, Options, Subject, masked},
    parse::{
        accept,
        info::{Address, Info, Resource},
        query::Query,
    },
    respond,
    sessions::{Owner, Sessions},
    show::{self, Write},
    stream::Purpose,
    upgrade, warning,
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

/// How a client of the API is answered.
struct Kube {
    resource: Option<Resource>,
    wait: Duration,
    /// Where a stream is to begin.
    begin: Option<Begin>,
    /// What it would change, for people who are asked.
    write: Option<Write>,
    /// The words of what a stream would run.
    command: Vec<String>,
    /// The field for which what it brings is refused.
    unprocessable: Option<String>,
    /// Where placeholders were replaced by what they stand for: the field of the first, and what is wrong with it
    /// where the policy does not allow that.
    restoring: Option<(String, String)>,
    /// How many bytes of a log are asked for.
    limit: Option<u64>,
    is_long_running: bool,
    known: Known,
    config: Arc<Config>,
}

/// Where the secrets are that its session has seen.
struct Known {
    sessions: Arc<Sessions>,
    owner: Owner,
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

    /// What is looked for: of a session, what it has seen too.
    fn secrets(&self, secrets: &Secrets) -> Secrets {
        // The answer to who sent placeholders has them in it, whatever the policy masks of other answers.
        let demanded = secrets.demanded || self.restoring.is_some();
        if !demanded {
            return secrets.clone();
        }
        let own = secrets.known.clone().unwrap_or_default();
        let Known { sessions, owner } = &self.known;
        Secrets { known: Some(sessions.of(owner, &own)), demanded, ..secrets.clone() }
    }

    fn subject(&self) -> Subject {
        self.resource.as_ref().map(|it| Subject::of(it, self.is_long_running)).unwrap_or_default()
    }

    /// Masks an answer by its form.
    async fn by_place(&self, response: Response<Body>, secrets: &Secrets) -> Result<Response<Body>, Refusal> {
        let format = Format::of_answer(response.headers()).ok_or_else(mask::unmaskable)?;
        let known = secrets.known.clone().unwrap_or_default();
        let helm = secrets.names.contains(ALL_BUT_HELM) && !secrets.names.contains("all");
        let options = Options { helm: helm || self.config.mask.helm, ..self.config.mask };
        let masking = Masking::new(self.subject(), format, &secrets.rules, &known, &secrets.key, options);
        let (mut head, body) = response.into_parts();
        mask::forget_bytes(&mut head.headers);
        let masked = masked(body, masking).await.map_err(|error| {
            Refusal::new(RefusalKind::UpstreamInvalid, "the upstream's answer can't be masked")
                .because(&error)
        })?;
        if let Some(count) = masked.count.filter(|count| *count > 0) {
            let values = if count == 1 { "value" } else { "values" };
            warning::add(&mut head.headers, &format!("{count} {values} masked"));
        }
        Ok(Response::from_parts(head, masked.body))
    }
}

impl Dialect for Kube {
    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        let resource = self.resource.as_ref();
        // The write itself, which is the first that was asked for, is refused for another reason, if it is.
        let is_of_first = refusal.accesses.first().is_none_or(|first| first.reason == refusal.reason);
        match (&self.unprocessable, &self.restoring) {
            (Some(field), _) => respond::unprocessable(refusal, resource, field),
            (None, Some((field, reason))) if refusal.kind == RefusalKind::Denied && !is_of_first => {
                let refusal = Refusal { reason: reason.clone(), ..refusal.clone() };
                respond::unprocessable(&refusal, resource, field)
            }
            (None, Some(_) | None) => respond::refuse(refusal, resource),
        }
    }

    fn hold(&self) -> HoldStyle {
        HoldStyle::Wait(self.wait)
    }

    fn show<'a>(&'a self, context: Context<'a>) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            match &self.write {
                Some(write) => Some(write.text(context.probe).await),
                None if self.begin.is_none() || self.command.is_empty() => None,
                None => Some(show::command(&self.config.detector, &self.command)),
            }
        })
    }

    fn content(&self, head: &response::Parts) -> Content {
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        match kind {
            Some(kind) if kind.starts_with("application/vnd.kubernetes.protobuf") => Content::Opaque,
            Some(_) | None if self.is_long_running => Content::Live,
            Some(_) | None => Content::Text,
        }
    }

    fn mask<'a>(
        &'a self,
        response: Response<Body>,
        secrets: &'a Secrets,
    ) -> BoxFuture<'a, Result<Response<Body>, Refusal>> {
        Box::pin(async move {
            let secrets = self.secrets(secrets);
            let masked = match &self.begin {
                Some(begin) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    begin.join(response, &secrets)
                }
                Some(_) | None if secrets.demanded => self.by_place(response, &secrets).await,
                Some(_) | None => {
                    let (head, body) = response.into_parts();
                    let content = self.content(&head);
                    mask::by_content(content, Response::from_parts(head, body), &secrets)
                }
            }?;
            Ok(match self.limit {
                Some(limit) => log::cut(masked, limit),
                None => masked,
            })
        })
    }

    fn mask_head(&self, headers: &mut HeaderMap, secrets: &Secrets) {
        warning::mask(headers, &self.secrets(secrets));
    }

    fn to_be_masked(&self, request: &mut HeaderMap, secrets: &Secrets) {
        let is_demanded = secrets.demanded || self.restoring.is_some();
        if secrets.is_empty() && !is_demanded {
            return;
        }
        request.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if is_demanded {
            // What takes nothing that can be masked gets JSON, which it can refuse.
            let accept = accept::maskable(request).unwrap_or(HeaderValue::from_static("application/json"));
            request.insert(header::ACCEPT, accept);
        }
    }
}

fn invalid(error: impl ToString) -> Refusal {
    Refusal::new(RefusalKind::Invalid, error.to_string())
}
