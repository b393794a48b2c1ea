//! JSON that someone else will read too, as one value, or a reason why not: what two readers could read in two ways is
//! no value. Its size is bounded by the callers.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Values in one document, so that many small ones do not grow into a hundred times their bytes. An object of
/// the API server's largest size that people write has fewer.
pub const MAX_VALUES: usize = 1 << 18;

/// Reads a whole document.
///
/// # Errors
/// Malformed, not UTF-8, deeper than 128 levels, of more than 262,144 values, followed by something else, with a
/// key that is there twice, or a number that not every reader holds. The text of the error holds no content.
pub fn read(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut left = MAX_VALUES;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { left: &mut left }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Reads a whole document that is an object.
///
/// # Errors
/// As [`read`]; or it is something else.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    match read(bytes)? {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(serde_json::Error::custom("not a JSON object"))
        }
    }
}

struct Strict<'a> {
    left: &'a mut usize,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        *self.left = self.left.checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // A larger one may have been a whole number that only some readers round.
        Number::from_f64(value)
            .filter(|_| value.abs() < 9_007_199_254_740_992.0)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number that is too large"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = sequence.next_element_seed(Strict { left: &mut *self.left })? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let value = members.next_value_seed(Strict { left: &mut *self.left })?;
            if map.insert(key, value).is_some() {
                return Err(A::Error::custom("a key that is there twice"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &[u8], reason: &str) {
        let error = read(text).expect_err("refused").to_string();
        assert!(error.starts_with(reason), "{error}");
    }

    #[test]
    fn what_is_unambiguous_is_read() {
        for text in [r#"{"a":[1,-2,2.5,null,true,"\u00e9"],"b":{}}"#, "0", " \"x\" ", "18446744073709551615"]
        {
            assert_eq!(read(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        }
    }

    #[test]
    fn only_an_object_is_one() {
        for other in ["[]", "null", "1", "\"x\"", "true"] {
            assert!(
                object(other.as_bytes()).unwrap_err().to_string().contains("not a JSON object"),
                "{other}"
            );
        }
        assert!(object(b"{\"a\":\"\x01\"}").is_err() && object(b"{\"a\":1}{}").is_err());
        assert_eq!(object(b"{\"a\":1}").unwrap()["a"], 1);
    }

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_refused() {
        check(br#"{"a":1,"\u0061":2}"#, "a key that is there twice");
        check(br#"[{"a":{"b":1,"b":1}}]"#, "a key that is there twice");
        check(b"{}{}", "trailing characters");
        check(b"{} x", "trailing characters");
        check(b"\"\xff\"", "invalid unicode");
        check(br#""\ud800""#, "unexpected end of hex escape");
        check(b"1e400", "number out of range");
        check(b"123456789012345678901234567890", "a number that is too large");
        check(b"NaN", "expected value");
        check(b"\xef\xbb\xbf{}", "expected value");
        check(b"", "EOF");
        check(&b"[".repeat(100_000), "recursion limit");
        check(format!("[{}0]", "0,".repeat(MAX_VALUES)).as_bytes(), "too many values");
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(
            names in proptest::collection::hash_set(".{0,5}", 0..5), number in any::<i64>(), text in ".*",
        ) {
            let item = serde_json::json!([null, true, number, 0.5, text, {}]);
            let value: Map<_, _> = names.into_iter().map(|name| (name, item.clone())).collect();
            let bytes = serde_json::to_vec(&value).unwrap();
            prop_assert_eq!(object(&bytes).unwrap(), value);
        }
    }
}
