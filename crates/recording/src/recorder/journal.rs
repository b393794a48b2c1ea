//! The bundles of one chain on their way to the disk: one is open, the sealed ones go to the uploader.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;
use uuid::{Timestamp, Uuid};

use super::{
    board::Board,
    now_micros,
    queue::NAP,
    spool::{Last, Spool},
    wal::Wal,
};
use crate::{
    format::{builder::Builder, chain::Link},
    generated::{
        SCHEMA,
        v1::{BundleHeader, Record, Sealed},
    },
};

/// Frames are committed when this much of them waits, asked for or not.
const COMMIT_BYTES: usize = 2 << 20;
/// What is recorded is durable 200 ms later, asked for or not: it lies in the queue no longer than for a nap.
pub(crate) const COMMIT_AGE: Duration = Duration::from_millis(200).saturating_sub(NAP);
/// A bundle is sealed when its footer would be about this long, or its chunks this many times their limit
/// before compression.
const FOOTER_BYTES: usize = 4 << 20;
const RAW_FACTOR: u64 = 16;

/// Where bundles go and when they end.
pub(crate) struct JournalConfig {
    pub(crate) directory: PathBuf,
    pub(crate) proxy: String,
    pub(crate) chain: Uuid,
    pub(crate) bundle_max_bytes: u64,
    pub(crate) bundle_max_age: Duration,
    /// Whether bundles are read to bring them to the store.
    pub(crate) is_read: bool,
}

/// A sealed bundle in the spool.
#[derive(Clone, Debug)]
pub(crate) struct SealedBundle {
    pub(crate) last: Last,
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
}

/// Why the journal cannot take more. Nothing is lost; what was to be done is to be tried again.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The disk does not take it.
    Disk(io::Error),
    /// The spool is full and the store does not answer.
    SpoolFull(Arc<str>),
    /// The spool is full, but the store is taking bundles out of it.
    Congested,
}

/// See the module.
pub(crate) struct Journal {
    config: JournalConfig,
    board: Arc<Board>,
    uploads: UnboundedSender<SealedBundle>,
    last: Option<Last>,
    open: Option<Open>,
    unbounded: bool,
}

struct Open {
    id: Uuid,
    number: u64,
    builder: Builder,
    wal: Wal,
    since: Instant,
    dirty_since: Option<Instant>,
    /// The root, once the bundle is sealed but perhaps not durable.
    root: Option<Link>,
}

impl Journal {
    pub(crate) fn new(
        config: JournalConfig,
        board: Arc<Board>,
        uploads: UnboundedSender<SealedBundle>,
        last: Option<Last>,
    ) -> Self {
        Self { config, board, uploads, last, open: None, unbounded: false }
    }

    /// Makes room for a record and says in which bundle it will stand.
    pub(crate) fn ready(&mut self) -> Result<Uuid, Trouble> {
        if let Some(open) = &self.open {
            if open.root.is_some() || self.is_full(open) {
                self.seal()?;
            } else if open.builder.ready().len() >= COMMIT_BYTES {
                self.commit()?;
            }
        }
        if let Some(open) = &self.open {
            return Ok(open.id);
        }
        self.check_room()?;
        let open = self.begin();
        Ok(self.open.insert(open).id)
    }

    /// How many octets the next record may hold. To be asked after [`Journal::ready`].
    pub(crate) fn piece(&mut self, wanted: usize) -> usize {
        self.open.as_mut().map_or(0, |open| open.builder.piece(wanted))
    }

    /// Adds a record to the bundle that [`Journal::ready`] has named.
    pub(crate) fn push(&mut self, record: &Record) {
        if let Some(open) = &mut self.open {
            open.builder.hurry(self.board.is_hurried());
            open.builder.push(record);
            open.dirty_since.get_or_insert_with(Instant::now);
        }
    }

    /// Something that was pushed waits for its commit since then.
    pub(crate) fn owe(&mut self, since: Instant) {
        if let Some(open) = &mut self.open {
            open.dirty_since = open.dirty_since.map(|dirty| dirty.min(since));
        }
    }

