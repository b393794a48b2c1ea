//! The bundles of one chain on their way to the disk: one is open, the sealed ones go to the uploader.
//!
//! What nobody waits for is committed beside the writer, one commit at a time and all in their order. One that failed is
//! owed: nothing is written before it is.

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
    committer::{Commit, Committer, Done},
    now_micros,
    queue::NAP,
    spool::{Last, Spool},
    wal::Wal,
};
use crate::{
    format::builder::{Builder, Tools},
    generated::{
        SCHEMA,
        v1::{BundleHeader, Record, Sealed},
    },
    sha256::Sha256,
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
    committer: Committer,
    owed: Option<Commit>,
    /// For the next bundle and the next commit.
    spare: Tools,
    unbounded: bool,
}

struct Open {
    id: Uuid,
    number: u64,
    builder: Builder,
    /// Its file, while no commit to it is under way or owed.
    wal: Option<Wal>,
    since: Instant,
    dirty_since: Option<Instant>,
}

impl Journal {
    pub(crate) fn new(
        config: JournalConfig,
        board: Arc<Board>,
        uploads: UnboundedSender<SealedBundle>,
        last: Option<Last>,
    ) -> Self {
        let (committer, spare) = (Committer::default(), Tools::default());
        Self { config, board, uploads, last, open: None, committer, owed: None, spare, unbounded: false }
    }

    /// Makes room for a record and says in which bundle it will stand.
    pub(crate) fn ready(&mut self) -> Result<Uuid, Trouble> {
        if let Some(open) = &self.open {
            if self.is_full(open) {
                let commit = self.sealing()?;
                self.start(commit)?;
            } else if open.builder.ready().len() >= COMMIT_BYTES {
                let commit = self.going_on()?;
                self.start(commit)?;
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

    /// Has a digest take in these octets. What was pushed is digested too: both beside each other take less time.
    pub(crate) fn digest(&mut self, sha256: &mut Sha256, octets: &[u8]) {
        match &mut self.open {
            Some(open) => open.builder.digest_beside(sha256, octets),
            None => sha256.update(octets),
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
        self.finish()?;
        let Some(open) = &mut self.open else { return Ok(()) };
        open.builder.finish_chunk();
        if let Some(wal) = open.wal.as_mut().filter(|_| !open.builder.ready().is_empty()) {
            wal.commit(open.builder.ready()).map_err(Trouble::Disk)?;
            open.builder.written();
        }
        open.dirty_since = None;
        Ok(())
    }

    /// Whether everything pushed is durable.
    pub(crate) fn is_durable(&self) -> bool {
        let is_committed = self.committer.since().is_none() && self.owed.is_none();
        is_committed && self.open.as_ref().is_none_or(|open| open.dirty_since.is_none())
    }

    /// Ends the open bundle and hands it to the uploader.
    pub(crate) fn seal(&mut self) -> Result<(), Trouble> {
        self.owed = self.sealing()?;
        self.finish()
    }

    /// The commit of what is ready of the open bundle.
    fn going_on(&mut self) -> Result<Option<Commit>, Trouble> {
        self.finish()?;
        let Some(open) = &mut self.open else { return Ok(None) };
        let Some(wal) = open.wal.take() else { return Ok(None) };
        // Nobody waits for the rest of a page: it goes with the next commit, which then begins with a whole one.
        let bytes = open.builder.take_pages(self.spare.take_buffer());
        Ok(Some(Commit { wal, bytes, sealed: None }))
    }

    /// Ends the open bundle: with this commit it is whole.
    fn sealing(&mut self) -> Result<Option<Commit>, Trouble> {
        self.finish()?;
        let Some(Open { id, number, mut builder, wal: Some(wal), .. }) =
            self.open.take_if(|open| open.wal.is_some())
        else {
            return Ok(None);
        };
        let root = builder.seal(Sealed { at_micros: now_micros(), recovered: false, cut_bytes: 0 });
        let last = Last { number, bundle: id, root };
        let sealed = SealedBundle { last, path: wal.path().to_owned(), length: builder.length() };
        self.last = Some(last);
        self.board.spooled(sealed.length);
        let bytes = builder.take_ready(self.spare.take_buffer());
        builder.return_to(&mut self.spare);
        Ok(Some(Commit { wal, bytes, sealed: Some(sealed) }))
    }

    /// Has a commit done beside the writer.
    fn start(&mut self, commit: Option<Commit>) -> Result<(), Trouble> {
        let done = commit.and_then(|commit| self.committer.start(commit));
        done.map_or(Ok(()), |done| self.done(done))
    }

    /// Waits for the commit that is under way, or does the one that is owed.
    fn finish(&mut self) -> Result<(), Trouble> {
        let owed = |mut commit: Commit| {
            let result = commit.run();
            (commit, result)
        };
        let done = self.committer.finish().or_else(|| self.owed.take().map(owed));
        done.map_or(Ok(()), |done| self.done(done))
    }

    fn done(&mut self, (commit, result): Done) -> Result<(), Trouble> {
        if let Err(error) = result {
            self.owed = Some(commit);
            return Err(Trouble::Disk(error));
        }
        let Commit { wal, bytes, sealed } = commit;
        self.spare.give_buffer(bytes);
        if let Some(sealed) = sealed {
            // Without an uploader the file stays in the spool and is uploaded when it is opened next.
            let _ = self.uploads.send(sealed);
        } else if let Some(open) = &mut self.open {
            open.wal = Some(wal);
        }
        Ok(())
    }

    /// When something is to be done although nobody asks.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let seal = self.open.as_ref().map(|open| open.since + self.config.bundle_max_age);
        let dirty = self.open.as_ref().and_then(|open| open.dirty_since);
        let commit =
            [dirty, self.committer.since()].into_iter().flatten().min().map(|since| since + COMMIT_AGE);
        [seal, commit].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self) -> Result<(), Trouble> {
        let now = Instant::now();
        if self.committer.since().is_some_and(|since| now >= since + COMMIT_AGE) {
            self.finish()?;
        }
        let Some(open) = &self.open else { return Ok(()) };
        if now >= open.since + self.config.bundle_max_age {
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

    fn begin(&mut self) -> Open {
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
            builder: Builder::new(&header, &mut self.spare),
            wal: Some(Wal::new(Spool::path(&self.config.directory, id), self.config.is_read)),
            since: Instant::now(),
            dirty_since: None,
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
