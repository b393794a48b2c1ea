//! What holds of any answer.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn promises_hold_on_random_input(
        size in any::<u8>(),
        text in "(\\{|\\}|\"data\"|\"items\"|\"rows\"|\"a\"|:|,|\\[|\\]| |\n|1|null){0,20}",
    ) {
        fuzz_mask(&[&[size], text.as_bytes()].concat());
    }

    #[test]
    fn benign_json_stays_byte_for_byte(
        words in proptest::collection::vec("[a-z]{1,8}|\\\\n|\\\\u0041|é| ", 1..12),
        spaces in " {0,3}\n{0,2}",
        size in 1..40usize,
    ) {
        let text = format!("{{{spaces}\"kind\":\"Widget\",\"a\":[{spaces}\"{}\",1.50,{{}}],\"items\":[{{\"b\":\"{}\"}}{spaces},{spaces}2]{spaces}}}{spaces}", words.concat(), words.concat());
        let (masked, count) = Session::new().answer(pods(), Format::Json, &text, size).unwrap();
        prop_assert_eq!(masked, text);
        prop_assert_eq!(count, 0);
    }

    #[test]
    fn no_planted_value_is_shown(value in "[A-Z][a-zA-Z0-9!\"\\\\<&/\n]{11,40}[A-Z]", at in 0..12usize, size in 1..200usize) {
        let shape = shapes()[at].1.to_string();
        // Within the annotations' own JSON the value is escaped twice.
        let raw = serde_json::to_string(&value).unwrap();
        let raw = raw.trim_matches('"');
        let raw = &raw[..raw.len()];
        let twice = serde_json::to_string(raw).unwrap();
        let twice = &twice[1..twice.len() - 1];
        let text = shape
            .replace(&format!("\\\"password\\\":\\\"{PLANTED}\\\""), &format!("\\\"password\\\":\\\"{twice}\\\""))
            .replace(PLANTED, raw)
            .replace(&STANDARD.encode(PLANTED), &STANDARD.encode(&value));
        let session = Session::new();
        let first = json!({"kind": "Secret", "data": {"password": STANDARD.encode(&value)}});
        session.json(secrets(), &first);
        let (masked, _) = session.answer(secrets(), Format::Json, &text, size).unwrap();
        prop_assert!(serde_json::from_str::<Value>(&masked).is_ok(), "{}", masked);
        for form in [raw, twice, &STANDARD.encode(&value)] {
            prop_assert!(!masked.contains(form), "{} in {}", form, masked);
        }
    }
}
