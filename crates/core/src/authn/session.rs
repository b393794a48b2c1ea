//! Which run a token belongs to, told from its claims alone, so that every proxy of a fleet says the same.

use super::{
    AuthnError,
    cache::TokenId,
    claims::{Claims, lookup, scalar},
};
use crate::principal::{Principal, SessionId};

/// What tells one run of a principal from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionFrom {
    /// The first that a token has of: GitHub's `run_id` and `run_attempt`, GitLab's `pipeline_id` or
    /// `job_id`, the uid of a Kubernetes pod, `jti`; else the token itself.
    Auto,
    /// These claims, by name or JSON pointer, all of which a token must have.
    Claims(Vec<String>),
}

/// The run of a principal. The principal's issuer and subject are part of it always.
pub(super) fn derive(
    principal: &Principal,
    from: &SessionFrom,
    token: &TokenId,
) -> Result<SessionId, AuthnError> {
    let claims = &principal.claims;
    let parts = match from {
        SessionFrom::Auto => known(claims).unwrap_or_else(|| vec!["token".into(), hex::encode(token.0)]),
        SessionFrom::Claims(paths) => {
            let missing = |path: &str| AuthnError::Claim(path.to_owned());
            let named = |path: &String| value(claims, path).ok_or_else(|| missing(path));
            let values = paths.iter().map(named).collect::<Result<Vec<_>, _>>()?;
            ["claims".to_owned()].into_iter().chain(values).collect()
        }
    };
    Ok(SessionId::derive(principal, &parts.iter().map(String::as_str).collect::<Vec<_>>()))
}

/// The kinds of run that are known, and the claims that name one.
const KNOWN: [(&str, &[&str]); 5] = [
    ("github", &["run_id", "run_attempt"]),
    ("gitlab", &["pipeline_id"]),
    ("gitlab-job", &["job_id"]),
    ("pod", &["/kubernetes.io/pod/uid"]),
    ("jti", &["jti"]),
];

fn known(claims: &Claims) -> Option<Vec<String>> {
    KNOWN.iter().find_map(|(kind, paths)| {
        let values = paths.iter().map(|path| value(claims, path)).collect::<Option<Vec<_>>>()?;
        Some([(*kind).to_owned()].into_iter().chain(values).collect())
    })
}

fn value(claims: &Claims, path: &str) -> Option<String> {
    lookup(claims, path).and_then(scalar).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn session(from: &SessionFrom, token: &str, claims: &Value) -> Result<SessionId, AuthnError> {
        let claims = claims.as_object().unwrap().clone();
        let principal = Principal { issuer: "ci".into(), subject: "ada".into(), groups: Vec::new(), claims };
        derive(&principal, from, &TokenId::of(token))
    }

    fn auto(token: &str, claims: &Value) -> SessionId {
        session(&SessionFrom::Auto, token, claims).unwrap()
    }

    #[test]
    fn tokens_of_one_run_share_a_session() {
        let pod = |uid: &str| json!({ "kubernetes.io": { "pod": { "uid": uid }, "namespace": "n" } });
        // The claims of one run, of the same run in another token, and of another run.
        let rows = [
            (
                json!({ "run_id": "7", "run_attempt": "1", "jti": "a" }),
                json!({ "run_id": "7", "run_attempt": "1", "jti": "b", "job_workflow_ref": "x" }),
                json!({ "run_id": "7", "run_attempt": "2", "jti": "a" }),
            ),
            (
                json!({ "pipeline_id": "5", "job_id": "1", "jti": "a" }),
                json!({ "pipeline_id": "5", "job_id": "2", "jti": "b" }),
                json!({ "pipeline_id": "6", "job_id": "1", "jti": "a" }),
            ),
            (json!({ "job_id": 1 }), json!({ "job_id": 1, "jti": "b" }), json!({ "job_id": 2 })),
            (pod("u1"), pod("u1"), pod("u2")),
            (json!({ "jti": "a" }), json!({ "jti": "a", "iat": 1 }), json!({ "jti": "b" })),
        ];
        for (run, same, other) in rows {
            assert_eq!(auto("t1", &run), auto("t2", &same), "{run}");
            assert_ne!(auto("t1", &run), auto("t1", &other), "{run}");
        }
    }

    #[test]
    fn a_token_that_names_no_run_is_its_own() {
        // A run without its attempt, and what is not the text of anything, name none.
        for claims in [json!({}), json!({ "run_id": "7" }), json!({ "jti": "" }), json!({ "jti": ["a"] })] {
            assert_eq!(auto("t1", &claims), auto("t1", &claims), "{claims}");
            assert_ne!(auto("t1", &claims), auto("t2", &claims), "{claims}");
        }
    }

    #[test]
    fn kinds_of_run_are_not_taken_for_one_another() {
        let ids = [json!({ "pipeline_id": "7" }), json!({ "job_id": "7" }), json!({ "jti": "7" })];
        let ids: std::collections::BTreeSet<_> = ids.iter().map(|claims| auto("t", claims)).collect();
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn configured_claims_are_all_needed() {
        let from = SessionFrom::Claims(vec!["build".into(), "/ci/node".into()]);
        let id = |claims: Value| session(&from, "t", &claims);
        let one = id(json!({ "build": 1, "ci": { "node": "a" }, "jti": "x" })).unwrap();
        assert_eq!(one, id(json!({ "build": 1, "ci": { "node": "a" }, "jti": "y" })).unwrap());
        assert_ne!(one, id(json!({ "build": 1, "ci": { "node": "b" } })).unwrap());
        for missing in [json!({ "build": 1 }), json!({ "ci": { "node": "a" } }), json!({ "build": [] })] {
            assert!(matches!(id(missing), Err(AuthnError::Claim(_))));
        }
    }
}
