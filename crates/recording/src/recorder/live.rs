//! The exchanges that are open: their sequence, the digests of their bodies, the bundles they lie in.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use uuid::Uuid;

use crate::{
    event::{BodyDigest, Direction},
    generated::v1::{Continued, Record, record::Event},
};

/// One open exchange.
pub(crate) struct Live {
    exchange: Uuid,
    session: String,
    started_micros: i64,
    sequence: u64,
    pub(crate) digests: Digests,
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
            bundles: vec![bundle],
        }
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

    /// How long the exchange is open, by the wall clock.
    pub(crate) fn age_micros(&self) -> u64 {
        u64::try_from(super::now_micros() - self.started_micros).unwrap_or(0)
    }

    /// The bundles that hold the exchange, in order.
    pub(crate) fn into_bundles(self) -> Vec<Uuid> {
        self.bundles
    }
}

/// The octets of both directions so far.
pub(crate) struct Digests {
    request: Running,
    response: Running,
}

struct Running {
    length: u64,
    sha256: Context,
}

impl Default for Digests {
    fn default() -> Self {
        let running = || Running { length: 0, sha256: Context::new(&SHA256) };
        Self { request: running(), response: running() }
    }
}

impl Digests {
    pub(crate) fn update(&mut self, direction: Direction, octets: &[u8]) {
        let running = match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        };
        running.length += octets.len() as u64;
        running.sha256.update(octets);
    }

    /// The digests of request and response.
    pub(crate) fn finish(&self) -> (BodyDigest, BodyDigest) {
        (self.request.finish(), self.response.finish())
    }
}

impl Running {
    fn finish(&self) -> BodyDigest {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.sha256.clone().finish().as_ref());
        BodyDigest { length: self.length, sha256 }
    }
}
