//! Every shape in which a secret is answered, under every cut.

mod random;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::*;
use crate::parse::yaml;

const PLANTED: &str = "pl4nted-S3cret-value";
const SHORT: &str = "ab1!";

fn secrets() -> Subject {
    Subject { resource: "secrets".to_owned(), ..Subject::default() }
}

fn pods() -> Subject {
    Subject { resource: "pods".to_owned(), ..Subject::default() }
}

/// One session, in which answers are masked one after another.
struct Session {
    known: KnownValues,
    options: Options,
}

impl Session {
    fn new() -> Self {
        Self { known: KnownValues::new(), options: Options::default() }
    }

    fn masking(&self, subject: Subject, format: Format) -> Masking {
        let rules = RuleSet::builtin();
        Masking::new(subject, format, &rules, &self.known, &TagKey::new(b"test"), self.options)
    }

    fn answer(
        &self,
        subject: Subject,
        format: Format,
        text: &str,
        size: usize,
    ) -> Result<(String, u64), MaskError> {
        let mut masking = self.masking(subject, format);
        let mut out = Vec::new();
        for part in text.as_bytes().chunks(size.max(1)) {
            masking.push(&Bytes::copy_from_slice(part), &mut out)?;
            masking.flush(&mut out)?;
        }
        masking.finish(&mut out)?;
        Ok((String::from_utf8(out.concat()).unwrap(), masking.count()))
    }

    fn json(&self, subject: Subject, value: &Value) -> (Value, u64) {
        let (text, count) = self.answer(subject, Format::Json, &value.to_string(), usize::MAX).unwrap();
        (serde_json::from_str(&text).expect("what is masked is still JSON"), count)
    }
}

fn secret() -> Value {
    json!({
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": "db", "namespace": "prod", "uid": "0-1", "annotations": {"note": "kept"}},
        "data": {"password": STANDARD.encode(PLANTED), "pin": STANDARD.encode(SHORT), "none": ""},
        "type": "Opaque",
    })
}

fn check_hidden(text: &str) {
    let forms = [PLANTED.to_owned(), STANDARD.encode(PLANTED), SHORT.to_owned(), STANDARD.encode(SHORT)];
    for form in forms {
        assert!(!text.contains(&form), "{form} in {text}");
    }
}

fn placeholder(value: &Value) -> String {
    let text = value.as_str().unwrap();
    let text = STANDARD.decode(text).map_or(text.to_owned(), |decoded| String::from_utf8(decoded).unwrap());
    assert!(text.starts_with("[MASKED:") && text.ends_with(']'), "{text}");
    text
}

#[test]
fn a_secret_keeps_everything_but_its_values() {
    let (masked, count) = Session::new().json(secrets(), &secret());
    assert_eq!(count, 2);
    check_hidden(&masked.to_string());
    let mut rest = masked.clone();
    rest["data"]["password"] = secret()["data"]["password"].clone();
    rest["data"]["pin"] = secret()["data"]["pin"].clone();
    assert_eq!(rest, secret());
    assert_ne!(placeholder(&masked["data"]["password"]), placeholder(&masked["data"]["pin"]));
}

#[test]
fn a_placeholder_stands_for_a_place_and_says_nothing_of_the_value() {
    let mask = |value: &Value| Session::new().json(secrets(), value).0["data"]["password"].clone();
    let mut guess = secret();
    guess["data"]["password"] = json!(STANDARD.encode("another value"));
    assert_eq!(mask(&secret()), mask(&guess));
    let mut other = secret();
    other["metadata"]["uid"] = json!("0-2");
    assert_ne!(mask(&secret()), mask(&other));
}

