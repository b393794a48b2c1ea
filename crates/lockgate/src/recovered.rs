//! What a crash had left: exchanges whose recording was saved, but which the index does not know yet. Their
//! entries are made from the recording, as soon as it is in the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use lockgate_core::{
    access,
    index::{Entry, EntryAccess, Index},
};
use lockgate_recording::{Archive, Recorder, Recovered};
use serde_json::Value;
use uuid::Uuid;

use crate::recordings::Transcript;

/// How long to wait for a store that is away.
const RETRY: Duration = Duration::from_secs(10);

/// Tells the log what was recovered, and the index when it can be read.
pub(crate) async fn index(recovered: Recovered, recorder: Recorder, archive: Archive, index: Arc<dyn Index>) {
    let mut exchanges: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    let mut began_before = BTreeSet::new();
    for bundle in &recovered.bundles {
        tracing::warn!(
            bundle = %bundle.bundle,
            exchanges = bundle.exchanges.len(),
            cut = bundle.cut_bytes,
            "recovered what the last run had recorded and not stored"
        );
        for exchange in &bundle.exchanges {
            exchanges.entry(exchange.exchange).or_default().push(bundle.bundle);
            if exchange.continued_from.is_some_and(|before| !recovered_here(&recovered, before)) {
                began_before.insert(exchange.exchange);
            }
        }
    }
    if exchanges.is_empty() {
        return;
    }
    while let Err(error) = recorder.flush().await {
        tracing::warn!(%error, "the store is away; the index waits for it");
        tokio::time::sleep(RETRY).await;
    }
    for (exchange, bundles) in exchanges {
        let read = async {
            match began_before.contains(&exchange) {
                true => entry(&archive, exchange, &archive.find(exchange).await?).await,
                false => entry(&archive, exchange, &bundles).await,
            }
        };
        match read.await {
            Ok(Some(entry)) => index.put(entry),
            Ok(None) => tracing::warn!(%exchange, "its beginning is not in the store"),
            Err(error) => tracing::error!(%exchange, error = format!("{error:#}"), "can't be read back"),
        }
    }
}

fn recovered_here(recovered: &Recovered, bundle: Uuid) -> bool {
    recovered.bundles.iter().any(|here| here.bundle == bundle)
}

/// The entry of an exchange, from its recording. `None` where its beginning is not there.
async fn entry(archive: &Archive, exchange: Uuid, bundles: &[Uuid]) -> Result<Option<Entry>> {
    let Some(transcript) = Transcript::read(archive, exchange, bundles).await? else { return Ok(None) };
    let started = u64::try_from(transcript.opened.started_micros).unwrap_or_default();
    let (ended, outcome) = match &transcript.closed {
        Some((at, closed)) => (started.saturating_add(micros(*at)), closed.outcome.to_string()),
        None => (now(), "cut off".to_owned()),
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
