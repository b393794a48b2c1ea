//! Heads as a recording may hold them: every field in order, credentials replaced by a keyed tag.

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::event::{Field, FieldValue};

/// Fields that carry credentials in any protocol.
const CREDENTIALS: [HeaderName; 4] =
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE];

/// Turns a [`HeaderMap`] into recordable fields.
///
/// The values of `authorization`, `proxy-authorization`, `cookie`, `set-cookie`, of every value marked sensitive
/// and of the fields named by the caller are replaced by an HMAC-SHA-256 under a key that never leaves the spool
/// directory. The same credential has the same tag wherever this recorder meets it.
#[derive(Clone)]
pub struct Redactor {
    key: hmac::Key,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// A redactor with this key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// All fields of `headers`, in its order, those in `secret` redacted besides the usual ones.
    pub fn fields(&self, headers: &HeaderMap, secret: &[HeaderName]) -> Vec<Field> {
        headers.iter().map(|(name, value)| self.field(name, value, secret)).collect()
    }

    /// The tag that stands in place of `value`.
    pub fn tag(&self, value: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&self.key, value);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    fn field(&self, name: &HeaderName, value: &HeaderValue, secret: &[HeaderName]) -> Field {
        let redact = value.is_sensitive() || CREDENTIALS.contains(name) || secret.contains(name);
        let bytes = value.as_bytes();
        Field {
            name: Bytes::copy_from_slice(name.as_str().as_bytes()),
            value: if redact {
                FieldValue::Redacted { tag: self.tag(bytes), length: bytes.len() as u64 }
            } else {
                FieldValue::Exact(Bytes::copy_from_slice(bytes))
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(fields: &[Field], name: &str) -> FieldValue {
        fields.iter().find(|f| f.name == name.as_bytes()).expect("present").value.clone()
    }

    #[test]
    fn credentials_are_tags_and_the_rest_is_exact() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Basic dXNlcjpodW50ZXIy"));
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.insert("x-api-key", HeaderValue::from_static("hunter2"));
        headers.insert("accept", HeaderValue::from_bytes(b"\xff").expect("opaque"));
        let mut marked = HeaderValue::from_static("hunter2");
        marked.set_sensitive(true);
        headers.insert("x-marked", marked);

        let fields = Redactor::new(&[7; 32]).fields(&headers, &[HeaderName::from_static("x-api-key")]);

        assert!(!format!("{fields:?}").contains("hunter2"));
        assert_eq!(value(&fields, "accept"), FieldValue::Exact(Bytes::from_static(b"\xff")));
        assert_eq!(value(&fields, "x-marked"), value(&fields, "x-api-key"));
        let cookies: Vec<_> = fields.iter().filter(|f| f.name == "set-cookie".as_bytes()).collect();
        assert_eq!(cookies.len(), 2);
        assert_eq!(cookies[0], cookies[1]);
        assert!(matches!(value(&fields, "authorization"), FieldValue::Redacted { length: 22, .. }));
    }

    #[test]
    fn another_key_gives_another_tag() {
        assert_ne!(Redactor::new(&[1; 32]).tag(b"x"), Redactor::new(&[2; 32]).tag(b"x"));
    }
}
