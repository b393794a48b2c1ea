//! Logs of which only so many bytes are asked for (`limitBytes`). The kubelet would cut one anywhere, and what is left
//! of a secret there is not known for one. So the upstream is asked for all, and what is masked is cut here.

use bytes::Bytes;
use futures::{TryStreamExt as _, stream};
use http::{Response, StatusCode, Uri, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use lockgate_core::body::{Body, BodyError};
use percent_encoding::percent_decode_str;

use crate::parse::{info::Resource, query::Query};

const LIMIT: &str = "limitBytes";

/// How many bytes of a log are asked for, where that is a number that the API server takes.
pub(crate) fn limit(resource: &Resource, query: &Query) -> Option<u64> {
    let limit = query.first(LIMIT)?.parse::<i64>().ok().and_then(|limit| u64::try_from(limit).ok());
    let is_log = resource.group.is_empty() && resource.resource == "pods" && resource.subresource == "log";
    limit.filter(|limit| is_log && *limit > 0)
}

/// The address of the whole log.
pub(crate) fn whole(uri: &Uri) -> Option<Uri> {
    let is_limit = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        percent_decode_str(name).decode_utf8().is_ok_and(|name| name == LIMIT)
    };
    let rest: Vec<_> = uri.query().unwrap_or_default().split('&').filter(|pair| !is_limit(pair)).collect();
    format!("{}?{}", uri.path(), rest.join("&")).parse().ok()
}

/// So many bytes of a log at most; what comes behind them is not read.
pub(crate) fn cut(response: Response<Body>, limit: u64) -> Response<Body> {
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut head, body) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    let frames = stream::try_unfold((BodyStream::new(body), limit), async |(mut body, left)| {
        if left == 0 {
            return Ok(None);
        }
        // A log has no trailers.
        let data = body.try_next().await?.and_then(|frame| frame.into_data().ok());
        Ok::<_, BodyError>(data.map(|mut data: Bytes| {
            data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - data.len() as u64;
            (Frame::data(data), (body, left))
        }))
    });
    Response::from_parts(head, StreamBody::new(frames).boxed_unsync())
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use http::Method;

    use super::*;
    use crate::parse::info::Address;

    #[test]
    fn a_limit_is_taken_from_the_address_of_a_log() {
        let check = |path: &str, expected: Option<(u64, &str)>| {
            let uri: Uri = path.parse().unwrap();
            let query = Query::parse(uri.query()).unwrap();
            let info = Address::parse(&Method::GET, &uri, &query).unwrap().info;
            let limit = info.resource().and_then(|resource| limit(resource, &query));
            let found = limit.map(|limit| (limit, whole(&uri).unwrap().to_string()));
            assert_eq!(found, expected.map(|(limit, uri)| (limit, uri.to_owned())), "{path}");
        };
        let log = "/api/v1/namespaces/prod/pods/web/log";
        check(&format!("{log}?limitBytes=10"), Some((10, &format!("{log}?"))));
        check(
            &format!("{log}?follow=1&limit%42ytes=10&tailLines=2"),
            Some((10, &format!("{log}?follow=1&tailLines=2"))),
        );
        check(&format!("{log}?limitBytes=10&limitBytes=10"), Some((10, &format!("{log}?"))));
        // The API server says what is wrong.
        for wrong in ["0", "-1", "x", "", "99999999999999999999"] {
            check(&format!("{log}?limitBytes={wrong}"), None);
        }
        check(log, None);
        check("/api/v1/namespaces/prod/pods/web?limitBytes=10", None);
        check("/apis/a.example/v1/namespaces/prod/pods/web/log?limitBytes=10", None);
    }

    #[test]
    fn a_log_is_cut() {
        let check = |pieces: &[&'static str], limit: u64, expected: &str| {
            let frames: Vec<_> =
                pieces.iter().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))).collect();
            let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
            let cut = cut(Response::new(body), limit).into_body();
            #[expect(clippy::disallowed_methods, reason = "a few bytes")]
            let read = cut.collect().now_or_never().unwrap().unwrap().to_bytes();
            assert_eq!(read, expected);
        };
        check(&["abc", "def"], 4, "abcd");
        check(&["abc", "def"], 3, "abc");
        check(&["abc"], 9, "abc");
        check(&[], 1, "");
    }
}
