//! What becomes of an upstream's redirect: it is never handed on as it is.
//!
//! It names an address at which the client would go around the gateway, and take what it is allowed to do
//! under one name for what it does under another. So it is refused, or written anew to lead through the
//! gateway, where the new name is judged as any: by where it leads from the request's own address, which
//! suits every route to the upstream.

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use super::{Target, classify::Prober};
use crate::{
    body::{self, Body},
    protocol::Probe as _,
    refusal::{Refusal, RefusalKind},
    upstream::{Redirects, Upstream},
};

/// Addresses that are passed on the way to something that clients may ask for.
const HOPS: usize = 5;

/// A request that went upstream, as far as its redirect is made of it.
pub(super) struct Sent {
    method: Method,
    /// Relative to the upstream.
    path: Uri,
    headers: HeaderMap,
}

impl Sent {
    pub(super) fn of(request: &Request<Body>) -> Self {
        let (method, path) = (request.method().clone(), request.uri().clone());
        // What has a body is not led on.
        let headers = if is_safe(&method) { request.headers().clone() } else { HeaderMap::new() };
        Self { method, path, headers }
    }

    pub(super) fn place(&self) -> (&Method, &Uri) {
        (&self.method, &self.path)
    }

    /// Judges an answer. An upstream may lead to something by way of what is nothing to this protocol: those
    /// addresses are asked here, and what they say is not handed on but where they lead.
    pub(super) async fn judge(
        self,
        target: &Target,
        passthrough: Option<&HeaderValue>,
        response: Response<Body>,
    ) -> Result<Response<Body>, Refusal> {
        let (upstream, safe) = (&target.upstream, is_safe(&self.method));
        let prober = Prober { target, passthrough: passthrough.cloned() };
        let (mut at, mut response) = (self.path.clone(), response);
        for hop in 0..HOPS {
            let status = response.status();
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return if hop == 0 {
                    Ok(response)
                } else {
                    Err(refused("the upstream redirects to nothing"))
                };
            }
            let place = place(upstream, &at, response.headers())?;
            match upstream.redirects {
                Redirects::Refuse => {
                    return Err(refused(format!("this has moved to {place}: ask for it there")));
                }
                Redirects::Follow if !safe => {
                    return Err(refused(format!("this has moved to {place}: begin anew there")));
                }
                Redirects::Follow => {}
            }
            let nowhere = || refused("the upstream redirects to what is no address");
            let to: Uri = place.parse().map_err(|_| nowhere())?;
            if target.protocol.resource(&self.method, &to).is_some() {
                return relative(&self.path, &place, status).ok_or_else(nowhere);
            }
            let mut request = Request::new(body::empty());
            (*request.method_mut(), *request.uri_mut()) = (self.method.clone(), to.clone());
            *request.headers_mut() = self.headers.clone();
            (response, at) = (prober.send(request).await?, to);
        }
        Err(refused("the upstream redirects without end"))
    }
}