/// Every shape in which the API server shows a Secret.
fn shapes() -> Vec<(&'static str, Value)> {
    let applied = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": PLANTED, "pin": SHORT}});
    let mut annotated = secret();
    annotated["metadata"]["annotations"] = json!({
        "kubectl.kubernetes.io/last-applied-configuration": applied.to_string(),
        "copied": STANDARD.encode(PLANTED),
        "short": SHORT,
        "kapp.k14s.io/original": secret().to_string(),
    });
    // Without its data nobody knows a value that is too short to be looked for.
    let mut metadata = annotated["metadata"].clone();
    metadata["annotations"].as_object_mut().unwrap().remove("short");
    let meta = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
    let mut bare = secret();
    bare.as_object_mut().unwrap().remove("kind");
    bare.as_object_mut().unwrap().remove("apiVersion");
    let mut string_data = secret();
    string_data["stringData"] = json!({"a": PLANTED, "b": {"c": PLANTED}, "d": [SHORT]});
    let mut broken = secret();
    broken["data"] = json!(PLANTED);
    let rows = |object: &Value| json!([{"cells": ["db", "Opaque", 3, PLANTED], "object": object}]);
    let table = |object: &Value| json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "columnDefinitions": [{"name": "Name"}], "rows": rows(object)});
    let mut of_last = annotated.clone();
    of_last["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": format!("{{\"data\":{{\"a\":\"{SHORT}\"")});
    vec![
        ("single", secret()),
        ("annotated", annotated.clone()),
        ("metadata", meta.clone()),
        ("stringData", string_data),
        ("no object", broken),
        (
            "list",
            json!({"kind": "SecretList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": [bare, annotated]}),
        ),
        ("list of kinds", json!({"apiVersion": "v1", "items": [annotated, meta], "kind": "List"})),
        ("event", json!({"type": "ADDED", "object": annotated})),
        ("table", table(&annotated)),
        ("table of metadata", table(&meta)),
        ("event of a table", json!({"type": "ADDED", "object": table(&annotated)})),
        ("broken annotation", of_last),
    ]
}

#[test]
fn no_shape_shows_a_value() {
    for (name, value) in shapes() {
        let session = Session::new();
        // The cells of a table show what the session knows.
        session.json(secrets(), &secret());
        let (masked, count) = session.json(secrets(), &value);
        check_hidden(&masked.to_string());
        assert!(count > 0, "{name}");
    }
}

#[test]
fn every_cut_gives_the_same() {
    for (name, value) in shapes() {
        let text = format!("{value}\n{value}\n");
        let masked = |size| {
            let session = Session::new();
            session.json(secrets(), &secret());
            session.answer(secrets(), Format::Json, &text, size).unwrap()
        };
        let whole = masked(usize::MAX);
        for size in [1, 2, 7, 64, 1000] {
            assert_eq!(masked(size), whole, "{name} by {size}");
        }
    }
}

#[test]
fn a_secret_in_another_resource_is_one() {
    let template = json!({"kind": "Template", "objects": [secret()], "metadata": {"name": "t"}});
    let (masked, _) = Session::new().json(pods(), &template);
    check_hidden(&masked.to_string());
}

#[test]
fn what_was_learned_is_masked_everywhere_in_the_session() {
    let session = Session::new();
    let elsewhere = json!({"kind": "Pod", "metadata": {"annotations": {"a": format!("x={PLANTED}")}}, "status": {"message": STANDARD.encode(PLANTED)}});
    assert_eq!(session.json(pods(), &elsewhere), (elsewhere.clone(), 0), "nothing is known yet");
    session.json(secrets(), &secret());
    let (masked, count) = session.json(pods(), &elsewhere);
    assert!(!masked.to_string().contains(PLANTED) && !masked.to_string().contains(&STANDARD.encode(PLANTED)));
    assert_eq!(count, 2);
    let log = format!("connecting with {PLANTED}\n");
    let (text, count) = session.answer(pods(), Format::Text, &log, 5).unwrap();
    assert!(text.starts_with("connecting with [MASKED:secret:"), "{text}");
    assert_eq!(count, 1);
}

#[test]
fn registry_credentials_are_known_by_their_parts() {
    let session = Session::new();
    let auths = json!({"auths": {"registry.example": {"username": "robot", "password": PLANTED, "auth": "cm9ib3Q6cGw0bnRlZA=="}}});
    let value = json!({"kind": "Secret", "data": {".dockerconfigjson": STANDARD.encode(auths.to_string())}});
    session.json(secrets(), &value);
    let (text, _) = session.answer(pods(), Format::Text, &format!("login {PLANTED}\n"), 99).unwrap();
    assert!(!text.contains(PLANTED));
}

