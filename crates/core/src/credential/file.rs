//! A credential in a file that something else renews: what is presented is what stands in it now.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{Credential, CredentialError, Fetch, Fetched};
use crate::secret::{Secret, SecretError};

/// A change of the file is seen after so long at most.
const LOOK: Duration = Duration::from_secs(1);
/// How long the last good content serves where the file is missing or empty, as it is for a moment
/// when it is written anew.
const LAST_GOOD: Duration = Duration::from_mins(1);

/// Reads the file again and again.
pub struct SecretFile {
    path: PathBuf,
    user: Option<String>,
    last: Mutex<Option<(Secret, Instant)>>,
}

impl SecretFile {
    /// The first line of this file: the password of this user, else a bearer token.
    pub fn new(path: impl Into<PathBuf>, user: Option<String>) -> Self {
        Self { path: path.into(), user, last: Mutex::default() }
    }

    fn credential(&self, secret: Secret) -> Credential {
        match &self.user {
            Some(user) => Credential::Basic { user: user.clone(), password: secret },
            None => Credential::Bearer(secret),
        }
    }

    async fn read(&self) -> Result<Secret, CredentialError> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || Secret::read(&path)).await;
        let read = read.unwrap_or_else(|error| {
            Err(SecretError::Read { path: self.path.clone(), source: std::io::Error::other(error) })
        });
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match (read, &*last) {
            (Ok(secret), _) => {
                *last = Some((secret.clone(), Instant::now()));
                Ok(secret)
            }
            (Err(error), Some((secret, since))) if since.elapsed() < LAST_GOOD => {
                tracing::warn!(%error, "a credential's file can't be read: what stood in it serves for now");
                Ok(secret.clone())
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}

impl Fetch for SecretFile {
    fn scope(&self, _: &str) -> Result<String, CredentialError> {
        Ok(String::new())
    }

    fn fetch<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Fetched, CredentialError>> {
        Box::pin(async {
            let credential = self.credential(self.read().await?);
            Ok(Fetched { credential, fresh: LOOK, valid: LOOK })
        })
    }
}

impl From<SecretFile> for super::Source {
    fn from(file: SecretFile) -> Self {
        Self::Fetched(Arc::new(file))
    }
}
