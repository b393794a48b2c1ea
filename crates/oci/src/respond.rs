//! What clients are told: errors as registries write them, and answers that lead back to this gateway.

mod answers;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request};
use lockgate_core::{
    body::{self, Body},
    protocol::Called,
    refusal::{Refusal, RefusalKind},
};
use serde_json::json;

pub(crate) use self::answers::{Answers, Shape};
use crate::{parse::route::Endpoint, place::Place};

/// The version of the API, of which old clients want to be told.
const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));

/// A registry's word for what is wrong, where the refusal's kind does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    ManifestInvalid,
    ManifestUnknown,
    ManifestBlobUnknown,
    DigestInvalid,
    BlobUploadUnknown,
    BlobUploadInvalid,
    Unsupported,
    NameInvalid,
    TooManyRequests,
}

impl Code {
    fn word(self) -> &'static str {
        match self {
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::Unsupported => "UNSUPPORTED",
            Self::NameInvalid => "NAME_INVALID",
            Self::TooManyRequests => "TOOMANYREQUESTS",
        }
    }
}

/// A refusal as a registry writes it: all clients print `message`.
pub(crate) fn refuse(refusal: &Refusal, code: Option<Code>, status: Option<StatusCode>) -> Response<Body> {
    let is_invalid = refusal.kind == RefusalKind::Invalid;
    let word = code.filter(|_| is_invalid || refusal.kind == RefusalKind::NotFound);
    let rule = refusal.accesses.iter().find_map(|access| access.rule.as_deref());
    let mut detail = json!({ "kind": refusal.kind.word() });
    let more = [("rule", rule), ("url", refusal.url.as_deref()), ("command", refusal.command.as_deref())];
    for (name, value) in more {
        if let Some(value) = value {
            detail[name] = value.into();
        }
    }
    let error = json!({
        "code": word.map_or_else(|| self::word(refusal.kind), Code::word),
        "message": refusal.line(rule),
        "detail": detail,
    });
    let mut response = Response::new(body::full(json!({ "errors": [error] }).to_string()));
    *response.status_mut() = status.unwrap_or_else(|| refusal.kind.status());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(VERSION.0, VERSION.1);
    response
}

/// Tells who has to wait for people to try again.
fn retry(refusal: &Refusal) -> Response<Body> {
    let mut response = refuse(refusal, None, Some(StatusCode::TOO_MANY_REQUESTS));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn word(kind: RefusalKind) -> &'static str {
    match kind {
        RefusalKind::Unauthenticated => "UNAUTHORIZED",
        RefusalKind::Denied | RefusalKind::ApprovalNeeded | RefusalKind::ApprovalDenied => "DENIED",
        RefusalKind::Invalid => "UNSUPPORTED",
        RefusalKind::TooLarge => "SIZE_INVALID",
        RefusalKind::NotFound => "NAME_UNKNOWN",
        RefusalKind::Timeout
        | RefusalKind::IssuerUnavailable
        | RefusalKind::UpstreamUnavailable
        | RefusalKind::UpstreamTimeout
        | RefusalKind::UpstreamInvalid
        | RefusalKind::RecordingUnavailable
        | RefusalKind::PolicyUnavailable
        | RefusalKind::Internal => "UNAVAILABLE",
    }
}

/// A refusal of what was not understood, or of whom nobody knows: then with where a token is to be had.
pub(crate) fn refuse_plainly(head: &request::Parts, refusal: &Refusal) -> Response<Body> {
    let mut response = refuse(refusal, None, None);
    // Who asks for a token has no use for a challenge.
    if refusal.kind == RefusalKind::Unauthenticated && head.uri.path() != TOKEN {
        challenge(head, response.headers_mut());
    }
    response
}

/// Where tokens are to be had.
pub(crate) const TOKEN: &str = "/token";

/// Asks for a token on every path: some clients never ask for the root.
fn challenge(head: &request::Parts, headers: &mut HeaderMap) {
    let called = head.extensions.get::<Called>();
    let origin = called.and_then(|called| origin(&called.0));
    let service =
        origin.as_deref().and_then(|origin| origin.split_once("://")).map_or("lockgate", |(_, host)| host);
    let mut text =
        format!("Bearer realm=\"{}{TOKEN}\",service=\"{service}\"", origin.as_deref().unwrap_or_default());
    if let Some(scope) = scope(head, called) {
        text += &format!(",scope=\"{scope}\"");
    }
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(header::WWW_AUTHENTICATE, value);
    }
}

