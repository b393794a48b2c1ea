//! What a bundle holds, by its footer alone: a few kilobytes read instead of all of it.
//!
//! A footer says where to look. It is not taken as evidence: whoever reads an exchange reads whole bundles, whose
//! chain is checked.

use std::{collections::HashMap, ops::Range};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use object_store::ObjectStoreExt;
use prost::Message;
use uuid::Uuid;

use super::{
    Archive, ReadError,
    list::{BundleRef, TimeRange},
};
use crate::{
    format::{
        TRAILER_LEN,
        fault::{Fault, FaultKind},
        frame::{FOOTER_MAX, FrameHead, FrameKind, HEAD_LEN, SUM_LEN},
        parse_trailer,
    },
    generated::v1::Footer,
    recorder::Location,
    store::{bundle_path, id_millis},
};

/// How much of the end of a bundle is read at first: enough for most footers.
const TAIL: u64 = 64 << 10;
/// How many footers are read at the same time.
const PARALLEL: usize = 8;
/// Bundles may have been open this long when an exchange began in them.
pub(super) const LONGEST_OPEN_MILLIS: u64 = 10 * 60 * 1000;

/// What a bundle holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleContents {
    /// Its id.
    pub bundle: Uuid,
    /// The exchanges in it, in the order in which they appear.
    pub exchanges: Vec<IndexedExchange>,
    /// Whether it was sealed after a crash.
    pub recovered: bool,
    /// The bundles that hold octets that this one repeats, itself perhaps among them. They repeat none of those: whoever
    /// lets recordings expire keeps a bundle as long as one that names it here, and needs to look no further.
    pub repeats: Vec<Uuid>,
}

/// What the index of a bundle says of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedExchange {
    /// Its id.
    pub exchange: Uuid,
    /// Its session.
    pub session: String,
    /// Whether it begins in this bundle.
    pub opened: bool,
    /// Whether it ends in this bundle.
    pub closed: bool,
}

/// Where exchanges are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Each exchange with the bundles that hold it, in the order in which they began.
    pub exchanges: Vec<(Uuid, Vec<Uuid>)>,
    /// Bundles whose index cannot be read: there may be more in them.
    pub damaged: Vec<Uuid>,
}

impl Archive {
    /// What a bundle holds, by its footer.
    ///
    /// # Errors
    /// When the store cannot be read, or the footer is damaged.
    pub async fn contents(&self, bundle: Uuid) -> Result<BundleContents, ReadError> {
        let size = match self.store.head(&bundle_path(&self.prefix, bundle)).await {
            Ok(object) => object.size,
            Err(object_store::Error::NotFound { .. }) => return Err(ReadError::NotFound(bundle)),
            Err(error) => return Err(error.into()),
        };
        self.footer(BundleRef { bundle, size }).await
    }

    pub(super) async fn footer(
        &self,
        BundleRef { bundle, size }: BundleRef,
    ) -> Result<BundleContents, ReadError> {
        let damaged = |kind| ReadError::Damaged { bundle, fault: Fault { offset: 0, chunk: None, kind } };
        if size < TRAILER_LEN as u64 {
            return Err(damaged(FaultKind::Truncated));
        }
        let tail_from = size.saturating_sub(TAIL);
        let tail = self.range(bundle, tail_from..size).await?;
        if tail.len() as u64 != size - tail_from {
            return Err(damaged(FaultKind::Truncated));
        }
        let trailer = tail.last_chunk::<TRAILER_LEN>().ok_or_else(|| damaged(FaultKind::Truncated))?;
        let (offset, length) = parse_trailer(trailer).ok_or_else(|| damaged(FaultKind::Trailer))?;
        let end = size - TRAILER_LEN as u64;
        if length as usize > FOOTER_MAX + HEAD_LEN + SUM_LEN || offset.checked_add(length.into()) != Some(end)
        {
            return Err(damaged(FaultKind::Trailer));
        }
        let frame = match offset.checked_sub(tail_from) {
            Some(skip) => {
                let skip = usize::try_from(skip).map_err(|_| damaged(FaultKind::Trailer))?;
                tail.slice(skip..skip + length as usize)
            }
            None => self.range(bundle, offset..end).await?,
        };
        Ok(contents(bundle, parse_footer(&frame).map_err(damaged)?))
    }

