//! Classify: the protocol reads what it needs of the request and says what is asked for.
//!
//! Below the recorder, so that also what nobody understands is evidence; above the decision, which is made
//! on the decoded form that the upstream will see. Here refusals of all layers below become answers in the
//! client's own dialect.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{Recorded, Target, Understood, early::Starter, forward};
use crate::{
    access::Outline,
    body::Body,
    policy::{Policy, PolicyHandle},
    principal::Caller,
    protocol::{self, Classified, Context, Early, Probe},
    refusal::{Refusal, RefusalKind},
    spool::Spools,
    step::{Next, Rendered, Step},
};
use futures::future::BoxFuture;
use http::{Request, Response};

/// How long what was begun upstream for a request is ended there, before its client is told that it is refused.
const WITHDRAWN: Duration = Duration::from_secs(5);

/// The layer.
pub struct Classify {
    /// Where protocols keep bodies that must be seen whole.
    pub spools: Spools,
    /// Says what is looked for. Without a policy nothing is, and nothing passes.
    pub policy: PolicyHandle,
}

impl Step<Recorded> for Classify {
    type Out = Understood;
    type Error = Infallible;
    type Below = Refusal;

    async fn run(self: Arc<Self>, recorded: Recorded, next: Next<Understood, Refusal>) -> Rendered {
        let Recorded { target, caller, passthrough, exchange, request } = recorded;
        let (head, body) = request.into_parts();
        if !target.has(&head.method, &head.uri) {
            let refusal = Refusal::new(RefusalKind::NotFound, "there is nothing of this name here");
            exchange.refused(&refusal);
            return Ok(target.protocol.refuse(&head, &refusal));
        }
        let request = Request::from_parts(head.clone(), body);
        let schema = target.protocol.schema();
        let policy = self.policy.current();
        let needs = policy.as_ref().map(|policy| policy.needs(schema.protocol)).unwrap_or_default();
        let prober = Prober { target: &target, passthrough: passthrough.clone() };
        let probe = Foresight { prober, policy, caller: &caller, given_up: OnceLock::new() };
        let starter = Starter::new(&target, &caller, passthrough.as_ref(), &exchange, &self.policy);
        let kept = protocol::RecordedBody::new(exchange.clone());
        let context = Context {
            upstream: &target.upstream,
            principal: &caller.principal,
            session: &caller.session,
            exchange: exchange.id(),
            recorded: Some(&kept),
            spools: &self.spools,
            probe: &probe,
            early: starter.as_ref().map(|starter| starter as &dyn Early),
            needs: &needs,
        };
        let (accesses, request, dialect) = match target.protocol.classify(context, request).await {
            Ok(Classified::Asks { accesses, request, dialect }) => (accesses, request, dialect),
            Ok(Classified::Answer(response)) => return Ok(response),
            Ok(Classified::Refused { refusal, dialect }) => {
                exchange.refused(&refusal);
                return Ok(dialect.refuse(&refusal));
            }
            Err(refusal) => {
                exchange.refused(&refusal);
                return Ok(target.protocol.refuse(&head, &refusal));
            }
        };
        let begun = starter.and_then(Starter::begun);
        let given_up = probe.given_up.into_inner();
        let (protocol, refused_by) = (Arc::clone(&target.protocol), Arc::clone(&target));
        let credential = passthrough.clone();
        let answer = async {
            if accesses.is_empty() {
                return Err(Refusal::new(RefusalKind::Internal, "the request was not understood"));
            }
            exchange.accesses(schema, &accesses).await?;
            let (dialect, exchange) = (Arc::clone(&dialect), exchange.clone());
            let asked = Understood {
                target,
                caller,
                passthrough,
                exchange,
                accesses,
                needs,
                given_up,
                dialect,
                request,
                begun,
            };
            next.run(asked).await
        };
        let refusal = match answer.await {
            Ok(response) => return Ok(response),
            Err(refusal) => refusal,
        };
        exchange.refused(&refusal);
        let prober = Prober { target: &refused_by, passthrough: credential };
        // Who is refused does not wait for an upstream that does not answer.
        drop(tokio::time::timeout(WITHDRAWN, dialect.withdraw(&prober, &refusal)).await);
        // Only the protocol itself asks for a credential.
        if refusal.kind == RefusalKind::Unauthenticated {
            return Ok(protocol.refuse(&head, &refusal));
        }
        Ok(dialect.refuse(&refusal))
    }
}

