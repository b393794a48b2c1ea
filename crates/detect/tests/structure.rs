//! JSON and YAML are masked by place, the bytes around stay as they are, and cuts change nothing.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use lockgate_detect::{
    Encoding, JsonMasker, KnownValues, MaskOptions, Masker, Places, RuleSet, StructureError, TagKey,
    YamlMasker,
};
use proptest::prelude::*;

fn places() -> Places {
    [
        ("secret", "data.*", Encoding::Base64),
        ("secret", "items.*.data.*", Encoding::Base64),
        ("secret", "stringData.*", Encoding::Plain),
        ("key", "**.password", Encoding::Plain),
        ("key", "**.*token", Encoding::Plain),
        ("note", "metadata.annotations.\"kubectl.kubernetes.io/last\"", Encoding::Plain),
    ]
    .into_iter()
    .fold(Places::new(), |places, (name, path, encoding)| places.with(name, path, encoding).unwrap())
}

fn masker(known: &KnownValues) -> Masker {
    Masker::new(&RuleSet::builtin().structured(), known, &TagKey::new(b"key"), MaskOptions::default())
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Json,
    Yaml,
}

/// The output, or the error; tags are shown as `#`, base64 placeholders as `{{...}}`.
fn run(kind: Kind, text: &[u8], sizes: &[usize]) -> Result<String, StructureError> {
    let known = KnownValues::new();
    let mut out = Vec::new();
    let mut rest = text;
    let mut sizes = sizes.iter().cycle();
    let mut next = || {
        let size = (*sizes.next().unwrap()).min(rest.len());
        let piece;
        (piece, rest) = rest.split_at(size);
        (!piece.is_empty()).then_some(piece)
    };
    match kind {
        Kind::Json => {
            let mut masker = JsonMasker::new(masker(&known), &places());
            while let Some(piece) = next() {
                masker.push(piece, &mut out)?;
            }
            masker.finish(&mut out)?;
        }
        Kind::Yaml => {
            let mut masker = YamlMasker::new(masker(&known), &places());
            while let Some(piece) = next() {
                masker.push(piece, &mut out)?;
            }
            masker.finish(&mut out)?;
        }
    }
    Ok(show(&String::from_utf8_lossy(&out)))
}

fn show(text: &str) -> String {
    use base64::Engine as _;
    let mut shown = String::new();
    for word in text
        .split_inclusive(|character: char| !(character.is_ascii_alphanumeric() || "+/=".contains(character)))
    {
        let end = word.trim_end_matches(|character: char| {
            !(character.is_ascii_alphanumeric() || "+/=".contains(character))
        });
        match base64::engine::general_purpose::STANDARD.decode(end) {
            Ok(decoded) if decoded.starts_with(b"[MASKED") => {
                shown += &format!("{{{{{}}}}}{}", String::from_utf8(decoded).unwrap(), &word[end.len()..]);
            }
            _ => shown += word,
        }
    }
    let mut parts = shown.split("[MASKED:");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| {
        let (inside, after) = part.split_once(']').unwrap();
        format!("{text}[{}#]{after}", inside.rsplit_once(':').unwrap().0)
    })
}

#[track_caller]
fn check(kind: Kind, input: &str, expected: &str) {
    assert_eq!(run(kind, input.as_bytes(), &[usize::MAX]).unwrap(), expected);
    assert_eq!(run(kind, input.as_bytes(), &[1]).unwrap(), expected, "byte by byte");
}

#[track_caller]
fn refuse(kind: Kind, input: &str, expected: StructureError) {
    assert_eq!(run(kind, input.as_bytes(), &[usize::MAX]), Err(expected));
    assert_eq!(run(kind, input.as_bytes(), &[1]), Err(expected), "byte by byte");
}

