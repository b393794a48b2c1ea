//! The bills of materials that are attached to an image, by a tag or as referrers, or are in its index.

use super::{Reader, Refused};
use crate::{
    parse::{
        manifest::Manifest,
        name::{Digest, Reference},
    },
    sbom::Packages,
    signature::BUNDLE,
};

/// The types of documents, as layers and as artifacts.
const TYPES: [&str; 8] = [
    "application/spdx+json",
    "text/spdx+json",
    "spdx+json",
    "application/vnd.cyclonedx+json",
    "application/vnd.cyclonedx",
    "application/vnd.in-toto+json",
    "application/vnd.dsse.envelope.v1+json",
    BUNDLE,
];

/// Documents that are looked at for one image, and bytes of each.
const DOCUMENTS: usize = 16;
const SIZE: usize = 8 << 20;

impl Reader<'_> {
    /// The packages that an image is said to have; `None` where nobody says it.
    pub(crate) async fn packages(
        &self,
        image: &Digest,
        manifest: &Manifest,
    ) -> Result<Option<Packages>, Refused> {
        let (mut found, mut left) = (None, DOCUMENTS);
        for suffix in [".sbom", ".att"] {
            if let Some(attached) = self.attached(image, suffix).await? {
                self.documents(&attached, &mut found, &mut left).await?;
            }
        }
        // Builders put their statements in the index, as images that nobody can run.
        let within = manifest.manifests.iter().filter(|of| of.platform.as_deref() == Some("unknown/unknown"));
        for attached in self.referrers(image, &TYPES).await?.iter().chain(within) {
            if left == 0 {
                break;
            }
            let reference = Reference::Digest(attached.digest.clone());
            if let Some(attached) = self.manifest(&reference, None).await? {
                self.documents(&attached, &mut found, &mut left).await?;
            }
        }
        Ok(found)
    }

    /// Takes the documents that are layers of a manifest.
    async fn documents(
        &self,
        attached: &[u8],
        found: &mut Option<Packages>,
        left: &mut usize,
    ) -> Result<(), Refused> {
        let Ok(manifest) = Manifest::parse(attached) else { return Ok(()) };
        let documents = manifest.layers.iter().filter(|layer| TYPES.contains(&layer.media_type.as_str()));
        for layer in documents.filter(|layer| layer.size <= SIZE as u64) {
            let Some(less) = left.checked_sub(1) else { return Ok(()) };
            *left = less;
            let document = self.blob(&layer.digest, SIZE).await?;
            if let Some(packages) = document.and_then(|document| Packages::parse(&document)) {
                found.get_or_insert_default().add(packages);
            }
        }
        Ok(())
    }
}
