//! The index of a bundle, made from its records: by the writer as it goes, by recovery and by the verifier from
//! the chunks. All three come to the same footer, byte for byte.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use uuid::Uuid;

use crate::generated::v1::{ExchangeEntry, Footer, Record, SessionEntry, record::Event};

/// Collects what the footer says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    chunk_offsets: Vec<u64>,
    raw_bytes: u64,
    records: u64,
    exchanges: Vec<Entry>,
    places: HashMap<Uuid, usize>,
    /// The bundles that hold octets that these records repeat.
    repeats: BTreeSet<Uuid>,
    weight: usize,
}

/// An exchange in the index.
#[derive(Clone, Debug)]
struct Entry {
    exchange: Uuid,
    session: Option<String>,
    chunks: Vec<u32>,
    opened: bool,
    closed: bool,
    first_sequence: u64,
    last_sequence: u64,
}

impl Index {
    /// Takes in one record, which will stand in the chunk that is added next.
    pub(crate) fn record(&mut self, record: &Record) {
        self.records += 1;
        if let Some(Event::Repeat(repeat)) = &record.event
            && let Ok(bundle) = Uuid::from_slice(&repeat.bundle)
            && self.repeats.insert(bundle)
        {
            self.weight += 18;
        }
        let Ok(exchange) = Uuid::from_slice(&record.exchange) else { return };
        let chunk = u32::try_from(self.chunk_offsets.len()).unwrap_or(u32::MAX);
        let entry = match self.places.get(&exchange) {
            Some(place) => &mut self.exchanges[*place],
            None => {
                self.places.insert(exchange, self.exchanges.len());
                self.exchanges.push(Entry::new(exchange, record.sequence));
                self.weight += 64;
                let last = self.exchanges.len() - 1;
                &mut self.exchanges[last]
            }
        };
        if entry.chunks.last() != Some(&chunk) {
            entry.chunks.push(chunk);
            self.weight += 5;
        }
        self.weight += entry.learn(record);
    }

    /// Takes in the chunk that holds the records since the last one.
    pub(crate) fn chunk(&mut self, offset: u64, raw_len: usize) {
        self.chunk_offsets.push(offset);
        self.raw_bytes += raw_len as u64;
        self.weight += 9;
    }

    /// About how long the footer will be.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// The number of chunks.
    pub(crate) fn chunks(&self) -> u64 {
        self.chunk_offsets.len() as u64
    }

    /// The size of the chunks before compression.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// The footer that belongs to what was taken in.
    pub(crate) fn footer(&self, recovered: bool) -> Footer {
        Footer {
            chunk_offsets: self.chunk_offsets.clone(),
            exchanges: self.exchanges.iter().map(Entry::to_proto).collect(),
            sessions: self.sessions(),
            records: self.records,
            raw_bytes: self.raw_bytes,
            recovered,
            repeats: self.repeats.iter().map(|bundle| Bytes::copy_from_slice(bundle.as_bytes())).collect(),
        }
    }

    fn sessions(&self) -> Vec<SessionEntry> {
        let mut sessions: Vec<SessionEntry> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (number, entry) in (0..).zip(&self.exchanges) {
            let Some(session) = entry.session.as_deref() else { continue };
            let place = *places.entry(session).or_insert_with(|| {
                sessions.push(SessionEntry { session: session.to_owned(), exchanges: Vec::new() });
                sessions.len() - 1
            });
            sessions[place].exchanges.push(number);
        }
        sessions
    }
}

impl Entry {
    fn new(exchange: Uuid, sequence: u64) -> Self {
        Self {
            exchange,
            session: None,
            chunks: Vec::new(),
            opened: false,
            closed: false,
            first_sequence: sequence,
            last_sequence: sequence,
        }
    }

    /// Notes what the record says of its exchange; gives the weight that this adds.
    fn learn(&mut self, record: &Record) -> usize {
        self.last_sequence = record.sequence;
        let session = match &record.event {
            Some(Event::Opened(opened)) => {
                self.opened = true;
                &opened.session
            }
            Some(Event::Continued(continued)) => &continued.session,
            Some(Event::Closed(_)) => {
                self.closed = true;
                return 0;
            }
            Some(_) | None => return 0,
        };
        self.session.get_or_insert_with(|| session.clone());
        session.len()
    }

    fn to_proto(&self) -> ExchangeEntry {
        ExchangeEntry {
            exchange: Bytes::copy_from_slice(self.exchange.as_bytes()),
            chunks: self.chunks.clone(),
            opened: self.opened,
            closed: self.closed,
            first_sequence: self.first_sequence,
            last_sequence: self.last_sequence,
        }
    }
}
