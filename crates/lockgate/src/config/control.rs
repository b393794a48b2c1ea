//! The control plane, and how a proxy that runs apart reaches it.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    ConfigError,
    scalar::{Address, HttpUrl, Name},
};

/// `control:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Control {
    /// Where people and proxies reach it; `127.0.0.1:8081`.
    pub(crate) listen: Spanned<Address>,
    /// Its certificate, and the authority that signs those of proxies. Needed beyond loopback.
    pub(crate) tls: Option<ControlTls>,
    /// How people call it, where that is not its address.
    pub(crate) public_url: Option<HttpUrl>,
    /// Which groups of people may do what, by role: `viewer`, `approver`, `auditor`, `admin`.
    pub(crate) roles: BTreeMap<String, Vec<String>>,
}

/// `tls:` of a control plane.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControlTls {
    /// Its certificate and chain, in PEM.
    pub(crate) cert: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// The authority of the proxies' certificates.
    pub(crate) proxy_ca: PathBuf,
}

/// `proxy:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proxy {
    /// Its name, for people; that of its certificate.
    pub(crate) name: Spanned<Name>,
    /// The control plane's URL.
    pub(crate) control: HttpUrl,
    /// Its certificate, signed by the control plane's `proxy_ca`.
    pub(crate) cert: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// The authority of the control plane's certificate; the system's.
    pub(crate) ca: Option<PathBuf>,
}

impl Default for Control {
    fn default() -> Self {
        let address = Address((Ipv4Addr::LOCALHOST, 8081).into());
        let unknown = serde_saphyr::Location::UNKNOWN;
        Self {
            listen: Spanned { value: address, referenced: unknown, defined: unknown },
            tls: None,
            public_url: None,
            roles: BTreeMap::new(),
        }
    }
}

impl Control {
    pub(crate) fn check(&self, path: &Path) -> Result<(), ConfigError> {
        if !self.listen.value.0.ip().is_loopback() && self.tls.is_none() {
            let message = "the control plane speaks plain text on loopback only";
            let error = ConfigError::new(path, message).at(self.listen.referenced);
            return Err(error.hint("set `tls: { cert, key, proxy_ca }`"));
        }
        Ok(())
    }
}
