//! Public keys, by which signatures are verified.

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ECDSA_P521_SHA256_ASN1,
        ECDSA_P521_SHA512_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
        RSA_PSS_2048_8192_SHA256, VerificationAlgorithm,
    },
};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};

/// What a key may sign by. cosign hashed with SHA-256 whatever the curve, and takes the curve's own hash since.
const ALGORITHMS: [&dyn VerificationAlgorithm; 8] = [
    &ECDSA_P256_SHA256_ASN1,
    &ECDSA_P384_SHA384_ASN1,
    &ECDSA_P384_SHA256_ASN1,
    &ECDSA_P521_SHA512_ASN1,
    &ECDSA_P521_SHA256_ASN1,
    &ED25519,
    &RSA_PKCS1_2048_8192_SHA256,
    &RSA_PSS_2048_8192_SHA256,
];

/// A public key, with every algorithm that it may sign by.
#[derive(Debug, Clone)]
pub(super) struct Key {
    ways: Vec<ParsedPublicKey>,
    id: [u8; 32],
}

impl Key {
    /// Of PEM: `PUBLIC KEY`.
    pub(super) fn from_pem(pem: &[u8]) -> Option<Self> {
        Self::from_der(&SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?)
    }

    /// Of a `SubjectPublicKeyInfo`; `None` where it is of no kind that is known here.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let ways = ALGORITHMS.iter().filter_map(|algorithm| ParsedPublicKey::new(*algorithm, der).ok());
        let ways: Vec<_> = ways.collect();
        (!ways.is_empty()).then(|| Self { ways, id: sha256(der) })
    }

    /// By what a log names itself: the digest of its key.
    pub(super) fn id(&self) -> &[u8; 32] {
        &self.id
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.ways.iter().any(|key| key.verify_sig(message, signature).is_ok())
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}
