//! Reads a bundle as its bytes come: frames, header, records, and that seal and footer belong to them.

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::{
    chain::Link,
    fault::{Fault, FaultKind},
    index::Index,
    records::Records,
    scan::{Scanned, Scanner},
};
use crate::generated::v1::{BundleHeader, Record, Sealed, record::Event};

/// What the header of a bundle says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The name of the proxy that recorded.
    pub(crate) proxy: String,
    /// The id of the bundle.
    pub(crate) bundle: Uuid,
    /// The chain that it is a part of: one for each spool directory.
    pub(crate) chain: Uuid,
    /// Its place in the chain, from 0.
    pub(crate) number: u64,
    /// The id and the root of the bundle before it; `None` for the first.
    pub(crate) previous: Option<(Uuid, Link)>,
}

/// What comes out of a [`BundleReader`].
#[derive(Debug)]
pub(crate) enum Step {
    /// More bytes are needed.
    More,
    /// The header: comes first.
    Header(Header),
    /// The records of one chunk.
    Chunk { records: Vec<Record> },
    /// The bundle is whole; nothing may follow.
    End,
}

/// A parser of one bundle. Feed it bytes, take steps until it wants more; when there are no more, [`finish`].
///
/// [`finish`]: BundleReader::finish
pub(crate) struct BundleReader {
    scanner: Scanner,
    index: Index,
    sealed: Option<Sealed>,
    /// The end of the header, or of the last chunk whose records are good.
    good: u64,
    link: Link,
}

impl BundleReader {
    pub(crate) fn new() -> Self {
        Self { scanner: Scanner::new(), index: Index::default(), sealed: None, good: 0, link: Link([0; 32]) }
    }

    /// Adds bytes: pieces of about a chunk at most.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.scanner.feed(bytes);
    }

    /// The next part of the bundle. After a fault there is no use in going on.
    pub(crate) fn step(&mut self) -> Result<Step, Fault> {
        loop {
            let step = match self.scanner.next()? {
                Scanned::More => return Ok(Step::More),
                Scanned::Header(payload) => {
                    Step::Header(header(payload).map_err(|kind| Fault { offset: 0, chunk: None, kind })?)
                }
                Scanned::Chunk { offset, payload } => {
                    let chunk = self.index.chunks();
                    let records = self.chunk(offset, payload).map_err(|kind| Fault {
                        offset,
                        chunk: Some(chunk),
                        kind,
                    })?;
                    Step::Chunk { records }
                }
                Scanned::Footer { offset, payload } => {
                    self.footer(&payload).map_err(|kind| Fault { offset, chunk: None, kind })?;
                    continue;
                }
                Scanned::End => return Ok(Step::End),
            };
            self.good = self.scanner.position();
            self.link = self.scanner.link();
            return Ok(step);
        }
    }

    /// To be asked when there are no more bytes: whether the bundle was whole.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        self.scanner.finish()
    }

    /// Where the good part ends: after the header or after a chunk.
    pub(crate) fn good_length(&self) -> u64 {
        self.good
    }

    /// The last link of the good part; of a whole bundle, its root.
    pub(crate) fn link(&self) -> Link {
        self.link
    }

    /// What the good chunks hold.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The seal, if it was reached.
    pub(crate) fn sealed(&self) -> Option<Sealed> {
        self.sealed
    }

    fn chunk(&mut self, offset: u64, payload: Bytes) -> Result<Vec<Record>, FaultKind> {
        if self.sealed.is_some() {
            return Err(FaultKind::Seal);
        }
        let length = payload.len();
        let records = Records::new(payload).collect::<Result<Vec<_>, _>>()?;
        if let Some(place) = records.iter().position(|record| matches!(record.event, Some(Event::Sealed(_))))
            && place + 1 != records.len()
        {
            return Err(FaultKind::Seal);
        }
        records.iter().for_each(|record| self.index.record(record));
        self.index.chunk(offset, length);
        if let Some(Record { event: Some(Event::Sealed(sealed)), .. }) = records.last() {
            self.sealed = Some(*sealed);
        }
        Ok(records)
    }

    fn footer(&self, payload: &Bytes) -> Result<(), FaultKind> {
        let sealed = self.sealed.ok_or(FaultKind::Seal)?;
        let footer = self.index.footer(sealed.recovered).encode_to_vec();
        if footer == *payload { Ok(()) } else { Err(FaultKind::Footer) }
    }
}

fn header(payload: Bytes) -> Result<Header, FaultKind> {
    let header = BundleHeader::decode(payload).map_err(|_| FaultKind::Header)?;
    let id = |bytes: &Bytes| Uuid::from_slice(bytes).map_err(|_| FaultKind::Header);
    let previous = if header.number == 0 {
        None
    } else {
        let root = header.previous_root[..].try_into().map_err(|_| FaultKind::Header)?;
        Some((id(&header.previous_bundle)?, Link(root)))
    };
    Ok(Header {
        bundle: id(&header.bundle)?,
        chain: id(&header.chain)?,
        proxy: header.proxy,
        number: header.number,
        previous,
    })
}
