//! Forward: innermost. Takes the permit, sets the upstream's credential, strips what is not the
//! upstream's to see, and sends.
//!
//! Nothing reaches the upstream before the request and its verdict are durable, and an upstream can't
//! complete a streaming request before all of its bytes are. Where the upstream is set so (`reads: overlapped`), what
//! only reads goes there before, and its answer is withheld until then.

pub(super) mod direct;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};

use futures::{future::BoxFuture, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tower::Service;

use super::{Permitted, Target, classify::Prober, redirect};
use crate::{
    body::{self, Body},
    client,
    exchange::{Exchange, Unrecorded},
    protocol::{Direct, Sets, Upgrade},
    refusal::{Refusal, RefusalKind},
    upgrade,
    upstream::{Auth, Reads},
};

/// A read that overlaps and is answered by then becomes durable with its answer, by one wait for the disk.
const SOON: Duration = Duration::from_millis(10);

/// Headers that end at each hop (RFC 9110, section 7.6.1), besides those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Headers by which a client could claim to be somebody, or somewhere: where the upstream has its own callers
/// and all other headers are theirs. `-` stands for `_` too, which CGI can't tell apart.
const IDENTITY: [&str; 10] = [
    "impersonate-",
    "x-remote-",
    "remote-user",
    "x-forwarded-",
    "x-real-ip",
    "x-webauth-",
    "x-auth-request-",
    "x-authenticated-",
    "x-original-",
    "true-client-ip",
];

/// Headers by which an upstream would give its own session to whoever asks, or ask for a credential.
const OF_THE_SESSION: [HeaderName; 4] = [
    header::SET_COOKIE,
    header::WWW_AUTHENTICATE,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("authentication-info"),
];

/// The innermost service.
#[derive(Clone)]
pub struct Forward;

impl Service<Permitted> for Forward {
    type Response = Response<Body>;
    type Error = Refusal;
    type Future = BoxFuture<'static, Result<Response<Body>, Refusal>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, permitted: Permitted) -> Self::Future {
        Box::pin(forward(permitted))
    }
}

async fn forward(permitted: Permitted) -> Result<Response<Body>, Refusal> {
    // The permit ends here: one forwarding each.
    let Permitted { permit, asked } = permitted;
    let exchange = asked.exchange;
    let probe = Prober { target: &asked.target, passthrough: asked.passthrough.clone() };
    asked.dialect.stands(&probe).await?;
    let request = asked.request.map(|body| until_durable(body, exchange.clone()));
    let sent = redirect::Sent::of(&request);
    let request = prepare(&asked.target, asked.passthrough.as_ref(), request).await?;
    let upgrade = request.extensions().get::<Upgrade>().cloned();
    let client = &asked.target.client;
    let mut response = if asked.target.upstream.reads == Reads::Overlapped && only_reads(&exchange, &request)
    {
        exchange.forwarding().await?;
        tokio::select! {
            biased;
            response = direct::send(client, request) => response?,
            unrecorded = proven_meanwhile(&exchange) => return Err(unrecorded.withheld()),
        }
    } else {
        exchange.forwarded().await?;
        if exchange.mutates() && upgrade.is_none() {
            // A stream ends with its client.
            exchange.detach();
        }
        let completed = match asked.begun {
            Some(begun) => begun.complete(permit).await?,
            None => None,
        };
        match (completed, &upgrade) {
            (Some(response), _) => response,
            (None, Some(upgrade)) => Box::pin(client.upgrade(request, upgrade)).await?,
            (None, None) => direct::send(client, request).await?,
        }
    };
    let becomes = response.headers().get(header::UPGRADE).cloned();
    strip_hop_by_hop(response.headers_mut());
    if upgrade::is_stream(&response) {
        let agreed = |token: &HeaderValue| upgrade.is_some_and(|asked| same(&asked.0, token));
        let token = becomes.filter(agreed).ok_or_else(strange_stream)?;
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        response.headers_mut().insert(header::UPGRADE, token);
    }
    refused_credential(&asked.target, sent.place(), &response)?;
    let mut response = sent.judge(&asked.target, asked.passthrough.as_ref(), response).await?;
    if asked.target.upstream.auth == Auth::Oidc {
        for name in OF_THE_SESSION {
            response.headers_mut().remove(name);
        }
    }
    asked.dialect.answer(response).await
}

/// Whether a request changes nothing by what it is to the protocol and by what it is to HTTP, and brings nothing.
fn only_reads(exchange: &Exchange, request: &Request<Body>) -> bool {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_stream = request.extensions().get::<Upgrade>().is_some();
    is_safe && !is_stream && !exchange.mutates() && request.body().is_end_stream()
}

