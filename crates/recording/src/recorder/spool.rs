//! The spool directory: one file per bundle that is not in the store yet, the state of the chain, the lock.
//!
//! ```text
//! lock               held while a recorder has the directory open
//! state              chain id, last bundles uploaded, key for redaction; replaced atomically
//! <bundle id>.lgr    a bundle: sealed and waiting, or being written
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use aws_lc_rs::rand;
use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::now_micros;
use crate::{error::RecordError, fields::Redactor, format::chain::Link};

/// The suffix of bundle files, in the spool as in the store.
pub(crate) const SUFFIX: &str = "lgr";
/// The name of the state file.
const STATE: &str = "state";
/// The state file is smaller than this.
const STATE_MAX: u64 = 4 << 10;
/// For how long a bundle counts as one that was uploaded just now, and how many do at most.
const RECENT: Duration = Duration::from_secs(20);
const RECENT_MAX: usize = 64;

/// How far a chain reaches in the store, as the recorder that writes it knows: the last bundle that it brought there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The chain.
    pub chain: Uuid,
    /// The place of the bundle in it.
    pub number: u64,
    /// The bundle.
    pub bundle: Uuid,
    /// Its root.
    pub root: Link,
}

impl Head {
    /// Reads it from a spool directory, also while a recorder has that open. `None` where there is no spool, or
    /// nothing was brought to the store yet.
    ///
    /// # Errors
    /// When the directory can't be read, or its state is damaged.
    pub fn read(spool_dir: &Path) -> Result<Option<Self>, RecordError> {
        let path = spool_dir.join(STATE);
        let Some(state) = read_state(&path)? else { return Ok(None) };
        let damaged = |reason| RecordError::SpoolDamaged { path: path.clone(), reason };
        let chain = state.chain().map_err(damaged)?;
        let last = state.last().map_err(damaged)?;
        Ok(last.map(|Last { number, bundle, root }| Self { chain, number, bundle, root }))
    }
}

/// The last bundle of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) number: u64,
    pub(crate) bundle: Uuid,
    pub(crate) root: Link,
}

/// An open spool directory.
pub(crate) struct Spool {
    directory: PathBuf,
    state: State,
    chain: Uuid,
    /// Dropped with the spool, and the lock with it.
    _lock: File,
}

/// The state file, after which stands its crc32c.
#[derive(Clone, PartialEq, Message)]
struct State {
    #[prost(bytes = "bytes", tag = "1")]
    chain: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    redaction_key: Bytes,
    #[prost(message, optional, tag = "3")]
    last: Option<LastState>,
    /// Those that were uploaded just now, oldest first.
    #[prost(message, repeated, tag = "4")]
    recent: Vec<RecentState>,
}

#[derive(Clone, PartialEq, Message)]
struct RecentState {
    #[prost(bytes = "bytes", tag = "1")]
    bundle: Bytes,
    #[prost(int64, tag = "2")]
    at_micros: i64,
}

#[derive(Clone, PartialEq, Message)]
struct LastState {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "bytes", tag = "2")]
    bundle: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    root: Bytes,
}

impl Spool {
    /// Opens the directory, creating it and a new chain where there is none.
    pub(crate) fn open(directory: &Path) -> Result<Self, RecordError> {
        let failed = |source| RecordError::Spool { path: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let lock = private_file(&directory.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => RecordError::SpoolInUse { path: directory.to_owned() },
            TryLockError::Error(source) => failed(source),
        })?;
        let path = directory.join(STATE);
        let state = match read_state(&path)? {
            Some(state) => state,
            None => {
                let state = State::fresh();
                write_state(directory, &state).map_err(failed)?;
                state
            }
        };
        let damaged = |reason| RecordError::SpoolDamaged { path: path.clone(), reason };
        let chain = state.chain().map_err(damaged)?;
        if state.redaction_key.len() != 32 {
            return Err(damaged("no key"));
        }
        let spool = Self { directory: directory.to_owned(), state, chain, _lock: lock };
        spool.last().map(|_| spool).map_err(damaged)
    }

    /// The id of the chain.
    pub(crate) fn chain(&self) -> Uuid {
        self.chain
    }

