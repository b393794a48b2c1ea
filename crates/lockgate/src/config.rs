//! The configuration: one YAML file for every role, plain structs with their defaults.
//!
//! Unknown keys, wrong types and contradictions are errors with line and column. Relative paths are relative
//! to the file. Secrets never stand in it: it names the file or the environment variable that holds each.

mod control;
mod credential;
mod error;
mod issuer;
mod limits;
mod listen;
mod recording;
mod registry;
pub(crate) mod scalar;
mod secret;
#[cfg(test)]
mod tests;
mod upstream;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use self::scalar::HttpUrl;
pub(crate) use self::{
    control::{Control, Proxy},
    error::ConfigError,
    issuer::Issuer,
    limits::Limits,
    listen::{Listen, Tls},
    recording::Recording,
    registry::registries,
    secret::read_text,
    upstream::{Auth, Upstream},
};

/// A configuration is smaller than this.
const MAX: u64 = 1 << 20;

/// A whole configuration, and where it was read.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// What it says.
    pub(crate) file: File,
    /// The file.
    pub(crate) path: PathBuf,
    /// The folder that relative paths are relative to.
    pub(crate) base: PathBuf,
}

/// The content of a configuration file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    /// The name of this gateway, in recordings and to the control plane: `lockgate`.
    #[serde(default = "name")]
    pub(crate) name: scalar::Name,
    /// Where clients reach the gateway.
    #[serde(default)]
    pub(crate) listen: Listen,
    /// How clients and people call it, where that is not its address.
    pub(crate) public_url: Option<HttpUrl>,
    /// The folder for all state: `lockgate-data`.
    #[serde(default = "data_dir")]
    pub(crate) data_dir: PathBuf,
    /// The targets.
    #[serde(default)]
    pub(crate) upstreams: Vec<Upstream>,
    /// Whose tokens are accepted.
    #[serde(default)]
    pub(crate) issuers: Vec<Issuer>,
    /// The policy, a file; published at start and whenever it changes.
    pub(crate) policy: Option<Spanned<PathBuf>>,
    /// Where the evidence goes.
    #[serde(default)]
    pub(crate) recording: Recording,
    /// The control plane.
    #[serde(default)]
    pub(crate) control: Control,
    /// A proxy that runs apart from its control plane.
    pub(crate) proxy: Option<Proxy>,
    /// What bounds time and memory.
    #[serde(default)]
    pub(crate) limits: Limits,
}

fn name() -> scalar::Name {
    scalar::Name("lockgate".into())
}

fn data_dir() -> PathBuf {
    "lockgate-data".into()
}

impl Config {
    /// Reads a file, and checks all that can be checked without looking further. `kinds` are the protocols
    /// that there are.
    pub(crate) fn load(path: &Path, kinds: &[&str]) -> Result<Self, ConfigError> {
        let text = read_text(path, MAX).map_err(|error| {
            let config = "a configuration is given by `--config`, see `lockgate up --help`";
            ConfigError::new(path, format!("{:#}", error.root_cause())).hint(config)
        })?;
        Self::parse(path, &text, kinds)
    }

    fn parse(path: &Path, text: &str, kinds: &[&str]) -> Result<Self, ConfigError> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Err(ConfigError::new(path, "the file is empty")
                .hint("examples/lockgate.yaml is one to begin with"));
        }
        let file: File =
            serde_saphyr::from_str(text).map_err(|error| ConfigError::from_yaml(path, &error))?;
        file.check(path, kinds)?;
        let base = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Ok(Self { file, path: path.to_owned(), base })
    }

    /// A path that the file names.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// The folder for all state.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.resolve(&self.file.data_dir)
    }

    /// The text of a file that this names, of at most `max` bytes.
    pub(crate) fn text(&self, file: &Spanned<PathBuf>, max: u64) -> Result<String, ConfigError> {
        self.at(file.referenced, read_text(&self.resolve(&file.value), max))
    }

    /// What became of a value, an error at its place.
    pub(crate) fn at<T>(&self, place: Location, became: anyhow::Result<T>) -> Result<T, ConfigError> {
        became.map_err(|error| self.error(format!("{error:#}")).at(place))
    }

    /// An error about the file as a whole.
    pub(crate) fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::new(&self.path, message)
    }
}

impl File {
    fn check(&self, path: &Path, kinds: &[&str]) -> Result<(), ConfigError> {
        self.listen.check(path)?;
        for upstream in &self.upstreams {
            upstream.check(path, kinds)?;
        }
        for issuer in &self.issuers {
            issuer.check(path)?;
        }
        self.recording.check(path)?;
        self.control.check(path)?;
        self.check_names(path)
    }

    fn check_names(&self, path: &Path) -> Result<(), ConfigError> {
        let upstreams = self.upstreams.iter().map(|upstream| located(&upstream.name));
        unique(path, "upstream of this name", upstreams)?;
        let hosts = self.upstreams.iter().filter_map(|upstream| upstream.host.as_ref());
        let hosts = hosts.map(|host| (host.value.0.as_str().to_ascii_lowercase(), host.referenced));
        unique(path, "upstream with this host", hosts)?;
        unique(path, "issuer of this name", self.issuers.iter().map(|issuer| located(&issuer.name)))?;
        let urls = self.issuers.iter().map(|issuer| (issuer.issuer.value.clone(), issuer.issuer.referenced));
        unique(path, "issuer with this `issuer`", urls)
    }
}

fn located(name: &Spanned<scalar::Name>) -> (String, Location) {
    (name.value.0.clone(), name.referenced)
}

fn unique(
    path: &Path,
    what: &str,
    names: impl Iterator<Item = (String, Location)>,
) -> Result<(), ConfigError> {
    let mut seen = HashMap::new();
    for (name, location) in names {
        if let Some(first) = seen.insert(name, location) {
            let message = format!("there is another {what}, in line {}", first.line());
            return Err(ConfigError::new(path, message).at(location));
        }
    }
    Ok(())
}
