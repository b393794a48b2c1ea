//! Route: the host or the path's prefix names the upstream.
//!
//! Outermost, for everything below depends on which upstream it is: how callers are known, what is
//! recorded, in which protocol the answer is.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use super::{Routed, Target};
use crate::{
    body::{self, Body},
    step::{Next, Rendered, Step},
};
use http::{Request, Response, StatusCode, Uri, header, uri::PathAndQuery};

/// The layer.
pub struct Route {
    targets: HashMap<String, Arc<Target>>,
    hosts: HashMap<String, Arc<Target>>,
}

impl Route {
    /// Routes to these targets by `/<kind>/<name>/` and by their hostnames.
    pub fn new(targets: impl IntoIterator<Item = Arc<Target>>) -> Self {
        let mut route = Self { targets: HashMap::new(), hosts: HashMap::new() };
        for target in targets {
            let upstream = &target.upstream;
            if let Some(host) = &upstream.host {
                route.hosts.insert(host.as_str().to_ascii_lowercase(), Arc::clone(&target));
            }
            route.targets.insert(format!("{}/{}", upstream.kind, upstream.name), target);
        }
        route
    }

    fn find(&self, request: &Request<Body>) -> Option<(Arc<Target>, Uri)> {
        if let Some(target) = host(request).and_then(|host| self.hosts.get(&host)) {
            return Some((Arc::clone(target), request.uri().clone()));
        }
        let path = request.uri().path().strip_prefix('/')?;
        // `<kind>/<name>/<rest>`: the prefix ends at the second slash.
        let (kind, rest) = path.split_once('/')?;
        let (name, rest) = rest.split_once('/')?;
        let target = self.targets.get(&format!("{kind}/{name}"))?;
        let path = match request.uri().query() {
            Some(query) => format!("/{rest}?{query}"),
            None => format!("/{rest}"),
        };
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        Some((Arc::clone(target), Uri::from_parts(parts).ok()?))
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
        let Some((target, uri)) = self.find(&request) else {
            tracing::info!(path = request.uri().path(), "refused: no such route");
            let mut response = Response::new(body::full("lockgate: there is nothing at this address\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        };
        *request.uri_mut() = uri;
        next.run(Routed { target, request }).await
    }
}

#[cfg(test)]
mod tests {
    use tower::{Layer as _, ServiceExt as _};

    use super::*;
    use crate::{step::StepLayer, testing, upstream::Auth};

    /// Sends a request; `Some` is what the layer below gets.
    async fn check(request: Request<Body>, expected: Option<&str>) {
        let (below, mut handle) = testing::mocked();
        let service = StepLayer::new(Route::new([testing::target(Auth::Oidc)])).layer(below);
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
