//! The records in the payload of a chunk.

use bytes::{Buf, Bytes};
use prost::Message;

use super::fault::FaultKind;
use crate::generated::v1::Record;

/// Iterates over the records of one chunk; ends with the first that is malformed.
pub(crate) struct Records {
    payload: Bytes,
}

impl Records {
    pub(crate) fn new(payload: Bytes) -> Self {
        Self { payload }
    }

    fn record(&mut self) -> Result<Record, FaultKind> {
        let length = prost::decode_length_delimiter(&mut self.payload)
            .map_err(|_| FaultKind::Record("a length that is none"))?;
        if length > self.payload.remaining() {
            return Err(FaultKind::Record("longer than its chunk"));
        }
        Record::decode(self.payload.split_to(length)).map_err(|_| FaultKind::Record("not a record"))
    }
}

impl Iterator for Records {
    type Item = Result<Record, FaultKind>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.payload.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.payload.clear();
        }
        Some(record)
    }
}
