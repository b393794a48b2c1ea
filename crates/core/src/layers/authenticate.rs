//! Authenticate: a verified token becomes a caller, and the credential goes no further.
//!
//! Above the recorder, for a recording needs a principal: an unauthenticated request is a log line, not
//! evidence, or anybody could fill the store.

use std::{convert::Infallible, sync::Arc};

use super::{Authenticated, Routed};
use crate::{
    authn::{Authenticator, Presented},
    principal::{Caller, Principal, SessionId},
    protocol::{Common, Protocol},
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
            Auth::Oidc => self.verify(&head, &*target.protocol).await,
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
        let answer = match target.upstream.auth {
            Auth::Oidc => target.protocol.welcome(&caller, &head),
            Auth::Passthrough => None,
        };
        if let Some(answer) = answer {
            return Ok(answer);
        }
        if head.extensions.get::<Common>().is_some() {
            let refusal = Refusal::new(RefusalKind::NotFound, "there is nothing at this address");
            return Ok(target.protocol.refuse(&head, &refusal));
        }
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
    async fn verify(&self, head: &http::request::Parts, protocol: &dyn Protocol) -> Result<Caller, Refusal> {
        let token = match Authenticator::credential(&head.headers)? {
            Some(Presented::Bearer(token)) => match protocol.caller(&token) {
                Some(caller) => return Ok(caller),
                None => token,
            },
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
    use crate::{body::Body, step::StepLayer, testing};

    async fn check(auth: Auth, credential: Option<&str>, expected: Result<(&str, Option<&str>), StatusCode>) {
        let answer = ask(auth, testing::get("/x"), credential, expected.ok()).await;
        assert_eq!(answer.status(), expected.map_or_else(|status| status, |_| StatusCode::OK));
    }

    /// What a request is answered, of which the layer below sees this caller and credential, or nothing.
    async fn ask(
        auth: Auth,
        mut request: Request<Body>,
        credential: Option<&str>,
        below: Option<(&str, Option<&str>)>,
    ) -> http::Response<Body> {
        let expected = below;
        let (below, mut handle) = testing::mocked();
        let authenticator = Authenticator::new(Vec::new()).unwrap();
        let service = StepLayer::new(Authenticate { authenticator }).layer(below);
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
        response.unwrap()
    }

    #[tokio::test]
    async fn refuses_who_is_not_known() {
        check(Auth::Oidc, None, Err(StatusCode::UNAUTHORIZED)).await;
        check(Auth::Oidc, Some("Bearer abc"), Err(StatusCode::UNAUTHORIZED)).await;
        check(Auth::Oidc, Some("Basic !!"), Err(StatusCode::UNAUTHORIZED)).await;
    }

    #[tokio::test]
    async fn a_protocol_knows_the_tokens_that_it_made_and_answers_who_is_known() {
        let caller = testing::caller().principal.to_string();
        check(Auth::Oidc, Some("Bearer toys"), Ok((&caller, None))).await;
        let get = testing::get;
        let known = ask(Auth::Oidc, get("/hello"), Some("Bearer toys"), None).await;
        assert_eq!(testing::read(known.into_body()).await, format!("hello {caller}"));
        let unknown = ask(Auth::Oidc, get("/hello"), None, None).await;
        assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
        let through = Some(("passthrough:anonymous", Some("Bearer toys")));
        ask(Auth::Passthrough, get("/hello"), Some("Bearer toys"), through).await;
    }

    #[tokio::test]
    async fn what_is_common_goes_to_no_upstream() {
        let mut request = testing::get("/x");
        request.extensions_mut().insert(Common);
        let answer = ask(Auth::Oidc, request, Some("Bearer toys"), None).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn passes_the_credential_through_only_where_configured() {
        check(Auth::Passthrough, None, Ok(("passthrough:anonymous", None))).await;
        let basic = "Basic YWRhOnB3";
        check(Auth::Passthrough, Some(basic), Ok(("passthrough:ada", Some(basic)))).await;
        check(Auth::Passthrough, Some("Bearer t"), Ok(("passthrough:anonymous", Some("Bearer t")))).await;
    }
}