#[test]
fn tokens_that_are_answers_are_masked() {
    let answer = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "status": {"token": PLANTED, "expirationTimestamp": "2030-01-01T00:00:00Z"}});
    let subject = Subject {
        resource: "serviceaccounts".to_owned(),
        subresource: "token".to_owned(),
        ..Subject::default()
    };
    let (masked, count) = Session::new().json(subject, &answer);
    check_hidden(&masked.to_string());
    assert_eq!(
        (count, &masked["status"]["expirationTimestamp"]),
        (1, &answer["status"]["expirationTimestamp"])
    );
    let review =
        json!({"kind": "TokenReview", "spec": {"token": PLANTED}, "status": {"authenticated": true}});
    check_hidden(&Session::new().json(Subject::default(), &review).0.to_string());
}

#[test]
fn an_error_about_a_secret_does_not_quote_it() {
    let dump = format!(
        "Secret \"db\" is invalid: patch: Invalid value: \"{{\\\"data\\\":{{\\\"a\\\":\\\"{}\\\"}}}}\": no",
        STANDARD.encode(PLANTED)
    );
    let status = json!({"kind": "Status", "status": "Failure", "reason": "Invalid", "code": 422, "message": dump,
        "details": {"name": "db", "causes": [{"reason": "FieldValueInvalid", "message": dump, "field": "patch"}]}});
    for value in [status.clone(), json!({"type": "ERROR", "object": status})] {
        let (masked, _) = Session::new().json(secrets(), &value);
        check_hidden(&masked.to_string());
        assert!(masked.to_string().contains("is invalid: patch: Invalid value: [MASKED:status:"));
    }
    let plain = json!({"kind": "Status", "message": "secrets \"db\" not found", "code": 404});
    assert_eq!(Session::new().json(secrets(), &plain), (plain.clone(), 0));
}

#[test]
fn names_tell_what_is_a_secret_in_config_maps_and_environments() {
    let map = json!({"kind": "ConfigMap", "data": {"DB_PASSWORD": PLANTED, "DB_HOST": "db.example"}});
    let (masked, count) = Session::new().json(Subject::default(), &map);
    check_hidden(&masked.to_string());
    assert_eq!((count, &masked["data"]["DB_HOST"]), (1, &map["data"]["DB_HOST"]));
    let pod = json!({"kind": "Pod", "spec": {"containers": [{"env": [
        {"name": "API_TOKEN", "value": PLANTED},
        {"name": "MODE", "value": "fast"},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
    ]}], "volumes": [{"secret": {"secretName": "db"}}], "automountServiceAccountToken": true}});
    let (masked, count) = Session::new().json(pods(), &pod);
    check_hidden(&masked.to_string());
    assert_eq!(count, 1);
    let resource = json!({"kind": "Database", "spec": {"admin": {"password": PLANTED, "name": "root"}}});
    let (masked, count) = Session::new().json(Subject::default(), &resource);
    check_hidden(&masked.to_string());
    assert_eq!(count, 1);
}

#[test]
fn patterns_are_masked_in_any_object() {
    let token = format!("ghp_{}", "x7Kq2ZtW9bLm4VcR8pNs3YdH6fJg1TaB5eUo");
    let map = json!({"kind": "ConfigMap", "data": {"script": format!("curl -H 'Authorization: {token}'\n")}});
    let (masked, count) = Session::new().json(Subject::default(), &map);
    assert!(!masked.to_string().contains(&token));
    assert_eq!(count, 1);
}

#[test]
fn helm_releases_are_left_where_they_are_exempt() {
    let release = json!({"kind": "Secret", "metadata": {"name": "sh.helm.release.v1.a.v1"}, "type": "helm.sh/release.v1", "data": {"release": STANDARD.encode("SDRzSUFBQUFBQUFBLyt4")}});
    let mut session = Session::new();
    assert_eq!(session.json(secrets(), &release).1, 1);
    session.options.helm = true;
    session.known = KnownValues::new();
    assert_eq!(session.json(secrets(), &release), (release.clone(), 0));
    assert_eq!(session.json(secrets(), &secret()).1, 2, "other Secrets are no releases");
}

