//! What a crash left in the spool: cut at the first bad chunk, sealed, and told to the caller.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use super::{
    journal::SealedBundle,
    now_micros,
    spool::{Last, Spool},
    wal::Wal,
};
use crate::{
    convert,
    event::{Closed, ExchangeOpened},
    format::{
        builder::Builder,
        chain::Link,
        index::Index,
        records::Records,
        scan::{Scanned, Scanner},
    },
    generated::v1::{BundleHeader, Record, Sealed, record::Event},
};

/// What [`crate::Recorder::open`] found in the spool.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The bundles that were not uploaded yet, in their order. They are being uploaded now.
    pub bundles: Vec<RecoveredBundle>,
    /// Files that have the name of a bundle but are none. They were set aside under these names.
    pub unreadable: Vec<PathBuf>,
}

/// A bundle found in the spool.
#[derive(Debug)]
pub struct RecoveredBundle {
    /// Its id.
    pub bundle: Uuid,
    /// Its place in the chain.
    pub number: u64,
    /// How many bytes were cut off its end; `None` when it was sealed before.
    pub cut_bytes: Option<u64>,
    /// The exchanges in it, in the order in which they appear.
    pub exchanges: Vec<RecoveredExchange>,
}

/// What a recovered bundle says of an exchange.
#[derive(Debug)]
pub struct RecoveredExchange {
    /// Its id.
    pub exchange: Uuid,
    /// Its session, if the bundle says.
    pub session: Option<String>,
    /// How it began, if it began in this bundle.
    pub opened: Option<ExchangeOpened>,
    /// The bundle that holds what was before, if it began earlier.
    pub continued_from: Option<Uuid>,
    /// How it ended, if it ended in this bundle. One that has no end in any bundle is incomplete.
    pub closed: Option<Closed>,
}

/// The spool after recovery.
#[derive(Default)]
pub(crate) struct Recovery {
    pub(crate) recovered: Recovered,
    pub(crate) uploads: Vec<SealedBundle>,
    pub(crate) last: Option<Last>,
}

/// Repairs every bundle in the spool. Can be repeated after a crash in the middle.
pub(crate) fn recover(spool: &Spool) -> io::Result<Recovery> {
    let mut recovery = Recovery { last: spool.last().map_err(io::Error::other)?, ..Recovery::default() };
    for (_, path) in spool.bundles()? {
        let file = Found::read(&path)?;
        let Some((bundle, number)) = file.identity else {
            recovery.recovered.unreadable.extend(set_aside(&path)?);
            continue;
        };
        if file.index.chunks() == 0 {
            fs::remove_file(&path)?;
            continue;
        }
        let (root, length) = file.repair(&path)?;
        let last = Last { number, bundle, root };
        if recovery.last.is_none_or(|known| known.number < number) {
            recovery.last = Some(last);
        }
        recovery.uploads.push(SealedBundle { last, path, length });
        let cut_bytes = (!file.whole).then_some(file.length - file.good);
        recovery.recovered.bundles.push(RecoveredBundle {
            bundle,
            number,
            cut_bytes,
            exchanges: file.exchanges,
        });
    }
    Ok(recovery)
}

/// What was found in a file.
#[derive(Debug)]
struct Found {
    identity: Option<(Uuid, u64)>,
    index: Index,
    exchanges: Vec<RecoveredExchange>,
    sealed: Option<Sealed>,
    link: Link,
    length: u64,
    good: u64,
    whole: bool,
}

impl Found {
    fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut found = Self {
            identity: None,
            index: Index::default(),
            exchanges: Vec::new(),
            sealed: None,
            link: Link([0; 32]),
            length: file.metadata()?.len(),
            good: 0,
            whole: false,
        };
        let mut scanner = Scanner::new();
        let mut piece = vec![0; 256 << 10];
        loop {
            let read = file.read(&mut piece)?;
            scanner.feed(&piece[..read]);
            let goes_on = found.take(&mut scanner);
            if read == 0 || !goes_on {
                break;
            }
        }
        found.whole = scanner.finish().is_ok();
        Ok(found)
    }

    /// Takes in what the scanner has. Says whether more can be read.
    fn take(&mut self, scanner: &mut Scanner) -> bool {
        loop {
            match scanner.next() {
                Ok(Scanned::More) => return true,
                Ok(Scanned::Header(payload)) => self.identity = identity(payload),
                Ok(Scanned::Chunk { offset, payload, .. }) => {
                    let length = payload.len();
                    let Ok(records) = Records::new(payload).collect::<Result<Vec<_>, _>>() else {
                        return false;
                    };
                    records.into_iter().for_each(|record| self.learn(record));
                    self.index.chunk(offset, length);
                }
                Ok(Scanned::Footer { .. } | Scanned::End) => {}
                Err(_) => return false,
            }
            self.good = scanner.good_length();
            self.link = scanner.link();
        }
    }

    fn learn(&mut self, record: Record) {
        self.index.record(&record);
        if let Some(Event::Sealed(sealed)) = &record.event {
            self.sealed = Some(*sealed);
        }
        let Ok(exchange) = Uuid::from_slice(&record.exchange) else { return };
        let place =
            self.exchanges.iter().rposition(|known| known.exchange == exchange).unwrap_or_else(|| {
                self.exchanges.push(RecoveredExchange::new(exchange));
                self.exchanges.len() - 1
            });
        self.exchanges[place].learn(record.event);
    }

    /// Makes a sealed bundle of the file; gives its root and length.
    fn repair(&self, path: &Path) -> io::Result<(Link, u64)> {
        if self.whole {
            return Ok((self.link, self.length));
        }
        let mut builder = Builder::resume(self.link, self.good, self.index.clone());
        let root = match &self.sealed {
            Some(sealed) => builder.finish(sealed.recovered),
            None => builder.seal(Sealed {
                at_micros: now_micros(),
                recovered: true,
                cut_bytes: self.length - self.good,
            }),
        };
        let mut wal = Wal::resume(path.to_owned(), self.good);
        wal.commit(builder.ready())?;
        Ok((root, wal.length()))
    }
}

impl RecoveredExchange {
    fn new(exchange: Uuid) -> Self {
        Self { exchange, session: None, opened: None, continued_from: None, closed: None }
    }

    fn learn(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Opened(opened)) => {
                self.session = Some(opened.session.clone());
                self.opened = Some(convert::opened_from_proto(self.exchange, opened));
            }
            Some(Event::Continued(continued)) => {
                self.session = Some(continued.session);
                self.continued_from = Uuid::from_slice(&continued.previous_bundle).ok();
            }
            Some(Event::Closed(closed)) => self.closed = convert::closed_from_proto(closed).ok(),
            Some(_) | None => {}
        }
    }
}

fn identity(payload: Bytes) -> Option<(Uuid, u64)> {
    let header = BundleHeader::decode(payload).ok()?;
    Some((Uuid::from_slice(&header.bundle).ok()?, header.number))
}

/// Renames a file so that it is kept but not taken for a bundle again. An empty one is deleted: nothing was in it.
fn set_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    if fs::metadata(path)?.len() == 0 {
        fs::remove_file(path)?;
        return Ok(None);
    }
    let aside = path.with_extension("unreadable");
    fs::rename(path, &aside)?;
    tracing::warn!(path = %aside.display(), "a file in the spool is no bundle and was set aside");
    Ok(Some(aside))
}
