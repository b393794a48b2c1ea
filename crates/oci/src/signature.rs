//! Signatures of images, verified: that a key which the configuration names made them, or a holder of a certificate
//! that its authorities gave and its transparency log knows.
//!
//! Understood are those of cosign: with a payload of its own (simple signing) as it leaves them under a tag or as
//! referrers, and as bundles (v0.3) with an in-toto statement or over the manifest itself. Of a certificate are
//! verified: its chain to a configured authority, for signing code; that the log's signed entry is of this signature
//! and this certificate; that the certificate was valid when the log took it. Not verified are the proofs of
//! certificate transparency and of inclusion. And those of notation, in envelopes of JWS; others of its are only known
//! to be there.
//!
//! All of it is pure: what has to be read for it is read by `read`.

mod bundle;
mod certificate;
mod found;
mod key;
mod log;
mod notation;
mod simple;
mod trust;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use self::trust::{Trust, TrustError};
pub(crate) use self::{
    bundle::{BUNDLE, of_bundle},
    found::{Found, Signatures, needs},
    notation::{JWS, of_jws},
    simple::{SIMPLE, of_layer},
};
use self::{certificate::Certificate, log::Entry};
use crate::{
    parse::name::{Algorithm, Digest},
    sbom::Packages,
};

/// Who signed an image, as far as that is verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    /// The names of the keys.
    pub(crate) keys: BTreeSet<String>,
    /// Holders of certificates: who vouched for them, a space, and as whom.
    pub(crate) signers: BTreeSet<String>,
}

impl Verified {
    /// Takes what another signature says, too.
    pub(crate) fn add(&mut self, other: &Self) {
        self.keys.extend(other.keys.iter().cloned());
        self.signers.extend(other.signers.iter().cloned());
    }
}

/// A signature of which it is known that what it signs names the image.
#[derive(Debug)]
pub(crate) struct Signature {
    /// The bytes that are signed.
    message: Vec<u8>,
    signature: Vec<u8>,
    /// What the log's entry is of.
    logged: Logged,
    certificate: Option<Certificate>,
    entries: Vec<Entry>,
}

/// How the log knows a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logged {
    /// By the digest of what is signed (`hashedrekord`).
    Message,
    /// By that of the payload of an envelope (`dsse`).
    Payload([u8; 32]),
}

#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let image = Digest::of(Algorithm::Sha256, bytes);
    let none = BTreeMap::new();
    for signature in [of_bundle(&image, bytes, bytes), of_layer(&image, bytes, &none)].into_iter().flatten() {
        assert_eq!(Trust::default().verify(&signature), Verified::default(), "nobody is trusted");
    }
    if let Some(certificate) = Certificate::from_der(std::iter::once(bytes.to_vec())) {
        for signer in certificate.signers() {
            assert_eq!(signer.split_whitespace().count(), 2, "an issuer and an identity");
        }
    }
    let _ = Packages::parse(bytes);
}