#[test]
fn json_values_are_masked_by_place() {
    check(
        Kind::Json,
        r#"{"kind":"Secret", "data" : {"a":"c2VjcmV0", "b": ""},"x":1}"#,
        r#"{"kind":"Secret", "data" : {"a":"{{[secret#]}}", "b": ""},"x":1}"#,
    );
    check(
        Kind::Json,
        r#"{"items":[{"data":{"a":"eA=="}},{"data":{"a":"eQ==","z":null}}]}"#,
        r#"{"items":[{"data":{"a":"{{[secret#]}}"}},{"data":{"a":"{{[secret#]}}","z":null}}]}"#,
    );
    check(
        Kind::Json,
        r#"{"a":{"Password":"x\"y\u00e9","n":"password"}}"#,
        r#"{"a":{"Password":"[key#]","n":"password"}}"#,
    );
    check(
        Kind::Json,
        r#"[{"password":[1,true,"s",{"deep":-2.5e3}], "after": 7}]"#,
        r#"[{"password":[0,false,"[key#]",{"deep":0}], "after": 7}]"#,
    );
    check(
        Kind::Json,
        r#"{"metadata":{"annotations":{"kubectl.kubernetes.io/last":"{\"a\":1}","o":"k"}}}"#,
        r#"{"metadata":{"annotations":{"kubectl.kubernetes.io/last":"[note#]","o":"k"}}}"#,
    );
    check(
        Kind::Json,
        r#"{"p\u0061ssword":"x","mytoken":"y","tokens":"z"}"#,
        r#"{"p\u0061ssword":"[key#]","mytoken":"[key#]","tokens":"z"}"#,
    );
    check(
        Kind::Json,
        "{\"password\":\"a\"}\n{\"password\":\"b\"}\n5 null",
        "{\"password\":\"[key#]\"}\n{\"password\":\"[key#]\"}\n5 null",
    );
}

