//! The object in a request's body, in whichever encoding it comes.

use http::HeaderValue;
use lockgate_core::json;
use serde_json::Value;

pub use super::protobuf::ProtobufError;
pub use super::yaml::YamlError;
use super::{protobuf, yaml};

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/json`, and what is sent without a type.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

impl Encoding {
    /// By a `Content-Type`; none for those that cannot be understood, CBOR among them.
    #[must_use]
    pub fn of(content_type: Option<&HeaderValue>) -> Option<Self> {
        let Some(content_type) = content_type else { return Some(Self::Json) };
        match media_type(content_type)?.as_str() {
            "" | "application/json" => Some(Self::Json),
            "application/yaml" => Some(Self::Yaml),
            "application/vnd.kubernetes.protobuf" => Some(Self::Protobuf),
            _ => None,
        }
    }
}

/// The type without its parameters, in lower case; none where it is no text.
pub(crate) fn media_type(content_type: &HeaderValue) -> Option<String> {
    let text = content_type.to_str().ok()?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// What a body holds.
#[derive(Debug)]
pub struct Object {
    /// The object as it is in JSON.
    pub value: Value,
    /// How much of it is there.
    pub extent: Extent,
}

/// How much is known of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Whole,
    /// Every field that says what runs how, and which secrets it reads.
    Facts,
    /// Its kind, and maybe its metadata.
    Kind,
}

/// A body is no object, or not one that everybody reads alike; the client is at fault. No variant holds content.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// As JSON.
    #[error("the JSON is refused")]
    Json(#[from] serde_json::Error),
    /// As YAML.
    #[error("the YAML is refused")]
    Yaml(#[from] YamlError),
    /// As protobuf.
    #[error("the protobuf is refused")]
    Protobuf(#[from] ProtobufError),
    /// A text, a number or a list.
    #[error("the body is not an object")]
    NoObject,
}

/// Reads a body, whose size the caller has bounded.
///
/// # Errors
/// [`ObjectError`].
pub fn object(body: &[u8], encoding: Encoding) -> Result<Object, ObjectError> {
    let (value, extent) = match encoding {
        Encoding::Json => (json::read(body)?, Extent::Whole),
        Encoding::Yaml => (yaml::read(body)?, Extent::Whole),
        Encoding::Protobuf => {
            let decoded = protobuf::read(body)?;
            (decoded.value, if decoded.is_known { Extent::Facts } else { Extent::Kind })
        }
    };
    if !value.is_object() {
        return Err(ObjectError::NoObject);
    }
    Ok(Object { value, extent })
}

/// Takes any bytes in every encoding, and what is read holds no more than what was sent. For fuzzing.
#[doc(hidden)]
pub fn fuzz_object(data: &[u8]) {
    for encoding in [Encoding::Json, Encoding::Yaml, Encoding::Protobuf] {
        let Ok(object) = object(data, encoding) else { continue };
        let text = serde_json::to_vec(&object.value).expect("a value is text");
        let again = self::object(&text, Encoding::Json).expect("what was read can be read again");
        assert_eq!(again.value, object.value);
        let _ = crate::facts::Facts::of(&object, &crate::facts::Detector::default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types_are_told_apart_and_unknown_ones_are_none() {
        let check = |text: &str, expected| {
            assert_eq!(Encoding::of(Some(&HeaderValue::from_str(text).unwrap())), expected, "{text}");
        };
        assert_eq!(Encoding::of(None), Some(Encoding::Json));
        check("application/json; charset=utf-8", Some(Encoding::Json));
        check("Application/YAML", Some(Encoding::Yaml));
        check("application/vnd.kubernetes.protobuf;type=x", Some(Encoding::Protobuf));
        check("application/cbor", None);
        check("text/yaml", None);
        check("application/x-www-form-urlencoded", None);
    }

    #[test]
    fn only_objects_are_objects() {
        for text in ["[]", "1", "\"x\"", "null"] {
            assert!(matches!(object(text.as_bytes(), Encoding::Json), Err(ObjectError::NoObject)));
            assert!(matches!(object(text.as_bytes(), Encoding::Yaml), Err(ObjectError::NoObject)));
        }
    }

    proptest! {
        #[test]
        fn promises_hold_on_random_input(
            text in "(\\{|\\}|\"a\"|:|,|\\[|\\]| |\n|- |a|1|yes|&|\\*|\\PC){0,24}",
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            fuzz_object(text.as_bytes());
            fuzz_object(&[&protobuf::MAGIC[..], &bytes].concat());
        }
    }
}
