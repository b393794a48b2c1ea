//! Decide: the policy's verdict on everything that the request asks for.
//!
//! After the meaning is known and before anything is done for it. Without a policy nothing passes.

use std::sync::Arc;

use super::{Decided, Understood, classify::Prober};
use crate::{
    body::Body,
    policy::{Policy, PolicyHandle, Sight},
    protocol::{Narrow, Narrowed, Permits},
    refusal::{AccessRefusal, Refusal, RefusalKind},
    step::{Next, Step},
    upstream::Auth,
    verdict::{Effect, Grounds, Verdict},
};
use http::Response;

/// The layer.
pub struct Decide {
    /// The policy in force, if there is one.
    pub policy: PolicyHandle,
}

impl Step<Understood> for Decide {
    type Out = Decided;
    type Error = Refusal;
    type Below = Refusal;

    async fn run(
        self: Arc<Self>,
        asked: Understood,
        next: Next<Decided, Refusal>,
    ) -> Result<Response<Body>, Refusal> {
        let policy = in_force(&self.policy)?;
        let verdict = judge(&policy, &asked)?;
        asked.exchange.verdict(&verdict).await?;
        if let Verdict::Denial(denial) = &verdict {
            return Err(refuse(kind_of_denial(&asked), denial.grounds()));
        }
        let asked = narrow(&policy, asked).await?;
        next.run(Decided { verdict, asked }).await
    }
}

/// Who came without the credential of their own that the upstream takes may be asked for it.
fn kind_of_denial(asked: &Understood) -> RefusalKind {
    match (asked.target.upstream.auth, &asked.passthrough) {
        (Auth::Passthrough, None) => RefusalKind::Unauthenticated,
        (Auth::Oidc, _) | (Auth::Passthrough, Some(_)) => RefusalKind::Denied,
    }
}

/// The policy in force; a refusal where there is none.
pub(super) fn in_force(policy: &PolicyHandle) -> Result<Arc<Policy>, Refusal> {
    let missing = || Refusal::new(RefusalKind::PolicyUnavailable, "there is no policy in force");
    policy.current().ok_or_else(missing)
}

/// What a policy says.
pub(super) fn judge(policy: &Policy, asked: &Understood) -> Result<Verdict, Refusal> {
    let Understood { target, caller, accesses, needs, given_up, .. } = asked;
    let judged = || policy.judge(&caller.principal, &target.upstream.name, accesses);
    // A request takes long to read; what a newer policy asks was not looked for in it.
    let verdict = match given_up {
        None => needs.cover(&policy.needs(target.protocol.schema().protocol)).then(judged),
        // What speaks against it may be among what was not looked for.
        Some(version) => Some(judged())
            .filter(|verdict| policy.version() == version && matches!(verdict, Verdict::Denial(_))),
    };
    let reason = "the policy changed while the request was read; try again";
    verdict.ok_or_else(|| Refusal::new(RefusalKind::PolicyUnavailable, reason))
}

/// Lets a request read no more than the policy shows of what it asks for.
pub(super) async fn narrow(policy: &Arc<Policy>, asked: Understood) -> Result<Understood, Refusal> {
    let upstream = &asked.target.upstream.name;
    let sights =
        asked.accesses.iter().filter_map(|access| policy.sight(&asked.caller.principal, upstream, access));
    let sights: Vec<Sight> = sights.collect();
    if sights.is_empty() {
        return Ok(asked);
    }
    let permits: Permits = Arc::new(move |part| sights.iter().all(|sight| sight.permits(part)));
    let Understood { target, passthrough, dialect, request, .. } = asked;
    let probe = Prober { target: &target, passthrough: passthrough.clone() };
    let narrowed = dialect.narrow(Narrow { permits: &permits, probe: &probe }, request).await?;
    let Narrowed { request, dialect } = narrowed;
    Ok(Understood { target, passthrough, dialect, request, ..asked })
}

