//! Keeps placeholders out of what is written: a client that reads a masked object and writes it back would put
//! them in the place of the secrets.
//!
//! A write with a placeholder in it is refused, with the field that has it; or what the placeholder stands for is
//! put back, where it stands exactly as and where a read of the same object would have shown it. Nothing looser: a
//! placeholder that could be put elsewhere would be a way to read what it stands for.

mod fuzz;

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use lockgate_core::json;
use memchr::memmem;
use serde_json::Value;

#[doc(hidden)]
pub use self::fuzz::fuzz_guard;
use crate::facts::segment;
use crate::mask::marker::START;
use crate::mask::{MaskError, Masking};

/// A write that would store a placeholder; the client is at fault (a `422`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// A placeholder, and in which field.
    #[error("{0} holds a placeholder of a masked value: send the value itself, or leave the field out")]
    Placeholder(String),
    /// The object that is there is another one than the one that is written.
    #[error("the masked values are those of another object")]
    OtherObject,
    /// The object that is there can't be masked for comparison.
    #[error("the present object can't be compared")]
    Present(#[from] MaskError),
}

/// The field that is told where no field can be.
const BODY: &str = "the body";

/// Looks for placeholders in a body of any kind, in whichever pieces it comes: as they are, in base64 (once and
/// twice, at every alignment), percent-encoded, and with the bracket escaped as in JSON.
#[derive(Debug, Default)]
pub struct Finder {
    /// The last bytes, in which a placeholder may have begun.
    tail: Vec<u8>,
    found: bool,
}

impl Finder {
    /// A finder for one body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes; whether a placeholder has been seen so far.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let longest = NEEDLES.max_pattern_len().saturating_sub(1);
        // What spans the seam, then what lies behind it.
        let seam = [&self.tail[..], &bytes[..bytes.len().min(longest)]].concat();
        self.found = self.found || NEEDLES.is_match(&seam) || NEEDLES.is_match(bytes);
        self.tail = if bytes.len() >= longest { bytes[bytes.len() - longest..].to_vec() } else { seam };
        let excess = self.tail.len().saturating_sub(longest);
        self.tail.drain(..excess);
        self.found
    }
}

/// How the beginning of a placeholder is written where brackets and colons are not.
const ESCAPED: [&str; 8] = [
    r"\u005bMASKED:",
    r"\u005BMASKED:",
    r"\x5bMASKED:",
    "%5BMASKED:",
    "%5bMASKED:",
    "%5BMASKED%3A",
    "%5bMASKED%3a",
    "&#91;MASKED:",
];

static NEEDLES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let once = in_base64(START.as_bytes());
    let twice: Vec<_> = once.iter().flat_map(|form| in_base64(form)).collect();
    let plain = ESCAPED.iter().chain([&START]).map(|text| text.as_bytes().to_vec());
    AhoCorasick::new(plain.chain(once).chain(twice))
        .expect("a few short needles are far below the limits of the automaton")
});

/// The letters of base64 that depend on `text` alone, for each of the places in a group of three bytes at which it
/// can begin.
fn in_base64(text: &[u8]) -> Vec<Vec<u8>> {
    [(0, 0), (1, 2), (2, 3)]
        .into_iter()
        .map(|(offset, skip)| {
            let padded = [&vec![0; offset][..], text].concat();
            let whole = padded.len() * 8 / 6;
            STANDARD.encode(&padded).as_bytes()[skip..whole].to_vec()
        })
        .collect()
}

/// Looks for placeholders in a write of which `object` is what was understood, if anything was.
///
/// # Errors
/// [`GuardError::Placeholder`].
pub fn check(body: &[u8], object: Option<&Value>) -> Result<(), GuardError> {
    // What is escaped in the body is not in the value.
    if let Some(field) = object.and_then(|object| field(object, &mut String::new())) {
        return Err(GuardError::Placeholder(field));
    }
    if NEEDLES.is_match(body) || unescaped(body).is_some_and(|body| NEEDLES.is_match(&body)) {
        return Err(GuardError::Placeholder(BODY.to_owned()));
    }
    Ok(())
}

/// A body whose letters are not written as `\u0041`, as far as it has such: of a JSON patch, whose values are not
/// looked at one by one.
fn unescaped(body: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let mut rest = body;
    while let Some(at) = memmem::find(rest, br"\u00") {
        let letter = rest.get(at + 4..at + 6).and_then(|digits| std::str::from_utf8(digits).ok());
        let letter = letter.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.extend_from_slice(&rest[..at]);
        let length = if let Some(letter) = letter {
            plain.push(letter);
            6
        } else {
            plain.push(rest[at]);
            1
        };
        rest = &rest[at + length..];
    }
    (rest.len() < body.len()).then(|| {
        plain.extend_from_slice(rest);
        plain
    })
}

