//! Certificates for signing, as Fulcio gives them: whose they are, and that a configured authority says so.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime, pem::PemObject as _};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    prelude::{FromDer as _, X509Certificate},
};

use super::key::Key;

/// `id-kp-codeSigning`.
const CODE_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03];
/// Who vouched for the signer, in Fulcio's extensions: as a string of DER, and once as bare text.
const ISSUER: &str = "1.3.6.1.4.1.57264.1.8";
const ISSUER_ONCE: &str = "1.3.6.1.4.1.57264.1.1";
/// Certificates between a signer's and an authority's at most.
const BETWEEN: usize = 8;

/// The certificate of a signer, with those that lead to its authority.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(super) der: CertificateDer<'static>,
    between: Vec<CertificateDer<'static>>,
}

impl Certificate {
    /// Of DER: the signer's own, and those above it.
    pub(super) fn from_der(mut chain: impl Iterator<Item = Vec<u8>>) -> Option<Self> {
        let der = CertificateDer::from(chain.next()?);
        Some(Self { der, between: chain.take(BETWEEN).map(CertificateDer::from).collect() })
    }

    /// Of PEM: the signer's own, and those above it.
    pub(super) fn from_pem(own: &str, above: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(own.as_bytes()).ok()?;
        let between = CertificateDer::pem_slice_iter(above.as_bytes()).take(BETWEEN).filter_map(Result::ok);
        Some(Self { der, between: between.collect() })
    }

    /// Its key, where one of the authorities vouches for it at that time, and for signing code.
    pub(super) fn key(&self, authorities: &Authorities, seconds: u64) -> Option<Key> {
        Key::from_der(&self.spki(authorities, seconds)?)
    }

    /// The same, as its `SubjectPublicKeyInfo`.
    pub(super) fn spki(
        &self,
        authorities: &Authorities,
        seconds: u64,
    ) -> Option<SubjectPublicKeyInfoDer<'static>> {
        let (_, parsed) = X509Certificate::from_der(&self.der).ok()?;
        // Those above need not say what they are for; its own must.
        if !parsed.extended_key_usage().ok()??.value.code_signing {
            return None;
        }
        let own = EndEntityCert::try_from(&self.der).ok()?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let usage = KeyUsage::required_if_present(CODE_SIGNING);
        let (algorithms, authorities) = (ALL_VERIFICATION_ALGS, &authorities.0);
        own.verify_for_usage(algorithms, authorities, &self.between, time, usage, None, None).ok()?;
        Some(own.subject_public_key_info())
    }

    /// Whose it is: who vouched for them, a space, and as whom. Nobody's where it does not say both.
    pub(super) fn signers(&self) -> Vec<String> {
        let Ok((_, parsed)) = X509Certificate::from_der(&self.der) else { return Vec::new() };
        let Some(issuer) = issuer(&parsed) else { return Vec::new() };
        let named = parsed.extensions().iter().filter_map(|extension| {
            let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() else {
                return None;
            };
            Some(&names.general_names)
        });
        let named = named.flatten().filter_map(|name| {
            let (GeneralName::RFC822Name(name) | GeneralName::URI(name)) = name else { return None };
            Some(*name)
        });
        named.filter(|name| is_plain(name)).map(|name| format!("{issuer} {name}")).collect()
    }
}

/// Whoever vouched could not be told from the one for whom, with spaces in either.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !c.is_control())
}

fn issuer(parsed: &X509Certificate<'_>) -> Option<String> {
    let value = |id: &str| {
        let mut found = parsed.extensions().iter().filter(|extension| extension.oid.to_id_string() == id);
        found.next().map(|extension| extension.value)
    };
    let text = match (value(ISSUER), value(ISSUER_ONCE)) {
        (Some(der), _) => {
            let (rest, text) = x509_parser::der_parser::parse_der(der).ok()?;
            text.as_str().ok().filter(|_| rest.is_empty())?.to_owned()
        }
        (None, Some(bare)) => std::str::from_utf8(bare).ok()?.to_owned(),
        (None, None) => return None,
    };
    Some(text).filter(|text| is_plain(text))
}

/// The authorities that are trusted to give certificates to signers.
#[derive(Debug, Clone)]
pub(super) struct Authorities(Vec<TrustAnchor<'static>>);

impl Authorities {
    /// Of PEM certificates. `None` where there is none, or one is none.
    pub(super) fn from_pem(pem: &[u8]) -> Option<Self> {
        let anchors = CertificateDer::pem_slice_iter(pem).map(|der| {
            let der = der.ok()?;
            Some(anchor_from_trusted_cert(&der).ok()?.to_owned())
        });
        let anchors: Vec<_> = anchors.collect::<Option<_>>()?;
        (!anchors.is_empty()).then_some(Self(anchors))
    }
}