    /// The bundles that hold records of an exchange, in order. Looks through the footers of all bundles from
    /// shortly before the exchange began until one holds its end: who knows its [`crate::Location`] need not ask.
    ///
    /// # Errors
    /// When the store cannot be read, or the exchange is not found; when it is not found and a bundle where it
    /// might be is damaged, that is the error.
    pub async fn find(&self, exchange: Uuid) -> Result<Vec<Uuid>, ReadError> {
        let from = id_millis(exchange).saturating_sub(LONGEST_OPEN_MILLIS);
        let mut bundles = Vec::new();
        let mut damage = None;
        let mut footers = self.footers(TimeRange::from_millis(from)).await?;
        while let Some(contents) = footers.next().await {
            let contents = match contents {
                Err(error @ ReadError::Damaged { .. }) => {
                    damage.get_or_insert(error);
                    continue;
                }
                contents => contents?,
            };
            let Some(entry) = contents.exchanges.iter().find(|entry| entry.exchange == exchange) else {
                continue;
            };
            bundles.push(contents.bundle);
            if entry.closed {
                break;
            }
        }
        if bundles.is_empty() { Err(damage.unwrap_or(ReadError::NotFound(exchange))) } else { Ok(bundles) }
    }

    /// The exchanges of a session in bundles of a time range.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn session(&self, session: &str, range: TimeRange) -> Result<Found, ReadError> {
        self.found(range, |entry| entry.session == session).await
    }

    /// The exchanges that began in a time range.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn exchanges(&self, range: TimeRange) -> Result<Found, ReadError> {
        let from = range.millis().start().saturating_sub(LONGEST_OPEN_MILLIS);
        self.found(TimeRange::from_millis(from), |entry| range.contains(entry.exchange)).await
    }

    async fn found(
        &self,
        range: TimeRange,
        is_wanted: impl Fn(&IndexedExchange) -> bool,
    ) -> Result<Found, ReadError> {
        let mut found = Found::default();
        let mut places: HashMap<Uuid, usize> = HashMap::new();
        let mut footers = self.footers(range).await?;
        while let Some(contents) = footers.next().await {
            let contents = match contents {
                Err(ReadError::Damaged { bundle, .. }) => {
                    found.damaged.push(bundle);
                    continue;
                }
                contents => contents?,
            };
            for entry in contents.exchanges.into_iter().filter(&is_wanted) {
                let place = *places.entry(entry.exchange).or_insert_with(|| {
                    found.exchanges.push((entry.exchange, Vec::new()));
                    found.exchanges.len() - 1
                });
                found.exchanges[place].1.push(contents.bundle);
            }
        }
        Ok(found)
    }

    /// The bundles of an exchange: as told, or as found.
    pub(crate) async fn locate(
        &self,
        exchange: Uuid,
        location: Option<&Location>,
    ) -> Result<Vec<Uuid>, ReadError> {
        match location {
            Some(location) if location.bundles.is_empty() => Err(ReadError::NotFound(exchange)),
            Some(location) => Ok(location.bundles.clone()),
            None => self.find(exchange).await,
        }
    }

    /// The contents of all bundles of a range, in order, several read at a time.
    async fn footers(
        &self,
        range: TimeRange,
    ) -> Result<impl Stream<Item = Result<BundleContents, ReadError>> + Unpin, ReadError> {
        let bundles = self.bundles(range).await?;
        let contents = move |listed: BundleRef| async move { self.footer(listed).await };
        Ok(Box::pin(stream::iter(bundles).map(contents).buffered(PARALLEL)))
    }

    async fn range(&self, bundle: Uuid, range: Range<u64>) -> Result<Bytes, ReadError> {
        Ok(self.store.get_range(&bundle_path(&self.prefix, bundle), range).await?)
    }
}

fn parse_footer(frame: &Bytes) -> Result<Footer, FaultKind> {
    let head = FrameHead::parse(frame.first_chunk::<HEAD_LEN>().ok_or(FaultKind::Truncated)?)?;
    if head.kind != FrameKind::Footer {
        return Err(FaultKind::NoFrame);
    }
    Footer::decode(head.payload(frame)?).map_err(|_| FaultKind::Footer)
}

fn contents(bundle: Uuid, footer: Footer) -> BundleContents {
    let mut exchanges: Vec<_> = footer
        .exchanges
        .iter()
        .map(|entry| IndexedExchange {
            exchange: Uuid::from_slice(&entry.exchange).unwrap_or_default(),
            session: String::new(),
            opened: entry.opened,
            closed: entry.closed,
        })
        .collect();
    for session in footer.sessions {
        for place in session.exchanges {
            if let Some(entry) = exchanges.get_mut(place as usize) {
                entry.session.clone_from(&session.session);
            }
        }
    }
    let repeats = footer.repeats.iter().filter_map(|bundle| Uuid::from_slice(bundle).ok()).collect();
    BundleContents { bundle, exchanges, recovered: footer.recovered, repeats }
}
