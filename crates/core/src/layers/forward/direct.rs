//! Requests for addresses that the upstream gave, and the redirects of those: within what is allowed alone.

use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};

use super::strip_hop_by_hop;
use crate::{
    body::{self, Body},
    client::Client,
    origin::Origin,
    protocol::Direct,
    refusal::{Refusal, RefusalKind},
    upstream::Upstream,
};

/// Redirects that are followed in a row: storage needs one.
const REDIRECTS: usize = 3;

/// Whether the upstream's credential goes to this address.
pub(super) fn takes_credential(upstream: &Upstream, direct: &Direct) -> bool {
    direct.credential
        && !direct.headers.contains_key(header::AUTHORIZATION)
        && Origin::of(&direct.url).is_some_and(|origin| upstream.is_own(&origin))
}

/// Sets the headers that came with an address, but not those that are about a connection or its framing.
pub(super) fn add_headers(headers: &mut HeaderMap, mut given: HeaderMap) {
    strip_hop_by_hop(&mut given);
    for name in [header::HOST, header::CONTENT_LENGTH, header::EXPECT] {
        given.remove(name);
    }
    for (name, value) in &given {
        let mut value = value.clone();
        value.set_sensitive(true);
        headers.insert(name.clone(), value);
    }
}

/// Sends a prepared request. What is only read from an address that the upstream gave may lie where that
/// redirects to; every other redirect is the answer.
pub(in crate::layers) async fn send(
    client: &Client,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let method = request.method().clone();
    let is_read = method == Method::GET || method == Method::HEAD;
    let follows = is_read && request.extensions().get::<Direct>().is_some();
    if !follows {
        return Ok(client.send(request).await?);
    }
    let (mut url, mut headers) = (request.uri().clone(), request.headers().clone());
    let mut response = client.send(request).await?;
    for _ in 0..REDIRECTS {
        let Some(next) = target(&url, &response) else { return Ok(response) };
        let next = next?;
        if Origin::of(&next) != Origin::of(&url) {
            // What the upstream gave with one address is not for another.
            headers = neutral(&headers);
        }
        let mut request = Request::new(body::empty());
        *request.method_mut() = method.clone();
        (*request.uri_mut(), *request.headers_mut()) = (next.clone(), headers.clone());
        response = client.send(request).await?;
        url = next;
    }
    match target(&url, &response) {
        Some(_) => Err(Refusal::new(RefusalKind::UpstreamInvalid, "the upstream redirects without end")),
        None => Ok(response),
    }
}

/// Where a redirect leads; `None` where the response is none.
fn target(url: &Uri, response: &Response<Body>) -> Option<Result<Uri, Refusal>> {
    let redirects = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let resolved = || {
        let location: Uri = response.headers().get(header::LOCATION)?.as_bytes().try_into().ok()?;
        if location.scheme().is_some() {
            return Some(location);
        }
        let path = location.path_and_query().filter(|path| !path.as_str().starts_with("//"))?;
        let mut parts = url.clone().into_parts();
        parts.path_and_query = Some(path.clone());
        Uri::from_parts(parts).ok().filter(|_| location.authority().is_none())
    };
    let nowhere = || Refusal::new(RefusalKind::UpstreamInvalid, "the upstream redirects to no clear address");
    redirects.then(|| resolved().ok_or_else(nowhere))
}

/// What any server may be told.
fn neutral(headers: &HeaderMap) -> HeaderMap {
    let known =
        [header::ACCEPT, header::ACCEPT_ENCODING, header::IF_RANGE, header::RANGE, header::USER_AGENT];
    let all = known.iter().flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value)));
    all.fold(HeaderMap::new(), |mut all, (name, value)| {
        all.append(name, value.clone());
        all
    })
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{Arc, Mutex},
    };

    use http::HeaderValue;
    use hyper::{body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;

    use super::*;
    use crate::{client::Timeouts, testing, upstream::Auth};

    /// A server that answers `/to/<url>` with a redirect there, and everything else with its path; and what it
    /// was asked, with the credential.
    async fn server() -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (url, asked) = (format!("http://{}", listener.local_addr().unwrap()), Arc::default());
        let seen: Arc<Mutex<Vec<String>>> = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                let answer = service_fn(move |request: Request<Incoming>| {
                    let path = request.uri().path_and_query().unwrap().as_str().to_owned();
                    let credential = request.headers().get(header::AUTHORIZATION);
                    let credential = credential.map_or("", |value| value.to_str().unwrap());
                    assert!(
                        request.headers().contains_key(header::RANGE),
                        "what is read is the same everywhere"
                    );
                    let head = if request.method() == Method::HEAD { "HEAD " } else { "" };
                    seen.lock().unwrap().push(format!("{head}{path} {credential}"));
                    let mut response = Response::new(body::full(path.clone()));
                    if let Some(location) = path.strip_prefix("/to/") {
                        *response.status_mut() = StatusCode::FOUND;
                        response.headers_mut().insert(header::LOCATION, location.parse().unwrap());
                    }
                    async { Ok::<_, Infallible>(response) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(tcp), answer));
            }
        });
        (url, asked)
    }

    async fn fetch(client: &Client, url: &str) -> Result<String, String> {
        ask(client, Method::GET, url).await
    }

    async fn ask(client: &Client, method: Method, url: &str) -> Result<String, String> {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static("signed"))]);
        let direct = Direct { url: url.parse().unwrap(), headers: headers.clone(), credential: false };
        let mut request = Request::builder().method(method).uri(url).body(body::empty()).unwrap();
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::RANGE, HeaderValue::from_static("bytes=1-"));
        request.extensions_mut().insert(direct);
        let response = send(client, request).await.map_err(|refusal| refusal.reason)?;
        Ok(testing::read(response.into_body()).await)
    }

    #[tokio::test]
    async fn follows_redirects_as_far_as_allowed() {
        let ((own, asked), (storage, stored), (stranger, strange)) =
            tokio::join!(server(), server(), server());
        let mut upstream = testing::upstream(Auth::Oidc);
        (upstream.url, upstream.storage) = (own.parse().unwrap(), vec![storage.parse().unwrap()]);
        let client = Client::new(&upstream, Timeouts::default()).unwrap();

        assert_eq!(fetch(&client, &format!("{own}/to//a?b")).await, Ok("/a?b".into()));
        assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), ["/to//a?b signed", "/a?b signed"]);
        assert_eq!(fetch(&client, &format!("{own}/to/{storage}/b")).await, Ok("/b".into()));
        assert_eq!(*stored.lock().unwrap(), ["/b "], "a credential is for one origin");
        ask(&client, Method::HEAD, &format!("{own}/to/{storage}/b")).await.unwrap();
        assert_eq!(stored.lock().unwrap().last().unwrap(), "HEAD /b ");
        let refused = fetch(&client, &format!("{own}/to/{stranger}/c")).await.unwrap_err();
        assert!(refused.contains(&stranger) && refused.contains("`storage`"), "{refused}");
        let refused = fetch(&client, &format!("{stranger}/c")).await.unwrap_err();
        assert!(refused.contains(&stranger), "{refused}");
        assert!(strange.lock().unwrap().is_empty());
        let circle = format!("{own}/to//to//to//to//to//d");
        assert_eq!(fetch(&client, &circle).await.unwrap_err(), "the upstream redirects without end");
        let nowhere = fetch(&client, &format!("{own}/to/relative")).await.unwrap_err();
        assert_eq!(nowhere, "the upstream redirects to no clear address");
    }
}
