//! What is known of a registry's images besides what they say: whose signatures count, and which bases are known.

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
};

use lockgate_oci::{Base, RegistryConfig, Trust, TrustError};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Config, ConfigError, scalar::Name};

/// Keys and certificates of authorities are smaller than this.
const PEM_MAX: u64 = 1 << 20;

/// `signatures:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signatures {
    /// Public keys, by the names that policies call them by; none.
    #[serde(default)]
    keys: Vec<Key>,
    /// Who signs without a key of their own; nobody.
    keyless: Option<Keyless>,
    /// Authorities of who signs by notation, by the names that policies call them by; none.
    #[serde(default)]
    notation: Vec<Store>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    /// Its name in policies.
    name: Spanned<Name>,
    /// A file with the key, in PEM.
    file: Spanned<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    /// Its name in policies.
    name: Spanned<Name>,
    /// A file with certificates, in PEM: everybody counts to whom they gave one for signing code.
    roots: Spanned<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keyless {
    /// A file with the certificates of the authorities (Fulcio) that are trusted, in PEM.
    roots: Spanned<PathBuf>,
    /// A file with the public key of the transparency log (Rekor), in PEM: it says when a certificate was used.
    rekor: Spanned<PathBuf>,
}

impl Signatures {
    /// Reads what it refers to.
    pub(super) fn resolve(&self, config: &Config) -> Result<Trust, ConfigError> {
        let (mut trust, mut names) = (Trust::default(), HashSet::new());
        let all = self.keys.iter().map(|key| &key.name).chain(self.notation.iter().map(|store| &store.name));
        for name in all {
            if !names.insert(&name.value.0) {
                let message = format!("two of whom signatures count are called `{}`", name.value.0);
                return Err(config.error(message).at(name.referenced));
            }
        }
        for Key { name, file } in &self.keys {
            let pem = config.text(file, PEM_MAX)?;
            trust = config.at(file.referenced, trusted(trust.key(&name.value.0, pem.as_bytes())))?;
        }
        for Store { name, roots } in &self.notation {
            let pem = config.text(roots, PEM_MAX)?;
            let place = roots.referenced;
            trust = config.at(place, trusted(trust.notation(&name.value.0, pem.as_bytes())))?;
        }
        if let Some(Keyless { roots, rekor }) = &self.keyless {
            let (authorities, log) = (config.text(roots, PEM_MAX)?, config.text(rekor, PEM_MAX)?);
            let keyless = trust.keyless(authorities.as_bytes(), log.as_bytes());
            let place = match keyless {
                Err(TrustError::Authorities) => roots.referenced,
                Ok(_) | Err(TrustError::Key) => rekor.referenced,
            };
            trust = config.at(place, trusted(keyless))?;
        }
        Ok(trust)
    }
}

fn trusted(trust: Result<Trust, TrustError>) -> anyhow::Result<Trust> {
    trust.map_err(anyhow::Error::from)
}

/// An entry of `bases:`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedBase {
    /// Its name in policies.
    name: Name,
    /// `<repository>:<tag>` or `<repository>@<digest>`, of the same upstream.
    image: Spanned<String>,
}

impl NamedBase {
    fn resolve(&self, config: &Config) -> Result<Base, ConfigError> {
        let message = "a base is `<repository>:<tag>` or `<repository>@<digest>` of the same upstream";
        let base = Base::parse(&self.name.0, &self.image.value);
        base.ok_or_else(|| config.error(message).at(self.image.referenced))
    }
}

/// What is known of the images of all registries, by the names of their upstreams.
pub(crate) fn registries(config: &Config) -> Result<BTreeMap<String, RegistryConfig>, ConfigError> {
    let registries = config.file.upstreams.iter().filter(|upstream| upstream.kind.value == "oci");
    let of = registries.map(|upstream| {
        let trust = upstream.signatures.as_ref().map(|of| of.value.resolve(config)).transpose()?;
        let bases = upstream.bases.iter().flat_map(|bases| &bases.value);
        let known = RegistryConfig {
            trust: trust.unwrap_or_default(),
            bases: bases.map(|base| base.resolve(config)).collect::<Result<_, _>>()?,
        };
        Ok((upstream.name.value.0.clone(), known))
    });
    of.collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use anyhow::Result;

    use super::*;

    const KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwr
kBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2LhC30M9+RYtw==
-----END PUBLIC KEY-----
";

    /// What is known of the registry with these lines; or what is wrong with them.
    fn known(folder: &Path, kind: &str, lines: &str) -> Result<RegistryConfig, String> {
        let text = format!("upstreams:\n- name: hub\n  kind: {kind}\n  url: https://r.example/\n{lines}");
        let config = Config::parse(&folder.join("lockgate.yaml"), &text, &["git", "oci"]);
        let known = config.and_then(|config| registries(&config));
        known.map(|mut known| known.remove("hub").unwrap_or_default()).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_and_bases_are_read() -> Result<()> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("release.pub"), KEY)?;
        let lines = "  signatures: { keys: [ { name: release, file: release.pub } ] }\n  bases: [ { name: b, image: 'base/x:1' } ]\n";
        let found = known(folder.path(), "oci", lines).map_err(anyhow::Error::msg)?;
        assert_eq!(found.bases, Base::parse("b", "base/x:1").into_iter().collect::<Vec<_>>());
        assert!(format!("{:?}", found.trust).contains("release"));
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() -> Result<()> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("release.pub"), KEY)?;
        fs::write(folder.path().join("text"), "no key")?;
        let keys = |keys: &str| format!("  signatures: {{ keys: [ {keys} ] }}\n");
        for (kind, lines, place, message) in [
            ("git", "  bases: []\n".to_owned(), "5:10", "only upstreams of the kind `oci` have images"),
            ("git", keys(""), "5:15", "only upstreams of the kind `oci` have images"),
            ("oci", keys("{ name: a, file: text }"), "5:42", "it holds no public key in PEM"),
            ("oci", keys("{ name: a, file: gone }"), "5:42", "gone"),
            (
                "oci",
                keys("{ name: a, file: release.pub }, { name: a, file: release.pub }"),
                "5:65",
                "two of whom signatures count are called `a`",
            ),
            ("oci", "  signatures: { keyless: { roots: text } }\n".to_owned(), "5", "`rekor` is missing"),
            (
                "oci",
                "  signatures: { keyless: { roots: text, rekor: release.pub } }\n".to_owned(),
                "5:35",
                "it holds no certificates in PEM",
            ),
            (
                "oci",
                "  bases: [ { name: b, image: base } ]\n".to_owned(),
                "5:30",
                "a base is `<repository>:<tag>`",
            ),
        ] {
            let error = known(folder.path(), kind, &lines).err().unwrap_or_default();
            assert!(error.contains(&format!("lockgate.yaml:{place}")), "{place}: {error}");
            assert!(error.contains(message), "{message}: {error}");
        }
        Ok(())
    }
}
