//! What the fuzz targets in `fuzz/` run, one function per parser; also run on random input by the tests.
//! Each takes any bytes, and panics where a promise of this crate is broken.

use crate::{
    JsonMasker, KnownValues, MaskOptions, Masker, Places, RuleSet, StructureError, TagKey, YamlMasker,
};

/// The rule loader takes any text, and what it accepts can be run.
pub fn rule_loader(data: &[u8]) {
    if let Ok(set) =
        std::str::from_utf8(data).map_err(drop).and_then(|text| RuleSet::only(text).map_err(drop))
    {
        masked(&set, data, usize::MAX);
    }
}

/// A masker gives the same output whole, in single bytes and in pieces whose size the input chooses.
pub fn masker_under_splits(data: &[u8]) {
    let set = RuleSet::builtin();
    let whole = masked(&set, data, usize::MAX);
    for size in [1, usize::from(data.first().copied().unwrap_or(2)) + 2] {
        assert_eq!(whole, masked(&set, data, size), "in pieces of {size}");
    }
}

/// The JSON masker gives the same result whole and in single bytes.
pub fn json_masker(data: &[u8]) {
    assert_eq!(json(data, usize::MAX), json(data, 1));
}

/// The YAML masker gives the same result whole and in single bytes.
pub fn yaml_masker(data: &[u8]) {
    assert_eq!(yaml(data, usize::MAX), yaml(data, 1));
}

fn masker(set: &RuleSet) -> Masker {
    Masker::new(set, &KnownValues::new(), &TagKey::new(b"fuzz"), MaskOptions::default())
}

fn masked(set: &RuleSet, data: &[u8], size: usize) -> Vec<u8> {
    let (mut masker, mut out) = (masker(set), Vec::new());
    for piece in data.chunks(size) {
        masker.push(piece, &mut out);
        masker.flush(&mut out);
    }
    masker.finish(&mut out);
    out
}

fn places() -> Places {
    let paths = ["data.*", "items.*.data.*", "**.password", "**.*token*"];
    paths.into_iter().fold(Places::new(), |places, path| {
        places.with("fuzz", path, crate::Encoding::Base64).expect("the paths are constant and well formed")
    })
}

fn json(data: &[u8], size: usize) -> Result<Vec<u8>, StructureError> {
    let (mut masker, mut out) =
        (JsonMasker::new(masker(&RuleSet::builtin().structured()), &places()), Vec::new());
    for piece in data.chunks(size) {
        masker.push(piece, &mut out)?;
    }
    masker.finish(&mut out).map(|()| out)
}

fn yaml(data: &[u8], size: usize) -> Result<Vec<u8>, StructureError> {
    let (mut masker, mut out) =
        (YamlMasker::new(masker(&RuleSet::builtin().structured()), &places()), Vec::new());
    for piece in data.chunks(size) {
        masker.push(piece, &mut out)?;
    }
    masker.finish(&mut out).map(|()| out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            proptest::sample::select(vec![
                "\"",
                "'",
                "\n",
                ":",
                ": ",
                " ",
                "{",
                "}",
                "[",
                "]",
                "- ",
                "\\",
                ",",
                "password",
                "data",
                "token: ",
                "|\n",
                "#",
                "---\n",
                "null",
                "1",
                "\\u0041",
                "AKIA",
                "eyJ",
                "://a:b@c",
                "sk-",
                "[[rule]]\n",
                "id = 'a'\n",
                "pattern = 'abcd",
            ])
            .prop_map(|word| word.as_bytes().to_vec()),
        ];
        proptest::collection::vec(word, 0..60).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn promises_hold_on_random_input(text in texts()) {
            rule_loader(&text);
            masker_under_splits(&text);
            json_masker(&text);
            yaml_masker(&text);
        }
    }
}
