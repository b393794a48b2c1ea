//! Whose signatures count: keys by name, and the authorities and the log of keyless ones.

use jiff::Timestamp;

use super::{Signature, Verified, certificate::Authorities, key::Key, notation::Envelope};

/// By what an upstream's signatures are verified. By nothing, at first.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    keys: Vec<(String, Key)>,
    keyless: Option<Keyless>,
    stores: Vec<(String, Authorities)>,
}

#[derive(Debug, Clone)]
struct Keyless {
    authorities: Authorities,
    log: Key,
}

/// Why something can't be trusted: the fault of who configured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not a key.
    #[error(
        "it holds no public key in PEM that is of ECDSA (P-256, P-384, P-521), Ed25519 or RSA (2048 bits on)"
    )]
    Key,
    /// Not certificates.
    #[error("it holds no certificates in PEM")]
    Authorities,
}

impl Trust {
    /// What this key signed is signed by this name.
    ///
    /// # Errors
    /// [`TrustError::Key`].
    pub fn key(mut self, name: &str, pem: &[u8]) -> Result<Self, TrustError> {
        self.keys.push((name.to_owned(), Key::from_pem(pem).ok_or(TrustError::Key)?));
        Ok(self)
    }

    /// Certificates of these authorities (Fulcio) count for signatures that this log (Rekor) took while they were
    /// valid.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn keyless(self, authorities: &[u8], log: &[u8]) -> Result<Self, TrustError> {
        let authorities = Authorities::from_pem(authorities).ok_or(TrustError::Authorities)?;
        let log = Key::from_pem(log).ok_or(TrustError::Key)?;
        Ok(Self { keyless: Some(Keyless { authorities, log }), ..self })
    }

    /// What a holder of a certificate of these authorities signed by notation is signed by this name.
    ///
    /// # Errors
    /// [`TrustError::Authorities`].
    pub fn notation(mut self, name: &str, authorities: &[u8]) -> Result<Self, TrustError> {
        let authorities = Authorities::from_pem(authorities).ok_or(TrustError::Authorities)?;
        self.stores.push((name.to_owned(), authorities));
        Ok(self)
    }

    /// By which names an envelope of notation is good now.
    pub(crate) fn verify_envelope(&self, envelope: &Envelope, now: Timestamp) -> Verified {
        let stores = self.stores.iter().filter(|(_, authorities)| envelope.is_good(authorities, now));
        Verified { keys: stores.map(|(name, _)| name.clone()).collect(), ..Verified::default() }
    }

    /// Who made a signature.
    pub(crate) fn verify(&self, signature: &Signature) -> Verified {
        let keys = self.keys.iter().filter(|(_, key)| key.verifies(&signature.message, &signature.signature));
        let keys = keys.map(|(name, _)| name.clone()).collect();
        let signers = self.keyless.as_ref().and_then(|keyless| keyless.signers(signature));
        Verified { keys, signers: signers.unwrap_or_default().into_iter().collect() }
    }
}

impl Keyless {
    /// Whose certificate it is that signed, if it is good.
    fn signers(&self, signature: &Signature) -> Option<Vec<String>> {
        let certificate = signature.certificate.as_ref()?;
        let times = signature.entries.iter().filter_map(|of| of.time(&self.log, signature, &certificate.der));
        let mut keys = times.filter_map(|time| certificate.key(&self.authorities, time));
        let verifies = keys.any(|key| key.verifies(&signature.message, &signature.signature));
        verifies.then(|| certificate.signers())
    }
}
