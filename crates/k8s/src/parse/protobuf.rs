//! Protobuf as the API server takes it: four bytes of magic, then `runtime.Unknown`, then the object
//! (apimachinery, `pkg/runtime/serializer/protobuf`).
//!
//! Read into the value that the same object has in JSON, as far as [`schema`] knows its fields: what says which
//! containers run how, and which secrets they read. Everything else is skipped, by its length, unread.

mod schema;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockgate_core::json::MAX_VALUES;
use serde_json::{Map, Value};

use self::schema::{Kind, Message};

/// What a protobuf body begins with.
pub(crate) const MAGIC: [u8; 4] = *b"k8s\0";

/// Why bytes are not an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// It does not begin as the API server's protobuf does.
    #[error("protobuf without the magic of Kubernetes")]
    Magic,
    /// Cut off, or not the wire format; where, in bytes of the innermost message.
    #[error("malformed protobuf at byte {0} of a message")]
    Malformed(usize),
    /// A field that is there once is there again: readers differ in which they take.
    #[error("the protobuf field {0} is there twice")]
    Twice(&'static str),
    /// A field of another type than the one it has.
    #[error("the protobuf field {0} has a wrong type")]
    Type(&'static str),
    /// A text that is not UTF-8.
    #[error("the protobuf field {0} is not UTF-8")]
    Utf8(&'static str),
    /// An envelope around something encoded once more.
    #[error("protobuf with an encoded content")]
    Encoded,
    /// Too many values.
    #[error("protobuf with too many values")]
    TooMany,
}

/// An object, as far as it is known.
#[derive(Debug)]
pub(super) struct Decoded {
    /// The object.
    pub value: Value,
    /// Whether the kind is one whose fields are known here.
    pub is_known: bool,
}

/// Reads a whole body.
///
/// # Errors
/// [`ProtobufError`], without content.
pub(super) fn read(bytes: &[u8]) -> Result<Decoded, ProtobufError> {
    let envelope = bytes.strip_prefix(&MAGIC).ok_or(ProtobufError::Magic)?;
    let mut reader = Reader { left: MAX_VALUES };
    let (envelope, raw) = reader.envelope(envelope)?;
    let text = |name: &str| envelope.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_plain = text("contentEncoding").is_empty()
        && matches!(text("contentType"), "" | "application/vnd.kubernetes.protobuf");
    if !is_plain {
        return Err(ProtobufError::Encoded);
    }
    let message = schema::of(text("kind"), text("apiVersion"));
    let mut object = match message {
        Some(message) => reader.message(raw, message)?,
        // Most kinds begin with their metadata, some do not.
        None => reader.message(raw, &schema::OTHER).unwrap_or_default(),
    };
    for name in ["kind", "apiVersion"] {
        object.insert(name.to_owned(), Value::from(text(name)));
    }
    Ok(Decoded { value: Value::Object(object), is_known: message.is_some() })
}

struct Reader {
    left: usize,
}

impl Reader {
    /// The envelope, and what it holds.
    fn envelope<'a>(&mut self, bytes: &'a [u8]) -> Result<(Map<String, Value>, &'a [u8]), ProtobufError> {
        let mut raw = None;
        let mut fields = Fields::new(bytes);
        while let Some((number, field)) = fields.next()? {
            match field {
                Field::Bytes(content) if number == schema::UNKNOWN_RAW => {
                    if raw.replace(content).is_some() {
                        return Err(ProtobufError::Twice("raw"));
                    }
                }
                _ if number == schema::UNKNOWN_RAW => return Err(ProtobufError::Type("raw")),
                Field::Bytes(_) | Field::Varint(_) | Field::Fixed => {}
            }
        }
        Ok((self.message(bytes, &schema::UNKNOWN)?, raw.unwrap_or_default()))
    }

    fn message(&mut self, bytes: &[u8], message: &Message) -> Result<Map<String, Value>, ProtobufError> {
        let mut object = Map::new();
        self.into(bytes, message, &mut object)?;
        Ok(object)
    }

    /// Reads fields into `object`; the schema's own depth bounds the recursion.
    fn into(
        &mut self,
        bytes: &[u8],
        message: &Message,
        object: &mut Map<String, Value>,
    ) -> Result<(), ProtobufError> {
        let mut inlined = Vec::new();
        let mut fields = Fields::new(bytes);
        while let Some((number, field)) = fields.next()? {
            let Some(known) = message.0.iter().find(|known| known.number == number) else { continue };
            self.left = self.left.checked_sub(1).ok_or(ProtobufError::TooMany)?;
            let name = known.name;
            let value = match (&known.kind, field) {
                (Kind::Flag, Field::Varint(value)) => Value::Bool(value != 0),
                // Negative numbers are their two's complement.
                (Kind::Number, Field::Varint(value)) => Value::from(value.cast_signed()),
                (Kind::Text, Field::Bytes(text)) => utf8(name, text)?,
                (Kind::One(inner), Field::Bytes(content)) => Value::Object(self.message(content, inner)?),
                (Kind::Inline(inner), Field::Bytes(content)) => {
                    if inlined.contains(&number) {
                        return Err(ProtobufError::Twice(name));
                    }
                    inlined.push(number);
                    self.into(content, inner, object)?;
                    continue;
                }
                (Kind::Texts, Field::Bytes(text)) => {
                    let text = utf8(name, text)?;
                    append(object, name, text);
                    continue;
                }
                (Kind::Many(inner), Field::Bytes(content)) => {
                    let inner = Value::Object(self.message(content, inner)?);
                    append(object, name, inner);
                    continue;
                }
                (Kind::Map | Kind::BytesMap, Field::Bytes(entry)) => {
                    self.entry(entry, known, object)?;
                    continue;
                }
                _ => return Err(ProtobufError::Type(name)),
            };
            if object.insert(name.to_owned(), value).is_some() {
                return Err(ProtobufError::Twice(name));
            }
        }
        Ok(())
    }

    /// An entry of a map is a message of its key and its value.
    fn entry(
        &mut self,
        bytes: &[u8],
        map: &schema::Field,
        object: &mut Map<String, Value>,
    ) -> Result<(), ProtobufError> {
        let (mut key, mut value) = (None, None);
        let mut fields = Fields::new(bytes);
        while let Some((number, field)) = fields.next()? {
            let part = match number {
                1 => &mut key,
                2 => &mut value,
                _ => continue,
            };
            let Field::Bytes(content) = field else { return Err(ProtobufError::Type(map.name)) };
            if part.replace(content).is_some() {
                return Err(ProtobufError::Twice(map.name));
            }
        }
        let key = utf8(map.name, key.unwrap_or_default())?;
        let value = value.unwrap_or_default();
        let value = if matches!(map.kind, Kind::BytesMap) {
            Value::String(STANDARD.encode(value))
        } else {
            utf8(map.name, value)?
        };
        let entries = object.entry(map.name).or_insert_with(|| Value::Object(Map::new()));
        if let (Some(entries), Value::String(key)) = (entries.as_object_mut(), key)
            && entries.insert(key, value).is_some()
        {
            return Err(ProtobufError::Twice(map.name));
        }
        Ok(())
    }
}

fn utf8(name: &'static str, text: &[u8]) -> Result<Value, ProtobufError> {
    let text = std::str::from_utf8(text).map_err(|_| ProtobufError::Utf8(name))?;
    Ok(Value::from(text))
}

fn append(object: &mut Map<String, Value>, name: &str, value: Value) {
    if let Some(list) = object.entry(name).or_insert_with(|| Value::Array(Vec::new())).as_array_mut() {
        list.push(value);
    }
}

/// The fields of one message, in their order.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

enum Field<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes: no field that is read has them.
    Fixed,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn next(&mut self) -> Result<Option<(u32, Field<'a>)>, ProtobufError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let malformed = ProtobufError::Malformed(self.at);
        // The API server cuts a larger number off, and takes it for another field.
        let tag = u32::try_from(self.varint()?).map_err(|_| malformed)?;
        let number = tag >> 3;
        if number == 0 {
            return Err(malformed);
        }
        let field = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => self.take(8).map(|_| Field::Fixed)?,
            5 => self.take(4).map(|_| Field::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| malformed)?;
                Field::Bytes(self.take(length)?)
            }
            // Groups, which nobody writes.
            _ => return Err(malformed),
        };
        Ok(Some((number, field)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], ProtobufError> {
        let malformed = ProtobufError::Malformed(self.at);
        let end = self.at.checked_add(length).ok_or(malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                break;
            }
            value |= low << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ProtobufError::Malformed(self.at))
    }
}

#[cfg(test)]
mod tests;
