//! Writing recordings: [`Recorder`] for a process, [`ExchangeRecorder`] for an exchange.
//!
//! Events go through a bounded queue (`queue`) to one writer thread (`writer`), which makes records of them (`scribe`, `live`)
//! and puts these, but what stands there already (`repeats`), into bundles (`journal`) in files (`wal`) of the spool directory (`spool`); sealed bundles are
//! brought to the store (`upload`). What a crash leaves behind is put in order at the next start (`recover`).

mod board;
mod command;
mod committer;
mod exchange;
mod journal;
pub(crate) mod live;
mod queue;
mod recover;
pub(crate) mod repeats;
mod scribe;
pub(crate) mod spool;
mod upload;
mod wal;
mod writer;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use object_store::{ObjectStore, path::Path};
use tokio::{
    sync::{mpsc::unbounded_channel, oneshot, watch},
    task::JoinHandle,
};

use self::{
    board::Board,
    command::{Command, Entry, Reply, Work},
    journal::{Journal, JournalConfig},
    queue::Sender,
    recover::recover,
    repeats::Known,
    spool::Spool,
    upload::Uploader,
    writer::Writer,
};
pub use self::{
    board::Status,
    exchange::{ExchangeRecorder, Location},
    recover::{Recovered, RecoveredBundle, RecoveredExchange},
    spool::Head,
};
use crate::{convert, error::RecordError, event::ExchangeOpened, fields::Redactor};

/// What a [`Recorder`] needs to know.
#[derive(Clone)]
pub struct RecorderConfig {
    /// The directory for what is not in the store yet. One recorder uses it at a time.
    pub spool_dir: PathBuf,
    /// The store that keeps the bundles.
    pub store: Arc<dyn ObjectStore>,
    /// The place in the store.
    pub prefix: Path,
    /// The directory that `store` is, if it is one of this machine: a bundle on the same file system is linked
    /// there and not copied. None.
    pub store_dir: Option<PathBuf>,
    /// The name of this proxy, for people.
    pub proxy: String,
    /// A bundle is sealed when it has this size: 8 MiB.
    pub bundle_max_bytes: u64,
    /// A bundle is sealed when it is this old: 5 s.
    pub bundle_max_age: Duration,
    /// How long a commit waits at most for others to share it, where others are expected: 2 ms, and no longer than a
    /// commit takes.
    pub linger: Duration,
    /// How much may wait to be written before [`ExchangeRecorder::append`] waits: 4 MiB.
    pub queue_bytes: usize,
    /// How much may wait to be uploaded before nothing more is recorded: 4 GiB.
    pub spool_max_bytes: u64,
    /// Of so many octets of bodies it is known where they stand, so that they are not recorded again within a day: 8
    /// GiB, for which it takes 6 MiB of memory.
    pub known_bytes: u64,
}

impl RecorderConfig {
    /// A configuration with the sizes and times that are named at the fields.
    pub fn new(
        spool_dir: impl Into<PathBuf>,
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        proxy: impl Into<String>,
    ) -> Self {
        Self {
            spool_dir: spool_dir.into(),
            store,
            prefix,
            store_dir: None,
            proxy: proxy.into(),
            bundle_max_bytes: 8 << 20,
            bundle_max_age: Duration::from_secs(5),
            linger: Duration::from_millis(2),
            queue_bytes: 4 << 20,
            spool_max_bytes: 4 << 30,
            known_bytes: 8 << 30,
        }
    }
}

impl std::fmt::Debug for RecorderConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecorderConfig")
            .field("spool_dir", &self.spool_dir)
            .field("store", &self.store.to_string())
            .field("prefix", &self.prefix)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// Records exchanges. Clones share one spool, one writer and one chain of bundles.
///
/// Close it before the process ends: a recorder that is dropped loses nothing that is durable, but leaves it in the
/// spool.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Sender<Command>,
    board: Arc<Board>,
    redactor: Redactor,
    closing: watch::Sender<bool>,
    uploader: Mutex<Option<JoinHandle<Result<(), RecordError>>>>,
}

