//! What a token's claims must say (RFC 7519, section 4.1), beyond what the standard leaves optional:
//! `iss`, `sub`, `aud` and `exp` are required.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{AuthnError, error::shown};

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

/// How far the clocks of an issuer and of this host may differ, in seconds.
const LEEWAY: i64 = 30;

/// Checks `exp`, `nbf`, `iat` and the lifetime; returns `exp`. All times are seconds since 1970.
pub(super) fn check_times(claims: &Claims, max: Duration, now: i64) -> Result<i64, AuthnError> {
    let expires = time(claims, "exp")?.ok_or_else(|| lacks("exp"))?;
    let (not_before, issued) = (time(claims, "nbf")?, time(claims, "iat")?);
    if expires <= now.saturating_sub(LEEWAY) {
        return Err(AuthnError::Expired(timestamp(expires)));
    }
    let latest = now.saturating_add(LEEWAY);
    if let Some(issued) = issued.filter(|issued| *issued > latest) {
        return Err(AuthnError::IssuedInFuture(timestamp(issued)));
    }
    if let Some(not_before) = not_before.filter(|not_before| *not_before > latest) {
        return Err(AuthnError::NotYetValid(timestamp(not_before)));
    }
    let lifetime = expires.saturating_sub(issued.unwrap_or(now));
    let lifetime = Duration::from_secs(lifetime.max(0).unsigned_abs());
    if lifetime > max {
        return Err(AuthnError::LivesTooLong { lifetime, max });
    }
    Ok(expires)
}

/// Checks that the token is for one of the audiences that we are.
pub(super) fn check_audience(claims: &Claims, wanted: &[String]) -> Result<(), AuthnError> {
    let found = strings(claims.get("aud").ok_or_else(|| lacks("aud"))?);
    let found = found.ok_or_else(|| wrong("aud", "neither a string nor a list of strings"))?;
    if found.iter().any(|found| wanted.iter().any(|wanted| wanted == found)) {
        return Ok(());
    }
    Err(AuthnError::Audience { found: shown(&found.join(", ")), wanted: wanted.join(" or ") })
}

/// Checks the claims that the configuration requires.
pub(super) fn check_required(
    claims: &Claims,
    required: &BTreeMap<String, BTreeSet<String>>,
) -> Result<(), AuthnError> {
    let accepted = |path: &str, values: &BTreeSet<String>| {
        lookup(claims, path).and_then(scalar).is_some_and(|found| values.contains(&found))
    };
    match required.iter().find(|(path, values)| !accepted(path, values)) {
        None => Ok(()),
        Some((path, _)) => Err(AuthnError::Claim(path.clone())),
    }
}

/// The issuer's name for the caller.
pub(super) fn subject(claims: &Claims) -> Result<&str, AuthnError> {
    let subject = text(claims, "sub")?;
    // It is shown in logs and lists as it is.
    if subject.is_empty() || subject.chars().any(char::is_control) {
        return Err(wrong("sub", "empty or has control characters"));
    }
    Ok(subject)
}

/// The groups in a claim, none where it is missing.
pub(super) fn groups(claims: &Claims, path: Option<&str>) -> Result<Vec<String>, AuthnError> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let Some(value) = lookup(claims, path).filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    // Half a list of groups is not taken for the whole: a policy may deny by group.
    let groups = strings(value).ok_or_else(|| wrong(path, "neither a string nor a list of strings"))?;
    Ok(groups.into_iter().map(str::to_owned).collect())
}

/// A required claim that is a string.
pub(super) fn text<'a>(claims: &'a Claims, name: &str) -> Result<&'a str, AuthnError> {
    let value = claims.get(name).ok_or_else(|| lacks(name))?;
    value.as_str().ok_or_else(|| wrong(name, "not a string"))
}

/// The claim of that name or, where the path begins with a slash, at that JSON pointer (RFC 6901).
pub(super) fn lookup<'a>(claims: &'a Claims, path: &str) -> Option<&'a Value> {
    let Some(pointer) = path.strip_prefix('/') else { return claims.get(path) };
    let (first, rest) = pointer.split_once('/').map_or((pointer, None), |(first, rest)| (first, Some(rest)));
    let value = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
    rest.map_or(Some(value), |rest| value.pointer(&format!("/{rest}")))
}

/// The text of a string, number or boolean.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

/// A NumericDate, which may have a fraction.
fn time(claims: &Claims, name: &str) -> Result<Option<i64>, AuthnError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    #[expect(clippy::cast_possible_truncation, reason = "it saturates, which is still far past or future")]
    let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64));
    seconds.map(Some).ok_or_else(|| wrong(name, "not a number of seconds"))
}

fn timestamp(seconds: i64) -> Timestamp {
    let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(end)
}

fn lacks(name: &str) -> AuthnError {
    AuthnError::Malformed(format!("it lacks the claim {name}"))
}

fn wrong(name: &str, problem: &str) -> AuthnError {
    AuthnError::Malformed(format!("its claim {name} is {problem}"))
}
