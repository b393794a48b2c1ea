//! TLS towards clients: given certificates, or those of an authority of the gateway's own.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::config::read_text;

/// What clients may choose from.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Certificates and keys are smaller than this.
pub(crate) const PEM_MAX: u64 = 1 << 20;

/// The certificate in a PEM file, and its chain.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let unusable = || format!("{} holds no certificate in PEM", path.display());
    let pem = read_text(path, PEM_MAX)?;
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.with_context(unusable)?;
    anyhow::ensure!(!chain.is_empty(), unusable());
    Ok(chain)
}

/// The private key in a PEM file.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let pem = read_text(path, PEM_MAX)?;
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .with_context(|| format!("{} holds no private key in PEM", path.display()))
}

/// A server's TLS with a certificate, its chain and its key.
pub(crate) fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the certificate and the key do not fit together")?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}
