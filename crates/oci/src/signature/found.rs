//! What is known of the signatures of images, by upstream.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lockgate_core::access::{Attributes, Needs, Value};
use tokio::time::Instant;

use super::{Trust, Verified};
use crate::{
    parse::{manifest::Manifest, name::Digest},
    recent::Recent,
};

/// Signatures that are remembered, and manifests in signed indexes.
const MAX: usize = 20_000;
/// How long a manifest is known to be in a signed index that was judged.
const BELOW: Duration = Duration::from_hours(1);
/// Signed indexes that one manifest is known to be in.
const INDEXES: usize = 8;
/// The attributes that tell of signatures.
const ATTRIBUTES: [&str; 3] = ["signed", "signed_by", "signer"];

/// What was found out of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    is_signed: bool,
    verified: Verified,
}

impl Found {
    /// Takes one more signature.
    pub(crate) fn add(&mut self, is_signed: bool, verified: &Verified) {
        self.is_signed |= is_signed;
        self.verified.add(verified);
    }

    /// As attributes.
    pub(crate) fn attributes(self, attributes: Attributes) -> Attributes {
        let list = |of: BTreeSet<String>| Value::List(of.into_iter().collect());
        attributes
            .with("signed", self.is_signed)
            .with("signed_by", list(self.verified.keys))
            .with("signer", list(self.verified.signers))
    }
}

/// Whether anything is asked for that signatures say.
pub(crate) fn needs(needs: &Needs) -> bool {
    ATTRIBUTES.iter().any(|name| needs.has(name))
}

/// A signed index, and what was found of it.
#[derive(Debug, Clone)]
struct Above {
    index: Digest,
    at: Instant,
    found: Found,
}

/// An image and the manifest of one signature, by upstream.
type Key = (String, Digest, Digest);

/// By what signatures are verified, and what came of it: that never changes, for both are known by their digests.
pub(crate) struct Signatures {
    trust: BTreeMap<String, Trust>,
    verified: Recent<Key, Verified>,
    below: Recent<(String, Digest), Vec<Above>>,
}

impl Signatures {
    pub(crate) fn new(trust: BTreeMap<String, Trust>) -> Self {
        Self { trust, verified: Recent::new(MAX), below: Recent::new(MAX) }
    }

    /// What the signatures of an upstream's images are verified by.
    pub(crate) fn trust(&self, upstream: &str) -> Option<&Trust> {
        self.trust.get(upstream)
    }

    pub(crate) fn known(&self, upstream: &str, image: &Digest, signature: &Digest) -> Option<Verified> {
        let key = (upstream.to_owned(), image.clone(), signature.clone());
        self.verified.get(&key)
    }

    pub(crate) fn remember(&self, upstream: &str, image: &Digest, signature: Digest, verified: Verified) {
        let key = (upstream.to_owned(), image.clone(), signature);
        self.verified.put(key, verified);
    }

    /// What the indexes say that a manifest is in: who pulls one for a platform, pulls the signed index before.
    pub(crate) fn above(&self, upstream: &str, image: &Digest) -> Found {
        let mut found = Found::default();
        for above in self.indexes(&(upstream.to_owned(), image.clone())) {
            found.add(above.found.is_signed, &above.found.verified);
        }
        found
    }

    /// Whoever signed an index signed what is in it; what was found of the same index before counts no more.
    pub(crate) fn put_below(&self, upstream: &str, index: &Digest, manifest: &Manifest, found: &Found) {
        for child in &manifest.manifests {
            let key = (upstream.to_owned(), child.digest.clone());
            let mut above = self.indexes(&key);
            above.retain(|above| above.index != *index);
            if found.is_signed {
                above.push(Above { index: index.clone(), at: Instant::now(), found: found.clone() });
            }
            let surplus = above.len().saturating_sub(INDEXES);
            above.drain(..surplus);
            self.below.put(key, above);
        }
    }

    /// The signed indexes that a manifest is in and that were judged lately.
    fn indexes(&self, key: &(String, Digest)) -> Vec<Above> {
        let mut known = self.below.get(key).unwrap_or_default();
        known.retain(|above| above.at + BELOW > Instant::now());
        known
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::parse::name::Algorithm;

    #[tokio::test(start_paused = true)]
    async fn what_is_in_an_index_is_signed_as_long_as_that_is() {
        let signatures = Signatures::new(BTreeMap::new());
        let digest = |text: &str| Digest::of(Algorithm::Sha256, text.as_bytes());
        let (child, one, two) = (digest("child"), digest("one"), digest("two"));
        let index = json!({ "manifests": [{ "mediaType": "m", "digest": child.as_str(), "size": 1 }] });
        let index = Manifest::parse(index.to_string().as_bytes()).unwrap();
        let by = |keys: &[&str]| Found {
            is_signed: true,
            verified: Verified {
                keys: keys.iter().map(|&key| key.to_owned()).collect(),
                ..Verified::default()
            },
        };
        let put = |of: &Digest, found: &Found| signatures.put_below("hub", of, &index, found);
        let check = |keys: &[&str]| {
            let found = signatures.above("hub", &child);
            assert_eq!(found, if keys.is_empty() { Found::default() } else { by(keys) });
        };
        check(&[]);
        put(&one, &by(&["release"]));
        put(&two, &by(&["ci"]));
        check(&["ci", "release"]);
        assert_eq!(signatures.above("other", &child), Found::default());
        put(&one, &by(&["ci"]));
        check(&["ci"]);
        put(&one, &Found::default());
        tokio::time::advance(BELOW / 2).await;
        put(&one, &by(&["release"]));
        tokio::time::advance(BELOW / 2).await;
        check(&["release"]);
        for number in 0..2 * INDEXES {
            put(&digest(&number.to_string()), &by(&["ci"]));
        }
        check(&["ci"]);
    }
}
