//! The control plane, and how a proxy that runs apart reaches it.

use std::path::{Path, PathBuf};

use lockgate_control::roles::{Role, RoleGroups};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    ConfigError,
    listen::Tls,
    scalar::{Address, HttpUrl},
};

/// `control:`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Control {
    /// Where people on other machines reach it; nowhere. On this machine there is a socket in the data folder.
    pub(crate) listen: Option<Spanned<Address>>,
    /// TLS for them: `{ cert: file, key: file }` or `generated`. Needed beyond loopback.
    pub(crate) tls: Option<Tls>,
    /// The URL at which they reach it.
    pub(crate) public_url: Option<HttpUrl>,
    /// The URL of a page of yours for approvals, which shows one at `<approvals_url>/<id>`; none: whoever waits is
    /// told the command that approves.
    pub(crate) approvals_url: Option<HttpUrl>,
    /// The authority of its certificate, for people's commands; the system's.
    pub(crate) ca: Option<Spanned<PathBuf>>,
    /// Where proxies reach it, for `lockgate control`.
    pub(crate) proxies: Option<Proxies>,
    /// What whoever can read the data folder may do.
    pub(crate) operator: Operator,
    /// Which groups of people may do what.
    pub(crate) roles: RoleGroups,
}

/// `proxies:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proxies {
    /// Address and port.
    pub(crate) listen: Address,
    /// The control plane's certificate and chain, in PEM.
    pub(crate) cert: Spanned<PathBuf>,
    /// Its private key.
    pub(crate) key: Spanned<PathBuf>,
    /// The authority of the proxies' certificates.
    pub(crate) ca: Spanned<PathBuf>,
}

/// `operator:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Operator {
    /// Their roles: `[admin]`.
    pub(crate) roles: Vec<Role>,
    /// Their groups, for policies that name who approves; none.
    pub(crate) groups: Vec<String>,
}

impl Default for Operator {
    fn default() -> Self {
        Self { roles: vec![Role::Admin], groups: Vec::new() }
    }
}

/// `proxy:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proxy {
    /// The control plane's URL for proxies: `https://host:port`.
    pub(crate) control: HttpUrl,
    /// Its certificate, signed by the control plane's `proxies.ca`.
    pub(crate) cert: Spanned<PathBuf>,
    /// Its private key.
    pub(crate) key: Spanned<PathBuf>,
    /// The authority of the control plane's certificate; the system's.
    pub(crate) ca: Option<Spanned<PathBuf>>,
}

impl Control {
    pub(crate) fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let Some(listen) = &self.listen else { return Ok(()) };
        let plain = self.tls.as_ref().is_none_or(|tls| *tls == Tls::Off);
        if plain && !listen.value.0.ip().is_loopback() {
            let message = "tokens would cross the network readable: the control plane needs TLS here";
            let error = ConfigError::new(path, message).at(listen.referenced);
            return Err(error.hint("set `tls: generated` or `tls: { cert, key }`"));
        }
        Ok(())
    }
}
