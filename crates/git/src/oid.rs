//! Object names: the SHA-1 or SHA-256 of an object, in hexadecimal on the wire.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// How a repository names its objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectFormat {
    /// 20 bytes.
    Sha1,
    /// 32 bytes.
    Sha256,
}

impl ObjectFormat {
    /// Bytes of a name.
    pub const fn width(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The word of the capability `object-format`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    /// The format of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256].into_iter().find(|format| format.word() == word)
    }
}

/// The name of an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Oid {
    format: ObjectFormat,
    bytes: [u8; 32],
}

impl Hash for Oid {
    /// A part of what is a hash is one: nobody makes objects that have so much of it in common.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(key(&self.bytes));
    }
}

/// What is enough of a name to find it in a table.
pub(crate) fn key(name: &[u8]) -> u128 {
    name.first_chunk().map_or(0, |first| u128::from_ne_bytes(*first))
}

impl Oid {
    /// The name of that many bytes: 20 or 32.
    pub fn from_bytes(name: &[u8]) -> Option<Self> {
        if let Ok(bytes) = name.try_into() {
            return Some(Self { format: ObjectFormat::Sha256, bytes });
        }
        let mut bytes = [0; 32];
        bytes[..20].copy_from_slice(<&[u8; 20]>::try_from(name).ok()?);
        Some(Self { format: ObjectFormat::Sha1, bytes })
    }

    /// The name in hexadecimal of 40 or 64 digits.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; 32];
        let (pairs, odd) = text.as_chunks::<2>();
        if pairs.len() > bytes.len() || !odd.is_empty() {
            return None;
        }
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = (digit(*high)? << 4) | digit(*low)?;
        }
        Self::from_bytes(&bytes[..pairs.len()])
    }

    /// That of no object: all zeros.
    pub const fn null(format: ObjectFormat) -> Self {
        Self { format, bytes: [0; 32] }
    }

    /// Its format.
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.format.width()]
    }

    /// Whether it is all zeros: no object.
    pub fn is_null(&self) -> bool {
        self.bytes == [0; 32]
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn digit(hex: u8) -> Option<u8> {
    char::from(hex).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_names() {
        let check = |text: &str, expected: Option<ObjectFormat>| {
            let oid = Oid::from_hex(text.as_bytes());
            assert_eq!(oid.map(|oid| oid.format()), expected, "{text}");
            if let Some(oid) = oid {
                assert_eq!(oid.to_string(), text.to_lowercase());
            }
        };
        check(&"0a".repeat(20), Some(ObjectFormat::Sha1));
        check(&"0A".repeat(20), Some(ObjectFormat::Sha1));
        check(&"f1".repeat(32), Some(ObjectFormat::Sha256));
        check("", None);
        check(&"0".repeat(39), None);
        check(&"0".repeat(41), None);
        check(&"0".repeat(66), None);
        check(&"0g".repeat(20), None);
        check(&"+1".repeat(20), None);
    }

    #[test]
    fn knows_the_null_name() {
        assert!(Oid::from_hex(&[b'0'; 64]).unwrap().is_null());
        assert!(!Oid::from_hex(&[b'1'; 40]).unwrap().is_null());
    }
}
