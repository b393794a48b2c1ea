//! What is answered before the pipeline: health, and requests that two readers could take for two different
//! ones.

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use lockgate_core::body::{self, Body};

use super::{Ready, framing::Ambiguous};

/// Answers requests for health: `/-/health` while the process lives, `/-/ready` while it can serve.
pub(super) fn health<B>(request: &Request<B>, ready: &Ready) -> Option<Response<Body>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return None;
    }
    match request.uri().path() {
        "/-/health" => Some(text(StatusCode::OK, "ok")),
        "/-/ready" => Some(match ready() {
            Ok(()) => text(StatusCode::OK, "ready"),
            Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, &reason),
        }),
        _ => None,
    }
}

/// Refuses what is not one clear request.
pub(super) fn check<B>(request: &Request<B>, ambiguous: &Ambiguous) -> Result<(), &'static str> {
    if ambiguous.is_set() {
        return Err("a request has one Content-Length, or one Transfer-Encoding: chunked, and not both");
    }
    let fields = request.headers();
    let count = |name| fields.get_all(name).iter().count();
    if count(header::CONTENT_LENGTH) > 1 {
        return Err("a request has one Content-Length");
    }
    if count(header::AUTHORIZATION) > 1 {
        return Err("a request has one Authorization");
    }
    match (request.version(), count(header::HOST), request.uri().authority()) {
        (_, 2.., _) => Err("a request has one Host"),
        (Version::HTTP_11, 0, _) => Err("a request of HTTP/1.1 has a Host"),
        (Version::HTTP_2, 1, Some(authority)) if !same(fields.get(header::HOST), authority.as_str()) => {
            Err("Host and :authority differ")
        }
        _ => Ok(()),
    }
}

fn same(host: Option<&HeaderValue>, authority: &str) -> bool {
    host.is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()))
}

/// The answer to such a request; the connection is of no use afterwards.
pub(super) fn refuse(version: Version, reason: &str) -> Response<Body> {
    let mut response = text(StatusCode::BAD_REQUEST, reason);
    if version < Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The client's body in the pipeline's form.
pub(super) fn incoming(request: Request<Incoming>) -> Request<Body> {
    use http_body_util::BodyExt as _;
    request.map(|body| body.map_err(|error| body::BodyError::Client(error.into())).boxed_unsync())
}

fn text(status: StatusCode, line: &str) -> Response<Body> {
    let mut response = Response::new(body::full(format!("lockgate: {line}\n")));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, uri: &str, fields: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::builder().version(version).uri(uri).body(()).unwrap();
        for (name, value) in fields {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn refuses_what_can_be_read_in_two_ways() {
        let check = |version, uri, fields: &[(&'static str, &'static str)]| {
            check(&request(version, uri, fields), &Ambiguous::default())
        };
        let host = ("host", "a.example");
        assert_eq!(check(Version::HTTP_11, "/", &[host]), Ok(()));
        assert_eq!(check(Version::HTTP_10, "/", &[]), Ok(()));
        assert_eq!(check(Version::HTTP_2, "https://a.example/", &[]), Ok(()));
        assert_eq!(check(Version::HTTP_2, "https://A.example/", &[host]), Ok(()));
        assert!(check(Version::HTTP_2, "https://b.example/", &[host]).is_err());
        assert!(check(Version::HTTP_11, "/", &[]).is_err());
        assert!(check(Version::HTTP_11, "/", &[host, host]).is_err());
        let length = ("content-length", "4");
        assert!(check(Version::HTTP_2, "https://a.example/", &[length, length]).is_err());
        let token = ("authorization", "Bearer x");
        assert!(check(Version::HTTP_11, "/", &[host, token, token]).is_err());
    }

    #[test]
    fn health_tells_whether_it_lives_and_whether_it_can_serve() {
        let status = |path, ready: &Ready| {
            health(&request(Version::HTTP_11, path, &[]), ready).map(|answer| answer.status().as_u16())
        };
        let (well, ill): (Ready, Ready) =
            (std::sync::Arc::new(|| Ok(())), std::sync::Arc::new(|| Err("no policy".into())));
        assert_eq!(status("/-/health", &ill), Some(200));
        assert_eq!(status("/-/ready", &well), Some(200));
        assert_eq!(status("/-/ready", &ill), Some(503));
        assert_eq!(status("/-/other", &well), None);
    }
}
