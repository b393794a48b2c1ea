//! The signatures that are attached to a manifest, by a tag or as referrers: whether there are any, and who made them.

use jiff::Timestamp;

use super::{Reader, Refused};
use crate::{
    parse::{
        manifest::{Descriptor, Manifest},
        name::{Algorithm, Digest, Reference, is_tag},
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
        let tag = format!("{}.sig", image.as_tag());
        if is_tag(&tag)
            && let Some(signature) = self.manifest(&Reference::Tag(tag), None).await?
        {
            let digest = Digest::of(Algorithm::Sha256, &signature);
            let verified = match of.known(upstream, image, &digest) {
                Some(known) => (*known).clone(),
                None => self.verified(of, upstream, (image, bytes), (digest, &signature)).await?,
            };
            found.add(true, &verified);
        }
        let referrers = self.referrers(image).await?;
        let signs = |of: &&Descriptor| of.artifact_type.as_deref().is_some_and(|of| TYPES.contains(&of));
        for referrer in referrers.iter().filter(signs).take(MANIFESTS) {
            let verified = match of.known(upstream, image, &referrer.digest) {
                Some(known) => (*known).clone(),
                None => match self.manifest(&Reference::Digest(referrer.digest.clone()), None).await? {
                    Some(signature) => {
                        let signature = (referrer.digest.clone(), &signature[..]);
                        self.verified(of, upstream, (image, bytes), signature).await?
                    }
                    None => Verified::default(),
                },
            };
            found.add(true, &verified);
        }
        of.put_below(upstream, image, manifest, &found);
        Ok(found)
    }

    /// Who made the signatures of one manifest. What can't be understood of it is nobody's.
    async fn verified(
        &self,
        of: &Signatures,
        upstream: &str,
        (image, bytes): (&Digest, &[u8]),
        (digest, signature): (Digest, &[u8]),
    ) -> Result<Verified, Refused> {
        let (mut all, mut is_for_ever) = (Verified::default(), true);
        let (Some(trust), Ok(manifest)) = (of.trust(upstream), Manifest::parse(signature)) else {
            return Ok(all);
        };
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
            of.remember(upstream, image, digest, all.clone());
        }
        Ok(all)
    }
}
