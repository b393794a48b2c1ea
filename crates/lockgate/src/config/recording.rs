//! Where the evidence goes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lockgate_recording::{OpenStoreError, StoreOptions};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{
    Config, ConfigError,
    scalar::{Size, Span},
    secret::Source,
};

/// `recording:`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Recording {
    /// `file:///directory` or `s3://bucket/prefix`; the folder `recordings` in the data folder.
    pub(crate) store: Option<Spanned<String>>,
    /// What an `s3://` URL does not say.
    pub(crate) s3: Option<Spanned<S3>>,
    /// A bundle is sealed and stored when it is this large; 8 MiB.
    pub(crate) bundle_size: Option<Size>,
    /// A bundle is sealed and stored when it is this old; 5 s.
    pub(crate) bundle_age: Option<Span>,
    /// What may wait on the local disk while the store is away, before requests are refused; 4 GiB.
    pub(crate) spool: Option<Size>,
}

/// `s3:`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct S3 {
    /// The endpoint, where it is not Amazon's.
    pub(crate) endpoint: Option<String>,
    /// The region.
    pub(crate) region: Option<String>,
    /// The id of the access key. Without it, credentials come from where the AWS tools take them.
    pub(crate) access_key_id: Option<String>,
    /// A file with the secret of the access key.
    pub(crate) secret_access_key_file: Option<PathBuf>,
    /// An environment variable with it.
    pub(crate) secret_access_key_env: Option<String>,
    /// Whether the endpoint may be plain `http`; `false`.
    pub(crate) allow_http: bool,
}

impl S3 {
    fn secret(&self) -> Result<Option<Source>, String> {
        let (file, env) = (self.secret_access_key_file.as_ref(), self.secret_access_key_env.as_ref());
        if self.access_key_id.is_none() && file.is_none() && env.is_none() {
            return Ok(None);
        }
        if self.access_key_id.is_none() {
            return Err("`access_key_id` is missing".into());
        }
        Source::of("secret_access_key", file, env).map(Some)
    }
}

impl Recording {
    pub(crate) fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let Some(s3) = &self.s3 else { return Ok(()) };
        s3.value.secret().map_err(|message| ConfigError::new(path, message).at(s3.referenced))?;
        if self.store.as_ref().is_none_or(|store| !store.value.starts_with("s3://")) {
            let message = "`s3` belongs to a store at `s3://bucket/prefix`";
            return Err(ConfigError::new(path, message).at(s3.referenced));
        }
        Ok(())
    }

    /// Opens the store, for reading or for recording.
    pub(crate) fn open<T>(
        &self,
        config: &Config,
        open: impl FnOnce(&str, &StoreOptions) -> Result<T, OpenStoreError>,
    ) -> Result<T> {
        let options = self.options(config)?;
        let opened = open(&self.url(&config.data_dir())?, &options).map_err(anyhow::Error::from);
        match &self.store {
            Some(store) => Ok(config.at(store.referenced, opened)?),
            None => opened,
        }
    }

    /// The store's URL.
    pub(crate) fn url(&self, data_dir: &Path) -> Result<String> {
        if let Some(store) = &self.store {
            return Ok(store.value.clone());
        }
        let folder = std::path::absolute(data_dir.join("recordings"))?;
        let url = url::Url::from_directory_path(&folder).ok();
        url.map(String::from).with_context(|| format!("{} is no path of a URL", folder.display()))
    }

    /// The folder that it is in, where it is on this machine.
    pub(crate) fn folder(&self, data_dir: &Path) -> Option<PathBuf> {
        match &self.store {
            Some(url) => {
                url::Url::parse(&url.value).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
            }
            None => Some(data_dir.join("recordings")),
        }
    }

    /// What the URL does not say.
    pub(crate) fn options(&self, config: &Config) -> Result<StoreOptions, ConfigError> {
        let Some(s3) = &self.s3 else { return Ok(StoreOptions::default()) };
        let S3 { endpoint, region, access_key_id, allow_http, .. } = s3.value.clone();
        let source = s3.value.secret().map_err(anyhow::Error::msg);
        let secret = source.and_then(|source| source.map(|source| source.read(&config.base)).transpose());
        let secret = config.at(s3.referenced, secret)?;
        let secret_access_key = secret.map(|secret| secret.expose().to_owned());
        Ok(StoreOptions { endpoint, region, access_key_id, secret_access_key, allow_http })
    }
}
