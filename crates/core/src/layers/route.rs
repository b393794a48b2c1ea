//! Route: the host or the path's prefix names the upstream.
//!
//! Outermost, for everything below depends on which upstream it is: how callers are known, what is
//! recorded, in which protocol the answer is.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use super::{Routed, Target};
use crate::{
    body::{self, Body},
    protocol::{Called, Common},
    step::{Next, Rendered, Step},
    upstream::Auth,
};
use http::{
    Request, Response, StatusCode, Uri, header,
    uri::{Authority, PathAndQuery},
};

/// The layer.
pub struct Route {
    targets: HashMap<String, Arc<Target>>,
    hosts: HashMap<String, Arc<Target>>,
    /// Paths that are the gateway's own, with a target whose protocol answers them.
    common: HashMap<&'static str, Arc<Target>>,
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
struct Found {
    target: Arc<Target>,
    uri: Uri,
    called: Option<Called>,
    is_common: bool,
}

impl Route {
    /// Routes to these targets by `/<kind>/<name>/`, or below the root of their protocol, and by their hostnames.
    pub fn new(targets: impl IntoIterator<Item = Arc<Target>>, public: Public) -> Self {
        let mut route =
            Self { targets: HashMap::new(), hosts: HashMap::new(), common: HashMap::new(), public };
        for target in targets {
            let upstream = &target.upstream;
            if let Some(host) = &upstream.host {
                route.hosts.insert(host.as_str().to_ascii_lowercase(), Arc::clone(&target));
            }
            let root = target.protocol.root();
            if upstream.auth == Auth::Oidc {
                for path in root.iter().flat_map(|root| root.common) {
                    route.common.entry(*path).or_insert_with(|| Arc::clone(&target));
                }
            }
            let segment = root.map_or(&*upstream.kind, |root| root.segment);
            route.targets.insert(format!("{segment}/{}", upstream.name), target);
        }
        route
    }

    fn find(&self, request: &Request<Body>) -> Option<Found> {
        let host = host(request);
        if let Some(target) = host.as_ref().and_then(|host| self.hosts.get(host)) {
            let (target, uri, called) = (Arc::clone(target), request.uri().clone(), self.called(host, ""));
            return Some(Found { target, uri, called, is_common: false });
        }
        if let Some(target) = self.common.get(request.uri().path()) {
            let called = match &self.public.url {
                Some(url) => Some(Called(url.to_string().trim_end_matches('/').to_owned())),
                None => self.called(host, ""),
            };
            let (target, uri) = (Arc::clone(target), request.uri().clone());
            return Some(Found { target, uri, called, is_common: true });
        }
        let path = request.uri().path().strip_prefix('/')?;
        // `<kind>/<name>/<rest>`: the prefix ends at the second slash.
        let (kind, rest) = path.split_once('/')?;
        let (name, rest) = rest.split_once('/')?;
        let target = Arc::clone(self.targets.get(&format!("{kind}/{name}"))?);
        let called = match &self.public.url {
            Some(url) => Some(Called(format!("{}/{kind}/{name}", url.to_string().trim_end_matches('/')))),
            None => self.called(host, &format!("/{kind}/{name}")),
        };
        let root = target.protocol.root().map(|root| format!("/{}", root.segment)).unwrap_or_default();
        let path = match request.uri().query() {
            Some(query) => format!("{root}/{rest}?{query}"),
            None => format!("{root}/{rest}"),
        };
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        Some(Found { target, uri: Uri::from_parts(parts).ok()?, called, is_common: false })
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
        let Some(found) = self.find(&request) else {
            tracing::info!(path = request.uri().path(), "refused: no such route");
            let mut response = Response::new(body::full("lockgate: there is nothing at this address\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        };
        *request.uri_mut() = found.uri;
        if let Some(called) = found.called {
            request.extensions_mut().insert(called);
        }
        if found.is_common {
            request.extensions_mut().insert(Common);
        }
        next.run(Routed { target: found.target, request }).await
    }
}

#[cfg(test)]
mod tests {
    use tower::{Layer as _, ServiceExt as _};

    use super::*;
    use crate::{protocol::Root, step::StepLayer, testing};

    #[test]
    fn knows_how_it_was_called() {
        let check = |public: Public, request: http::request::Builder, expected: Option<&str>| {
            let route = Route::new([testing::target(Auth::Oidc)], public);
            let found = route.find(&request.body(body::empty()).unwrap()).unwrap();
            assert_eq!(found.called.map(|called| called.0).as_deref(), expected);
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

    #[test]
    fn a_protocol_may_have_a_root_of_its_own() {
        let target = Arc::unwrap_or_clone(testing::target(Auth::Oidc));
        let root = Root { segment: "v2", common: &["/v2/", "/token"] };
        let protocol = Arc::new(testing::Toy { root: Some(root), ..testing::Toy::default() });
        let route = Route::new([Arc::new(Target { protocol, ..target })], Public::default());
        let check = |uri: &str, expected: Option<(&str, &str, bool)>| {
            let request = Request::get(uri).header(header::HOST, "gate").body(body::empty()).unwrap();
            let found = route.find(&request);
            let found = found.as_ref().map(|found| {
                let path = found.uri.path_and_query().unwrap().as_str();
                (path, found.called.as_ref().unwrap().0.as_str(), found.is_common)
            });
            assert_eq!(found, expected, "{uri}");
        };
        check("/v2/box/a/b?c", Some(("/v2/a/b?c", "http://gate/v2/box", false)));
        check("/v2/box/", Some(("/v2/", "http://gate/v2/box", false)));
        check("/v2/", Some(("/v2/", "http://gate", true)));
        check("/token?a", Some(("/token?a", "http://gate", true)));
        check("/toy/box/a", None);
        check("/v2/other/a", None);
        check("/v2", None);
    }

    #[tokio::test]
    async fn says_nothing_of_what_is_not_there() {
        for path in ["/", "/toy", "/toy/box", "/toy/box2/x", "/git/box/x", "//toy/box/x", "/x/toy/box/"] {
            check(testing::get(path), None).await;
        }
    }
}
