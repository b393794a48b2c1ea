//! What a fuzz target runs; also run on random input by the tests.

use bytes::Bytes;
use lockgate_detect::{KnownValues, RuleSet, TagKey};
use serde_json::Value;

use super::{Format, Masking, Options, Subject};

/// Takes any text as the answer to a request for Secrets: the cuts do not matter, what comes out is JSON of the
/// same shape, and no `data` is what it was. For fuzzing: the first byte says how large the pieces are.
#[doc(hidden)]
pub fn fuzz_mask(data: &[u8]) {
    let Some((size, text)) = data.split_first() else { return };
    let subject = Subject { resource: "secrets".to_owned(), ..Subject::default() };
    let answer = |size: usize| {
        let known = KnownValues::new();
        let (rules, tags) = (RuleSet::builtin(), TagKey::new(b"fuzz"));
        let mut masking =
            Masking::new(subject.clone(), Format::Json, &rules, &known, &tags, Options::default());
        let mut out = Vec::new();
        for piece in text.chunks(size) {
            masking.push(&Bytes::copy_from_slice(piece), &mut out)?;
        }
        masking.finish(&mut out).map(|()| out.concat())
    };
    let whole = answer(usize::MAX);
    assert_eq!(answer(usize::from(*size) + 1), whole);
    if let (Ok(whole), Ok(value)) = (whole, serde_json::from_slice::<Value>(text)) {
        let masked = serde_json::from_slice(&whole).expect("what is masked is still JSON");
        // What says that it is of another kind is believed.
        let says_its_kind = text.contains(&b'\\') || text.windows(4).any(|word| word == b"kind");
        if !says_its_kind {
            compare(&value, &masked, false);
        }
    }
}

fn compare(value: &Value, masked: &Value, is_data: bool) {
    match (value, masked) {
        (Value::Object(object), Value::Object(masked)) => {
            for (name, value) in object {
                let is_data = is_data || matches!(name.as_str(), "data" | "stringData");
                compare(value, masked.get(name).expect("keys stay"), is_data);
            }
        }
        (Value::String(text), Value::String(masked)) if is_data && !text.is_empty() => {
            assert_ne!(text, masked)
        }
        _ => {}
    }
}
