//! A gateway that serves.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Result;
use lockgate_control::client::{ControlClient, PolicyWatch};
use lockgate_core::{exchange::Closing, index::Index, policy::PolicyHandle};
use lockgate_recording::Recorder;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Reload, front::Front};
use crate::{
    config::Config,
    recovered,
    wiring::{self, Asked, Built},
};

/// How long the index may take for its last entries.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

/// How long the start waits until what a crash had left is in the index.
const RECOVER_WITHIN: Duration = Duration::from_secs(10);

/// A gateway that serves, until it is stopped.
pub(super) struct Gateway {
    url: String,
    reload: Reload,
    client: ControlClient,
    recorder: Recorder,
    closing: Closing,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
    limit: Duration,
    _policy: PolicyWatch,
}

impl Gateway {
    /// Starts it. The last good policy is kept in `last_good`, for a control plane that may be away.
    pub(super) async fn start(
        config: &Config,
        front: Front,
        client: ControlClient,
        last_good: Option<&Path>,
    ) -> Result<Self> {
        let policy = PolicyHandle::new();
        let watch = client.watch_policy(policy.clone(), &wiring::schemas(), last_good);
        let index: Arc<dyn Index> = Arc::new(client.clone());
        let shutdown = CancellationToken::new();
        let (approvals, ending) = (Arc::new(client.clone()), shutdown.clone());
        let asked = Asked { approvals, index: Arc::clone(&index), policy, ending };
        let built = wiring::gateway(config, &config.file.name.0, asked).await?;
        let Built { pipeline, ready, recorder, closing, archive, recovered } = built;
        let url = front.url();
        // Where there is a policy, nobody is refused for its being late.
        if tokio::time::timeout(FLUSH_WITHIN, watch.ready()).await.is_err() {
            tracing::warn!("there is no policy: every request is refused until one is published");
        }
        // What a crash had left comes before what is new, unless the store is away.
        let mut indexing = tokio::spawn(recovered::index(recovered, recorder.clone(), archive, index));
        if tokio::time::timeout(RECOVER_WITHIN, &mut indexing).await.is_ok() {
            client.flush(FLUSH_WITHIN).await;
        }
        let serving = front.listener.serve(pipeline, ready, shutdown.clone(), closing.cut())?;
        announce(config, &url);
        let limit = config.file.limits.shutdown.0;
        let reload = front.reload;
        Ok(Self { url, reload, client, recorder, closing, shutdown, serving, limit, _policy: watch })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn reload(&self) -> Reload {
        Arc::clone(&self.reload)
    }

    /// Ends it: no new requests, those under way to their end, what they were recorded and indexed.
    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        // It panics in no case of its own; what is recorded is saved whatever happened.
        let _ = self.serving.await;
        wiring::close(&self.recorder, &self.closing, self.limit).await;
        self.client.flush(FLUSH_WITHIN).await;
    }
}

fn announce(config: &Config, url: &str) {
    tracing::info!(url, version = env!("CARGO_PKG_VERSION"), "the gateway serves");
    for upstream in &config.file.upstreams {
        let (name, kind) = (&upstream.name.value.0, &upstream.kind.value);
        tracing::info!(upstream = name, at = format!("{url}/{kind}/{name}/"), "reached");
    }
}
