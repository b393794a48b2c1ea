//! The names of objects, by the same collision-detecting hash that git uses, and the checksums of packs.

use std::io::Write as _;

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use super::{PackError, entry::Kind};
use crate::oid::{ObjectFormat, Oid};

/// Computes a digest of what comes in pieces.
pub(super) struct Digest(gix_hash::Hasher);

impl Digest {
    pub(super) fn new(format: ObjectFormat) -> Self {
        Self(gix_hash::hasher(match format {
            ObjectFormat::Sha1 => gix_hash::Kind::Sha1,
            ObjectFormat::Sha256 => gix_hash::Kind::Sha256,
        }))
    }

    /// Begins the name of an object.
    pub(super) fn object(format: ObjectFormat, kind: Kind, size: u64) -> Self {
        let mut digest = Self::new(format);
        // As `kind size`, with a NUL behind: longer than no word and 20 digits.
        let mut head = [0; 32];
        let mut rest = &mut head[..];
        // It fits, so nothing can fail.
        let _ = write!(rest, "{} {size}\0", kind.word());
        let left = rest.len();
        digest.update(&head[..head.len() - left]);
        digest
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> Result<Oid, PackError> {
        let name = self.0.try_finalize().map_err(|_| PackError::Collision)?;
        Oid::from_bytes(name.as_slice()).ok_or(PackError::Malformed("a name of no known length"))
    }
}

/// Computes what a pack ends with. It tells damage, and vouches for nothing: whoever makes a pack makes its checksum.
pub(super) struct Checksum(Context);

impl Checksum {
    pub(super) fn new(format: ObjectFormat) -> Self {
        Self(Context::new(match format {
            ObjectFormat::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            ObjectFormat::Sha256 => &SHA256,
        }))
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn is(self, checksum: &[u8]) -> bool {
        self.0.finish().as_ref() == checksum
    }
}

/// The name of an object.
pub(crate) fn name(format: ObjectFormat, kind: Kind, content: &[u8]) -> Result<Oid, PackError> {
    let mut digest = Digest::object(format, kind, content.len() as u64);
    digest.update(content);
    digest.finish()
}

/// The checksum of a pack.
pub(crate) fn checksum(format: ObjectFormat, pack: &[u8]) -> Result<Oid, PackError> {
    let mut digest = Digest::new(format);
    digest.update(pack);
    digest.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_what_was_made_to_collide() {
        let made = include_bytes!("../../tests/data/sha-mbles-1.bin");
        assert!(matches!(checksum(ObjectFormat::Sha1, made), Err(PackError::Collision)));
        // The same bytes as a file are no collision: git hashes what they are first.
        assert!(name(ObjectFormat::Sha1, Kind::Blob, made).is_ok());
        assert!(checksum(ObjectFormat::Sha256, made).is_ok());
        let empty = name(ObjectFormat::Sha1, Kind::Tree, b"").unwrap();
        assert_eq!(empty.to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    }
}
