//! Reading one exchange, across its bundles.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use tokio::fs::File;
use uuid::Uuid;

use super::{
    Archive, ReadError,
    follow::{self, Following},
    repeats::Repeats,
    track::{ExchangeFault, Track},
};
use crate::{
    convert::{self, Stream},
    event::Recorded,
    format::bundle::{BundleReader, Step},
    generated::v1::{Record, Repeat, record::Event},
    recorder::Location,
};

/// Gives what was recorded of one exchange, in order, in memory bounded by two chunks. Octets that stand in the recording
/// of another exchange are read there.
///
/// The bundles are read whole and their chains checked on the way, so that what comes out is what was recorded.
/// Whether the exchange has an end is known when [`next`](Self::next) has given `None`; see
/// [`is_complete`](Self::is_complete).
pub struct ExchangeReader {
    pub(super) archive: Archive,
    pub(super) exchange: Uuid,
    pub(super) bundles: VecDeque<Uuid>,
    pub(super) current: Option<Current>,
    pub(super) records: VecDeque<Record>,
    pub(super) track: Track,
    pub(super) repeats: Repeats,
    /// Where the exchange may be under way.
    pub(super) following: Option<Following>,
}

/// The bundle that is being read.
pub(super) struct Current {
    bundle: Uuid,
    octets: Octets,
    reader: BundleReader,
}

/// The octets of a bundle.
enum Octets {
    Store(BoxStream<'static, object_store::Result<Bytes>>),
    /// They may become more until the bundle is at its end.
    Spool(File),
}

/// How far a bundle was read.
pub(super) enum Progress {
    /// The records of the next chunk.
    Chunk(Vec<Record>),
    /// It is whole.
    End,
    /// It is being written.
    Later,
}

impl Archive {
    /// Reads an exchange from the bundles of its location; without one, [looks for it](Archive::find).
    ///
    /// # Errors
    /// When it is not there, or the store cannot be read.
    pub async fn exchange(
        &self,
        exchange: Uuid,
        location: Option<&Location>,
    ) -> Result<ExchangeReader, ReadError> {
        let bundles = self.locate(exchange, location).await?;
        Ok(ExchangeReader {
            archive: self.clone(),
            exchange,
            bundles: bundles.into(),
            current: None,
            records: VecDeque::new(),
            track: Track::new(exchange),
            repeats: Repeats::default(),
            following: None,
        })
    }
}

impl ExchangeReader {
    /// The next thing recorded; `None` after the last.
    ///
    /// # Errors
    /// When the store cannot be read, or a bundle or the exchange is damaged. What came before is good.
    pub async fn next(&mut self) -> Result<Option<Recorded>, ReadError> {
        loop {
            self.resolve().await?;
            if let Some(record) = self.records.pop_front() {
                if let Some(recorded) = self.take(record)? {
                    return Ok(Some(recorded));
                }
            } else if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Whether the end of the exchange was read, and all octets were those that were recorded.
    pub fn is_complete(&self) -> bool {
        self.track.is_closed()
    }

    /// Puts the octets in the place of the next record, where it says that they stand elsewhere.
    async fn resolve(&mut self) -> Result<(), ReadError> {
        let Some(Event::Repeat(repeat)) = self.records.front().and_then(|record| record.event.as_ref())
        else {
            return Ok(());
        };
        let event = self.repeated(&repeat.clone()).await?;
        if let Some(record) = self.records.front_mut() {
            record.event = Some(event);
        }
        Ok(())
    }

    async fn repeated(&mut self, repeat: &Repeat) -> Result<Event, ReadError> {
        let (direction, place, length) = convert::repeat_from_proto(repeat).map_err(|reason| {
            let bundle = self.current.as_ref().map(|current| current.bundle).unwrap_or_default();
            ReadError::Exchange { exchange: self.exchange, bundle, fault: ExchangeFault::Malformed(reason) }
        })?;
        let (archive, following) = (&self.archive, self.following.as_ref());
        let open = async |bundle| Current::open(archive, following, bundle).await;
        let octets = self.repeats.octets(open, place, length).await?;
        Ok(Stream::Body(direction).record(octets))
    }

    fn take(&mut self, record: Record) -> Result<Option<Recorded>, ReadError> {
        let bundle = self.current.as_ref().map(|current| current.bundle).unwrap_or_default();
        let at = std::time::Duration::from_micros(record.at_micros);
        let what = self.track.take(bundle, record);
        let what = what.map_err(|fault| ReadError::Exchange { exchange: self.exchange, bundle, fault })?;
        Ok(what.map(|what| Recorded { at, what }))
    }

    /// Reads on until there are records of the exchange. Says whether there were any.
    async fn fill(&mut self) -> Result<bool, ReadError> {
        while self.records.is_empty() {
            let current = match &mut self.current {
                Some(current) => current,
                None => {
                    let Some(bundle) = self.bundles.pop_front() else { return Ok(false) };
                    if let Some(following) = &mut self.following {
                        following.reached(bundle);
                    }
                    let opened = Current::open(&self.archive, self.following.as_ref(), bundle).await?;
                    self.current.insert(opened)
                }
            };
            match current.step().await? {
                Progress::Chunk(records) => {
                    let ours = |record: &Record| record.exchange == self.exchange.as_bytes()[..];
                    self.records.extend(records.into_iter().filter(ours));
                }
                Progress::End => self.current = None,
                Progress::Later => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl Current {
    /// A bundle, of the spool where it is there.
    async fn open(archive: &Archive, following: Option<&Following>, bundle: Uuid) -> Result<Self, ReadError> {
        let spooled = match following {
            Some(following) => following.open(bundle).await?,
            None => None,
        };
        let octets = match spooled {
            Some(file) => Octets::Spool(file),
            None => Octets::Store(archive.open(bundle).await?),
        };
        Ok(Self { bundle, octets, reader: BundleReader::new() })
    }

    pub(super) async fn step(&mut self) -> Result<Progress, ReadError> {
        let damaged = |fault| ReadError::Damaged { bundle: self.bundle, fault };
        loop {
            match self.reader.step().map_err(damaged)? {
                Step::Chunk { records } => return Ok(Progress::Chunk(records)),
                Step::Header(_) | Step::End => {}
                Step::More => match &mut self.octets {
                    Octets::Store(octets) => match octets.next().await {
                        Some(octets) => self.reader.feed(&octets?),
                        None => return self.reader.finish().map(|()| Progress::End).map_err(damaged),
                    },
                    Octets::Spool(file) => match follow::piece(file).await? {
                        Some(octets) => self.reader.feed(&octets),
                        None if self.reader.finish().is_ok() => return Ok(Progress::End),
                        None => return Ok(Progress::Later),
                    },
                },
            }
        }
    }
}

impl std::fmt::Debug for ExchangeReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExchangeReader").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}
