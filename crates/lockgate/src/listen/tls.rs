//! TLS towards clients: given certificates, or those of an authority of the gateway's own.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// What clients may choose from.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A server's TLS with a certificate (and its chain) and a key from PEM files.
pub(crate) fn server_config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let unusable = |path: &Path, what: &str| format!("{} holds no {what} in PEM", path.display());
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unusable(cert, "certificate"))?;
    anyhow::ensure!(!chain.is_empty(), unusable(cert, "certificate"));
    let key_der = PrivateKeyDer::from_pem_file(key).with_context(|| unusable(key, "private key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .with_context(|| format!("{} and {} do not fit together", cert.display(), key.display()))?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(config))
}
