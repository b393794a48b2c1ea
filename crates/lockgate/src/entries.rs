//! Entries of the session index made from recordings: the index can always be rebuilt from the store.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use lockgate_core::{
    access,
    index::{Entry, EntryAccess},
};
use lockgate_recording::Archive;
use serde_json::Value;
use uuid::Uuid;

use crate::recordings::Transcript;

/// How an exchange ended whose recording has no end.
pub(crate) const CUT_OFF: &str = "cut off";

/// The entry of an exchange, from its recording. `None` where its beginning is not there.
pub(crate) async fn read(archive: &Archive, exchange: Uuid, bundles: &[Uuid]) -> Result<Option<Entry>> {
    let Some(transcript) = Transcript::read(archive, exchange, bundles).await? else { return Ok(None) };
    let started = u64::try_from(transcript.opened.started_micros).unwrap_or_default();
    let closed = transcript.closed.as_ref().map(|(at, closed)| (at, &closed.outcome));
    let (ended, outcome) = match closed.or(transcript.ended.as_ref().map(|(at, outcome)| (at, outcome))) {
        Some((at, outcome)) => (started.saturating_add(micros(*at)), outcome.to_string()),
        None => (now(), CUT_OFF.to_owned()),
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let verdict = &transcript.verdict;
    let grounds = verdict["grounds"]["accesses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rules: Vec<String> = grounds
        .iter()
        .flat_map(|ground| ground["rules"].as_array().into_iter().flatten())
        .map(text)
        .collect();
    rules.sort_unstable();
    rules.dedup();
    let accesses = transcript.accesses.as_array().into_iter().flatten().enumerate();
    let effect = |index: usize| grounds.get(index).map(|ground| text(&ground["effect"])).unwrap_or_default();
    Ok(Some(Entry {
        exchange: exchange.to_string(),
        session: transcript.opened.session.clone(),
        issuer: transcript.opened.principal.issuer.clone(),
        subject: transcript.opened.principal.subject.clone(),
        upstream: transcript.opened.upstream.clone(),
        protocol: transcript.opened.protocol.clone(),
        accesses: accesses.map(|(index, access)| access_entry(access, effect(index))).collect(),
        verdict: verdict["verdict"].as_str().unwrap_or("none").to_owned(),
        rules,
        approval: transcript.approvals.last().map(|approval| text(&approval["id"])),
        outcome,
        status: transcript.response.as_ref().map_or(0, |head| head.status),
        started,
        ended,
        bytes_in: transcript.sent.length,
        bytes_out: transcript.answered.length,
        bundles: bundles.iter().map(Uuid::to_string).collect(),
    }))
}

fn access_entry(access: &Value, effect: String) -> EntryAccess {
    let text = access::Value::text_of_recorded;
    let attributes = access["attributes"].as_object().into_iter().flatten();
    EntryAccess {
        action: text(&access["action"]),
        resource: text(&access["resource"]),
        binding: text(&access["binding"]),
        attributes: attributes.map(|(name, value)| (name.clone(), text(value))).collect(),
        effect,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
}
