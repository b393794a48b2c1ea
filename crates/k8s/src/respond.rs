//! What clients are told: `Status` objects, as the API server's own refusals are
//! (`pkg/apis/meta/v1/types.go` of k8s.io/apimachinery).

use http::{HeaderValue, Response, StatusCode, header};
use lockgate_core::{
    body::{self, Body},
    refusal::{Refusal, RefusalKind},
};
use serde_json::{Value, json};

use crate::parse::info::Resource;

/// After so many seconds a client may ask again whether it was approved. client-go does so by itself, on its own for
/// at most ten times.
const RETRY: HeaderValue = HeaderValue::from_static("1");

/// A refusal, as clients print it.
pub(crate) fn refuse(refusal: &Refusal, resource: Option<&Resource>) -> Response<Body> {
    let status = status(refusal.kind);
    answer(status, &document(refusal, status, resource))
}

/// A refusal of what is understood, and must not be stored for what stands in this field.
pub(crate) fn unprocessable(refusal: &Refusal, resource: Option<&Resource>, field: &str) -> Response<Body> {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let mut document = document(refusal, status, resource);
    document["reason"] = "Invalid".into();
    // kubectl prints these, and not the message.
    document["details"]["causes"] = json!([{
        "reason": "FieldValueInvalid",
        "field": field,
        "message": format!("lockgate: {}", refusal.reason),
    }]);
    answer(status, &document)
}

fn answer(status: StatusCode, document: &Value) -> Response<Body> {
    let mut response = Response::new(body::full(document.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(header::RETRY_AFTER, RETRY);
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lockgate\""));
    }
    response
}

/// A 401 makes clients run their plugins again and hides the reason; who waits for people tries again.
fn status(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::ApprovalNeeded => StatusCode::TOO_MANY_REQUESTS,
        RefusalKind::Unauthenticated
        | RefusalKind::Denied
        | RefusalKind::ApprovalDenied
        | RefusalKind::Invalid
        | RefusalKind::TooLarge
        | RefusalKind::NotFound
        | RefusalKind::Timeout
        | RefusalKind::IssuerUnavailable
        | RefusalKind::UpstreamUnavailable
        | RefusalKind::UpstreamTimeout
        | RefusalKind::UpstreamInvalid
        | RefusalKind::RecordingUnavailable
        | RefusalKind::PolicyUnavailable
        | RefusalKind::Internal => kind.status(),
    }
}

fn document(refusal: &Refusal, status: StatusCode, resource: Option<&Resource>) -> Value {
    let rule = refusal.accesses.iter().find_map(|access| access.rule.as_deref());
    let mut details = json!({ "causes": causes(refusal, rule) });
    if let Some(resource) = resource {
        details["kind"] = resource.resource.as_str().into();
        for (name, value) in [("group", &resource.group), ("name", &resource.name)] {
            if !value.is_empty() {
                details[name] = value.as_str().into();
            }
        }
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        details["retryAfterSeconds"] = 1.into();
    }
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": refusal.line(rule),
        "reason": reason(refusal.kind),
        "details": details,
        "code": status.as_u16(),
    })
}

fn causes(refusal: &Refusal, rule: Option<&str>) -> Vec<Value> {
    let cause = |reason: &str, message: &str| json!({ "reason": reason, "message": message });
    let mut causes = vec![cause("LockgateKind", refusal.kind.word())];
    let more = [
        ("LockgateRule", rule),
        ("LockgateUrl", refusal.url.as_deref()),
        ("LockgateCommand", refusal.command.as_deref()),
    ];
    causes.extend(more.into_iter().filter_map(|(reason, message)| Some(cause(reason, message?))));
    causes
}

/// The API server's word for it.
fn reason(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::Unauthenticated => "Unauthorized",
        RefusalKind::Denied | RefusalKind::ApprovalDenied => "Forbidden",
        RefusalKind::ApprovalNeeded => "TooManyRequests",
        RefusalKind::Invalid => "BadRequest",
        RefusalKind::TooLarge => "RequestEntityTooLarge",
        RefusalKind::NotFound => "NotFound",
        RefusalKind::Timeout | RefusalKind::UpstreamTimeout => "Timeout",
        RefusalKind::IssuerUnavailable
        | RefusalKind::UpstreamUnavailable
        | RefusalKind::RecordingUnavailable
        | RefusalKind::PolicyUnavailable => "ServiceUnavailable",
        RefusalKind::UpstreamInvalid | RefusalKind::Internal => "InternalError",
    }
}
