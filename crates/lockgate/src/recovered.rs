//! What a crash had left: exchanges whose recording was saved, but which the index may not know yet. Their
//! entries are made from the recording, as soon as it is in the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use lockgate_core::index::Index;
use lockgate_recording::{Archive, Recorder, Recovered};
use uuid::Uuid;

use crate::entries;

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
            "recovered what the last run had not stored, or stored only just now"
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
                true => entries::read(&archive, exchange, &archive.find(exchange).await?).await,
                false => entries::read(&archive, exchange, &bundles).await,
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
