//! The token server: who is known by a token of an issuer gets one of this gateway's own, as clients of registries
//! ask for it (the distribution project's token specification).

use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use jiff::Timestamp;
use lockgate_core::{
    authn::{Authenticator, Presented},
    body::{self as bodies, Body},
    principal::Caller,
    refusal::{Refusal, RefusalKind},
};
use serde_json::json;
use url::form_urlencoded;

use crate::{body, respond, tokens::Tokens};

/// Bytes of a form at most: tokens of some issuers are long.
const FORM: usize = 96 << 10;

/// Puts the credential of a form where it is looked for; containerd and docker send forms.
pub(super) async fn unauthenticated(request: Request<Body>) -> Result<Response<Body>, Request<Body>> {
    let is_form = request.method() == Method::POST && request.uri().path() == respond::TOKEN;
    if !is_form || request.headers().contains_key(header::AUTHORIZATION) {
        return Err(request);
    }
    let (mut head, body) = request.into_parts();
    let form = match body::read(body, FORM).await {
        Ok(Some(form)) => Ok(form),
        Ok(None) => Err(Refusal::new(RefusalKind::TooLarge, "the form is too large")),
        Err(_) => Err(Refusal::new(RefusalKind::Invalid, "the form broke off")),
    };
    let form = match form {
        Ok(form) => form,
        Err(refusal) => return Ok(respond::refuse(&refusal, None, None)),
    };
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(header::TRANSFER_ENCODING);
    if let Some(credential) = credential(&form) {
        head.headers.insert(header::AUTHORIZATION, credential);
    }
    Err(Request::from_parts(head, bodies::empty()))
}

/// The password of a form, or the token that it calls a refresh token.
fn credential(form: &[u8]) -> Option<HeaderValue> {
    let get = |name: &str| {
        let mut values =
            form_urlencoded::parse(form).filter(|(other, _)| other == name).map(|(_, value)| value);
        values.next().filter(|value| !value.is_empty() && values.next().is_none())
    };
    let token = match &*get("grant_type")? {
        "password" => get("password")?,
        "refresh_token" => get("refresh_token")?,
        _ => return None,
    };
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Gives a token, or says that the caller is known.
pub(super) fn welcome(tokens: &Tokens, caller: &Caller, head: &request::Parts) -> Option<Response<Body>> {
    let is_read = head.method == Method::GET || head.method == Method::HEAD;
    match head.uri.path() {
        respond::TOKEN if is_read || head.method == Method::POST => Some(token(tokens, caller, head)),
        "/v2/" | "/v2" if is_read => Some(respond::base()),
        _ => None,
    }
}

fn token(tokens: &Tokens, caller: &Caller, head: &request::Parts) -> Response<Body> {
    let by = match Authenticator::credential(&head.headers) {
        Ok(Some(Presented::Bearer(token))) => Some(token),
        Ok(Some(Presented::Basic { .. }) | None) | Err(_) => None,
    };
    let Some((token, good)) = tokens.mint(caller, by.as_ref()) else {
        let refusal = Refusal::new(RefusalKind::Internal, "no token can be made");
        return respond::refuse(&refusal, None, Some(StatusCode::SERVICE_UNAVAILABLE));
    };
    tracing::info!(principal = %caller.principal, session = %caller.session, "a token for registries was given");
    let answer = json!({
        "token": token.expose(),
        "access_token": token.expose(),
        "expires_in": good.as_secs(),
        "issued_at": Timestamp::now().to_string(),
    });
    let mut response = Response::new(bodies::full(answer.to_string()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use lockgate_core::{
        principal::{Principal, SessionId},
        secret::Secret,
    };

    use super::*;

    async fn form(text: &str) -> Option<String> {
        let request = Request::post("/token").body(bodies::full(text.to_owned())).unwrap();
        let request = unauthenticated(request).await.unwrap_err();
        request.headers().get(header::AUTHORIZATION).map(|value| {
            assert!(value.is_sensitive());
            value.to_str().unwrap().to_owned()
        })
    }

    #[tokio::test]
    async fn forms_bring_credentials() {
        let docker =
            "grant_type=password&service=gate&client_id=docker&username=oidc&password=a.b%2Bc&scope=x";
        assert_eq!(form(docker).await.as_deref(), Some("Bearer a.b+c"));
        assert_eq!(form("grant_type=refresh_token&refresh_token=t").await.as_deref(), Some("Bearer t"));
        for none in [
            "",
            "grant_type=password",
            "password=x",
            "grant_type=password&password=a&password=b",
            "grant_type=code&password=x",
            "grant_type=password&password=%0a",
        ] {
            assert_eq!(form(none).await, None, "{none}");
        }
        let large = Request::post("/token").body(bodies::full(vec![b'a'; FORM + 1])).unwrap();
        assert_eq!(unauthenticated(large).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
        let other = Request::post("/v2/").body(bodies::empty()).unwrap();
        assert!(unauthenticated(other).await.is_err());
    }

    #[tokio::test]
    async fn who_is_known_gets_a_token() {
        let principal = Arc::new(Principal::passthrough(Some("ada")));
        let caller = Caller { session: SessionId::derive(&principal, &[]), principal };
        let tokens = Tokens::new(Duration::from_secs(60), &[7; 32]);
        let ask = |method: Method, path: &str| {
            let (head, ()) = Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
            welcome(&tokens, &caller, &head)
        };
        let response = ask(Method::GET, "/token?service=gate&scope=repository:a:pull").unwrap();
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let bytes = body::read(response.into_body(), 4096).await.unwrap().unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((&answer["expires_in"], &answer["token"]), (&json!(60), &answer["access_token"]));
        let token = Secret::new(answer["token"].as_str().unwrap());
        assert_eq!(tokens.caller(&token).unwrap().principal.subject, "ada");
        assert_eq!(ask(Method::GET, "/v2/").unwrap().status(), StatusCode::OK);
        assert!(ask(Method::GET, "/v2/_catalog").is_none());
        assert!(ask(Method::DELETE, "/token").is_none());
    }
}
