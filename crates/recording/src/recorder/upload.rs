//! Brings sealed bundles from the spool to the store: in order, each created once, never overwritten, the local
//! copy deleted only when the store has it.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read},
    os::unix::fs::DirBuilderExt,
    path::{Path as FilePath, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use bytes::Bytes;
use futures::StreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload, path::Path};
use tokio::{
    sync::{mpsc::UnboundedReceiver, watch},
    time::{sleep, timeout},
};

use super::{board::Board, journal::SealedBundle, spool::Spool};
use crate::{error::RecordError, store::bundle_path};

/// One attempt takes no longer than this.
const ATTEMPT: Duration = Duration::from_secs(60);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(15);

/// See the module.
pub(crate) struct Uploader {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) prefix: Path,
    /// Where the store is a directory here.
    pub(crate) store_dir: Option<PathBuf>,
    pub(crate) spool: Arc<Mutex<Spool>>,
    pub(crate) board: Arc<Board>,
    pub(crate) sealed: UnboundedReceiver<SealedBundle>,
    /// Turns true when the recorder is closing: then every bundle is tried once more, not for ever.
    pub(crate) closing: watch::Receiver<bool>,
}

#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error("{0}")]
    Spool(#[from] io::Error),
    #[error("{0}")]
    Store(#[from] object_store::Error),
    #[error("no answer in {} seconds", ATTEMPT.as_secs())]
    Timeout,
    #[error("another object has the name of bundle {path}")]
    Conflict { path: Path },
}

impl Uploader {
    /// Runs until the writer is gone and everything is uploaded, or cannot be.
    pub(crate) async fn run(mut self) -> Result<(), RecordError> {
        let mut conflict = None;
        while let Some(sealed) = self.sealed.recv().await {
            match self.persist(&sealed).await {
                Ok(()) => {
                    self.board.uploaded(sealed.length);
                    self.board.set_store_trouble(conflict.clone());
                }
                Err(error @ UploadError::Conflict { .. }) => {
                    tracing::error!(bundle = %sealed.last.bundle, %error, "a bundle stays in the spool");
                    let reason = Arc::<str>::from(error.to_string());
                    self.board.set_store_trouble(Some(reason.clone()));
                    conflict = Some(reason);
                }
                Err(error) => return Err(RecordError::NotUploaded { reason: error.to_string().into() }),
            }
        }
        // Whoever closes says so only when the writer is done, and so perhaps after there is nothing left to upload; a
        // recorder that is dropped never does.
        if self.closing.wait_for(|closing| *closing).await.is_ok()
            && let Err(error) = self.spooled(Spool::forget).await
        {
            tracing::warn!(%error, "the next start will take this end for a crash");
        }
        conflict.map_or(Ok(()), |reason| Err(RecordError::NotUploaded { reason }))
    }

    /// Uploads one bundle, however often that takes. Gives up on a conflict, or when the recorder is closing.
    async fn persist(&mut self, sealed: &SealedBundle) -> Result<(), UploadError> {
        let mut backoff = FIRST_BACKOFF;
        loop {
            let closing = self.is_closing();
            let error = match self.deliver(sealed).await {
                Err(error) if closing || matches!(error, UploadError::Conflict { .. }) => return Err(error),
                Err(error) => error,
                Ok(()) => return Ok(()),
            };
            tracing::warn!(bundle = %sealed.last.bundle, %error, "upload failed, will be tried again");
            self.board.set_store_trouble(Some(error.to_string().into()));
            tokio::select! {
                () = sleep(backoff) => {}
                _ = self.closing.wait_for(|closing| *closing) => {}
            }
            backoff = (backoff * 2).min(LONGEST_BACKOFF);
        }
    }

    /// Whether the recorder is closing, or was dropped.
    fn is_closing(&self) -> bool {
        *self.closing.borrow() || self.closing.has_changed().is_err()
    }

    /// One attempt: into the store, into the state of the chain, out of the spool. Can be repeated from any point.
    async fn deliver(&self, sealed: &SealedBundle) -> Result<(), UploadError> {
        let SealedBundle { last, path, length } = sealed.clone();
        let object = bundle_path(&self.prefix, last.bundle);
        if !self.link(&path, &object).await {
            let bytes = blocking(move || read(&path, length)).await?;
            self.put(&object, bytes).await?;
        }
        let path = sealed.path.clone();
        self.spooled(move |spool| {
            spool.remember(last)?;
            Spool::delete(&path)
        })
        .await?;
        Ok(())
    }

    async fn spooled(
        &self,
        work: impl FnOnce(&mut Spool) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let spool = self.spool.clone();
        blocking(move || work(&mut spool.lock().unwrap_or_else(PoisonError::into_inner))).await
    }

    /// Puts a bundle into a directory without copying it, where that can be done. Where not, for whatever reason,
    /// the store itself will say it.
    async fn link(&self, bundle: &FilePath, object: &Path) -> bool {
        let Some(root) = self.store_dir.clone() else { return false };
        let (bundle, object) = (bundle.to_owned(), root.join(object.as_ref()));
        blocking(move || link(&bundle, &object, &root)).await.is_ok()
    }

    async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), UploadError> {
        let payload = PutPayload::from_bytes(bytes.clone());
        let put = self.store.put_opts(path, payload, PutMode::Create.into());
        let error = match timeout(ATTEMPT, put).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => UploadError::Store(error),
            Err(_) => UploadError::Timeout,
        };
        // The request may have been carried out all the same, now or in an earlier attempt: look.
        match timeout(ATTEMPT, self.is_there(path, &bytes)).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(UploadError::Conflict { path: path.clone() }),
            Ok(Err(_)) | Err(_) => Err(error),
        }
    }

    /// Whether the object at `path` is this one.
    async fn is_there(&self, path: &Path, bytes: &Bytes) -> Result<bool, object_store::Error> {
        let object = self.store.get(path).await?;
        if object.meta.size != bytes.len() as u64 {
            return Ok(false);
        }
        let mut found = Context::new(&SHA256);
        let mut stream = object.into_stream();
        while let Some(piece) = stream.next().await {
            found.update(&piece?);
        }
        Ok(found.finish().as_ref() == digest(&SHA256, bytes).as_ref())
    }
}

/// Gives a file on the same file system a second name below `root`, unless there is something of that name; durably.
fn link(file: &FilePath, name: &FilePath, root: &FilePath) -> io::Result<()> {
    let folders = name.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
    if let Some(parent) = name.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    fs::hard_link(file, name)?;
    for folder in folders {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

fn read(path: &FilePath, length: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
    #[expect(clippy::disallowed_methods, reason = "bounded by take")]
    File::open(path)?.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes.into()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_link_is_the_file_itself_and_takes_no_name_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (root, file) = (dir.path().join("store"), dir.path().join("bundle"));
        let name = root.join("2026/11/26/bundle");
        fs::write(&file, "one").unwrap();
        link(&file, &name, &root).unwrap();
        assert_eq!(fs::metadata(&name).unwrap().ino(), fs::metadata(&file).unwrap().ino());

        let other = dir.path().join("other");
        fs::write(&other, "two").unwrap();
        let taken = link(&other, &name, &root).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&name).unwrap(), b"one");
    }
}
