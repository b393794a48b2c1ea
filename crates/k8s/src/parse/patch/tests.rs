//! The examples of the RFCs, what servers read in their own ways, and what grows.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn patched(present: Value, patch: &str, kind: PatchKind) -> Result<Patched, PatchError> {
    Patch::read(patch.as_bytes(), kind)?.apply(present)
}

fn check(present: Value, patch: Value, expected: Value) {
    let result = patched(present.clone(), &patch.to_string(), PatchKind::Json);
    assert_eq!(result.unwrap(), Patched::Exactly(expected), "{present} {patch}");
}

fn check_refused(present: Value, patch: &str, expected: &str) {
    let error = patched(present, patch, PatchKind::Json).unwrap_err();
    assert!(error.to_string().ends_with(expected), "{patch}: {error}");
}

#[test]
fn examples_of_rfc_6902() {
    check(
        json!({"foo": "bar"}),
        json!([{"op": "add", "path": "/baz", "value": "qux"}]),
        json!({"baz": "qux", "foo": "bar"}),
    );
    check(
        json!({"foo": ["bar", "baz"]}),
        json!([{"op": "add", "path": "/foo/1", "value": "qux"}]),
        json!({"foo": ["bar", "qux", "baz"]}),
    );
    check(
        json!({"baz": "qux", "foo": "bar"}),
        json!([{"op": "remove", "path": "/baz"}]),
        json!({"foo": "bar"}),
    );
    check(
        json!({"foo": ["bar", "qux", "baz"]}),
        json!([{"op": "remove", "path": "/foo/1"}]),
        json!({"foo": ["bar", "baz"]}),
    );
    check(
        json!({"baz": "qux", "foo": "bar"}),
        json!([{"op": "replace", "path": "/baz", "value": "boo"}]),
        json!({"baz": "boo", "foo": "bar"}),
    );
    check(
        json!({"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}}),
        json!([{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}]),
        json!({"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}}),
    );
    check(
        json!({"foo": ["all", "grass", "cows", "eat"]}),
        json!([{"op": "move", "from": "/foo/1", "path": "/foo/3"}]),
        json!({"foo": ["all", "cows", "eat", "grass"]}),
    );
    check(
        json!({"baz": "qux", "foo": ["a", 2, "c"]}),
        json!([{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}]),
        json!({"baz": "qux", "foo": ["a", 2, "c"]}),
    );
    check(
        json!({"foo": "bar"}),
        json!([{"op": "add", "path": "/child", "value": {"grandchild": {}}}]),
        json!({"foo": "bar", "child": {"grandchild": {}}}),
    );
    check(
        json!({"foo": "bar"}),
        json!([{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}]),
        json!({"foo": "bar", "baz": "qux"}),
    );
    check(
        json!({"/": 9, "~1": 10}),
        json!([{"op": "test", "path": "/~01", "value": 10}]),
        json!({"/": 9, "~1": 10}),
    );
    check(
        json!({"foo": ["bar"]}),
        json!([{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}]),
        json!({"foo": ["bar", ["abc", "def"]]}),
    );
    check(
        json!({"a": {"b": 1}}),
        json!([{"op": "copy", "from": "/a", "path": "/c"}]),
        json!({"a": {"b": 1}, "c": {"b": 1}}),
    );

    check_refused(json!({"baz": "qux"}), r#"[{"op":"test","path":"/baz","value":"bar"}]"#, "does not apply");
    check_refused(
        json!({"foo": "bar"}),
        r#"[{"op":"add","path":"/baz/bat","value":"qux"}]"#,
        "does not apply",
    );
    check_refused(
        json!({"/": 9, "~1": 10}),
        r#"[{"op":"test","path":"/~01","value":"10"}]"#,
        "does not apply",
    );
    check_refused(json!({}), r#"[{"op":"remove","path":"/a"}]"#, "does not apply");
    check_refused(json!({}), r#"[{"op":"replace","path":"/a","value":1}]"#, "does not apply");
}

#[test]
fn what_servers_read_in_their_own_ways_is_refused() {
    let list = || json!({"a": [1, 2, 3]});
    check_refused(list(), r#"[{"op":"remove","path":"/a/-1"}]"#, "does not apply");
    check_refused(list(), r#"[{"op":"remove","path":"/a/01"}]"#, "does not apply");
    check_refused(list(), r#"[{"op":"remove","path":"/a/+1"}]"#, "does not apply");
    check_refused(list(), r#"[{"op":"remove","path":"/a/3"}]"#, "does not apply");
    check_refused(list(), r#"[{"op":"add","path":"/a/4","value":1}]"#, "does not apply");
    check_refused(list(), r#"[{"op":"remove","path":"a/1"}]"#, "does not begin with a slash");
    check_refused(list(), r#"[{"op":"replace","path":"","value":{}}]"#, "does not begin with a slash");
    check_refused(list(), r#"[{"op":"remove","path":"/a~2"}]"#, "a lone `~`");
    check_refused(list(), r#"[{"op":"remove","path":"/a~"}]"#, "a lone `~`");
    check_refused(list(), r#"[{"op":"add","path":"/b"}]"#, "no `value`");
    check_refused(list(), r#"[{"op":"Add","path":"/b","value":1}]"#, "no `op` that is known");
    check_refused(list(), r#"[{"op":"copy","path":"/b"}]"#, "no pointer");
    check_refused(list(), r#"[{"op":"move","path":"/a/b","from":"/a"}]"#, "within the one that it moves");
    check_refused(list(), r#"{"op":"remove","path":"/a"}"#, "no list around it");
    check_refused(list(), r#"[1]"#, "another form than an object");
    check_refused(list(), r#"[{"op":"test","op":"remove","path":"/a"}]"#, "can't be read");
}

#[test]
fn patches_that_grow_end_at_a_limit() {
    let deepening = vec![json!({"op": "copy", "from": "/a", "path": "/a/x"}); 300];
    let present = json!({"a": {"b": "0123456789"}});
    let error = patched(present, &Value::from(deepening).to_string(), PatchKind::Json).unwrap_err();
    assert!(matches!(error, PatchError::TooMuch));
    let doubling: Vec<_> =
        (0..40).map(|at| json!({"op": "copy", "from": "/a", "path": format!("/a/{at}")})).collect();
    let error = patched(json!({"a": {}}), &Value::from(doubling).to_string(), PatchKind::Json).unwrap_err();
    assert!(matches!(error, PatchError::TooMuch));
    let many = vec![json!({"op": "remove", "path": "/a"}); 10_001];
    let error = patched(json!({}), &Value::from(many).to_string(), PatchKind::Json).unwrap_err();
    assert!(matches!(error, PatchError::TooMuch));
    let deep = format!(r#"[{{"op":"add","path":"/a","value":{}}}]"#, "[".repeat(100_000));
    assert!(matches!(patched(json!({}), &deep, PatchKind::Json), Err(PatchError::Object(_))));
}

#[test]
fn operations_are_told_without_values() {
    let patch = r#"[{"op":"copy","from":"/data/x","path":"/metadata/annotations/a~1b"},
        {"op":"test","path":"/data/x","value":"Z3Vlc3M="},{"op":"add","path":"/b","value":1}]"#;
    let patch = Patch::read(patch.as_bytes(), PatchKind::Json).unwrap();
    let seen: Vec<_> =
        patch.ops().map(|op| (op.kind, op.path.join(" "), op.from.map(|from| from.join(" ")))).collect();
    assert_eq!(
        seen,
        [
            (OpKind::Copy, "metadata annotations a/b".to_owned(), Some("data x".to_owned())),
            (OpKind::Test, "data x".to_owned(), None),
            (OpKind::Add, "b".to_owned(), None),
        ]
    );
}

/// The table of RFC 7386, appendix A, as far as its patches are objects.
#[test]
fn examples_of_rfc_7386() {
    for (present, patch, expected) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        let result = patched(present, &patch.to_string(), PatchKind::Merge).unwrap();
        assert_eq!(result, Patched::Exactly(expected), "{patch}");
    }
    assert!(patched(json!({}), "[]", PatchKind::Merge).is_err());
}

#[test]
fn what_depends_on_the_schema_is_at_most_both() {
    let present = json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "image": "old:1"}]}});
    let strategic = r#"{"spec":{"containers":[{"name":"a","$patch":"delete"},{"name":"b","image":"new:1"}],"hostPID":true}}"#;
    let apply = "spec:\n  hostPID: yes\n  containers:\n  - name: b\n    image: new:1\n";
    for (kind, patch) in [(PatchKind::Strategic, strategic), (PatchKind::Apply, apply)] {
        let facts = patched(present.clone(), patch, kind).unwrap().facts(&Detector::default());
        assert_eq!(facts.images, ["old:1", "new:1"]);
        assert!(facts.host_pid);
        assert_eq!(facts.kind, "Pod");
    }
}

#[test]
fn types_are_told_apart() {
    let check = |text: &str, expected| {
        assert_eq!(PatchKind::of(Some(&HeaderValue::from_str(text).unwrap())), expected, "{text}");
    };
    check("application/json-patch+json", Some(PatchKind::Json));
    check("application/merge-patch+json; charset=utf-8", Some(PatchKind::Merge));
    check("application/strategic-merge-patch+json", Some(PatchKind::Strategic));
    check("application/apply-patch+yaml", Some(PatchKind::Apply));
    check("application/apply-patch+cbor", None);
    check("application/json", None);
    assert_eq!(PatchKind::of(None), None);
}

proptest! {
    #[test]
    fn promises_hold_on_random_input(
        kind in 0..4u8,
        ops in proptest::collection::vec(
            (proptest::sample::select(vec!["add", "remove", "replace", "move", "copy", "test"]), "(/[ab0-2-]){1,3}", "(/[ab01]){1,3}"), 0..12),
        text in "(\\{|\\}|\"a\"|:|,|\\[|\\]|null|1){0,16}",
    ) {
        let ops: Vec<_> = ops.iter()
            .map(|(op, path, from)| json!({"op": op, "path": path, "from": from, "value": {"a": [0]}}))
            .collect();
        let object = json!({"a": [{"b": 1}], "b": {"a": {"b": []}}});
        for patch in [&Value::from(ops).to_string(), &text, &json!({"a": {"b": null}}).to_string()] {
            fuzz_patch(&[&[kind], patch.as_bytes(), b"\0", object.to_string().as_bytes()].concat());
        }
    }
}
