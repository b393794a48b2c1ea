//! Keyed tags: the same secret under the same key gives the same tag, so that a person can see that
//! two masked places held one value, and nobody without the key can test a guess against it.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The key under which tags are made; one per tenant. `Debug` shows nothing of it.
#[derive(Clone)]
pub struct TagKey(Arc<Hmac<Sha256>>);

impl TagKey {
    /// A key from secret bytes. Use 32 random bytes that live as long as tags must stay comparable.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(Arc::new(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length")))
    }

    /// The tag of `secret` as `rule` found it.
    #[must_use]
    pub fn tag(&self, rule: &str, secret: &[u8]) -> Tag {
        let mut tagger = self.tagger(rule);
        tagger.update(secret);
        tagger.finish()
    }

    pub(crate) fn tagger(&self, rule: &str) -> Tagger {
        let mut tagger = Tagger(Hmac::clone(&self.0));
        tagger.update(rule.as_bytes());
        tagger.update(&[0]);
        tagger
    }
}

impl fmt::Debug for TagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TagKey(..)")
    }
}

/// A tag being made over a secret that arrives in pieces and is not kept.
#[derive(Clone)]
pub(crate) struct Tagger(Hmac<Sha256>);

impl Tagger {
    pub(crate) fn update(&mut self, secret: &[u8]) {
        self.0.update(secret);
    }

    pub(crate) fn finish(self) -> Tag {
        let digest = self.0.finalize().into_bytes();
        Tag(std::array::from_fn(|place| digest[place]))
    }
}

impl fmt::Debug for Tagger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tagger(..)")
    }
}

/// The first four bytes of HMAC-SHA-256 over the rule's id, a zero byte and the secret; shown as eight
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag([u8; 4]);

impl Tag {
    /// As it is shown.
    pub(crate) fn digits(self) -> [u8; 8] {
        let digit = |place: usize| self.0[place / 2] >> (4 * (1 - place % 2)) & 15;
        std::array::from_fn(|place| b"0123456789abcdef"[usize::from(digit(place))])
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.digits().iter().try_for_each(|&digit| f.write_char(char::from(digit)))
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}
