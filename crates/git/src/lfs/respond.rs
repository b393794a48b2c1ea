//! Answers in LFS' own JSON, which git-lfs prints the message of.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, response};
use lockgate_core::{
    body::{self, Body},
    protocol::Content,
    refusal::{Refusal, RefusalKind},
};
use serde::Serialize;

use super::{MEDIA_TYPE, body::whole, parse::Message};
use crate::{refname::printable, respond::text};

/// The challenge that git-lfs prefers to `WWW-Authenticate` (git-lfs `docs/api/authentication.md`).
const LFS_AUTHENTICATE: HeaderName = HeaderName::from_static("lfs-authenticate");
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"lockgate\", charset=\"UTF-8\"");

/// Bytes of an upstream's message that are read.
const MESSAGE: usize = 64 * 1024;

/// What the client is told with a failure (git-lfs `docs/api/batch.md`, "Response Errors").
#[derive(Serialize)]
struct Failure<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    documentation_url: Option<&'a str>,
}

/// A refusal.
///
/// git-lfs sends a refused upload again, some times, before it shows why. The only status at which it does not
/// is 422: at that it blames a header, shows nothing, and goes on to push the refs without their content.
pub(crate) fn refuse(refusal: &Refusal) -> Response<Body> {
    let mut lines = text::lines(refusal, &[]);
    // The same rule refuses many objects.
    lines.dedup();
    let mut response = failure(refusal.kind.status(), &lines.join("\n"), refusal.url.as_deref());
    if refusal.kind == RefusalKind::Unauthenticated {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
        response.headers_mut().insert(LFS_AUTHENTICATE, CHALLENGE);
    }
    response
}

/// An upstream's answer that is none of success: its message in words of ours.
///
/// # Errors
/// A refusal for what no client can do anything with, above all redirects: they would lead past this
/// gateway.
pub(super) async fn failed(head: &response::Parts, body: Body) -> Result<Response<Body>, Refusal> {
    if !head.status.is_client_error() && !head.status.is_server_error() {
        let reason = format!("the upstream's LFS server answered {}", head.status.as_u16());
        return Err(Refusal::new(RefusalKind::UpstreamInvalid, reason));
    }
    let text = whole(body, MESSAGE).await.unwrap_or_default();
    let said = serde_json::from_slice::<Message>(&text).map(|message| printable(&message.message));
    let message = match said {
        Ok(message) if !message.is_empty() => message,
        Ok(_) | Err(_) => format!("the upstream's LFS server answered {}", head.status.as_u16()),
    };
    let mut response = failure(head.status, &message, None);
    for name in [header::WWW_AUTHENTICATE, LFS_AUTHENTICATE, header::RETRY_AFTER] {
        for value in head.headers.get_all(&name) {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    Ok(response)
}

/// Storage that refuses: what it says may repeat the address that was signed, so that only its status is
/// told.
pub(super) fn refused_by_storage(status: StatusCode) -> Response<Body> {
    let code = status.as_u16();
    // The one would ask for a credential, the other let git-lfs push the refs without their content.
    let misread = [StatusCode::UNAUTHORIZED, StatusCode::UNPROCESSABLE_ENTITY];
    if status.is_client_error() && !misread.contains(&status) {
        return failure(
            status,
            &format!("lockgate: the upstream's storage of LFS objects answered {code}"),
            None,
        );
    }
    let reason = format!("the upstream's storage of LFS objects answered {code}");
    refuse(&Refusal::new(RefusalKind::UpstreamInvalid, reason))
}

/// An answer of JSON.
pub(super) fn json(status: StatusCode, json: &impl Serialize) -> Response<Body> {
    // Plain values with text as keys can be written always.
    let text = serde_json::to_vec(json).unwrap_or_default();
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn failure(status: StatusCode, message: &str, documentation_url: Option<&str>) -> Response<Body> {
    json(status, &Failure { message, documentation_url })
}

/// Objects are verified by their hash; the rest is text.
pub(super) fn content(headers: &HeaderMap) -> Content {
    match headers.get(header::CONTENT_TYPE) {
        Some(media_type) if media_type == "application/octet-stream" => Content::Opaque,
        Some(_) | None => Content::Text,
    }
}