impl Recorder {
    /// Opens the spool, puts in order what a crash has left there, and starts. Needs a tokio runtime, on which it
    /// uploads.
    ///
    /// # Errors
    /// When the spool directory cannot be used, or another process uses it. The store is not asked for anything.
    pub async fn open(config: RecorderConfig) -> Result<(Self, Recovered), RecordError> {
        let directory = config.spool_dir.clone();
        let (spool, recovery) = tokio::task::spawn_blocking(move || {
            let spool = Spool::open(&directory)?;
            let recovery =
                recover(&spool).map_err(|source| RecordError::Spool { path: directory, source })?;
            Ok::<_, RecordError>((spool, recovery))
        })
        .await
        .map_err(|_| RecordError::Closed)??;

        let board = Arc::new(Board::new(config.queue_bytes, config.spool_max_bytes));
        let (uploads, sealed) = unbounded_channel();
        for bundle in recovery.uploads {
            board.spooled(bundle.length);
            // The other end is in our hands.
            let _ = uploads.send(bundle);
        }
        let journal = JournalConfig {
            directory: config.spool_dir.clone(),
            proxy: config.proxy,
            chain: spool.chain(),
            bundle_max_bytes: config.bundle_max_bytes,
            bundle_max_age: config.bundle_max_age,
            is_read: config.store_dir.is_none(),
        };
        let journal = Journal::new(journal, board.clone(), uploads, recovery.last);
        let (queue, commands) = queue::queue();
        let writer =
            Writer::new(commands, board.clone(), journal, Known::new(config.known_bytes), config.linger);
        std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| RecordError::Spool { path: config.spool_dir, source })?;

        let redactor = spool.redactor();
        let (closing, is_closing) = watch::channel(false);
        let uploader = Uploader {
            store: config.store,
            prefix: config.prefix,
            store_dir: config.store_dir,
            spool: Arc::new(Mutex::new(spool)),
            board: board.clone(),
            sealed,
            closing: is_closing,
        };
        let uploader = Mutex::new(Some(tokio::spawn(uploader.run())));
        let shared = Shared { queue, board, redactor, closing, uploader };
        Ok((Self { shared: Arc::new(shared) }, recovery.recovered))
    }

    /// Begins to record an exchange. Waits while the queue is full.
    ///
    /// # Errors
    /// When nothing can be recorded: the exchange must then be refused.
    pub async fn begin(&self, opened: ExchangeOpened) -> Result<ExchangeRecorder, RecordError> {
        let started = Instant::now();
        let exchange = opened.exchange;
        let opened = convert::opened_to_proto(opened)?;
        let Shared { queue, board, .. } = &*self.shared;
        let cost = board.acquire(prost::Message::encoded_len(&opened)).await?;
        let entry = Entry::Open { exchange, opened: Box::new(opened), cost };
        let sent = queue.send_lazily(Command::Work(Work::Record(entry)), cost as usize);
        sent.map_err(|_| RecordError::Closed)?;
        Ok(ExchangeRecorder::new(exchange, started, queue.clone(), board.clone()))
    }

    /// How the recorder is doing.
    pub fn status(&self) -> Status {
        self.shared.board.status()
    }

    /// Makes fields of header maps that may be recorded.
    pub fn redactor(&self) -> &Redactor {
        &self.shared.redactor
    }

    /// Seals the open bundle now, and waits until everything recorded so far is in the store.
    ///
    /// # Errors
    /// When nothing can be recorded, or the store does not take it now. Nothing is lost by that.
    pub async fn flush(&self) -> Result<(), RecordError> {
        let (reply, answer) = oneshot::channel();
        self.send(Work::Flush(reply))?;
        answer.await.unwrap_or(Err(RecordError::Closed))?;
        self.shared.board.wait_uploaded().await
    }

    /// Ends all open exchanges as abandoned, seals, uploads. Each bundle is tried once more if the store is away.
    ///
    /// # Errors
    /// When something could not be written, or stays in the spool until the next start.
    pub async fn close(&self) -> Result<(), RecordError> {
        let (reply, answer): (Reply<()>, _) = oneshot::channel();
        self.shared.queue.send(Command::Shutdown(reply)).map_err(|_| RecordError::Closed)?;
        let written = answer.await.unwrap_or(Err(RecordError::Closed));
        self.shared.closing.send_replace(true);
        let uploader = self.shared.uploader.lock().unwrap_or_else(PoisonError::into_inner).take();
        let uploaded = match uploader {
            Some(uploader) => uploader.await.unwrap_or(Err(RecordError::Closed)),
            None => Err(RecordError::Closed),
        };
        written.and(uploaded)
    }

    fn send(&self, work: Work) -> Result<(), RecordError> {
        self.shared.queue.send(Command::Work(work)).map_err(|_| RecordError::Closed)
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("status", &self.status()).finish()
    }
}

/// Microseconds of Unix time.
pub(crate) fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