/// A refusal with the reason of each access; what was allowed fails with the rest, and says so.
pub(super) fn refuse(kind: RefusalKind, grounds: &Grounds) -> Refusal {
    let worst = grounds.accesses.iter().map(|ground| ground.effect).max().unwrap_or(Effect::Deny);
    let reason = grounds
        .accesses
        .iter()
        .find(|ground| ground.effect == worst)
        .map_or_else(|| "no rule allows this".to_owned(), |ground| ground.reason.clone());
    let accesses = grounds.accesses.iter().map(|ground| AccessRefusal {
        reason: match ground.effect {
            Effect::Allow => "refused together with the others".to_owned(),
            Effect::RequireApproval | Effect::Deny => ground.reason.clone(),
        },
        rule: ground.rules.first().cloned(),
    });
    Refusal::new(kind, reason).with_accesses(accesses.collect())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tower::{Layer as _, ServiceExt as _};

    use super::*;
    use crate::{policy::Policy, step::StepLayer, testing};

    async fn check(policy: PolicyHandle, path: &str, expected: Result<&str, RefusalKind>) {
        let rig = testing::Rig::new().await;
        let (below, mut handle) = testing::mocked();
        let service = StepLayer::new(Decide { policy }).layer(below);
        let serve = async {
            if let Some((decided, answer)) = handle.next_request().await {
                let decided: Decided = decided;
                assert_eq!(Ok(decided.verdict.word()), expected);
                answer.send_response(testing::text(StatusCode::OK, ""));
            }
        };
        let asked = rig.asked(testing::get(path)).await;
        let (result, ()) = tokio::join!(service.oneshot(asked), serve);
        assert_eq!(result.map(drop).map_err(|refusal| refusal.kind), expected.map(drop));
    }

    #[tokio::test]
    async fn permits_holds_and_refuses() {
        check(testing::policy(), "/open/x", Ok("permit")).await;
        check(testing::policy(), "/held", Ok("hold")).await;
        check(testing::policy(), "/other", Err(RefusalKind::Denied)).await;
    }

    /// What a policy asks that came meanwhile was not looked for.
    #[tokio::test]
    async fn what_was_read_for_another_policy_is_refused() {
        let with = |rule: &str| {
            let handle = PolicyHandle::default();
            let text = format!("version: 1\nrules: [ {rule} ]\ndefaults: {{ decide: allow }}");
            handle.set(Policy::load(&text, &[&testing::SCHEMA]).unwrap());
            handle
        };
        let colors = "{ id: r, match: { toy: { colors: red } }, decide: deny";
        for asks in [format!("{colors} }}"), format!("{colors}, mode: shadow }}")] {
            check(with(&asks), "/open/x", Err(RefusalKind::PolicyUnavailable)).await;
        }
        let says = "{ id: r, match: { toy: { paths: held } }, decide: deny, reason: 'not {color}' }";
        check(with(says), "/open/x", Err(RefusalKind::PolicyUnavailable)).await;
        // One that asks less is no matter.
        check(with("{ id: r, match: { everything: true }, decide: allow }"), "/open/x", Ok("permit")).await;
    }

    /// What could not pass was not read to its end, and so can't pass by another policy.
    #[tokio::test]
    async fn what_was_given_up_is_denied_or_refused() {
        let policy = testing::policy();
        let current = policy.current().unwrap();
        let rig = testing::Rig::new().await;
        for (path, version, expected) in [
            ("/other", current.version(), Ok("deny")),
            ("/other", "another", Err(RefusalKind::PolicyUnavailable)),
            ("/open/x", current.version(), Err(RefusalKind::PolicyUnavailable)),
        ] {
            let asked = rig.asked(testing::get(path)).await;
            let asked = Understood { given_up: Some(version.to_owned()), ..asked };
            let verdict = judge(&current, &asked);
            let verdict = verdict.as_ref().map(Verdict::word).map_err(|refusal| refusal.kind);
            assert_eq!(verdict, expected, "{path} {version}");
        }
    }

    #[tokio::test]
    async fn nothing_passes_without_a_policy() {
        check(PolicyHandle::default(), "/open/x", Err(RefusalKind::PolicyUnavailable)).await;
    }
}
