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
