//! Names as the distribution specification has them: repositories, tags, digests.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA512};
use lockgate_core::protocol::Sha256;

/// Bytes of a repository's name at most, as registries have it.
const NAME: usize = 255;
/// Characters of a tag at most.
const TAG: usize = 128;

/// Whether it is a repository's name: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`, in parts between slashes.
pub fn is_repository(name: &str) -> bool {
    name.len() <= NAME && name.split('/').all(is_component)
}

fn is_component(part: &str) -> bool {
    let (mut separator, mut may_begin): (&[u8], bool) = (&[], false);
    let bytes = part.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() {
            (separator, may_begin) = (&[], true);
            continue;
        }
        separator = &bytes[at - separator.len()..=at];
        let is_known = matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-');
        if !may_begin || !is_known {
            return false;
        }
    }
    !part.is_empty() && separator.is_empty()
}

/// Whether it is a tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
pub fn is_tag(tag: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let first = tag.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    first && tag.len() <= TAG && tag.bytes().all(rest)
}

/// A digest by one of the registered algorithms: what it names can be checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

/// How a digest is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `sha256`.
    Sha256,
    /// `sha512`.
    Sha512,
}

impl Algorithm {
    /// By its name.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Hexadecimal digits of a digest.
    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl Digest {
    /// Reads `sha256:<hex>` or `sha512:<hex>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, hex) = text.split_once(':')?;
        let length = Algorithm::of(name)?.digits();
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (hex.len() == length && hex.bytes().all(is_hex)).then(|| Self(text.to_owned()))
    }

    /// Of these bytes.
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The algorithm that it is made by.
    pub fn algorithm(&self) -> Algorithm {
        if self.0.starts_with("sha512:") { Algorithm::Sha512 } else { Algorithm::Sha256 }
    }

    /// The bytes, of one by SHA-256.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        hex::decode(self.0.strip_prefix("sha256:")?).ok()?.try_into().ok()
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag by which tools mark what belongs to it, where the registry has no referrers: `sha256-<hex>`.
    pub fn as_tag(&self) -> String {
        self.0.replace(':', "-").chars().take(TAG).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes a digest piece by piece.
pub enum Hasher {
    /// By SHA-256.
    Sha256(Sha256),
    /// By SHA-512.
    Sha512(Context),
}

impl Hasher {
    /// By this algorithm.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::default()),
            Algorithm::Sha512 => Self::Sha512(Context::new(&SHA512)),
        }
    }

    /// By which it is made.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(sha256) => sha256.update(bytes),
            Self::Sha512(context) => context.update(bytes),
        }
    }

    /// The digest of all.
    pub fn finish(self) -> Digest {
        let word = self.algorithm().word();
        let hex = match self {
            Self::Sha256(sha256) => hex::encode(sha256.finish()),
            Self::Sha512(context) => hex::encode(context.finish()),
        };
        Digest(format!("{word}:{hex}"))
    }
}

/// What a manifest is called by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A tag, which may be moved.
    Tag(String),
    /// A digest, which is the content's own.
    Digest(Digest),
}

impl Reference {
    /// Reads either.
    pub fn parse(text: &str) -> Option<Self> {
        match Digest::parse(text) {
            Some(digest) => Some(Self::Digest(digest)),
            None => is_tag(text).then(|| Self::Tag(text.to_owned())),
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag,
            Self::Digest(digest) => digest.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_as_specified() {
        for good in ["a", "team/app", "a.b_c__d-e---f/0", &"a".repeat(255)] {
            assert!(is_repository(good), "{good}");
        }
        let bad = [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a._b", "a___b", "-a", "a-", "a b", "a/../b", ".", "ä",
        ];
        for bad in bad.iter().copied().chain([&*"a".repeat(256)]) {
            assert!(!is_repository(bad), "{bad}");
        }
    }

    #[test]
    fn references_are_tags_or_digests() {
        let hex = "0123456789abcdef".repeat(4);
        let check = |text: &str, expected: Option<&str>| {
            let kind = Reference::parse(text).map(|reference| match reference {
                Reference::Tag(_) => "tag",
                Reference::Digest(_) => "digest",
            });
            assert_eq!(kind, expected, "{text}");
        };
        check("latest", Some("tag"));
        check("_v1.2-rc", Some("tag"));
        check(&format!("sha256:{hex}"), Some("digest"));
        check(&format!("sha512:{hex}{hex}"), Some("digest"));
        check(&format!("sha256-{hex}"), Some("tag"));
        for bad in ["", ".a", "-a", "a/b", "a:b", "sha256:", "md5:00"] {
            check(bad, None);
        }
        check(&format!("sha256:{}", hex.to_uppercase()), None);
        check(&format!("sha512:{hex}"), None);
        check(&"a".repeat(129), None);
    }

    #[test]
    fn digests_are_of_the_bytes() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(Algorithm::Sha256, b"").as_str(), empty);
        assert_eq!(Digest::of(Algorithm::Sha512, b"").as_str().len(), 7 + 128);
        assert!(is_tag(&Digest::of(Algorithm::Sha256, b"").as_tag()));
        assert!(is_tag(&Digest::of(Algorithm::Sha512, b"").as_tag()));
    }

    proptest! {
        #[test]
        fn what_is_a_name_is_one_address(name in "[a-z0-9._/-]{1,20}") {
            if is_repository(&name) {
                prop_assert!(!name.contains("//") && !name.split('/').any(|part| part.starts_with('.')));
            }
        }
    }
}