/// Makes a request durable whose answer does not come soon. Resolves where that fails.
async fn proven_meanwhile(exchange: &Exchange) -> Unrecorded {
    tokio::time::sleep(SOON).await;
    match exchange.proven().await {
        Ok(()) => std::future::pending().await,
        Err(unrecorded) => unrecorded,
    }
}

/// Names of protocols differ in more than case (RFC 9110, section 7.8).
fn same(asked: &HeaderValue, answered: &HeaderValue) -> bool {
    asked.as_bytes().eq_ignore_ascii_case(answered.as_bytes())
}

fn strange_stream() -> Refusal {
    Refusal::new(RefusalKind::UpstreamInvalid, "the upstream begins a stream that it was not asked for")
}

/// Makes a request the upstream's: its address, its credential, and no header that ends here.
pub(super) async fn prepare(
    target: &Target,
    passthrough: Option<&HeaderValue>,
    mut request: Request<Body>,
) -> Result<Request<Body>, Refusal> {
    let upstream = &target.upstream;
    let direct = request.extensions().get::<Direct>().cloned();
    let sets = request.extensions_mut().remove::<Sets>();
    let goes_along = direct.as_ref().is_none_or(|direct| direct::takes_credential(upstream, direct));
    let credential = match upstream.auth {
        Auth::Oidc if goes_along => {
            let (method, path) = (request.method().clone(), request.uri().clone());
            let wanted = || target.wanted(&method, &path);
            upstream.credentials.header(wanted).await.map_err(|error| Refusal::from(&*error))?
        }
        Auth::Passthrough if goes_along => passthrough.cloned(),
        Auth::Oidc | Auth::Passthrough => None,
    };
    let invalid = || Refusal::new(RefusalKind::Invalid, "the request's path is not a path");
    *request.uri_mut() = match &direct {
        Some(direct) => direct.url.clone(),
        None => client::join(&upstream.url, request.uri()).ok_or_else(invalid)?,
    };
    let headers = request.headers_mut();
    strip_hop_by_hop(headers);
    let allowed = target.protocol.request_headers();
    let stays = |name: &HeaderName| match upstream.auth {
        Auth::Oidc => allowed.contains(name) || *name == header::CONTENT_LENGTH,
        Auth::Passthrough => !is_ours(name),
    };
    let ends: Vec<_> = headers.keys().filter(|name| !stays(name)).cloned().collect();
    for name in ends {
        headers.remove(name);
    }
    if let Some(Sets(set)) = sets {
        // The client's own would stand before these, and count.
        for name in set.keys() {
            headers.remove(name);
        }
        for (name, value) in &set {
            headers.append(name, value.clone());
        }
    }
    if let Some(credential) = credential {
        headers.insert(header::AUTHORIZATION, credential);
    }
    if let Some(direct) = direct {
        direct::add_headers(headers, direct.headers);
    }
    Ok(request)
}

/// Whether a header is this gateway's to set, or nobody's.
fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 4] = [header::AUTHORIZATION, header::FORWARDED, header::HOST, header::EXPECT];
    let plain = name.as_str().replace('_', "-");
    OURS.contains(name) || IDENTITY.iter().any(|prefix| plain.starts_with(prefix))
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// An upstream that asks for a credential asks us, not the client: its challenge stays here.
fn refused_credential(
    target: &Target,
    (method, path): (&Method, &Uri),
    response: &Response<Body>,
) -> Result<(), Refusal> {
    match (target.upstream.auth, response.status()) {
        (Auth::Oidc, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
            target.upstream.credentials.refused(|| target.wanted(method, path));
            let reason = "the upstream refused the credential of this gateway; its operator must look at it";
            Err(Refusal::new(RefusalKind::UpstreamInvalid, reason))
        }
        _ => Ok(()),
    }
}

/// Withholds the end of a request's body until every byte of it is durable.
fn until_durable(body: Body, exchange: Exchange) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let hint = body.size_hint();
    let left = hint.exact();
    let frames = stream::try_unfold((body, exchange, left), async |(mut body, exchange, mut left)| {
        let frame = body.frame().await.transpose()?;
        if let Some(data) = frame.as_ref().and_then(|frame| frame.data_ref()) {
            left = left.map(|left| left.saturating_sub(data.len() as u64));
        }
        if frame.is_none() || left == Some(0) {
            exchange.durable().await?;
        }
        Ok(frame.map(|frame| (frame, (body, exchange, left))))
    });
    body::from_stream(frames, hint)
}

impl From<Infallible> for Refusal {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
