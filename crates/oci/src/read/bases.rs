//! The bases that the configuration names, read of the registry.

use super::{Reader, Refused, invalid};
use crate::{
    bases::{Base, Layers, Named, is_base},
    parse::manifest::{ImageConfig, Manifest},
};

impl Reader<'_> {
    /// The names of the bases that all of these images begin with.
    pub(super) async fn built_on(
        &self,
        named: Named<'_>,
        images: &[(&Manifest, Option<ImageConfig>)],
    ) -> Result<Vec<String>, Refused> {
        let images = images.iter().map(|(manifest, config)| Layers::of(manifest, config.as_ref()));
        let (images, mut names) = (images.collect::<Vec<_>>(), Vec::new());
        for base in named.list {
            let url = self.place.url(Some(&base.repository), "");
            let is_base = match named.read.known(&url, base) {
                Some(known) => is_base(&known.layers, &images),
                None => {
                    let layers = self.layers(base).await?;
                    let is_base = is_base(&layers, &images);
                    named.read.remember(&url, base, layers);
                    is_base
                }
            };
            if is_base && !names.contains(&base.name) {
                names.push(base.name.clone());
            }
        }
        Ok(names)
    }

    /// The layers of a base, for each of its platforms; none where it is not there.
    async fn layers(&self, base: &Base) -> Result<Vec<Layers>, Refused> {
        let there = Reader { repository: &base.repository, ..*self };
        let Some(found) = there.manifest(&base.reference, None).await? else {
            tracing::warn!(base = base.name, "the registry has no such base");
            return Ok(Vec::new());
        };
        let manifest = Manifest::parse(&found).map_err(|error| invalid(error.to_string()))?;
        let below = there.below(&manifest).await?;
        let mut layers = Vec::new();
        for image in std::iter::once(&manifest).chain(&below).filter(|of| !of.is_index()) {
            let config = there.config_of(image).await?;
            layers.push(Layers::of(image, config.as_ref()));
        }
        Ok(layers)
    }
}
