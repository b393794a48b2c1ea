//! Placeholders in every form, and what is put back.

use lockgate_detect::{KnownValues, RuleSet, TagKey};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::mask::{Format, Options, Subject};

const MARKER: &str = "[MASKED:secret:0011aabb]";

fn secret() -> Value {
    json!({
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {
            "name": "db", "namespace": "prod", "uid": "0-1", "resourceVersion": "7",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration":
                json!({"kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": "pl4nted-S3cret"}}).to_string()},
        },
        "data": {"password": STANDARD.encode("pl4nted-S3cret"), "other": STANDARD.encode("0ther-Value!")},
    })
}

fn masking(known: &KnownValues) -> Masking {
    let subject = Subject { resource: "secrets".to_owned(), ..Subject::default() };
    Masking::new(subject, Format::Json, &RuleSet::builtin(), known, &TagKey::new(b"test"), Options::default())
}

fn read(known: &KnownValues) -> Value {
    shown(&secret(), masking(known)).unwrap()
}

#[test]
fn a_placeholder_is_found_in_every_form() {
    let forms = [
        MARKER.to_owned(),
        STANDARD.encode(MARKER),
        STANDARD.encode(format!("a{MARKER}")),
        STANDARD.encode(format!("ab{MARKER}")),
        STANDARD.encode(STANDARD.encode(format!("a{MARKER}"))),
        MARKER.replace('[', "%5b").replace(':', "%3a"),
        MARKER.replace('[', "%5B").replace(':', "%3A"),
        MARKER.replace('[', "\\u005b"),
        MARKER.replace('[', "\\u005B"),
    ];
    for form in forms {
        assert_eq!(check(form.as_bytes(), None), Err(GuardError::Placeholder(BODY.to_owned())), "{form}");
        for size in 1..=form.len() {
            let mut finder = Finder::new();
            let found = form.as_bytes().chunks(size).fold(false, |_, piece| finder.push(piece));
            assert!(found, "{form} by {size}");
        }
    }
    let escaped: String = MARKER.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    for form in [escaped, STANDARD.encode(MARKER).replace('W', "\\u0057"), format!("\\u00\\u00zz{MARKER}")] {
        let patch = format!(r#"[{{"op":"add","path":"/data/a","value":"{form}"}}]"#);
        assert!(check(patch.as_bytes(), None).is_err(), "{form}");
    }
    assert_eq!(check(br#"{"a":"\u00"}"#, None), Ok(()));
    assert_eq!(check(b"[MASK", None), Ok(()));
    assert_eq!(check(&b"W01B".repeat(1000), None), Ok(()));
}

#[test]
fn the_field_is_named() {
    let value = json!({"a": {"b.c": [1, {"d": STANDARD.encode(MARKER)}]}});
    let error = check(b"", Some(&value)).unwrap_err();
    assert_eq!(error, GuardError::Placeholder(r#".a["b.c"][1].d"#.to_owned()));
    let error = check(b"", Some(&json!({ MARKER: 1 }))).unwrap_err();
    assert_eq!(error, GuardError::Placeholder(format!("[{MARKER:?}]")));
    assert_eq!(check(b"{}", Some(&json!({"a": "b"}))), Ok(()));
}

#[test]
fn what_is_written_back_as_it_was_read_is_put_back() {
    let known = KnownValues::new();
    let mut read = read(&known);
    assert!(
        !read.to_string().contains("pl4nted")
            && !read.to_string().contains(&STANDARD.encode("pl4nted-S3cret"))
    );
    read["metadata"]["labels"] = json!({"new": "label"});
    let mut expected = secret();
    expected["metadata"]["labels"] = json!({"new": "label"});
    let restored = restore(read, &secret(), masking(&known)).unwrap();
    assert_eq!(restored, Restored { object: expected, count: 3 });
}

#[test]
fn an_object_without_a_version_gets_the_present_one() {
    let known = KnownValues::new();
    let mut read = read(&known);
    read["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let restored = restore(read, &secret(), masking(&known)).unwrap();
    assert_eq!(restored.object["metadata"]["resourceVersion"], "7");
}

#[test]
fn anything_looser_is_refused() {
    let known = KnownValues::new();
    let refused = |change: &dyn Fn(&mut Value), expected: GuardError| {
        let mut read = read(&known);
        change(&mut read);
        assert_eq!(restore(read, &secret(), masking(&known)).unwrap_err(), expected);
    };
    let at = |field: &str| GuardError::Placeholder(field.to_owned());
    refused(&|read| read["data"]["copy"] = read["data"]["password"].clone(), at(".data.copy"));
    refused(&|read| read["data"]["other"] = read["data"]["password"].clone(), at(".data.other"));
    refused(&|read| read["stringData"] = json!({"password": MARKER}), at(".stringData.password"));
    refused(
        &|read| read["metadata"]["annotations"]["note"] = read["data"]["password"].clone(),
        at(".metadata.annotations.note"),
    );
    refused(
        &|read| read["data"]["password"] = json!(STANDARD.encode(format!("x{MARKER}"))),
        at(".data.password"),
    );
    refused(&|read| read["metadata"]["name"] = json!("other"), GuardError::OtherObject);
    refused(&|read| read["metadata"]["namespace"] = json!("other"), GuardError::OtherObject);
    refused(&|read| read["metadata"]["uid"] = json!("0-2"), GuardError::OtherObject);
    refused(&|read| read["kind"] = json!("ConfigMap"), GuardError::OtherObject);
}

#[test]
fn an_empty_version_is_none() {
    let known = KnownValues::new();
    let mut read = read(&known);
    read["metadata"]["resourceVersion"] = json!("");
    let restored = restore(read, &secret(), masking(&known)).unwrap();
    assert_eq!(restored.object["metadata"]["resourceVersion"], "7");
}

#[test]
fn a_patch_says_less_of_what_it_is_for() {
    let known = KnownValues::new();
    let shown = read(&known)["data"]["password"].clone();
    let restored = restore(json!({"data": {"password": shown}}), &secret(), masking(&known)).unwrap();
    let expected =
        json!({"data": {"password": secret()["data"]["password"]}, "metadata": {"resourceVersion": "7"}});
    assert_eq!(restored, Restored { object: expected, count: 1 });
    let patch = json!({"metadata": [], "data": {"password": shown}});
    assert_eq!(restore(patch, &secret(), masking(&known)), Err(GuardError::OtherObject));
}

#[test]
fn the_copy_of_an_apply_is_put_back_with_its_object() {
    let known = KnownValues::new();
    let read = read(&known);
    let last_applied = "kubectl.kubernetes.io/last-applied-configuration";
    let patch = |copy: &Value| json!({"metadata": {"annotations": {last_applied: format!("{copy}\n")}}});
    let copy = |data: &Value, kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": data});
    let restored = restore(patch(&copy(&read["data"], "Secret", "db")), &secret(), masking(&known)).unwrap();
    assert_eq!(restored.count, 2);
    let expected = format!("{}\n", copy(&secret()["data"], "Secret", "db"));
    assert_eq!(restored.object["metadata"]["annotations"][last_applied], expected);
    let moved = json!({"other": read["data"]["password"]});
    let mut unnamed = copy(&read["data"], "Secret", "db");
    unnamed.as_object_mut().unwrap().remove("kind");
    for refused in [
        copy(&read["data"], "ConfigMap", "db"),
        copy(&read["data"], "Secret", "other"),
        copy(&moved, "Secret", "db"),
        unnamed,
        json!({"kind": "Secret", "metadata": {"name": "db", "annotations": {"a": read["data"]["password"]}}}),
        json!([copy(&read["data"], "Secret", "db")]),
    ] {
        let error = restore(patch(&refused), &secret(), masking(&known)).unwrap_err();
        assert_eq!(error, GuardError::Placeholder(format!(".metadata.annotations[{last_applied:?}]")));
    }
}

#[test]
fn only_what_a_secret_holds_is_put_back() {
    let known = KnownValues::new();
    let (token, mut present) = (concat!("ghp_", "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx"), secret());
    present["metadata"]["labels"] = json!({"token": token});
    let read = shown(&present, masking(&known)).unwrap();
    let error = restore(read, &present, masking(&known)).unwrap_err();
    assert_eq!(error, GuardError::Placeholder(".metadata.labels.token".to_owned()));
}

#[test]
fn an_object_without_placeholders_stays() {
    let known = KnownValues::new();
    let object = json!({"kind": "Secret", "data": {"a": "Yg=="}});
    let restored = restore(object.clone(), &secret(), masking(&known)).unwrap();
    assert_eq!(restored, Restored { object, count: 0 });
}

/// The seeds of the fuzz target: a Secret as a read shows it, and what may be tried with it.
#[test]
fn seeds_hold_the_placeholder_that_is_put_back() {
    let shown = shown(&fuzz::present(), fuzz::masking()).unwrap();
    let placeholder = &shown["data"]["password"];
    let copy = json!({"kind": "Secret", "metadata": {"name": "db"}, "data": {"password": placeholder}});
    let seeds = [
        ("back", shown.clone(), true),
        (
            "moved",
            json!({"data": {"copy": placeholder}, "metadata": {"annotations": {"a": placeholder}}}),
            false,
        ),
        (
            "copy",
            json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": copy.to_string()}}}),
            true,
        ),
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/placeholders");
    for (name, object, is_put_back) in seeds {
        let content = format!("\u{1}{object}");
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            std::fs::write(folder.join(name), &content).unwrap();
        }
        assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), content, "{name}");
        fuzz_guard(content.as_bytes());
        assert_eq!(restore(object, &fuzz::present(), fuzz::masking()).is_ok(), is_put_back, "{name}");
    }
}

proptest! {
    #[test]
    fn promises_hold_on_random_input(size in any::<u8>(), text in "(\\[MASK|ED:|W01BU0|tFRDpz|%5b|\\PC){0,12}") {
        fuzz_guard(&[&[size], text.as_bytes()].concat());
    }
}