    /// The last bundle of the chain that was uploaded.
    pub(crate) fn last(&self) -> Result<Option<Last>, &'static str> {
        self.state.last()
    }

    /// The redactor with the key of this spool.
    pub(crate) fn redactor(&self) -> Redactor {
        let mut key = [0; 32];
        key.copy_from_slice(&self.state.redaction_key);
        Redactor::new(&key)
    }

    /// Bundles that were uploaded shortly before the last run ended without [taking leave](Self::forget).
    pub(crate) fn recent(&self) -> Vec<Uuid> {
        self.state.recent.iter().filter_map(|recent| Uuid::from_slice(&recent.bundle).ok()).collect()
    }

    /// Forgets which bundles were uploaded just now.
    pub(crate) fn forget(&mut self) -> io::Result<()> {
        if self.state.recent.is_empty() {
            return Ok(());
        }
        self.put(State { recent: Vec::new(), ..self.state.clone() })
    }

    /// Remembers the last bundle before its file may go. Older ones than the last known change nothing.
    pub(crate) fn remember(&mut self, last: Last) -> io::Result<()> {
        if self.state.last.as_ref().is_some_and(|known| known.number >= last.number) {
            return Ok(());
        }
        let mut state = self.state.clone();
        state.last = Some(LastState {
            number: last.number,
            bundle: Bytes::copy_from_slice(last.bundle.as_bytes()),
            root: Bytes::copy_from_slice(&last.root.0),
        });
        let now = now_micros();
        let since = now.saturating_sub_unsigned(RECENT.as_micros() as u64);
        state.recent.retain(|recent| recent.at_micros > since);
        state.recent.drain(..(state.recent.len() + 1).saturating_sub(RECENT_MAX));
        let bundle = Bytes::copy_from_slice(last.bundle.as_bytes());
        state.recent.push(RecentState { bundle, at_micros: now });
        self.put(state)
    }

    fn put(&mut self, state: State) -> io::Result<()> {
        write_state(&self.directory, &state)?;
        self.state = state;
        Ok(())
    }

    /// Where the file of a bundle stands.
    pub(crate) fn path(directory: &Path, bundle: Uuid) -> PathBuf {
        directory.join(format!("{bundle}.{SUFFIX}"))
    }

    /// The bundle files that are there, in the order of their ids.
    pub(crate) fn bundles(&self) -> io::Result<Vec<(Uuid, PathBuf)>> {
        bundles(&self.directory)
    }

    /// Deletes the file of a bundle.
    pub(crate) fn delete(path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl State {
    fn fresh() -> Self {
        let mut key = [0; 32];
        rand::fill(&mut key).expect("the system gives random bytes");
        let chain = Bytes::copy_from_slice(Uuid::new_v4().as_bytes());
        Self { chain, redaction_key: Bytes::copy_from_slice(&key), last: None, recent: Vec::new() }
    }

    fn chain(&self) -> Result<Uuid, &'static str> {
        Uuid::from_slice(&self.chain).map_err(|_| "no chain id")
    }

    fn last(&self) -> Result<Option<Last>, &'static str> {
        let Some(last) = &self.last else { return Ok(None) };
        let bundle = Uuid::from_slice(&last.bundle).map_err(|_| "no bundle id")?;
        let root = last.root[..].try_into().map(Link).map_err(|_| "no root")?;
        Ok(Some(Last { number: last.number, bundle, root }))
    }
}

/// The bundle files of a spool directory, in the order of their ids; also while a recorder has it open.
pub(crate) fn bundles(directory: &Path) -> io::Result<Vec<(Uuid, PathBuf)>> {
    let mut bundles = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != SUFFIX) {
            continue;
        }
        if let Some(id) = path.file_stem().and_then(|stem| Uuid::parse_str(stem.to_str()?).ok()) {
            bundles.push((id, path));
        }
    }
    bundles.sort();
    Ok(bundles)
}

fn read_state(path: &Path) -> Result<Option<State>, RecordError> {
    let failed = |source| RecordError::Spool { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    #[expect(clippy::disallowed_methods, reason = "bounded by take")]
    file.take(STATE_MAX).read_to_end(&mut bytes).map_err(failed)?;
    let damaged = |reason| RecordError::SpoolDamaged { path: path.to_owned(), reason };
    let (body, sum) = bytes.split_last_chunk::<4>().ok_or(damaged("too short"))?;
    if crc32c::crc32c(body).to_le_bytes() != *sum {
        return Err(damaged("wrong checksum"));
    }
    State::decode(body).map(Some).map_err(|_| damaged("malformed"))
}

fn write_state(directory: &Path, state: &State) -> io::Result<()> {
    let mut bytes = state.encode_to_vec();
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    let temporary = directory.join("state.new");
    let mut file = private_file(&temporary)?;
    file.set_len(0)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(STATE))?;
    File::open(directory)?.sync_all()
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}
