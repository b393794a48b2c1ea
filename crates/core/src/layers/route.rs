//! Route: the host or the path's prefix names the upstream.
//!
//! Outermost, for everything below depends on which upstream it is: how callers are known, what is
//! recorded, in which protocol the answer is.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use super::{Routed, Target};
use crate::{
    body::{self, Body},
    protocol::Called,
    step::{Next, Rendered, Step},
};
use http::{
    Request, Response, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery},
};

/// The layer.
pub struct Route {
    targets: HashMap<String, Arc<Target>>,
    hosts: HashMap<String, Arc<Target>>,
    public: Public,
}

/// How clients call this gateway, so that addresses in answers can lead back to it.
#[derive(Debug, Clone, Default)]
pub struct Public {
    /// The URL, where that is not simply its address: behind a load balancer, say.
    pub url: Option<Uri>,
    /// Whether the gateway itself takes TLS.
    pub tls: bool,
}

/// A request's target, its address relative to that, and how the client called it.
type Found = (Arc<Target>, Uri, Option<Called>);

impl Route {
    /// Routes to these targets by `/<kind>/<name>/` and by their hostnames.
    pub fn new(targets: impl IntoIterator<Item = Arc<Target>>, public: Public) -> Self {
        let mut route = Self { targets: HashMap::new(), hosts: HashMap::new(), public };
        for target in targets {
            let upstream = &target.upstream;
            if let Some(host) = &upstream.host {
                route.hosts.insert(host.as_str().to_ascii_lowercase(), Arc::clone(&target));
            }
            route.targets.insert(format!("{}/{}", upstream.kind, upstream.name), target);
        }
        route
    }

    fn find(&self, request: &Request<Body>) -> Option<Found> {
        let host = host(request);
        if let Some(target) = host.as_ref().and_then(|host| self.hosts.get(host)) {
            let called = self.called(host, "");
            return Some((Arc::clone(target), request.uri().clone(), called));
        }
        let path = request.uri().path().strip_prefix('/')?;
        // `<kind>/<name>/<rest>`: the prefix ends at the second slash.
        let (kind, rest) = path.split_once('/')?;
        let (name, rest) = rest.split_once('/')?;
        let target = self.targets.get(&format!("{kind}/{name}"))?;
        let called = match &self.public.url {
            Some(url) => Some(Called(format!("{}/{kind}/{name}", url.to_string().trim_end_matches('/')))),
            None => self.called(host, &format!("/{kind}/{name}")),
        };
        let path = match request.uri().query() {
            Some(query) => format!("/{rest}?{query}"),
            None => format!("/{rest}"),
        };
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        Some((Arc::clone(target), Uri::from_parts(parts).ok()?, called))
    }

    /// By the host that the client addressed: the answer is for nobody else, so it may be told what it said.
    fn called(&self, host: Option<String>, path: &str) -> Option<Called> {
        let authority = host?.parse::<Authority>().ok()?;
        let scheme = match self.public.url.as_ref().and_then(Uri::scheme_str) {
            Some(scheme) => scheme,
            None if self.public.tls => "https",
            None => "http",
        };
        (!authority.as_str().contains('@')).then(|| Called(format!("{scheme}://{authority}{path}")))
    }
}

/// The host that the client addressed: HTTP/2's `:authority`, else the `Host` header.
fn host(request: &Request<Body>) -> Option<String> {
    let host = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(header::HOST)?.to_str().ok()?,
    };
    Some(host.to_ascii_lowercase())
}

impl Step<Request<Body>> for Route {
    type Out = Routed;
    type Error = Infallible;
    type Below = Infallible;

    async fn run(self: Arc<Self>, mut request: Request<Body>, next: Next<Routed, Infallible>) -> Rendered {
        let Some((target, uri, called)) = self.find(&request) else {
            tracing::info!(path = request.uri().path(), "refused: no such route");
            let mut response = Response::new(body::full("lockgate: there is nothing at this address\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        };
        *request.uri_mut() = uri;
        if let Some(called) = called {
            request.extensions_mut().insert(called);
        }
        next.run(Routed { target, request }).await
    }
}

#[cfg(test)]
mod tests {
    use tower::{Layer as _, ServiceExt as _};

    use super::*;
    use crate::{step::StepLayer, testing, upstream::Auth};

    #[test]
    fn knows_how_it_was_called() {
        let check = |public: Public, request: http::request::Builder, expected: Option<&str>| {
            let route = Route::new([testing::target(Auth::Oidc)], public);
            let (_, _, called) = route.find(&request.body(body::empty()).unwrap()).unwrap();
            assert_eq!(called.map(|called| called.0).as_deref(), expected);
        };
        let (plain, tls) = (Public::default(), Public { url: None, tls: true });
        let public = Public { url: Some("https://gate.example/".parse().unwrap()), tls: false };
        let to = |uri: &str, host: &str| Request::get(uri).header(header::HOST, host);
        check(plain.clone(), to("/toy/box/a", "10.0.0.1:8080"), Some("http://10.0.0.1:8080/toy/box"));
        check(tls.clone(), to("/toy/box/a", "Gate"), Some("https://gate/toy/box"));
        check(tls, Request::get("https://gate:1/toy/box/a"), Some("https://gate:1/toy/box"));
        check(plain.clone(), to("/a", "box.example"), Some("http://box.example"));
        check(public.clone(), to("/a", "box.example"), Some("https://box.example"));
        check(public, to("/toy/box/a", "10.0.0.1:8080"), Some("https://gate.example/toy/box"));
        check(plain.clone(), Request::get("/toy/box/a"), None);
        check(plain, to("/toy/box/a", "user@gate"), None);
    }

    /// Sends a request; `Some` is what the layer below gets.
    async fn check(request: Request<Body>, expected: Option<&str>) {
        let (below, mut handle) = testing::mocked();
        let service =
            StepLayer::new(Route::new([testing::target(Auth::Oidc)], Public::default())).layer(below);
        let serve = async {
            if let Some((routed, answer)) = handle.next_request().await {
                let routed: Routed = routed;
                assert_eq!(Some(routed.request.uri().to_string().as_str()), expected);
                answer.send_response(testing::text(StatusCode::OK, "routed"));
            }
        };
        let (response, ()) = tokio::join!(service.oneshot(request), serve);
        let status = if expected.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        assert_eq!(response.unwrap().status(), status);
    }

    #[tokio::test]
    async fn routes_by_prefix() {
        check(testing::get("/toy/box/a/b?c=d"), Some("/a/b?c=d")).await;
        check(testing::get("/toy/box/"), Some("/")).await;
        check(testing::get("/toy/box/a%2Fb"), Some("/a%2Fb")).await;
        check(testing::get("http://h/toy/box/a"), Some("http://h/a")).await;
    }

    #[tokio::test]
    async fn routes_by_host() {
        check(testing::get("http://BOX.example/toy/box/a"), Some("http://BOX.example/toy/box/a")).await;
        let request = Request::get("/x").header(header::HOST, "box.example").body(body::empty()).unwrap();
        check(request, Some("/x")).await;
    }

    #[tokio::test]
    async fn says_nothing_of_what_is_not_there() {
        for path in ["/", "/toy", "/toy/box", "/toy/box2/x", "/git/box/x", "//toy/box/x", "/x/toy/box/"] {
            check(testing::get(path), None).await;
        }
    }
}
