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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const DAY: Duration = Duration::from_hours(24);

    fn claims(value: Value) -> Claims {
        serde_json::from_value(value).unwrap()
    }

    fn times(value: Value) -> String {
        check_times(&claims(value), DAY, NOW).map_or_else(|error| error.to_string(), |exp| exp.to_string())
    }

    #[test]
    fn tokens_are_for_now() {
        let rows = [
            (json!({ "exp": NOW + 300 }), "1800000300"),
            (json!({ "exp": NOW + 300, "iat": NOW - 300, "nbf": NOW - 300 }), "1800000300"),
            // Clocks differ.
            (json!({ "exp": NOW - 29, "iat": NOW - 300 }), "1799999971"),
            (json!({ "exp": NOW + 300, "iat": NOW + 30, "nbf": NOW + 30 }), "1800000300"),
            (json!({ "exp": NOW as f64 + 300.9 }), "1800000300"),
            // Long-lived.
            (json!({ "exp": NOW + 86_400 }), "1800086400"),
            (
                json!({ "exp": NOW + 86_401 }),
                "the token lives for 86401s, this gateway accepts at most 86400s",
            ),
            (
                json!({ "exp": NOW + 300, "iat": NOW - 86_400 }),
                "the token lives for 86700s, this gateway accepts at most 86400s",
            ),
            // Too late or too early.
            (json!({ "exp": NOW - 30 }), "the token expired at 2027-01-15T07:59:30Z"),
            (json!({ "exp": 0 }), "the token expired at 1970-01-01T00:00:00Z"),
            (json!({ "exp": i64::MIN }), "the token expired at -009999-01-02T01:59:59Z"),
            (
                json!({ "exp": NOW + 300, "nbf": NOW + 31 }),
                "the token is not valid before 2027-01-15T08:00:31Z",
            ),
            (
                json!({ "exp": NOW + 300, "iat": NOW + 31 }),
                "the token says that it was issued at 2027-01-15T08:00:31Z, which is in the future",
            ),
            // No times at all.
            (json!({}), "the token is malformed: it lacks the claim exp"),
            (json!({ "exp": null }), "the token is malformed: its claim exp is not a number of seconds"),
            (
                json!({ "exp": "1800000300" }),
                "the token is malformed: its claim exp is not a number of seconds",
            ),
            (
                json!({ "exp": NOW + 300, "nbf": [] }),
                "the token is malformed: its claim nbf is not a number of seconds",
            ),
            (
                json!({ "exp": NOW + 300, "iat": {} }),
                "the token is malformed: its claim iat is not a number of seconds",
            ),
        ];
        for (claims, expected) in rows {
            assert_eq!(times(claims.clone()), expected, "{claims}");
        }
    }

    #[test]
    fn times_without_end_are_too_long() {
        for far in [json!(i64::MAX), json!(u64::MAX), json!(1e300)] {
            assert!(times(json!({ "exp": far, "iat": i64::MIN })).contains("lives for"), "{far}");
            assert!(times(json!({ "exp": NOW + 1, "iat": far })).contains("in the future"), "{far}");
        }
    }

    #[test]
    fn tokens_are_for_us() {
        let wanted = ["lockgate".to_owned(), "https://gate.example".to_owned()];
        let check = |aud: Value| {
            let found = check_audience(&claims(json!({ "aud": aud })), &wanted);
            found.map_or_else(|error| error.to_string(), |()| "ours".into())
        };
        assert_eq!(check(json!("lockgate")), "ours");
        assert_eq!(check(json!(["other", "https://gate.example"])), "ours");
        let wants = "this gateway wants lockgate or https://gate.example";
        assert_eq!(check(json!("Lockgate")), format!("the token is for the audience Lockgate, {wants}"));
        assert_eq!(check(json!(["a", "b"])), format!("the token is for the audience a, b, {wants}"));
        assert_eq!(check(json!([])), format!("the token is for the audience , {wants}"));
        let neither = "the token is malformed: its claim aud is neither a string nor a list of strings";
        for wrong in [json!(null), json!(1), json!({ "lockgate": 1 }), json!(["lockgate", 1])] {
            assert_eq!(check(wrong.clone()), neither, "{wrong}");
        }
        let missing = check_audience(&Claims::new(), &wanted).unwrap_err();
        assert_eq!(missing.to_string(), "the token is malformed: it lacks the claim aud");
    }

    #[test]
    fn subjects_are_names() {
        let check = |sub: Value| subject(&claims(json!({ "sub": sub }))).map(str::to_owned).ok();
        assert_eq!(
            check(json!("repo:o/r:ref:refs/heads/main")).as_deref(),
            Some("repo:o/r:ref:refs/heads/main")
        );
        for wrong in [json!(null), json!(1), json!(["ada"]), json!(""), json!("a\nb"), json!("\u{1b}[2J")] {
            assert_eq!(check(wrong.clone()), None, "{wrong}");
        }
        assert!(subject(&Claims::new()).is_err());
    }

    #[test]
    fn claims_are_found_by_name_and_by_pointer() {
        let claims = claims(json!({
            "a": 1, "https://x/groups": 2, "kubernetes.io": { "pod": { "uid": 3 } }, "l": [4], "~/": 5, "": 6,
        }));
        let rows = [
            ("a", Some(1)),
            ("https://x/groups", Some(2)),
            ("/kubernetes.io/pod/uid", Some(3)),
            ("/l/0", Some(4)),
            ("/~0~1", Some(5)),
            ("/", Some(6)),
            ("/a", Some(1)),
            ("b", None),
            ("/a/b", None),
            ("/l/1", None),
        ];
        for (path, expected) in rows {
            assert_eq!(lookup(&claims, path).and_then(Value::as_i64), expected, "{path}");
        }
    }

    #[test]
    fn required_claims_have_an_accepted_value() {
        let token = claims(json!({
            "repository_id": "42", "number": 42, "ref_protected": true, "list": ["42"], "none": null,
        }));
        let check = |path: &str| {
            let values = ["41", "42", "true"].map(str::to_owned).into();
            check_required(&token, &BTreeMap::from([(path.to_owned(), values)])).is_ok()
        };
        for accepted in ["repository_id", "number", "ref_protected", "/repository_id"] {
            assert!(check(accepted), "{accepted}");
        }
        for refused in ["list", "none", "missing", "/list/1"] {
            assert!(!check(refused), "{refused}");
        }
        let all = |name: &str| (name.to_owned(), BTreeSet::from(["42".to_owned()]));
        let required = BTreeMap::from([all("number"), all("ref_protected")]);
        let error = check_required(&token, &required).unwrap_err().to_string();
        assert_eq!(error, "the token's claim ref_protected does not have a value that this gateway accepts");
    }

    #[test]
    fn groups_are_whole_or_refused() {
        let claims = claims(json!({
            "one": "a", "many": ["a", "b"], "null": null, "mixed": ["a", 1], "realm": { "roles": ["r"] },
        }));
        let check = |path| groups(&claims, path).ok().map(|groups| groups.join(" "));
        assert_eq!(check(None).as_deref(), Some(""));
        assert_eq!(check(Some("missing")).as_deref(), Some(""));
        assert_eq!(check(Some("null")).as_deref(), Some(""));
        assert_eq!(check(Some("one")).as_deref(), Some("a"));
        assert_eq!(check(Some("many")).as_deref(), Some("a b"));
        assert_eq!(check(Some("/realm/roles")).as_deref(), Some("r"));
        assert_eq!(check(Some("mixed")), None);
        assert_eq!(check(Some("realm")), None);
    }
}