/// The first field with a placeholder.
fn field(value: &Value, path: &mut String) -> Option<String> {
    match value {
        Value::String(text) => NEEDLES.is_match(text).then(|| path.clone()),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .find_map(|(at, value)| below(path, &format!("[{at}]"), |path| field(value, path))),
        Value::Object(object) => object.iter().find_map(|(name, value)| {
            below(path, &segment(name), |path| {
                if NEEDLES.is_match(name) { Some(path.clone()) } else { field(value, path) }
            })
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn below<T>(path: &mut String, segment: &str, run: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    path.push_str(segment);
    let result = run(path);
    path.truncate(length);
    result
}

/// What is to be written, with what its placeholders stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// The object, to be sent as JSON.
    pub object: Value,
    /// How many values were put back.
    pub count: u64,
}

/// Where values of a Secret stand that are put back: copies of the object are in its annotations.
const PLACES: [&str; 2] = ["/data", "/metadata/annotations"];
/// The copy of the object that `kubectl apply` keeps.
const LAST_APPLIED: &str = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";

/// Puts back what placeholders stand for, in a Secret that is written: whole, or as a patch that has its form.
///
/// `present` is the object that is there, and `masking` masks as a read of it would be masked. A value is put back
/// where the written object has in it exactly what such a read shows, at the same path, and the object is the same
/// by namespace, name and, where it says one, uid; so too in the copy of the object that `kubectl apply` keeps with
/// it. Where the written object has no `resourceVersion`, it gets that of the present one, so that nothing is put
/// back over a newer value.
///
/// # Errors
/// [`GuardError`], where anything is left that can't be put back.
pub fn restore(mut object: Value, present: &Value, masking: Masking) -> Result<Restored, GuardError> {
    if field(&object, &mut String::new()).is_none() {
        return Ok(Restored { object, count: 0 });
    }
    let version = present.pointer("/metadata/resourceVersion").filter(|version| version.is_string());
    let Some(version) = version.filter(|_| is_same(&object, present)) else {
        return Err(GuardError::OtherObject);
    };
    let shown = shown(present, masking)?;
    let mut count = 0;
    for place in PLACES {
        put_back_at(place, &mut object, present, &shown, &mut count);
    }
    if let Some(Value::String(copy)) = object.pointer_mut(LAST_APPLIED) {
        put_back_in_copy(copy, present, &shown, &mut count);
    }
    if let Some(field) = field(&object, &mut String::new()) {
        return Err(GuardError::Placeholder(field));
    }
    let own = object.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    if own.is_none_or(str::is_empty) {
        // The API server takes an empty one for none.
        object["metadata"]["resourceVersion"] = version.clone();
    }
    Ok(Restored { object, count })
}

/// What is not said is said by the path of the request.
fn is_same(object: &Value, present: &Value) -> bool {
    let metadata = object.get("metadata");
    metadata.is_none_or(Value::is_object)
        && ["/kind", "/apiVersion", "/metadata/name", "/metadata/namespace", "/metadata/uid"]
            .iter()
            .all(|path| object.pointer(path).is_none_or(|said| Some(said) == present.pointer(path)))
}

/// The present object as a read shows it.
fn shown(present: &Value, mut masking: Masking) -> Result<Value, MaskError> {
    let mut out = Vec::new();
    masking.push(&Bytes::from(present.to_string()), &mut out)?;
    masking.finish(&mut out)?;
    serde_json::from_slice(&out.concat()).map_err(|_| MaskError::Incomplete)
}

fn put_back_at(place: &str, object: &mut Value, present: &Value, shown: &Value, count: &mut u64) {
    if let (Some(Value::Object(values)), Some(present), Some(shown)) =
        (object.pointer_mut(place), present.pointer(place), shown.pointer(place))
    {
        for (name, value) in values {
            if let (Some(present), Some(shown)) = (present.get(name), shown.get(name))
                && value.as_str().is_some_and(|text| NEEDLES.is_match(text))
                && value == shown
                && shown != present
            {
                *value = present.clone();
                *count += 1;
            }
        }
    }
}

/// In a copy of the object, which must say itself that it is one: as such it is masked when it is read.
fn put_back_in_copy(copy: &mut String, present: &Value, shown: &Value, count: &mut u64) {
    let Ok(mut object) = json::read(copy.as_bytes()) else { return };
    let says = ["/kind", "/metadata/name"].iter().all(|path| object.pointer(path).is_some());
    let before = *count;
    if says && is_same(&object, present) {
        put_back_at("/data", &mut object, present, shown, count);
    }
    if *count > before {
        let end = if copy.ends_with('\n') { "\n" } else { "" };
        *copy = format!("{object}{end}");
    }
}

#[cfg(test)]
mod tests;
