//! Turns what happens in the open exchanges into records of the journal.
//!
//! Whatever the journal cannot take now is given back, as far as it is not written yet, to be tried again.

use std::collections::HashMap;

use bytes::Bytes;
use uuid::Uuid;

use super::{
    exchange::Location,
    journal::{Journal, Trouble},
    live::Live,
};
use crate::{
    convert::{self, Payload},
    event::{Closed, Outcome},
    generated::v1::{self, record},
};

/// How an exchange is ended.
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    /// Events of it were refused.
    pub(crate) interrupted: bool,
}

/// See the module.
pub(crate) struct Scribe {
    pub(crate) journal: Journal,
    live: HashMap<Uuid, Live>,
}

impl Scribe {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal, live: HashMap::new() }
    }

    /// An exchange begins.
    pub(crate) fn open(&mut self, exchange: Uuid, opened: v1::Opened) -> Result<(), (v1::Opened, Trouble)> {
        let bundle = match self.journal.ready() {
            Ok(bundle) => bundle,
            Err(trouble) => return Err((opened, trouble)),
        };
        let live = Live::new(exchange, opened.session.clone(), opened.started_micros, bundle);
        self.live.insert(exchange, live);
        self.put(exchange, bundle, 0, record::Event::Opened(opened));
        Ok(())
    }

    /// Something happens in an exchange.
    pub(crate) fn event(
        &mut self,
        exchange: Uuid,
        at_micros: u64,
        payload: Payload,
    ) -> Result<(), (Payload, Trouble)> {
        match payload {
            Payload::Whole(event) => match self.journal.ready() {
                Ok(bundle) => self.put(exchange, bundle, at_micros, event),
                Err(trouble) => return Err((Payload::Whole(event), trouble)),
            },
            Payload::Octets { stream, mut data } => {
                while !data.is_empty() {
                    let (bundle, piece) = match self.piece(&mut data) {
                        Ok(piece) => piece,
                        Err(trouble) => return Err((Payload::Octets { stream, data }, trouble)),
                    };
                    if let Some(live) = self.live.get_mut(&exchange) {
                        live.digests.update(stream.direction(), &piece);
                    }
                    self.put(exchange, bundle, at_micros, stream.record(piece));
                }
            }
            Payload::Text { kind, mut text } => loop {
                let (bundle, piece) = match self.piece(&mut text) {
                    Ok(piece) => piece,
                    Err(trouble) => return Err((Payload::Text { kind, text }, trouble)),
                };
                self.put(exchange, bundle, at_micros, kind.record(piece, !text.is_empty()));
                if text.is_empty() {
                    break;
                }
            },
        }
        Ok(())
    }

    /// An exchange ends. Gives where it lies, unless it was not open.
    pub(crate) fn close(
        &mut self,
        exchange: Uuid,
        at_micros: u64,
        end: &End,
    ) -> Result<Option<Location>, Trouble> {
        let bundle = self.journal.ready()?;
        if end.interrupted {
            let reason = "events were refused while nothing could be recorded".to_owned();
            self.put(exchange, bundle, at_micros, record::Event::Gap(v1::Gap { reason }));
        }
        let Some(live) = self.live.get(&exchange) else { return Ok(None) };
        let (request, response) = live.digests.finish();
        let closed = convert::closed_to_proto(Closed { outcome: end.outcome.clone(), request, response });
        self.put(exchange, bundle, at_micros, record::Event::Closed(closed));
        Ok(self.live.remove(&exchange).map(|live| Location { bundles: live.into_bundles() }))
    }

    /// The exchanges that are open, and for how many microseconds.
    pub(crate) fn unfinished(&self) -> Vec<(Uuid, u64)> {
        self.live.iter().map(|(exchange, live)| (*exchange, live.age_micros())).collect()
    }

    /// Cuts off as much of `data` as the next record can hold, and says in which bundle that will stand.
    fn piece(&mut self, data: &mut Bytes) -> Result<(Uuid, Bytes), Trouble> {
        let bundle = self.journal.ready()?;
        let length = self.journal.piece(data.len());
        Ok((bundle, data.split_to(length)))
    }

    /// Puts a record into the bundle that the journal has made ready.
    fn put(&mut self, exchange: Uuid, bundle: Uuid, at_micros: u64, event: record::Event) {
        let Some(live) = self.live.get_mut(&exchange) else { return };
        if let Some(continued) = live.continue_in(bundle, at_micros) {
            self.journal.push(&continued);
        }
        self.journal.push(&live.record(at_micros, event));
    }
}
