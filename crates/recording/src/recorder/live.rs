//! The exchanges that are open: their sequence, the digests of their bodies, the bundles they lie in.

use bytes::Bytes;
use uuid::Uuid;

use super::repeats::Held;
use crate::{
    digests::Digests,
    event::Direction,
    generated::v1::{Continued, Record, record::Event},
};

/// One open exchange.
pub(crate) struct Live {
    exchange: Uuid,
    session: String,
    started_micros: i64,
    sequence: u64,
    pub(crate) digests: Digests,
    /// What is held back of one of its bodies.
    pub(crate) held: Option<Held>,
    /// Of which bodies a part of the present segment is written.
    torn: [bool; 2],
    bundles: Vec<Uuid>,
}

impl Live {
    pub(crate) fn new(exchange: Uuid, session: String, started_micros: i64, bundle: Uuid) -> Self {
        Self {
            exchange,
            session,
            started_micros,
            sequence: 0,
            digests: Digests::default(),
            held: None,
            torn: [false; 2],
            bundles: vec![bundle],
        }
    }

    /// Its id.
    #[cfg(test)]
    pub(crate) fn id(&self) -> Uuid {
        self.exchange
    }

    /// The next record of the exchange.
    pub(crate) fn record(&mut self, at_micros: u64, event: Event) -> Record {
        let sequence = self.sequence;
        self.sequence += 1;
        let exchange = Bytes::copy_from_slice(self.exchange.as_bytes());
        Record { exchange, sequence, at_micros, event: Some(event) }
    }

    /// The record that has to come first when the exchange goes on in another bundle.
    pub(crate) fn continue_in(&mut self, bundle: Uuid, at_micros: u64) -> Option<Record> {
        let previous = *self.bundles.last()?;
        if previous == bundle {
            return None;
        }
        self.bundles.push(bundle);
        let continued = Continued {
            session: self.session.clone(),
            previous_bundle: Bytes::copy_from_slice(previous.as_bytes()),
            started_micros: self.started_micros,
        };
        Some(self.record(at_micros, Event::Continued(continued)))
    }

    /// Whether a part of the present segment of a body is written.
    pub(crate) fn is_torn(&self, direction: Direction) -> bool {
        self.torn[direction as usize]
    }

    pub(crate) fn set_torn(&mut self, direction: Direction, is_torn: bool) {
        self.torn[direction as usize] = is_torn;
    }

    /// How long the exchange is open, by the wall clock.
    pub(crate) fn age_micros(&self) -> u64 {
        u64::try_from(super::now_micros() - self.started_micros).unwrap_or(0)
    }

    /// The bundles that hold the exchange, in order.
    pub(crate) fn into_bundles(self) -> Vec<Uuid> {
        self.bundles
    }
}
