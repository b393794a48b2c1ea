//! Authenticate: a verified token becomes a caller, and the credential goes no further.
//!
//! Above the recorder, for a recording needs a principal: an unauthenticated request is a log line, not
//! evidence, or anybody could fill the store.

use std::{convert::Infallible, sync::Arc};

use super::{Authenticated, Routed};
use crate::{
    authn::{Authenticator, Presented},
    principal::{Caller, Principal, SessionId},
    refusal::{Refusal, RefusalKind},
    step::{Next, Rendered, Step},
    upstream::{Auth, Upstream},
};
use http::{HeaderValue, Request, header};
use jiff::Timestamp;

/// The layer.
pub struct Authenticate {
    /// Verifies tokens.
    pub authenticator: Authenticator,
}

impl Step<Routed> for Authenticate {
    type Out = Authenticated;
    type Error = Infallible;
    type Below = Infallible;

    async fn run(self: Arc<Self>, routed: Routed, next: Next<Authenticated, Infallible>) -> Rendered {
        let Routed { target, request } = routed;
        let request = match target.upstream.auth {
            Auth::Oidc => match target.protocol.unauthenticated(request).await {
                Ok(answer) => return Ok(answer),
                Err(request) => request,
            },
            // Whether the caller may go on is the upstream's to say, of a probe too.
            Auth::Passthrough => request,
        };
        let (head, body) = request.into_parts();
        let caller = match target.upstream.auth {
            Auth::Oidc => self.verify(&head).await,
            Auth::Passthrough => passthrough(&head, &target.upstream),
        };
        let caller = match caller {
            Ok(caller) => caller,
            Err(refusal) => {
                let (reason, detail) = (&refusal.reason, &refusal.detail);
                tracing::info!(upstream = target.upstream.name, reason, detail, "not authenticated");
                return Ok(target.protocol.refuse(&head, &refusal));
            }
        };
        let mut request = Request::from_parts(head, body);
        let credential = request.headers_mut().remove(header::AUTHORIZATION);
        let passthrough = match target.upstream.auth {
            Auth::Oidc => None,
            Auth::Passthrough => credential.map(sensitive),
        };
        next.run(Authenticated { target, caller, passthrough, request }).await
    }
}

impl Authenticate {
    async fn verify(&self, head: &http::request::Parts) -> Result<Caller, Refusal> {
        let token = match Authenticator::credential(&head.headers)? {
            Some(Presented::Bearer(token)) => token,
            Some(Presented::Basic { password, .. }) => password,
            None => {
                let reason = "a token is needed: as bearer, or as the password of Basic";
                return Err(Refusal::new(RefusalKind::Unauthenticated, reason));
            }
        };
        Ok(self.authenticator.verify(&token).await?)
    }
}

/// The caller of an upstream that passes credentials through: what they call themselves.
fn passthrough(head: &http::request::Parts, upstream: &Upstream) -> Result<Caller, Refusal> {
    let user = match Authenticator::credential(&head.headers)? {
        Some(Presented::Basic { user, .. }) => user,
        Some(Presented::Bearer(_)) | None => None,
    };
    let principal = Arc::new(Principal::passthrough(user.as_deref()));
    // No token says where a run begins, so a session is what one name does on one upstream in one day.
    let day = Timestamp::now().strftime("%F").to_string();
    let session = SessionId::derive(&principal, &[&upstream.name, &day]);
    Ok(Caller { principal, session })
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tower::{Layer as _, ServiceExt as _};

    use super::*;
    use crate::{step::StepLayer, testing};

    async fn check(auth: Auth, credential: Option<&str>, expected: Result<(&str, Option<&str>), StatusCode>) {
        let (below, mut handle) = testing::mocked();
        let authenticator = Authenticator::new(Vec::new()).unwrap();
        let service = StepLayer::new(Authenticate { authenticator }).layer(below);
        let mut request = testing::get("/x");
        if let Some(credential) = credential {
            request.headers_mut().insert(header::AUTHORIZATION, credential.parse().unwrap());
        }
        let serve = async {
            if let Some((input, answer)) = handle.next_request().await {
                let input: Authenticated = input;
                let (who, passed) = expected.expect("should have been refused");
                assert_eq!(input.caller.principal.to_string(), who);
                assert_eq!(input.passthrough.as_ref().map(|value| value.to_str().unwrap()), passed);
                assert!(input.passthrough.is_none_or(|value| value.is_sensitive()));
                assert!(input.request.headers().get(header::AUTHORIZATION).is_none());
                answer.send_response(testing::text(StatusCode::OK, ""));
            }
        };
        let routed = Routed { target: testing::target(auth), request };
        let (response, ()) = tokio::join!(service.oneshot(routed), serve);
        assert_eq!(response.unwrap().status(), expected.map_or_else(|status| status, |_| StatusCode::OK));
    }

    #[tokio::test]
    async fn refuses_who_is_not_known() {
        check(Auth::Oidc, None, Err(StatusCode::UNAUTHORIZED)).await;
        check(Auth::Oidc, Some("Bearer abc"), Err(StatusCode::UNAUTHORIZED)).await;
        check(Auth::Oidc, Some("Basic !!"), Err(StatusCode::UNAUTHORIZED)).await;
    }

    #[tokio::test]
    async fn passes_the_credential_through_only_where_configured() {
        check(Auth::Passthrough, None, Ok(("passthrough:anonymous", None))).await;
        let basic = "Basic YWRhOnB3";
        check(Auth::Passthrough, Some(basic), Ok(("passthrough:ada", Some(basic)))).await;
        check(Auth::Passthrough, Some("Bearer t"), Ok(("passthrough:anonymous", Some("Bearer t")))).await;
    }
}
