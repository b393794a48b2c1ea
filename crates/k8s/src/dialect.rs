//! How the client of one request is answered: refused, shown to people, masked.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, response};
use lockgate_core::{
    body::Body,
    layers::mask::{self, Secrets},
    protocol::{Content, Context, Dialect, HoldStyle},
    refusal::{Refusal, RefusalKind},
};

use crate::{
    begin::Begin,
    classify::ALL_BUT_HELM,
    config::Config,
    log,
    mask::{Format, Masking, Options, Subject, masked},
    parse::{accept, info::Resource},
    respond,
    sessions::{Owner, Sessions},
    show::{self, Write},
    warning,
};

/// How a client of the API is answered.
pub(crate) struct Kube {
    pub(crate) resource: Option<Resource>,
    pub(crate) wait: Duration,
    /// Where a stream is to begin.
    pub(crate) begin: Option<Begin>,
    /// What it would change, for people who are asked.
    pub(crate) write: Option<Write>,
    /// The words of what a stream would run.
    pub(crate) command: Vec<String>,
    /// The field for which what it brings is refused.
    pub(crate) unprocessable: Option<String>,
    /// Where placeholders were replaced by what they stand for: the field of the first, and what is wrong with it
    /// where the policy does not allow that.
    pub(crate) restoring: Option<(String, String)>,
    /// How many bytes of a log are asked for.
    pub(crate) limit: Option<u64>,
    pub(crate) is_long_running: bool,
    pub(crate) known: Known,
    pub(crate) config: Arc<Config>,
}

/// Where the secrets are that its session has seen.
pub(crate) struct Known {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) owner: Owner,
}

impl Kube {
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
        // The body may have told what a warning quotes.
        warning::mask(&mut head.headers, secrets);
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
        if headers.contains_key(header::WARNING) {
            warning::mask(headers, &self.secrets(secrets));
        }
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