fn origin(called: &str) -> Option<String> {
    let (scheme, rest) = called.split_once("://")?;
    let host = rest.split('/').next()?;
    // A host with other characters would end the quotes.
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
    host.chars().all(is_host).then(|| format!("{scheme}://{host}"))
}

/// What a token would be for, by the names that the client uses.
fn scope(head: &request::Parts, called: Option<&Called>) -> Option<String> {
    let endpoint = Endpoint::parse(head.uri.path()).ok()?;
    let actions = if head.method.is_safe() { "pull" } else { "pull,push" };
    match (&endpoint, endpoint.repository()) {
        (Endpoint::Catalog, _) => Some("registry:catalog:*".to_owned()),
        (_, Some(repository)) => {
            let prefix = Place::prefix(called);
            Some(format!("repository:{prefix}{repository}:{actions}"))
        }
        (_, None) => None,
    }
}

/// What says that there is a registry, and that the caller is known.
pub(crate) fn base() -> Response<Body> {
    let mut response = Response::new(body::full("{}"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(VERSION.0, VERSION.1);
    response
}

#[cfg(test)]
mod tests {
    use http::Request;
    use lockgate_core::refusal::AccessRefusal;

    use super::*;

    async fn text(response: Response<Body>) -> String {
        let bytes = crate::body::read(response.into_body(), 1 << 16).await.unwrap().unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn refusals_are_errors_of_a_registry() {
        let refusal = Refusal::new(RefusalKind::Denied, "not \"today\"").with_url("https://gate/approvals/1");
        let response = refuse(&refusal, Some(Code::DigestInvalid), None);
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let text = text(response).await;
        let body: serde_json::Value = serde_json::from_str(&text).unwrap();
        let error = &body["errors"][0];
        assert_eq!(error["code"], "DENIED");
        assert_eq!(error["message"], "lockgate: not \"today\"; approve at https://gate/approvals/1");
        assert_eq!(error["detail"]["kind"], "denied");
    }

    #[tokio::test]
    async fn a_rule_is_named_and_a_code_said() {
        let access = AccessRefusal { rule: Some("r1".into()), reason: "why".into() };
        let refusal = Refusal::new(RefusalKind::Invalid, "why").with_accesses(vec![access]);
        let body: serde_json::Value =
            serde_json::from_str(&text(refuse(&refusal, Some(Code::DigestInvalid), None)).await).unwrap();
        assert_eq!(body["errors"][0]["code"], "DIGEST_INVALID");
        assert_eq!(body["errors"][0]["message"], "lockgate: why (rule r1)");
    }

    #[test]
    fn who_waits_may_try_again() {
        let response = retry(&Refusal::new(RefusalKind::ApprovalNeeded, "people"));
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn who_is_not_known_is_told_where_tokens_are() {
        let check = |method: &str, path: &str, called: Option<&str>, expected: Option<&str>| {
            let mut request = Request::builder().method(method).uri(path).body(()).unwrap();
            if let Some(called) = called {
                request.extensions_mut().insert(Called(called.into()));
            }
            let (head, ()) = request.into_parts();
            let response = refuse_plainly(&head, &Refusal::new(RefusalKind::Unauthenticated, "who"));
            let value = response.headers().get(header::WWW_AUTHENTICATE).map(|value| value.to_str().unwrap());
            assert_eq!(value, expected);
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        };
        let (root, hub) = (Some("http://gate:1"), Some("https://gate/v2/hub"));
        check("GET", "/v2/", root, Some("Bearer realm=\"http://gate:1/token\",service=\"gate:1\""));
        let scoped = "Bearer realm=\"https://gate/token\",service=\"gate\",scope=\"repository:hub/a/b:pull\"";
        check("GET", "/v2/a/b/manifests/x", hub, Some(scoped));
        let scoped =
            "Bearer realm=\"https://gate/token\",service=\"gate\",scope=\"repository:hub/a:pull,push\"";
        check("POST", "/v2/a/blobs/uploads/", hub, Some(scoped));
        check(
            "GET",
            "/v2/_catalog",
            None,
            Some("Bearer realm=\"/token\",service=\"lockgate\",scope=\"registry:catalog:*\""),
        );
        check("GET", "/token", root, None);
        check("GET", "/v2/", Some("http://a\"b/"), Some("Bearer realm=\"/token\",service=\"lockgate\""));
    }
}
