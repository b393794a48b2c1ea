//! What a crash left in the spool: cut at the first bad chunk, sealed, and told to the caller.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
};

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
        bundle::{BundleReader, Step},
        chain::Link,
        fault::Fault,
    },
    generated::v1::{Record, Sealed, record::Event},
};

/// What [`crate::Recorder::open`] found in the spool.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The bundles that were not uploaded yet, in their order. They are being uploaded now.
    pub bundles: Vec<RecoveredBundle>,
    /// Bundles that were uploaded within 20 s before the last run ended, if that was by a crash: who keeps an index of
    /// exchanges may not have heard of what is in them.
    pub uploaded: Vec<Uuid>,
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
    /// Where those bytes were kept, when they were not just the torn end of a write but something unreadable.
    pub cut_file: Option<PathBuf>,
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
    recovery.recovered.uploaded = spool.recent();
    for (named, path) in spool.bundles()? {
        let file = Found::read(&path)?;
        if file.holds_nothing() {
            fs::remove_file(&path)?;
            continue;
        }
        let Some((bundle, number)) = file.identity.filter(|(bundle, _)| *bundle == named) else {
            recovery.recovered.unreadable.push(set_aside(&path)?);
            continue;
        };
        let cut_file = if file.corrupt { Some(file.keep_cut(&path)?) } else { None };
        let (root, length) = file.repair(&path)?;
        let last = Last { number, bundle, root };
        if recovery.last.is_none_or(|known| known.number < number) {
            recovery.last = Some(last);
        }
        recovery.uploads.push(SealedBundle { last, path, length });
        let cut_bytes = (!file.whole).then_some(file.length - file.reader.good_length());
        recovery.recovered.bundles.push(RecoveredBundle {
            bundle,
            number,
            cut_bytes,
            cut_file,
            exchanges: file.exchanges,
        });
    }
    Ok(recovery)
}

/// What was found in a file.
struct Found {
    reader: BundleReader,
    identity: Option<(Uuid, u64)>,
    exchanges: Vec<RecoveredExchange>,
    places: HashMap<Uuid, usize>,
    length: u64,
    whole: bool,
    /// It does not just end too early: what follows the good part is wrong.
    corrupt: bool,
}

impl Found {
    fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut found = Self {
            reader: BundleReader::new(),
            identity: None,
            exchanges: Vec::new(),
            places: HashMap::new(),
            length: file.metadata()?.len(),
            whole: false,
            corrupt: false,
        };
        let mut piece = vec![0; 256 << 10];
        loop {
            let read = file.read(&mut piece)?;
            found.reader.feed(&piece[..read]);
            if let Err(fault) = found.take() {
                tracing::warn!(path = %path.display(), %fault, "a bundle in the spool is cut here");
                found.corrupt = true;
                return Ok(found);
            }
            if read == 0 {
                found.whole = found.reader.finish().is_ok();
                return Ok(found);
            }
        }
    }

    /// Takes in what the reader has.
    fn take(&mut self) -> Result<(), Fault> {
        loop {
            match self.reader.step()? {
                Step::More => return Ok(()),
                Step::Header(header) => self.identity = Some((header.bundle, header.number)),
                Step::Chunk { records } => records.into_iter().for_each(|record| self.learn(record)),
                Step::End => {}
            }
        }
    }

    fn learn(&mut self, record: Record) {
        let Ok(exchange) = Uuid::from_slice(&record.exchange) else { return };
        let place = *self.places.entry(exchange).or_insert_with(|| {
            self.exchanges.push(RecoveredExchange::new(exchange));
            self.exchanges.len() - 1
        });
        self.exchanges[place].learn(record.event);
    }

    /// A file that was begun and not written to: nobody was told that anything in it is durable.
    fn holds_nothing(&self) -> bool {
        !self.corrupt && self.reader.index().chunks() == 0
    }

    /// Copies what follows the good part into a file of its own.
    fn keep_cut(&self, path: &Path) -> io::Result<PathBuf> {
        let aside = path.with_extension("cut");
        let mut from = File::open(path)?;
        from.seek(io::SeekFrom::Start(self.reader.good_length()))?;
        let mut to = File::create(&aside)?;
        io::copy(&mut from, &mut to)?;
        to.sync_all()?;
        Ok(aside)
    }

    /// Makes a sealed bundle of the file; gives its root and length.
    fn repair(&self, path: &Path) -> io::Result<(Link, u64)> {
        if self.whole {
            return Ok((self.reader.link(), self.length));
        }
        let good = self.reader.good_length();
        let mut builder = Builder::resume(self.reader.link(), good, self.reader.index().clone());
        let root = match self.reader.sealed() {
            Some(sealed) => builder.finish(sealed.recovered),
            None => builder.seal(Sealed {
                at_micros: now_micros(),
                recovered: true,
                cut_bytes: self.length - good,
            }),
        };
        let mut wal = Wal::resume(path.to_owned(), good);
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

/// Renames a file so that it is kept but not taken for a bundle again.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = path.with_extension("unreadable");
    fs::rename(path, &aside)?;
    tracing::warn!(path = %aside.display(), "a file in the spool is no bundle and was set aside");
    Ok(aside)
}
