//! What a crash had left: exchanges whose recording was saved, but which the index may not know yet. Their
//! entries are made from the recording, as soon as it is in the store.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lockgate_core::index::Index;
use lockgate_recording::{Archive, Recorder, Recovered};
use uuid::Uuid;

use crate::entries;

/// How long to wait for a store that is away.
const RETRY: Duration = Duration::from_secs(10);

/// Tells the log what was recovered, and the index when it can be read.
pub(crate) async fn index(recovered: Recovered, recorder: Recorder, archive: Archive, index: Arc<dyn Index>) {
    for bundle in &recovered.bundles {
        tracing::warn!(
            bundle = %bundle.bundle,
            exchanges = bundle.exchanges.len(),
            cut = bundle.cut_bytes,
            "recovered what the last run had recorded and not stored"
        );
    }
    if recovered.bundles.is_empty() && recovered.uploaded.is_empty() {
        return;
    }
    while let Err(error) = recorder.flush().await {
        tracing::warn!(%error, "the store is away; the index waits for it");
        tokio::time::sleep(RETRY).await;
    }
    let mut exchanges: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for bundle in recovered.uploaded {
        match archive.contents(bundle).await {
            Ok(contents) => {
                for found in contents.exchanges {
                    exchanges.entry(found.exchange).or_default().push(bundle);
                }
            }
            Err(error) => tracing::error!(%bundle, %error, "can't be read back"),
        }
    }
    for bundle in &recovered.bundles {
        for exchange in &bundle.exchanges {
            exchanges.entry(exchange.exchange).or_default().push(bundle.bundle);
        }
    }
    for (exchange, bundles) in exchanges {
        let read = async {
            match entries::read(&archive, exchange, &bundles).await? {
                Some(entry) => Ok(Some(entry)),
                // It began earlier.
                None => entries::read(&archive, exchange, &archive.find(exchange).await?).await,
            }
        };
        match read.await {
            Ok(Some(entry)) => index.put(entry),
            Ok(None) => tracing::warn!(%exchange, "its beginning is not in the store"),
            Err(error) => tracing::error!(%exchange, error = format!("{error:#}"), "can't be read back"),
        }
    }
}
