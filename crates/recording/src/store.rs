//! Object stores by URL, and the names of bundles in them.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::PathBuf, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, Checksum},
    local::LocalFileSystem,
    path::Path,
};
use url::Url;
use uuid::Uuid;

use crate::recorder::spool::SUFFIX;

/// How long one request to a store may take, and how long it is repeated below the recorder, which has its own
/// patience.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);

/// What a URL does not say about a store.
#[derive(Clone, Default)]
pub struct StoreOptions {
    /// S3: the endpoint, where it is not Amazon's: `https://minio.example:9000`.
    pub endpoint: Option<String>,
    /// S3: the region.
    pub region: Option<String>,
    /// S3: the key id. Without it, credentials come from where the AWS tools take them: `AWS_*` in the environment,
    /// a web identity, the instance.
    pub access_key_id: Option<String>,
    /// S3: the secret that belongs to the key id.
    pub secret_access_key: Option<String>,
    /// S3: whether the endpoint may be plain `http`.
    pub allow_http: bool,
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOptions")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &self.secret_access_key.as_ref().map(|_| "<redacted>"))
            .field("allow_http", &self.allow_http)
            .finish()
    }
}

/// Why a store could not be opened: the configuration is at fault, or the local disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// The URL does not parse.
    #[error("not a URL: {url}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        #[source]
        source: url::ParseError,
    },
    /// The URL names something that is no store.
    #[error("{url}: {reason}")]
    Unsupported {
        /// As given, without credentials.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The directory of a `file://` store that is to be read is not there: it is not the right one, or nothing was
    /// recorded yet.
    #[error("there is no directory {path}", path = path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The directory of a `file://` store cannot be made.
    #[error("{path} cannot be created", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The store refuses its configuration.
    #[error("{url} cannot be opened")]
    Store {
        /// As given, without credentials.
        url: String,
        /// What the store said.
        #[source]
        source: object_store::Error,
    },
}

/// Opens the store at `file:///directory` or `s3://bucket/prefix` for reading; gives it with the prefix in it.
///
/// # Errors
/// When the URL is not of these forms, the directory is not there, or the store refuses its configuration. Nothing is
/// sent over the network.
pub fn open_store(url: &str, options: &StoreOptions) -> Result<(Arc<dyn ObjectStore>, Path), OpenStoreError> {
    store_at(url, options, Directory::Present)
}

/// Opens a store for recording: as [`open_store`], and a directory that is missing is made, for its owner alone.
///
/// # Errors
/// As [`open_store`]; or when the directory can't be made.
pub fn create_store(
    url: &str,
    options: &StoreOptions,
) -> Result<(Arc<dyn ObjectStore>, Path), OpenStoreError> {
    store_at(url, options, Directory::Made)
}

/// What is expected of the directory of a `file://` store.
#[derive(Clone, Copy)]
enum Directory {
    /// It is there.
    Present,
    /// It is there, or is made.
    Made,
}

