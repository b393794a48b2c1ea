//! Finds octets that a recording repeats, in the bundle where they stand. Bundles are read from their beginning, their
//! chains checked on the way; what is asked for in order is read once.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{
    ReadError,
    exchange::{Current, Progress},
    track::ExchangeFault,
};
use crate::{
    generated::v1::{Record, record::Event},
    recorder::repeats::Place,
};

/// The bundle that octets were taken from last.
#[derive(Default)]
pub(super) struct Repeats {
    reading: Option<Reading>,
}

struct Reading {
    bundle: Current,
    /// Where the next record stands that is not taken.
    at: Place,
    /// Records of that exchange.
    records: VecDeque<Record>,
}

impl Repeats {
    /// So many octets from a place on. `open` opens its bundle.
    pub(super) async fn octets(
        &mut self,
        open: impl AsyncFnOnce(uuid::Uuid) -> Result<Current, ReadError>,
        place: Place,
        length: usize,
    ) -> Result<Bytes, ReadError> {
        let goes_on = |reading: &Reading| {
            (reading.at.bundle, reading.at.exchange) == (place.bundle, place.exchange)
                && reading.at.sequence <= place.sequence
        };
        let mut reading = match self.reading.take().filter(goes_on) {
            Some(reading) => reading,
            None => {
                let at = Place { sequence: 0, ..place };
                Reading { bundle: open(place.bundle).await?, at, records: VecDeque::new() }
            }
        };
        let octets = reading.octets(place.sequence, length).await?;
        self.reading = Some(reading);
        Ok(octets)
    }
}

impl Reading {
    async fn octets(&mut self, first: u64, length: usize) -> Result<Bytes, ReadError> {
        let (mut octets, mut expected) = (BytesMut::with_capacity(length), first);
        while octets.len() < length {
            let record = self.record().await?;
            if record.sequence < first {
                continue;
            }
            let (Event::RequestData(data) | Event::ResponseData(data)) =
                record.event.filter(|_| record.sequence == expected).ok_or_else(|| self.fault())?
            else {
                return Err(self.fault());
            };
            expected += 1;
            if data.data.len() > length - octets.len() {
                return Err(self.fault());
            }
            octets.extend_from_slice(&data.data);
        }
        Ok(octets.freeze())
    }

    /// The next record of the exchange.
    async fn record(&mut self) -> Result<Record, ReadError> {
        loop {
            if let Some(record) = self.records.pop_front() {
                self.at.sequence = record.sequence + 1;
                return Ok(record);
            }
            match self.bundle.step().await? {
                Progress::Chunk(records) => {
                    let ours = |record: &Record| record.exchange == self.at.exchange.as_bytes()[..];
                    self.records.extend(records.into_iter().filter(ours));
                }
                Progress::End | Progress::Later => return Err(self.fault()),
            }
        }
    }

    fn fault(&self) -> ReadError {
        let Place { bundle, exchange, .. } = self.at;
        ReadError::Exchange { exchange, bundle, fault: ExchangeFault::NotRepeated }
    }
}
