//! What can go wrong while recording.

use std::{io, path::PathBuf, sync::Arc};

/// Why something was not recorded. Whoever gets one must refuse the exchange.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Ours, passing: the recorder cannot write now. It goes on by itself when the cause is gone.
    #[error("the recorder cannot write: {reason}")]
    Failing {
        /// What is wrong: the disk, or a full spool.
        reason: Arc<str>,
    },
    /// Ours: the recorder was closed.
    #[error("the recorder is closed")]
    Closed,
    /// The caller: the exchange was closed already.
    #[error("the exchange is closed already")]
    ExchangeClosed,
    /// Ours: an earlier event of this exchange was refused, so that the rest would have a hole before it.
    #[error("an earlier event of this exchange could not be recorded")]
    Interrupted,
    /// The client, through the caller: one event is larger than a recording can hold.
    #[error("{what} of {size} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// Which event.
        what: &'static str,
        /// Its size.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// Ours: the spool directory cannot be used.
    #[error("the spool at {path} cannot be used", path = path.display())]
    Spool {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Ours: another recorder has this spool directory open.
    #[error("the spool at {path} is in use by another process", path = path.display())]
    SpoolInUse {
        /// The directory.
        path: PathBuf,
    },
    /// Ours: the spool's own state file is damaged.
    #[error("the state of the spool at {path} is damaged: {reason}", path = path.display())]
    SpoolDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The object store: bundles are safe in the spool and will be uploaded, but are not yet.
    #[error("recorded, but not uploaded yet: {reason}")]
    NotUploaded {
        /// What the store said last.
        reason: Arc<str>,
    },
}