fn store_at(
    url: &str,
    options: &StoreOptions,
    directory: Directory,
) -> Result<(Arc<dyn ObjectStore>, Path), OpenStoreError> {
    let mut parsed = Url::parse(url).map_err(|source| OpenStoreError::Url { url: url.to_owned(), source })?;
    let has_credentials = !parsed.username().is_empty() || parsed.password().is_some();
    let _ = parsed.set_password(None);
    let _ = parsed.set_username("");
    let unsupported = |reason| OpenStoreError::Unsupported { url: parsed.to_string(), reason };
    if has_credentials {
        return Err(unsupported("credentials do not belong into a URL"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(unsupported("a store has no query and no fragment"));
    }
    match parsed.scheme() {
        "file" if !url.to_ascii_lowercase().starts_with("file:///") => {
            Err(unsupported("a directory is given as file:///directory"))
        }
        "file" => open_directory(&parsed, directory),
        "s3" => open_bucket(&parsed, options),
        _ => Err(unsupported("a store is file:///directory or s3://bucket/prefix")),
    }
}

fn open_directory(url: &Url, directory: Directory) -> Result<(Arc<dyn ObjectStore>, Path), OpenStoreError> {
    let path = url.to_file_path().map_err(|()| OpenStoreError::Unsupported {
        url: url.to_string(),
        reason: "not an absolute path on this machine",
    })?;
    match directory {
        Directory::Present if !path.is_dir() => return Err(OpenStoreError::NoDirectory { path }),
        Directory::Present => {}
        Directory::Made => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|source| OpenStoreError::Directory { path: path.clone(), source })?,
    }
    let store = LocalFileSystem::new_with_prefix(&path)
        .map_err(|source| OpenStoreError::Store { url: url.to_string(), source })?
        .with_fsync(true);
    Ok((Arc::new(store), Path::default()))
}

fn open_bucket(url: &Url, options: &StoreOptions) -> Result<(Arc<dyn ObjectStore>, Path), OpenStoreError> {
    let bucket = url
        .host_str()
        .ok_or_else(|| OpenStoreError::Unsupported { url: url.to_string(), reason: "a bucket is missing" })?;
    let failed = |source| OpenStoreError::Store { url: url.to_string(), source };
    let mut builder = match (&options.access_key_id, &options.secret_access_key) {
        (Some(id), Some(secret)) => {
            AmazonS3Builder::new().with_access_key_id(id).with_secret_access_key(secret)
        }
        (None, None) => AmazonS3Builder::from_env(),
        (Some(_), None) | (None, Some(_)) => {
            return Err(OpenStoreError::Unsupported {
                url: url.to_string(),
                reason: "a key id and its secret go together",
            });
        }
    };
    builder = builder
        .with_bucket_name(bucket)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 3,
            retry_timeout: RETRY_TIMEOUT,
        })
        .with_client_options(ClientOptions::new().with_timeout(REQUEST_TIMEOUT))
        .with_allow_http(options.allow_http);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    let prefix = Path::from_url_path(url.path()).map_err(|source| failed(source.into()))?;
    Ok((Arc::new(builder.build().map_err(failed)?), prefix))
}

/// The folder of all bundles under a prefix.
pub(crate) fn bundles_folder(prefix: &Path) -> Path {
    prefix.clone().join("bundles")
}

/// The name of a bundle in its store: `bundles/<yyyy>/<mm>/<dd>/<id>.lgr` under the prefix, the date (UTC) as the
/// UUIDv7 has it.
pub fn bundle_path(prefix: &Path, bundle: Uuid) -> Path {
    let folders = date_folders(id_millis(bundle));
    let folder = folders.into_iter().fold(bundles_folder(prefix), |path, folder| path.join(folder));
    folder.join(format!("{bundle}.{SUFFIX}"))
}

/// The folders of a day: year, month, day.
pub(crate) fn date_folders(millis: u64) -> [String; 3] {
    let (year, month, day) = civil_date(millis / 86_400_000);
    [format!("{year:04}"), format!("{month:02}"), format!("{day:02}")]
}

/// When the thing with this UUIDv7 was made, in milliseconds of Unix time.
pub(crate) fn id_millis(id: Uuid) -> u64 {
    u64::try_from(id.as_u128() >> 80).unwrap_or(u64::MAX)
}

/// Year, month and day of a number of days since 1970-01-01.
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.)
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_date_of_the_id() {
        let check = |millis: u64, date: &str| {
            let id = Uuid::from_u128(u128::from(millis) << 80);
            let path = bundle_path(&Path::from("a/b"), id);
            assert_eq!(path.as_ref(), format!("a/b/bundles/{date}/{id}.lgr"));
            assert_eq!(id_millis(id), millis);
        };
        check(0, "1970/01/01");
        check(951_782_399_999, "2000/02/28");
        check(951_782_400_000, "2000/02/29");
        check(1_735_689_599_999, "2024/12/31");
        check(1_735_689_600_000, "2025/01/01");
        check(4_107_542_400_000, "2100/03/01");
    }
}
