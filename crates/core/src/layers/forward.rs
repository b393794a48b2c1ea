//! Forward: innermost. Takes the permit, sets the upstream's credential, strips what is not the
//! upstream's to see, and sends.
//!
//! Nothing reaches the upstream before the request and its verdict are durable, and an upstream can't
//! complete a streaming request before all of its bytes are.

mod direct;

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures::{future::BoxFuture, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tower::Service;

use super::{Permitted, Target, redirect};
use crate::{
    body::{self, Body},
    client,
    exchange::Exchange,
    protocol::{Direct, Sets, Upgrade},
    refusal::{Refusal, RefusalKind},
    upgrade,
    upstream::Auth,
};

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
    let request = asked.request.map(|body| until_durable(body, exchange.clone()));
    let sent = redirect::Sent::of(&request);
    let request = prepare(&asked.target, asked.passthrough.as_ref(), request).await?;
    exchange.forwarded().await?;
    let upgrade = request.extensions().get::<Upgrade>().cloned();
    if exchange.mutates() && upgrade.is_none() {
        // A stream ends with its client.
        exchange.detach();
    }
    let completed = match asked.begun {
        Some(begun) => begun.complete(permit).await?,
        None => None,
    };
    let mut response = match (completed, &upgrade) {
        (Some(response), _) => response,
        (None, Some(upgrade)) => asked.target.client.upgrade(request, upgrade).await?,
        (None, None) => direct::send(&asked.target.client, request).await?,
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
            let resource = || target.resource(&method, &path);
            upstream.credentials.header(resource).await.map_err(|error| Refusal::from(&*error))?
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
            target.upstream.credentials.refused(|| target.resource(method, path));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    async fn prepared(auth: Auth, headers: &[(&str, &str)]) -> Request<Body> {
        let mut request = testing::get("/x?y=z");
        for (name, value) in headers {
            request.headers_mut().append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let own = HeaderValue::from_static("Basic own");
        prepare(&testing::target(auth), Some(&own), request).await.unwrap()
    }

    #[tokio::test]
    async fn sets_the_address_and_the_credential() {
        let request = prepared(Auth::Oidc, &[("authorization", "Bearer client"), ("cookie", "a=b")]).await;
        assert_eq!(request.uri(), "http://127.0.0.1:9/base/x?y=z");
        let credential = request.headers()[header::AUTHORIZATION].to_str().unwrap();
        assert_eq!(credential, "Basic Z2F0ZTpzM2NyZXQ=");
        assert!(!request.headers().contains_key(header::COOKIE));
        assert!(!format!("{request:?}").contains("Z2F0ZTpzM2NyZXQ="), "the credential is marked sensitive");
    }

    #[tokio::test]
    async fn passes_the_clients_own_credential_only_where_configured() {
        let request = prepared(Auth::Passthrough, &[("cookie", "a=b")]).await;
        assert_eq!(request.headers()[header::AUTHORIZATION], "Basic own");
        assert_eq!(request.headers()[header::COOKIE], "a=b");
    }

    #[tokio::test]
    async fn what_the_protocol_sets_stands_alone() {
        let mut request = testing::get("/x");
        request.headers_mut().insert("audit-id", HeaderValue::from_static("forged"));
        let set = [("audit-id", "ours"), ("a", "1"), ("a", "2")];
        let set = set.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        request.extensions_mut().insert(Sets(set.into_iter().collect()));
        let request = prepare(&testing::target(Auth::Passthrough), None, request).await.unwrap();
        let all = |name: &str| request.headers().get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(all("audit-id"), ["ours"]);
        assert_eq!(all("a"), ["1", "2"]);
    }

    #[tokio::test]
    async fn the_credential_goes_to_no_other_origin() {
        let check = async |url: &str, credential: bool, given: &[(&str, &str)], expected: Option<&str>| {
            let mut request = testing::get("/x");
            request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer client"));
            let given = given.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let direct = Direct { url: url.parse().unwrap(), headers: given.collect(), credential };
            request.extensions_mut().insert(direct);
            let request = prepare(&testing::target(Auth::Oidc), None, request).await.unwrap();
            assert_eq!(request.uri(), url);
            let headers = request.headers();
            assert!(!headers.contains_key(header::HOST) && !headers.contains_key(header::TRANSFER_ENCODING));
            let value = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap());
            assert_eq!(value, expected, "{url}");
        };
        let (own, other) = ("http://127.0.0.1:9/signed?x", "https://127.0.0.1:9/signed");
        check(own, true, &[], Some("Basic Z2F0ZTpzM2NyZXQ=")).await;
        check(own, false, &[], None).await;
        check(other, true, &[], None).await;
        let given = [("authorization", "Bearer a"), ("host", "b"), ("transfer-encoding", "chunked")];
        check(own, true, &given, Some("Bearer a")).await;
        check(other, true, &given, Some("Bearer a")).await;
    }

    #[tokio::test]
    async fn only_what_the_protocol_names_goes_on() {
        let request = prepared(
            Auth::Oidc,
            &[
                ("accept", "a"),
                ("accept", "b"),
                ("content-length", "3"),
                ("x-webauth-user", "root"),
                ("private-token", "glpat-of-the-client"),
                ("impersonate-user", "root"),
                ("expect", "100-continue"),
            ],
        )
        .await;
        let names: Vec<_> = request.headers().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["accept", "accept", "content-length", "authorization"]);
    }

    #[tokio::test]
    async fn strips_what_ends_here() {
        let request = prepared(
            Auth::Passthrough,
            &[
                ("connection", "x-secret, Impersonate-User"),
                ("x-secret", "1"),
                ("impersonate-user", "root"),
                ("impersonate-extra-scopes", "all"),
                ("x-remote-group", "system:masters"),
                ("x_remote_user", "root"),
                ("remote_user", "root"),
                ("x-webauth-user", "root"),
                ("x-forwarded-for", "1.2.3.4"),
                ("forwarded", "for=1.2.3.4"),
                ("te", "trailers"),
                ("transfer-encoding", "chunked"),
                ("expect", "100-continue"),
                ("accept", "a"),
                ("accept", "b"),
                ("x-anything", "else"),
            ],
        )
        .await;
        let names: Vec<_> = request.headers().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["accept", "accept", "x-anything", "authorization"]);
    }
}
