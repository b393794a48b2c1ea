//! Where clients reach the gateway.

use std::{fmt, net::Ipv4Addr, path::PathBuf};

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::Spanned;

use super::{
    ConfigError,
    scalar::{Address, Host},
};

/// `listen:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listen {
    /// Address and port; `127.0.0.1:8080`.
    pub(crate) address: Spanned<Address>,
    /// `off` (the default), `generated`, or `{ cert: file, key: file }`.
    pub(crate) tls: Tls,
    /// The names in a generated certificate, besides `localhost` and the address.
    pub(crate) names: Vec<Host>,
    /// Speaks plain HTTP also where others can reach it: something in front ends TLS. `false`.
    pub(crate) allow_plain_http: bool,
}

impl Default for Listen {
    fn default() -> Self {
        let address = Address((Ipv4Addr::LOCALHOST, 8080).into());
        let unknown = serde_saphyr::Location::UNKNOWN;
        Self {
            address: Spanned { value: address, referenced: unknown, defined: unknown },
            tls: Tls::Off,
            names: Vec::new(),
            allow_plain_http: false,
        }
    }
}

/// Whether and with what the gateway speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Plain HTTP.
    Off,
    /// A certificate of an authority of its own, made at first start and kept in the data folder.
    Generated,
    /// These files, in PEM.
    Given(CertFiles),
}

/// A certificate with its chain, and its key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertFiles {
    /// The certificate and the chain to its authority.
    pub(crate) cert: Spanned<PathBuf>,
    /// Its private key.
    pub(crate) key: Spanned<PathBuf>,
}

impl Listen {
    pub(crate) fn check(&self, path: &std::path::Path) -> Result<(), ConfigError> {
        let open = !self.address.value.0.ip().is_loopback();
        if self.tls == Tls::Off && open && !self.allow_plain_http {
            let message = "tokens would cross the network readable: this address is not a loopback one and `tls` is off";
            return Err(ConfigError::new(path, message).at(self.address.referenced).hint(
                "set `tls: generated` or `tls: { cert, key }`; or `allow_plain_http: true` where something \
                 in front ends TLS",
            ));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Tls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TlsVisitor)
    }
}

struct TlsVisitor;

impl<'de> de::Visitor<'de> for TlsVisitor {
    type Value = Tls;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`off`, `generated` or `{ cert: file, key: file }`")
    }

    /// YAML 1.1 reads `off` as `false`.
    fn visit_bool<E: de::Error>(self, on: bool) -> Result<Tls, E> {
        if on { Err(E::invalid_value(de::Unexpected::Bool(on), &self)) } else { Ok(Tls::Off) }
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Tls, E> {
        match word {
            "off" => Ok(Tls::Off),
            "generated" => Ok(Tls::Generated),
            _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
        }
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Tls, A::Error> {
        CertFiles::deserialize(de::value::MapAccessDeserializer::new(map)).map(Tls::Given)
    }
}
