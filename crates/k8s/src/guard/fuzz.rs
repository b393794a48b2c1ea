//! What must hold of any body that is written.

use std::sync::LazyLock;

use lockgate_core::json;
use lockgate_detect::{KnownValues, RuleSet, TagKey};
use serde_json::{Value, json};

use super::{Finder, LAST_APPLIED, NEEDLES, check, restore};
use crate::mask::{Format, Masking, Options, Subject};

/// What the present Secret holds, in base64.
const VALUE: &str = "cGw0bnRlZC1TM2NyZXQ=";

static NO_RULES: LazyLock<RuleSet> = LazyLock::new(|| RuleSet::only("").expect("nothing is a set of rules"));

/// Takes any body, in any pieces, and puts back what placeholders in it stand for. The first byte says how large the
/// pieces are.
#[doc(hidden)]
pub fn fuzz_guard(data: &[u8]) {
    let Some((size, body)) = data.split_first() else { return };
    let mut finder = Finder::new();
    let found = body.chunks(usize::from(*size) + 1).fold(false, |_, piece| finder.push(piece));
    assert_eq!(found, NEEDLES.is_match(body), "the cuts do not matter");
    assert!(!found || check(body, None).is_err());
    if let Ok(object) = json::read(body)
        && !body.windows(12).any(|window| window == &VALUE.as_bytes()[..12])
        && let Ok(restored) = restore(object, &present(), masking())
    {
        let mut rest = restored.object;
        take_out(&mut rest);
        if let Some(Value::String(copy)) = rest.pointer_mut(LAST_APPLIED) {
            let mut object = json::read(copy.as_bytes()).unwrap_or_default();
            if object["kind"] == "Secret" && object["metadata"]["name"] == "db" {
                take_out(&mut object);
                *copy = object.to_string();
            }
        }
        assert!(!rest.to_string().contains(&VALUE[..12]), "a value stands where it did not");
    }
}

/// Takes out what may be put back.
fn take_out(object: &mut Value) {
    if let Some(value) = object.pointer_mut("/data/password") {
        *value = Value::Null;
    }
}

pub(super) fn present() -> Value {
    json!({
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": { "name": "db", "namespace": "prod", "uid": "0-1", "resourceVersion": "7", "annotations": {} },
        "data": { "password": VALUE },
    })
}

pub(super) fn masking() -> Masking {
    let subject = Subject { resource: "secrets".to_owned(), ..Subject::default() };
    let (known, tags) = (KnownValues::new(), TagKey::new(b"fuzz"));
    Masking::new(subject, Format::Json, &NO_RULES, &known, &tags, Options::default())
}
