//! Reading one exchange, across its bundles.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use uuid::Uuid;

use super::{Archive, ReadError, track::Track};
use crate::{
    event::Recorded,
    format::bundle::{BundleReader, Step},
    generated::v1::Record,
    recorder::Location,
};

/// Gives what was recorded of one exchange, in order, in memory bounded by a chunk.
///
/// The bundles are read whole and their chains checked on the way, so that what comes out is what was recorded.
/// Whether the exchange has an end is known when [`next`](Self::next) has given `None`; see
/// [`is_complete`](Self::is_complete).
pub struct ExchangeReader {
    archive: Archive,
    exchange: Uuid,
    bundles: VecDeque<Uuid>,
    current: Option<Current>,
    records: VecDeque<Record>,
    track: Track,
}

/// The bundle that is being read.
struct Current {
    bundle: Uuid,
    octets: BoxStream<'static, object_store::Result<Bytes>>,
    reader: BundleReader,
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
                    let octets = self.archive.open(bundle).await?;
                    self.current.insert(Current { bundle, octets, reader: BundleReader::new() })
                }
            };
            match current.step().await? {
                Some(records) => {
                    let ours = |record: &Record| record.exchange == self.exchange.as_bytes()[..];
                    self.records.extend(records.into_iter().filter(ours));
                }
                None => self.current = None,
            }
        }
        Ok(true)
    }
}

impl Current {
    /// The records of the next chunk; `None` after the last.
    async fn step(&mut self) -> Result<Option<Vec<Record>>, ReadError> {
        let damaged = |fault| ReadError::Damaged { bundle: self.bundle, fault };
        loop {
            match self.reader.step().map_err(damaged)? {
                Step::Chunk { records } => return Ok(Some(records)),
                Step::Header(_) | Step::End => {}
                Step::More => match self.octets.next().await {
                    Some(octets) => self.reader.feed(&octets?),
                    None => return self.reader.finish().map(|()| None).map_err(damaged),
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
