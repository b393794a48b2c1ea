//! How an exchange ends: when its last handle is dropped, so that an outcome is recorded however it comes
//! about. Its recording is closed, its entry goes to the index, a line to the log.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use lockgate_recording::Outcome;
use uuid::Uuid;

use super::{Inner, lock};
use crate::index::Entry;

/// Microseconds since 1970.
pub(super) fn now() -> u64 {
    // Before 1970 there is no agreement on microseconds anyway.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

impl Drop for Inner {
    fn drop(&mut self) {
        let (mut entry, outcome, gap) = {
            let mut state = lock(&self.state);
            let is_cut = self.evidence.closing.cut().is_cancelled();
            let unsaid = if is_cut { Outcome::Abandoned } else { Outcome::ClientGone };
            (std::mem::take(&mut state.entry), state.outcome.take().unwrap_or(unsaid), state.gap)
        };
        entry.ended = now();
        entry.outcome = if gap { format!("{outcome}, not recorded whole") } else { outcome.to_string() };
        log(&entry);
        let under_way = self.under_way.take();
        let (id, index) = (self.id, Arc::clone(&self.evidence.index));
        let index = move |bundles: &[Uuid]| {
            entry.bundles = bundles.iter().map(Uuid::to_string).collect();
            index.put(entry);
            drop(under_way);
        };
        match self.recorder.take() {
            Some(recorder) => recorder.close_with_others(outcome, move |closed| match closed {
                Ok(location) => index(&location.bundles),
                Err(error) => {
                    tracing::error!(exchange = %id, %error, "not closed");
                    index(&[]);
                }
            }),
            None => index(&[]),
        }
    }
}

fn log(entry: &Entry) {
    tracing::info!(
        exchange = entry.exchange,
        session = entry.session,
        principal = format!("{}:{}", entry.issuer, entry.subject),
        upstream = entry.upstream,
        action = entry.accesses.first().map(|access| &*access.action),
        resource = entry.accesses.first().map(|access| &*access.resource),
        verdict = entry.verdict,
        outcome = entry.outcome,
        status = entry.status,
        bytes_in = entry.bytes_in,
        bytes_out = entry.bytes_out,
        ms = (entry.ended.saturating_sub(entry.started)) / 1000,
        "exchange"
    );
}