fn is_safe(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

fn refused(reason: impl Into<String>) -> Refusal {
    Refusal::new(RefusalKind::UpstreamInvalid, reason)
}

/// Where it leads, relative to the upstream; a refusal where that is somewhere else.
fn place(upstream: &Upstream, from: &Uri, headers: &HeaderMap) -> Result<String, Refusal> {
    let elsewhere = || refused("the upstream redirects elsewhere, where this gateway does not lead");
    let to = located(upstream, from, headers).ok_or_else(elsewhere)?;
    if !matches!(to.scheme(), "http" | "https") {
        return Err(refused(format!("the upstream redirects to {}, which is disabled here", to.scheme())));
    }
    within(upstream, from, &to).ok_or_else(elsewhere)
}

fn located(upstream: &Upstream, from: &Uri, headers: &HeaderMap) -> Option<reqwest::Url> {
    let mut locations = headers.get_all(header::LOCATION).iter();
    let (Some(location), None) = (locations.next(), locations.next()) else { return None };
    asked(upstream, from)?.join(location.to_str().ok()?).ok()
}

fn asked(upstream: &Upstream, path: &Uri) -> Option<reqwest::Url> {
    reqwest::Url::parse(&crate::client::join(&upstream.url, path)?.to_string()).ok()
}

fn within(upstream: &Upstream, from: &Uri, to: &reqwest::Url) -> Option<String> {
    let (base, asked) = (reqwest::Url::parse(&upstream.url.to_string()).ok()?, asked(upstream, from)?);
    if to.origin() != base.origin() || !to.username().is_empty() || to.password().is_some() {
        return None;
    }
    let rest = to.path().strip_prefix(base.path().trim_end_matches('/'))?;
    if !rest.starts_with('/') || to.path() == asked.path() {
        return None;
    }
    Some(to.query().map_or_else(|| rest.to_owned(), |query| format!("{rest}?{query}")))
}

/// A redirect from one path of the upstream to another.
fn relative(from: &Uri, to: &str, status: StatusCode) -> Option<Response<Body>> {
    let up = "../".repeat(from.path().matches('/').count() - 1);
    // Without a step up or a dot, `a:b/c` would be a URL of the scheme `a`.
    let up = if up.is_empty() { "./" } else { &up };
    let location = HeaderValue::from_str(&format!("{up}{}", to.strip_prefix('/')?)).ok()?;
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::LOCATION, location);
    Some(response)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing;

    /// What becomes of an answer to a request for a path.
    async fn judge(
        redirects: Redirects,
        (method, path): (Method, &str),
        response: Response<Body>,
    ) -> Result<Response<Body>, String> {
        let target = Arc::unwrap_or_clone(testing::target(crate::upstream::Auth::Oidc));
        let upstream = Upstream { redirects, ..(*target.upstream).clone() };
        let target = Target { upstream: Arc::new(upstream), ..target };
        let request = Request::builder().method(method).uri(path).body(body::empty()).unwrap();
        let judged = Sent::of(&request).judge(&target, None, response).await;
        judged.map_err(|refusal| refusal.reason)
    }

    /// What becomes of a redirect of `GET /team/app.git/info/refs?service=x`.
    async fn check(redirects: Redirects, location: &str) -> Result<String, String> {
        let response = Response::builder().status(301).header(header::LOCATION, location);
        let response = response.header("set-cookie", "a=b").body(body::empty()).unwrap();
        let asked = (Method::GET, "/team/app.git/info/refs?service=x");
        judge(redirects, asked, response).await.map(|response| {
            assert_eq!((response.status().as_u16(), response.headers().len()), (301, 1));
            response.headers()[header::LOCATION].to_str().unwrap().to_owned()
        })
    }

    #[tokio::test]
    async fn leads_through_the_gateway_or_nowhere() {
        let to = "../../../new/app.git/info/refs?service=x";
        let moved = "this has moved to /new/app.git/info/refs?service=x: ask for it there";
        for location in [
            "http://127.0.0.1:9/base/new/app.git/info/refs?service=x",
            "//127.0.0.1:9/base/new/app.git/info/refs?service=x",
            "/base/new/app.git/info/refs?service=x",
            "../../../new/app.git/info/refs?service=x",
            "/base/x/../new/app.git/info/refs?service=x#y",
        ] {
            assert_eq!(check(Redirects::Follow, location).await.as_deref(), Ok(to), "{location}");
            assert_eq!(check(Redirects::Refuse, location).await, Err(moved.into()), "{location}");
        }
        for location in [
            "https://127.0.0.1:9/base/new",
            "http://127.0.0.1:9.evil.example/base/new",
            "http://evil.example/base/new",
            "http://u:p@127.0.0.1:9/base/new",
            "//evil.example/base/new",
            "http://127.0.0.1:8/base/new",
            "/other/new",
            "/based/new",
            "/base",
            "/base/../new",
            "",
            "?service=y",
        ] {
            let refused = check(Redirects::Follow, location).await.unwrap_err();
            assert!(refused.starts_with("the upstream redirects elsewhere"), "{location}: {refused}");
        }
        let refused = check(Redirects::Follow, "ftp://127.0.0.1/base/new").await.unwrap_err();
        assert_eq!(refused, "the upstream redirects to ftp, which is disabled here");
    }

    #[tokio::test]
    async fn only_what_has_no_body_is_led_on() {
        let response = |status: u16| {
            let response =
                Response::builder().status(status).header(header::LOCATION, "/base/b/git-upload-pack");
            response.body(body::empty()).unwrap()
        };
        let asked = |method| (method, "/a/git-upload-pack");
        let follow = async |method, response| judge(Redirects::Follow, asked(method), response).await;
        let refused = follow(Method::POST, response(307)).await.unwrap_err();
        assert_eq!(refused, "this has moved to /b/git-upload-pack: begin anew there");
        assert!(follow(Method::POST, response(304)).await.is_ok());
        assert!(follow(Method::POST, response(200)).await.is_ok());
        let lost = Response::builder().status(302).body(body::empty()).unwrap();
        assert!(follow(Method::GET, lost).await.is_err());
    }
}