#[test]
fn json_text_is_masked_by_rule_even_where_letters_are_escaped() {
    let id = concat!("AK", "IAQ3EGPLK7QWERTYUI");
    let hidden = format!("\\u0041{}", &id[1..]);
    check(
        Kind::Json,
        &format!(r#"{{"a":"{hidden}","b":"\u0042\/\n"}}"#),
        r#"{"a":"[aws-access-key-id#]","b":"\u0042\/\n"}"#,
    );
    check(Kind::Json, &format!(r#"{{"{id}":1}}"#), r#"{"[aws-access-key-id#]":1}"#);
}

#[test]
fn malformed_json_is_refused() {
    refuse(Kind::Json, r#"{"a" 1}"#, StructureError::Malformed(5));
    refuse(Kind::Json, r#"{"a":1]"#, StructureError::Malformed(6));
    refuse(Kind::Json, r#"["\x"]"#, StructureError::Malformed(3));
    refuse(Kind::Json, r#"{"a":[1,2"#, StructureError::Incomplete(9));
}

#[test]
fn deep_json_is_followed() {
    let depth = 100_000;
    let text = "[".repeat(depth) + r#"{"password":"x"}"# + &"]".repeat(depth);
    assert_eq!(
        run(Kind::Json, text.as_bytes(), &[1000]).unwrap(),
        "[".repeat(depth) + r#"{"password":"[key#]"}"# + &"]".repeat(depth)
    );
    let text = "[".repeat(1 << 20);
    assert_eq!(run(Kind::Json, text.as_bytes(), &[1 << 16]), Err(StructureError::TooDeep(100 << 10)));
    let pairs = r#"[{"a":"#.repeat(depth / 2);
    assert_eq!(run(Kind::Json, pairs.as_bytes(), &[7]), Err(StructureError::Incomplete(6 * 50_000)));
}

#[test]
fn yaml_values_are_masked_by_place_in_every_style() {
    check(
        Kind::Yaml,
        "kind: Secret\ndata:\n  a: c2VjcmV0 # why\n  b: \"eA==\"\n  c: 'eQ=='\n  d: null\nx: 1\n",
        "kind: Secret\ndata:\n  a: {{[secret#]}}\n  b: \"{{[secret#]}}\"\n  c: '{{[secret#]}}'\n  d: null\nx: 1\n",
    );
    check(
        Kind::Yaml,
        "stringData:\n  cfg: |-\n    one\n\n    two\n  k: >\n    x\nkind: Secret\n",
        "stringData:\n  cfg: |-\n    [secret#]\n  k: >\n    [secret#]\nkind: Secret\n",
    );
    check(
        Kind::Yaml,
        "items:\n- data:\n    a: eA==\n  kind: Secret\n- data: {a: eQ==, 'b': \"eg==\", c: }\n",
        "items:\n- data:\n    a: {{[secret#]}}\n  kind: Secret\n- data: {a: {{[secret#]}}, 'b': \"{{[secret#]}}\", c: }\n",
    );
    check(
        Kind::Yaml,
        "a:\n  password: one\n    two\n    three\n  b: 2\n---\npassword: !!str x\n",
        "a:\n  password: \"[key#]\"\n  b: 2\n---\npassword: !!str \"[key#]\"\n",
    );
    check(
        Kind::Yaml,
        "password:\n- x\n- y: z\n- - w\nother: v\n",
        "password:\n- \"[key#]\"\n- y: \"[key#]\"\n- - \"[key#]\"\nother: v\n",
    );
    check(
        Kind::Yaml,
        "{\"data\": {\"a\": \"eA==\"}, \"l\": [1, {password: p, q: r}]}\n",
        "{\"data\": {\"a\": \"{{[secret#]}}\"}, \"l\": [1, {password: \"[key#]\", q: r}]}\n",
    );
    check(
        Kind::Yaml,
        "password: 'it''s'\nx: 'it''s'\n\"pass\\x77ord\": y\n",
        "password: '[key#]'\nx: 'it''s'\n\"pass\\x77ord\": \"[key#]\"\n",
    );
    check(
        Kind::Yaml,
        "# password: x\nurl: http://h:80/p # c\ntext: |\n  password: kept\nlast: y",
        "# password: x\nurl: http://h:80/p # c\ntext: |\n  password: kept\nlast: y",
    );
}

#[test]
fn unclear_yaml_is_refused() {
    refuse(Kind::Yaml, "a: &x secret\npassword: *x\n", StructureError::Unsupported(23));
    refuse(Kind::Yaml, "? password\n: x\n", StructureError::Unsupported(0));
    refuse(Kind::Yaml, "a:\n    b: 1\n  c: 2\n", StructureError::Malformed(14));
    refuse(Kind::Yaml, "a: \"open\n", StructureError::Incomplete(9));
    refuse(Kind::Yaml, "a: {b: c\n", StructureError::Incomplete(9));
}

#[test]
fn what_is_masked_is_known_from_then_on() {
    let known = KnownValues::new();
    let mut json = JsonMasker::new(masker(&known), &places().learning(&known));
    let mut out = Vec::<u8>::new();
    json.push(r#"{"data":{"a":"aHVudGVyMjJodW50ZXI="},"log":"user hunter22hunter in"}"#, &mut out).unwrap();
    json.finish(&mut out).unwrap();
    assert!(show(&String::from_utf8(out).unwrap()).ends_with(r#""log":"user [secret#] in"}"#));
    assert_eq!(json.masker().findings().len(), 2);
    assert_eq!(json.masker().findings()[0].offset, 14);
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        parts in proptest::collection::vec(prop_oneof![
            Just("{\"data\":{\"a\":\"eA==\",\"b\":[1,\"\\u0041\\n\"]},\"token\":true}"), Just("\n"), Just("[\"x\",{}, -1]"), Just("\"\u{e9}\\\\\""),
        ], 1..20),
        sizes in proptest::collection::vec(1usize..40, 1..6),
    ) {
        let text = parts.concat();
        prop_assert_eq!(run(Kind::Json, text.as_bytes(), &[usize::MAX]), run(Kind::Json, text.as_bytes(), &sizes));
    }

    #[test]
    fn yaml_cuts_change_nothing(
        parts in proptest::collection::vec(prop_oneof![
            Just("data:\n  a: eA==\n"), Just("b: |\n  text\n\n  more\n"), Just("- x\n- password: y\n  z: 'q'\n"), Just("---\n"), Just("f: {a: [b, \"c\"], password: d}\n"), Just("# c\n"),
        ], 1..20),
        sizes in proptest::collection::vec(1usize..40, 1..6),
    ) {
        let text = parts.concat();
        prop_assert_eq!(run(Kind::Yaml, text.as_bytes(), &[usize::MAX]), run(Kind::Yaml, text.as_bytes(), &sizes));
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'"'), Just(b'\n'), Just(b':'), Just(b' '), Just(b'{'), Just(b'-'), Just(b'\'')], 0..200), sizes in proptest::collection::vec(1usize..40, 1..6)) {
        for kind in [Kind::Json, Kind::Yaml] {
            let _ = run(kind, &bytes, &sizes);
        }
    }
}
