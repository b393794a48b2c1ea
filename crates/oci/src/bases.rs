//! Whether an image begins with the layers of a base that the configuration names: that an image says so itself proves
//! nothing.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    parse::{
        manifest::{ImageConfig, Manifest},
        name::{Digest, Reference, is_repository},
    },
    recent::Recent,
};

/// Bases that are remembered.
const MAX: usize = 1000;
/// How long a tag is taken to stand for the same.
const FRESH: Duration = Duration::from_mins(5);

/// A base that images may be built on, by the name that policies call it by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Base {
    /// Its name in policies.
    pub name: String,
    pub(crate) repository: String,
    pub(crate) reference: Reference,
}

impl Base {
    /// Reads `<repository>:<tag>` or `<repository>@<digest>`, of the same registry.
    pub fn parse(name: &str, image: &str) -> Option<Self> {
        let (repository, reference) = match image.split_once('@') {
            Some((repository, digest)) => (repository, Reference::Digest(Digest::parse(digest)?)),
            None => {
                let (repository, tag) = image.rsplit_once(':')?;
                (repository, Reference::parse(tag).filter(|of| matches!(of, Reference::Tag(_)))?)
            }
        };
        let repository = Some(repository).filter(|name| is_repository(name))?.to_owned();
        Some(Self { name: name.to_owned(), repository, reference })
    }
}

/// The layers of an image of one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layers {
    /// As they are stored.
    stored: Vec<Digest>,
    /// What they unpack to: the same where they were compressed anew. Engines check it as they unpack them.
    unpacked: Vec<String>,
}

impl Layers {
    pub(crate) fn of(manifest: &Manifest, config: Option<&ImageConfig>) -> Self {
        let stored: Vec<Digest> = manifest.layers.iter().map(|layer| layer.digest.clone()).collect();
        let unpacked = config.map(|config| config.diff_ids.clone());
        // What does not say it of each of its layers says nothing.
        let unpacked = unpacked.filter(|unpacked| unpacked.len() == stored.len());
        Self { stored, unpacked: unpacked.unwrap_or_default() }
    }

    fn begin_with(&self, base: &Self) -> bool {
        let stored = !base.stored.is_empty() && self.stored.starts_with(&base.stored);
        stored || (!base.unpacked.is_empty() && self.unpacked.starts_with(&base.unpacked))
    }
}

/// Whether each of these images begins with some image of the base.
pub(crate) fn is_base(base: &[Layers], images: &[Layers]) -> bool {
    !images.is_empty() && images.iter().all(|image| base.iter().any(|base| image.begin_with(base)))
}

/// What was read of a base: the layers for each of its platforms.
pub(crate) struct Known {
    at: Instant,
    pub(crate) layers: Vec<Layers>,
}

/// What was read of bases, by where they are.
pub(crate) struct Bases(Recent<(String, Base), Arc<Known>>);

/// The bases of one registry.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) list: &'a [Base],
    pub(crate) read: &'a Bases,
}

impl Default for Bases {
    fn default() -> Self {
        Self(Recent::new(MAX))
    }
}

impl Bases {
    /// The layers of a base for each of its platforms, if they are known still.
    pub(crate) fn known(&self, url: &str, base: &Base) -> Option<Arc<Known>> {
        let key = (url.to_owned(), base.clone());
        let known = self.0.get(&key);
        known.filter(|known| match base.reference {
            Reference::Tag(_) => known.at + FRESH > Instant::now(),
            Reference::Digest(_) => true,
        })
    }

    pub(crate) fn remember(&self, url: &str, base: &Base, layers: Vec<Layers>) {
        let (key, value) = ((url.to_owned(), base.clone()), Arc::new(Known { at: Instant::now(), layers }));
        self.0.put(key, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::parse::name::Algorithm;

    fn layers(stored: &[&str], unpacked: Option<&[&str]>) -> Layers {
        let digest = |text: &&str| Digest::of(Algorithm::Sha256, text.as_bytes()).to_string();
        let blob = |text: &&str| json!({ "mediaType": "l", "digest": digest(text), "size": 1 });
        let manifest = json!({ "layers": stored.iter().map(blob).collect::<Vec<_>>() });
        let manifest = Manifest::parse(manifest.to_string().as_bytes()).unwrap();
        let ids = unpacked.map(|unpacked| unpacked.iter().map(digest).collect::<Vec<_>>());
        let config = ids.map(|ids| json!({ "os": "linux", "rootfs": { "type": "layers", "diff_ids": ids } }));
        let config = config.map(|config| ImageConfig::parse(config.to_string().as_bytes()).unwrap());
        Layers::of(&manifest, config.as_ref())
    }

    #[test]
    fn an_image_begins_with_its_base() {
        let base = [layers(&["a", "b"], Some(&["A", "B"]))];
        let check =
            |images: &[Layers], expected: bool| assert_eq!(is_base(&base, images), expected, "{images:?}");
        check(&[layers(&["a", "b", "c"], None)], true);
        check(&[layers(&["a", "b"], None)], true);
        check(&[layers(&["x", "y", "c"], Some(&["A", "B", "C"]))], true);
        check(&[layers(&["a", "c"], None)], false);
        check(&[layers(&["a"], None)], false);
        check(&[layers(&["c", "a", "b"], None)], false);
        check(&[layers(&["x"], Some(&["A", "B", "C"]))], false);
        check(&[layers(&["a", "b"], None), layers(&["x"], None)], false);
        check(&[], false);
        assert!(!is_base(&[layers(&[], Some(&[]))], &[layers(&["a"], Some(&["A"]))]), "nothing is no base");
        assert!(!is_base(&[], &[layers(&["a"], None)]));
    }

    #[test]
    fn bases_are_named_in_their_registry() {
        let hex = format!("sha256:{}", "0".repeat(64));
        let base = |image: &str| {
            Base::parse("b", image).map(|base| (base.repository, base.reference.as_str().to_owned()))
        };
        assert_eq!(base("base/debian:12"), Some(("base/debian".into(), "12".into())));
        assert_eq!(base(&format!("base@{hex}")), Some(("base".into(), hex.clone())));
        for bad in ["", "base", "base:", "Base:1", "base@12", "https://r/base:1", &format!("base:1@{hex}")] {
            assert_eq!(base(bad), None, "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tag_stands_for_the_same_for_a_while() {
        let bases = Bases::default();
        let tag = Base::parse("b", "base:1").unwrap();
        let digest = Base::parse("b", &format!("base@sha256:{}", "0".repeat(64))).unwrap();
        for base in [&tag, &digest] {
            assert!(bases.known("r", base).is_none());
            bases.remember("r", base, vec![layers(&["a"], None)]);
            assert!(bases.known("r", base).is_some() && bases.known("other", base).is_none());
        }
        tokio::time::advance(FRESH).await;
        assert!(bases.known("r", &tag).is_none() && bases.known("r", &digest).is_some());
    }
}