#[test]
fn yaml_is_masked_and_stays_as_it_came_where_nothing_is() {
    let text = "apiVersion: v1\ndata:\n  password: cGw0bnRlZC1TM2NyZXQtdmFsdWU=\n  pin: YWIxIQ==\nkind: Secret\nmetadata:\n  annotations:\n    flag: \"yes\"\n    note: |\n      one\n      two\n  name: db\n";
    let (masked, count) = Session::new().answer(secrets(), Format::Yaml, text, 7).unwrap();
    check_hidden(&masked);
    assert_eq!(count, 2);
    let value = yaml::read(masked.as_bytes()).unwrap();
    assert_eq!(value["metadata"]["annotations"], json!({"flag": "yes", "note": "one\ntwo\n"}));
    placeholder(&value["data"]["password"]);
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: 'a'   # kept\n";
    assert_eq!(Session::new().answer(pods(), Format::Yaml, pod, 3).unwrap(), (pod.to_owned(), 0));
    let alias = "a: &x [1]\nb: *x\n";
    assert_eq!(Session::new().answer(pods(), Format::Yaml, alias, 3), Err(MaskError::Yaml));
}

#[test]
fn what_cannot_be_read_for_certain_is_refused_and_nothing_more_is_shown() {
    let check = |text: &str, expected: MaskError| {
        for size in [1, usize::MAX] {
            let session = Session::new();
            let error = session.answer(secrets(), Format::Json, text, size).unwrap_err();
            assert_eq!(error, expected, "{text:.40}");
        }
    };
    check("{\"a\":", MaskError::Incomplete);
    check("{\"a\":}", MaskError::Json(DocumentError::Malformed(5)));
    check(
        &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)),
        MaskError::Json(DocumentError::TooDeep(512)),
    );
    let mut session = Session::new();
    session.options.object = 100;
    let long = json!({"data": {"a": "x".repeat(100)}}).to_string();
    assert_eq!(session.answer(secrets(), Format::Json, &long, 7), Err(MaskError::TooLarge));
    assert_eq!(session.answer(secrets(), Format::Yaml, &long, 7), Err(MaskError::TooLarge));
    let mut masking = session.masking(secrets(), Format::Json);
    let mut out = Vec::new();
    assert!(
        masking.push(&Bytes::from_static(b"{}]"), &mut out).and_then(|()| masking.flush(&mut out)).is_err()
    );
    assert!(masking.push(&Bytes::from_static(b"{}"), &mut out).is_err(), "it stays refused");
    assert!(out.is_empty());
}

#[test]
fn types_that_cannot_be_masked_are_none() {
    let check = |text: &str, expected| {
        assert_eq!(Format::of(Some(&HeaderValue::from_str(text).unwrap())), expected, "{text}");
    };
    check("application/json", Some(Format::Json));
    check("application/json;stream=watch", Some(Format::Json));
    check("application/yaml", Some(Format::Yaml));
    check("text/plain; charset=utf-8", Some(Format::Text));
    check("application/vnd.kubernetes.protobuf", None);
    check("application/vnd.kubernetes.protobuf;stream=watch", None);
    check("application/cbor", None);
    check("application/octet-stream", None);
    assert_eq!(Format::of(None), None);
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let encoded = |text| (header::CONTENT_ENCODING, HeaderValue::from_static(text));
    assert_eq!(Format::of_answer(&HeaderMap::from_iter([json.clone()])), Some(Format::Json));
    assert_eq!(
        Format::of_answer(&HeaderMap::from_iter([json.clone(), encoded("identity")])),
        Some(Format::Json)
    );
    assert_eq!(Format::of_answer(&HeaderMap::from_iter([json, encoded("gzip")])), None);
}

#[test]
fn a_session_that_is_full_masks_annotations_whole() {
    let session = Session::new();
    let mut number = 0u64;
    // Large values until there is no room for more, then small ones.
    for width in [1000, 10] {
        while session.known.add("test", format!("{number:0>width$}").as_bytes()).is_ok() {
            number += 1;
        }
    }
    let mut value = secret();
    value["metadata"]["annotations"]["note"] = json!(format!("the password is {PLANTED}"));
    let mut masking = session.masking(secrets(), Format::Json);
    let mut out = Vec::new();
    masking.push(&Bytes::from(value.to_string()), &mut out).unwrap();
    masking.finish(&mut out).unwrap();
    check_hidden(std::str::from_utf8(&out.concat()).unwrap());
    assert!(masking.is_full());
}
