//! What becomes of an upstream's redirect: it is never handed on as it is.
//!
//! It names an address at which the client would go around the gateway, and take what it is allowed to do
//! under one name for what it does under another. So it is refused, or written anew to lead through the
//! gateway, where the new name is judged as any: by where it leads from the request's own address, which
//! suits every route to the upstream.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};

use crate::{
    body::{self, Body},
    refusal::{Refusal, RefusalKind},
    upstream::{Redirects, Upstream},
};

/// Judges an answer. `path` is the request's, relative to the upstream.
pub(super) fn judge(
    upstream: &Upstream,
    (method, path): (&Method, &Uri),
    response: Response<Body>,
) -> Result<Response<Body>, Refusal> {
    let status = response.status();
    if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
        return Ok(response);
    }
    let refused = |reason: String| Err(Refusal::new(RefusalKind::UpstreamInvalid, reason));
    let Some(place) = place(upstream, path, response.headers()) else {
        return refused("the upstream redirects elsewhere, where this gateway does not lead".into());
    };
    let safe = *method == Method::GET || *method == Method::HEAD;
    match upstream.redirects {
        Redirects::Follow if safe => relative(path, &place, status)
            .map_or_else(|| refused("the upstream redirects to what is no address".into()), Ok),
        Redirects::Follow => refused(format!("this has moved to {place}: begin anew there")),
        Redirects::Refuse => refused(format!("this has moved to {place}: ask for it there")),
    }
}

/// Where it leads, relative to the upstream; `None` where that is somewhere else.
fn place(upstream: &Upstream, path: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut locations = headers.get_all(header::LOCATION).iter();
    let (Some(location), None) = (locations.next(), locations.next()) else { return None };
    let base = reqwest::Url::parse(&upstream.url.to_string()).ok()?;
    let asked = reqwest::Url::parse(&crate::client::join(&upstream.url, path)?.to_string()).ok()?;
    let to = asked.join(location.to_str().ok()?).ok()?;
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
    use super::*;
    use crate::testing;

    /// What becomes of a redirect of `GET /team/app.git/info/refs?service=x`.
    fn check(redirects: Redirects, location: &str) -> Result<String, String> {
        let upstream = Upstream { redirects, ..testing::upstream(crate::upstream::Auth::Oidc) };
        let path: Uri = "/team/app.git/info/refs?service=x".parse().unwrap();
        let response = Response::builder().status(301).header(header::LOCATION, location);
        let response = response.header("set-cookie", "a=b").body(body::empty()).unwrap();
        let judged = judge(&upstream, (&Method::GET, &path), response);
        judged.map_err(|refusal| refusal.reason).map(|response| {
            assert_eq!((response.status().as_u16(), response.headers().len()), (301, 1));
            response.headers()[header::LOCATION].to_str().unwrap().to_owned()
        })
    }

    #[test]
    fn leads_through_the_gateway_or_nowhere() {
        let to = "../../../new/app.git/info/refs?service=x";
        let moved = "this has moved to /new/app.git/info/refs?service=x: ask for it there";
        for location in [
            "http://127.0.0.1:9/base/new/app.git/info/refs?service=x",
            "//127.0.0.1:9/base/new/app.git/info/refs?service=x",
            "/base/new/app.git/info/refs?service=x",
            "../../../new/app.git/info/refs?service=x",
            "/base/x/../new/app.git/info/refs?service=x#y",
        ] {
            assert_eq!(check(Redirects::Follow, location).as_deref(), Ok(to), "{location}");
            assert_eq!(check(Redirects::Refuse, location), Err(moved.into()), "{location}");
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
            "javascript:alert(1)",
            "",
            "?service=y",
        ] {
            let refused = check(Redirects::Follow, location).unwrap_err();
            assert!(refused.starts_with("the upstream redirects elsewhere"), "{location}: {refused}");
        }
    }

    #[test]
    fn only_what_has_no_body_is_led_on() {
        let upstream =
            Upstream { redirects: Redirects::Follow, ..testing::upstream(crate::upstream::Auth::Oidc) };
        let path: Uri = "/a/git-upload-pack".parse().unwrap();
        let response = |status: u16| {
            let response =
                Response::builder().status(status).header(header::LOCATION, "/base/b/git-upload-pack");
            response.body(body::empty()).unwrap()
        };
        let refused = judge(&upstream, (&Method::POST, &path), response(307)).unwrap_err();
        assert_eq!(refused.reason, "this has moved to /b/git-upload-pack: begin anew there");
        assert!(judge(&upstream, (&Method::POST, &path), response(304)).is_ok());
        assert!(judge(&upstream, (&Method::POST, &path), response(200)).is_ok());
        let lost = Response::builder().status(302).body(body::empty()).unwrap();
        assert!(judge(&upstream, (&Method::GET, &path), lost).is_err());
    }
}
