//! Signatures of notation (the Notary Project's specification), in its envelope of JWS: the payload names the image, and
//! the signer's certificates are with it. Nothing trusted says when one was made, so that it is good as long as these
//! are; whether they are revoked is not asked.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ParsedPublicKey,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::Timestamp;
use serde::Deserialize;

use super::certificate::{Authorities, Certificate};
use crate::parse::name::Digest;

/// The type of an envelope, as a layer.
pub(crate) const JWS: &str = "application/jose+json";
const PAYLOAD: &str = "application/vnd.cncf.notary.payload.v1+json";
const SCHEME: &str = "notary.x509";
/// What an envelope may say that must be understood.
const UNDERSTOOD: [&str; 2] = ["io.cncf.notary.signingScheme", "io.cncf.notary.expiry"];

#[derive(Deserialize)]
struct Jws {
    payload: String,
    protected: String,
    header: Header,
    signature: String,
}

#[derive(Deserialize)]
struct Header {
    x5c: Vec<String>,
}

#[derive(Deserialize)]
struct Protected {
    alg: String,
    cty: String,
    #[serde(default)]
    crit: Vec<String>,
    #[serde(rename = "io.cncf.notary.signingScheme")]
    scheme: String,
    #[serde(rename = "io.cncf.notary.expiry")]
    expiry: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    target_artifact: Target,
}

#[derive(Deserialize)]
struct Target {
    digest: String,
}

/// A signature of which it is known that what it signs names the image.
#[derive(Debug)]
pub(crate) struct Envelope {
    message: Vec<u8>,
    signature: Vec<u8>,
    algorithm: &'static dyn VerificationAlgorithm,
    certificate: Certificate,
    expiry: Option<Timestamp>,
}

/// The signature in an envelope, where it signs this image.
pub(crate) fn of_jws(image: &Digest, jws: &[u8]) -> Option<Envelope> {
    let jws: Jws = serde_json::from_slice(jws).ok()?;
    let protected: Protected = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&jws.protected).ok()?).ok()?;
    let payload: Payload = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&jws.payload).ok()?).ok()?;
    let is_understood = protected.crit.iter().all(|name| UNDERSTOOD.contains(&name.as_str()));
    let is_of_image = payload.target_artifact.digest == image.as_str();
    if !is_understood || !is_of_image || protected.cty != PAYLOAD || protected.scheme != SCHEME {
        return None;
    }
    let chain = jws.header.x5c.iter().map_while(|der| STANDARD.decode(der).ok());
    Some(Envelope {
        message: format!("{}.{}", jws.protected, jws.payload).into_bytes(),
        signature: URL_SAFE_NO_PAD.decode(&jws.signature).ok()?,
        algorithm: algorithm(&protected.alg)?,
        certificate: Certificate::from_der(chain)?,
        expiry: protected.expiry,
    })
}

fn algorithm(name: &str) -> Option<&'static dyn VerificationAlgorithm> {
    match name {
        "PS256" => Some(&RSA_PSS_2048_8192_SHA256),
        "PS384" => Some(&RSA_PSS_2048_8192_SHA384),
        "PS512" => Some(&RSA_PSS_2048_8192_SHA512),
        "ES256" => Some(&ECDSA_P256_SHA256_FIXED),
        "ES384" => Some(&ECDSA_P384_SHA384_FIXED),
        "ES512" => Some(&ECDSA_P521_SHA512_FIXED),
        _ => None,
    }
}

impl Envelope {
    /// Whether one of these authorities vouches for who made it, now.
    pub(super) fn is_good(&self, authorities: &Authorities, now: Timestamp) -> bool {
        let is_fresh = self.expiry.is_none_or(|expiry| now < expiry);
        let seconds = u64::try_from(now.as_second()).ok();
        let key = seconds.and_then(|seconds| self.certificate.spki(authorities, seconds));
        let key = key.and_then(|key| ParsedPublicKey::new(self.algorithm, &*key).ok());
        is_fresh && key.is_some_and(|key| key.verify_sig(&self.message, &self.signature).is_ok())
    }
}