/// Says while a request is classified whether it may pass at all, and asks the upstream.
struct Foresight<'a> {
    prober: Prober<'a>,
    policy: Option<Arc<Policy>>,
    caller: &'a Caller,
    /// The policy's version, where it can't.
    given_up: OnceLock<String>,
}

impl Probe for Foresight<'_> {
    fn may_pass(&self, outlines: &[Outline]) -> bool {
        // Without a policy nothing passes, and it may be there a moment later.
        let Some(policy) = &self.policy else { return false };
        let may = policy.may_pass(&self.caller.principal, &self.prober.target.upstream.name, outlines);
        if !may {
            self.given_up.get_or_init(|| policy.version().to_owned());
        }
        may
    }

    fn permits(&self, outlines: &[Outline]) -> bool {
        let (principal, upstream) = (&self.caller.principal, &self.prober.target.upstream.name);
        let policy = self.policy.as_ref().filter(|_| outlines.iter().all(|outline| outline.open.is_empty()));
        policy.is_some_and(|policy| policy.foresee(principal, upstream, outlines).is_some())
    }

    fn send(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Refusal>> {
        self.prober.send(request)
    }
}

/// Asks the upstream with the credential that the request itself would go with.
pub(super) struct Prober<'a> {
    pub(super) target: &'a Target,
    pub(super) passthrough: Option<http::HeaderValue>,
}

impl Probe for Prober<'_> {
    fn send(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, Refusal>> {
        Box::pin(async move {
            let request = forward::prepare(self.target, self.passthrough.as_ref(), request).await?;
            forward::direct::send(&self.target.client, request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tower::{Layer as _, ServiceExt as _};

    use super::*;
    use crate::{step::StepLayer, testing, upstream::Auth};

    async fn check(path: &str, below: Result<&'static str, RefusalKind>, expected: (StatusCode, &str)) {
        check_at(testing::target(Auth::Oidc), path, below, expected).await;
    }

    async fn check_at(
        target: Arc<Target>,
        path: &str,
        below: Result<&'static str, RefusalKind>,
        expected: (StatusCode, &str),
    ) {
        let rig = testing::Rig::new().await;
        let service = tower::service_fn(move |asked: Understood| async move {
            assert_eq!(asked.accesses[0].resource, "open");
            assert!(asked.needs.has("path") && !asked.needs.has("color"));
            below.map(|text| testing::text(StatusCode::OK, text)).map_err(|kind| Refusal::new(kind, "why"))
        });
        let service =
            StepLayer::new(Classify { spools: testing::spools(), policy: testing::policy() }).layer(service);
        let recorded = Recorded {
            target,
            caller: testing::caller(),
            passthrough: None,
            exchange: rig.exchange().await,
            request: testing::get(path),
        };
        let response = service.oneshot(recorded).await.unwrap();
        assert_eq!((response.status(), &*testing::read(response.into_body()).await), expected);
    }

    #[tokio::test]
    async fn hands_on_what_was_understood() {
        check("/open", Ok("below"), (StatusCode::OK, "below")).await;
    }

    #[tokio::test]
    async fn answers_by_itself_what_asks_for_nothing() {
        check("/answer", Ok("never"), (StatusCode::OK, "here")).await;
    }

    #[tokio::test]
    async fn knows_nothing_that_is_not_listed() {
        let target = |ignore_case, glob| {
            let target = Arc::unwrap_or_clone(testing::target(Auth::Oidc));
            let resources = Some(Arc::new(crate::policy::Globs::new([glob]).unwrap()));
            let upstream = crate::upstream::Upstream { resources, ignore_case, ..(*target.upstream).clone() };
            Arc::new(Target { upstream: Arc::new(upstream), ..target })
        };
        let nothing = (StatusCode::NOT_FOUND, "protocol: there is nothing of this name here");
        check_at(target(false, "other/**"), "/open", Ok("never"), nothing).await;
        check_at(target(false, "op*"), "/open", Ok("below"), (StatusCode::OK, "below")).await;
        check_at(target(true, "ANSWER"), "/answer", Ok("never"), nothing).await;
        check_at(target(true, "answer"), "/answer", Ok("never"), (StatusCode::OK, "here")).await;
    }

    #[tokio::test]
    async fn renders_refusals_in_the_dialect() {
        check("/nonsense", Ok("never"), (StatusCode::BAD_REQUEST, "protocol: nonsense")).await;
        check("/open", Err(RefusalKind::Denied), (StatusCode::FORBIDDEN, "dialect: why -")).await;
    }
}
