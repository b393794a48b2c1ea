//! The signatures that are attached to a manifest, by a tag or as referrers: whether there are any, and who made them.

use bytes::Bytes;
use jiff::Timestamp;

use super::{Reader, Refused};
use crate::{
    parse::{
        manifest::Manifest,
        name::{Algorithm, Digest, Reference},
    },
    signature::{BUNDLE, Found, JWS, SIMPLE, Signatures, Verified, of_bundle, of_jws, of_layer},
};

/// The types of what signs, as a registry lists it: of cosign, by its old form and its bundles, and of notation.
const TYPES: [&str; 4] = [
    "application/vnd.dev.cosign.artifact.sig.v1+json",
    SIMPLE,
    BUNDLE,
    "application/vnd.cncf.notary.signature",
];

/// Manifests of signatures that are looked at for one image, and signatures in each.
const MANIFESTS: usize = 32;
const LAYERS: usize = 32;
/// Bytes of what one signature consists of.
const SIZE: usize = 1 << 20;

impl Reader<'_> {
    /// What is known of the signatures of an image: `bytes` are its manifest, which that parses to.
    pub(crate) async fn signatures(
        &self,
        of: &Signatures,
        upstream: &str,
        (image, bytes, manifest): (&Digest, &[u8], &Manifest),
    ) -> Result<Found, Refused> {
        let mut found = of.above(upstream, image);
        if let Some(signature) = self.attached(image, ".sig").await? {
            let digest = Digest::of(Algorithm::Sha256, &signature);
            found.add(true, &self.verified(of, upstream, (image, bytes), (&digest, Some(signature))).await?);
        }
        for referrer in self.referrers(image, &TYPES).await?.iter().take(MANIFESTS) {
            let signature = (&referrer.digest, None);
            found.add(true, &self.verified(of, upstream, (image, bytes), signature).await?);
        }
        of.put_below(upstream, image, manifest, &found);
        Ok(found)
    }

    /// Who made the signatures of one manifest, which is read where it is not given nor known. What can't be understood
    /// of it is nobody's.
    async fn verified(
        &self,
        of: &Signatures,
        upstream: &str,
        (image, bytes): (&Digest, &[u8]),
        (digest, given): (&Digest, Option<Bytes>),
    ) -> Result<Verified, Refused> {
        if let Some(known) = of.known(upstream, image, digest) {
            return Ok(known);
        }
        let (mut all, mut is_for_ever) = (Verified::default(), true);
        let signature = match given {
            Some(given) => Some(given),
            None => self.manifest(&Reference::Digest(digest.clone()), None).await?,
        };
        let manifest = signature.and_then(|signature| Manifest::parse(&signature).ok());
        let (Some(trust), Some(manifest)) = (of.trust(upstream), manifest) else { return Ok(all) };
        for layer in manifest.layers.iter().take(LAYERS).filter(|layer| layer.size <= SIZE as u64) {
            let media_type = layer.media_type.as_str();
            if ![SIMPLE, BUNDLE, JWS].contains(&media_type) {
                continue;
            }
            let Some(content) = self.blob(&layer.digest, SIZE).await? else { continue };
            let verify = |signature| trust.verify(&signature);
            let verified = match media_type {
                JWS => {
                    // It is good as long as its certificates are.
                    is_for_ever = false;
                    of_jws(image, &content).map(|of| trust.verify_envelope(&of, Timestamp::now()))
                }
                BUNDLE => of_bundle(image, bytes, &content).map(verify),
                _ => of_layer(image, &content, &layer.annotations).map(verify),
            };
            match verified {
                Some(verified) => all.add(&verified),
                None => tracing::debug!(%image, layer = %layer.digest, "this signs something else"),
            }
        }
        if is_for_ever {
            of.remember(upstream, image, digest.clone(), all.clone());
        }
        Ok(all)
    }
}
