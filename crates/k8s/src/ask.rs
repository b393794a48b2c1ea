//! What the API server is asked, as the caller, while a request is read or shown to people.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use lockgate_core::{
    body,
    protocol::{Probe, Sets},
    refusal::Refusal,
};
use serde_json::Value;

use crate::body::answered;

/// Sends a request and reads the object in its answer; null where an answer that is no success holds none.
///
/// # Errors
/// A refusal where there is no answer, or a success without an object.
pub(crate) async fn ask(
    probe: &dyn Probe,
    request: Request<Bytes>,
    identity: &HeaderMap,
) -> Result<(StatusCode, Value), Refusal> {
    let (mut head, content) = request.into_parts();
    head.extensions.insert(Sets(identity.clone()));
    head.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let body = if content.is_empty() {
        body::empty()
    } else {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content.len()));
        body::full(content)
    };
    let response = probe.send(Request::from_parts(head, body)).await?;
    let status = response.status();
    let answered = answered(response.into_body()).await;
    Ok((status, if status.is_success() { answered? } else { answered.unwrap_or_default() }))
}
