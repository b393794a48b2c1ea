//! JSON that everybody reads alike: no member twice, and none whose name differs from a known one in case alone.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

/// What is wrong with it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

/// Reads one document.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Once.deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| JsonError(error.to_string().chars().take(200).collect()))
}

/// Refuses names that some readers take for known ones.
pub(super) fn check_names(of: &Map<String, Value>, known: &[&str]) -> Result<(), JsonError> {
    let folded: Vec<String> = known.iter().map(|name| fold(name)).collect();
    let like = |name: &str| !known.contains(&name) && folded.contains(&fold(name));
    match of.keys().find(|name| like(name)) {
        Some(name) => {
            Err(JsonError(format!("some would read the member `{}` as another", name.escape_debug())))
        }
        None => Ok(()),
    }
}

/// As Go compares names: letters without their case, the Kelvin sign as k and the long s as s.
fn fold(name: &str) -> String {
    let plain = name.chars().map(|c| match c {
        '\u{212a}' => 'k',
        '\u{17f}' => 's',
        c => c.to_ascii_lowercase(),
    });
    plain.collect()
}

/// A value whose objects have each member once.
struct Once;

impl<'de> DeserializeSeed<'de> for Once {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut of: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = of.next_element_seed(Once)? {
            list.push(value);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut of: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = of.next_key::<String>()? {
            let value = of.next_value_seed(Once)?;
            if map.contains_key(&name) {
                return Err(A::Error::custom("a member is there twice"));
            }
            map.insert(name, value);
        }
        Ok(map.into())
    }
}