    /// Makes everything pushed durable.
    pub(crate) fn commit(&mut self) -> Result<(), Trouble> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.builder.finish_chunk();
        if !open.builder.ready().is_empty() {
            open.wal.commit(open.builder.ready()).map_err(Trouble::Disk)?;
            open.builder.written();
        }
        open.dirty_since = None;
        Ok(())
    }

    /// Whether everything pushed is durable.
    pub(crate) fn is_durable(&self) -> bool {
        self.open.as_ref().is_none_or(|open| open.dirty_since.is_none())
    }

    /// Ends the open bundle and hands it to the uploader.
    pub(crate) fn seal(&mut self) -> Result<(), Trouble> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.root.is_none() {
            let sealed = Sealed { at_micros: now_micros(), recovered: false, cut_bytes: 0 };
            open.root = Some(open.builder.seal(sealed));
        }
        self.commit()?;
        let Some(Open { id, number, wal, root: Some(root), .. }) = self.open.take() else { return Ok(()) };
        let last = Last { number, bundle: id, root };
        self.last = Some(last);
        self.board.spooled(wal.length());
        // Without an uploader the file stays in the spool and is uploaded when it is opened next.
        let _ = self.uploads.send(SealedBundle { last, path: wal.path().to_owned(), length: wal.length() });
        Ok(())
    }

    /// When something is to be done although nobody asks.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        let seal = open.since + self.config.bundle_max_age;
        Some(open.dirty_since.map_or(seal, |since| seal.min(since + COMMIT_AGE)))
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self) -> Result<(), Trouble> {
        let Some(open) = &self.open else { return Ok(()) };
        let now = Instant::now();
        if open.root.is_some() || now >= open.since + self.config.bundle_max_age {
            self.seal()
        } else if open.dirty_since.is_some_and(|since| now >= since + COMMIT_AGE) {
            self.commit()
        } else {
            Ok(())
        }
    }

    /// After trouble: tries again what did not work.
    pub(crate) fn retry(&mut self) -> Result<(), Trouble> {
        self.commit()?;
        self.tick()?;
        if self.open.is_none() { self.check_room() } else { Ok(()) }
    }

    /// From now on the spool may grow over its limit: what was accepted is to be written before the end.
    pub(crate) fn lift_limit(&mut self) {
        self.unbounded = true;
    }

    fn is_full(&self, open: &Open) -> bool {
        let limit = self.config.bundle_max_bytes;
        let index = open.builder.index();
        open.builder.length() >= limit
            || index.raw_bytes() >= limit.saturating_mul(RAW_FACTOR)
            || index.weight() >= FOOTER_BYTES
    }

    fn check_room(&self) -> Result<(), Trouble> {
        if self.unbounded || self.board.has_room(self.config.bundle_max_bytes) {
            return Ok(());
        }
        Err(self.board.store_trouble().map_or(Trouble::Congested, Trouble::SpoolFull))
    }

    fn begin(&self) -> Open {
        let id = next_id(self.last.map(|last| last.bundle));
        let number = self.last.map_or(0, |last| last.number + 1);
        let bytes = |uuid: Uuid| Bytes::copy_from_slice(uuid.as_bytes());
        let header = BundleHeader {
            proxy: self.config.proxy.clone(),
            bundle: bytes(id),
            chain: bytes(self.config.chain),
            number,
            created_micros: now_micros(),
            previous_bundle: self.last.map(|last| bytes(last.bundle)).unwrap_or_default(),
            previous_root: self.last.map(|last| Bytes::copy_from_slice(&last.root.0)).unwrap_or_default(),
            schema: Bytes::from_static(SCHEMA),
            writer: concat!("lockgate-recording ", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        Open {
            id,
            number,
            builder: Builder::new(&header),
            wal: Wal::new(Spool::path(&self.config.directory, id), self.config.is_read),
            since: Instant::now(),
            dirty_since: None,
            root: None,
        }
    }
}

/// An id that sorts after the last one, even when the clock was set back: names sort like the chain.
fn next_id(last: Option<Uuid>) -> Uuid {
    let id = Uuid::now_v7();
    match last {
        Some(last) if id <= last => {
            let (seconds, nanos) = last.get_timestamp().map_or((0, 0), |time| time.to_unix());
            let after = Duration::new(seconds, nanos) + Duration::from_millis(1);
            Uuid::new_v7(Timestamp::from_unix(uuid::NoContext, after.as_secs(), after.subsec_nanos()))
        }
        Some(_) | None => id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::id_millis;

    #[test]
    fn ids_only_grow() {
        let now = next_id(None);
        assert!(next_id(Some(now)) > now);
        // The clock is a year behind the last bundle.
        let ahead = Uuid::from_u128(now.as_u128() + (u128::from(365 * 86_400_000_u64) << 80));
        let next = next_id(Some(ahead));
        assert_eq!(id_millis(next), id_millis(ahead) + 1);
        assert_eq!(next.get_version_num(), 7);
    }
}
