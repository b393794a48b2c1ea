//! Reading an exchange while it is under way: what the store has, then what the spool of its recorder has, and again
//! whenever there may be more.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    path::{Path, PathBuf},
};

use bytes::{Bytes, BytesMut};
use tokio::{fs::File, io::AsyncReadExt as _};
use uuid::Uuid;

use super::{
    Archive, ExchangeReader, ReadError, TimeRange, contents::LONGEST_OPEN_MILLIS, repeats::Repeats,
    track::Track,
};
use crate::{
    recorder::spool::{self, Spool},
    store::id_millis,
};

/// How much of a file is read at a time.
const PIECE: usize = 64 << 10;

/// Where bundles come from that are still to be read.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// The spool of the recorder, where that is on this machine.
    spool: Option<PathBuf>,
    /// Bundles in the store whose index was read.
    looked: BTreeSet<Uuid>,
    /// The last bundle that was opened.
    last: Uuid,
}

impl Following {
    /// This bundle is read next.
    pub(super) fn reached(&mut self, bundle: Uuid) {
        self.last = bundle;
    }

    /// A bundle that the spool has, perhaps unfinished. It moves from there to the store, and is never in neither.
    pub(super) async fn open(&self, bundle: Uuid) -> Result<Option<File>, ReadError> {
        let Some(spool) = &self.spool else { return Ok(None) };
        match File::open(Spool::path(spool, bundle)).await {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ReadError::Spool(error)),
        }
    }
}

impl Archive {
    /// Reads an exchange that may be under way, from its beginning. With the spool directory of its recorder also
    /// what is not in the store yet. Nothing is there before the first [`look`](ExchangeReader::look).
    pub fn follow(&self, exchange: Uuid, spool: Option<&Path>) -> ExchangeReader {
        ExchangeReader {
            archive: self.clone(),
            exchange,
            bundles: VecDeque::new(),
            current: None,
            records: VecDeque::new(),
            track: Track::new(exchange),
            repeats: Repeats::default(),
            following: Some(Following { spool: spool.map(Path::to_owned), ..Following::default() }),
        }
    }
}

impl ExchangeReader {
    /// Looks for more of an exchange that is [followed](Archive::follow), when [`next`](Self::next) gave `None`.
    /// Whether there is more, `next` says.
    ///
    /// # Errors
    /// When the store or the spool cannot be read, or the index of a bundle is damaged.
    pub async fn look(&mut self) -> Result<(), ReadError> {
        let Some(following) = &mut self.following else { return Ok(()) };
        if self.track.is_closed() || self.current.is_some() || !self.bundles.is_empty() {
            return Ok(());
        }
        // The spool first: what leaves it before the store is asked is in the store by then.
        let mut more = BTreeSet::new();
        if let Some(spool) = &following.spool {
            more.extend(spool::bundles(spool).map_err(ReadError::Spool)?.into_iter().map(|(id, _)| id));
        }
        let begun = id_millis(self.exchange).saturating_sub(LONGEST_OPEN_MILLIS);
        let from = id_millis(following.last).max(begun);
        let stored = self.archive.bundles(TimeRange::from_millis(from)).await?;
        following.looked.retain(|bundle| id_millis(*bundle) >= from);
        for listed in stored {
            if !following.looked.contains(&listed.bundle) {
                let contents = self.archive.footer(listed).await?;
                following.looked.insert(contents.bundle);
                let is_ours = contents.exchanges.iter().any(|entry| entry.exchange == self.exchange);
                if is_ours {
                    more.insert(contents.bundle)
                } else {
                    more.remove(&contents.bundle)
                };
            } else {
                more.remove(&listed.bundle);
            }
        }
        // Bundles of one recorder are in the order of their ids.
        self.bundles = more.into_iter().filter(|bundle| *bundle > following.last).collect();
        Ok(())
    }
}

/// What a file has behind what was read; nothing where it has no more for now.
pub(super) async fn piece(file: &mut File) -> Result<Option<Bytes>, ReadError> {
    let mut piece = BytesMut::with_capacity(PIECE);
    let length = file.read_buf(&mut piece).await.map_err(ReadError::Spool)?;
    Ok((length > 0).then(|| piece.freeze()))
}
