//! What has to be durable before something happens: that a request goes upstream, that its answer is shown.

use std::sync::atomic::Ordering;

use lockgate_recording::Event;
use serde_json::json;

use super::{Exchange, Unrecorded};
use crate::verdict::Provisional;

/// The kind of the recorded note that says that a request was begun upstream before its verdict.
const EARLY: &str = "early";

impl Exchange {
    /// Records that the beginning of the request goes upstream before its verdict, and why it may, and waits until
    /// that is durable. What never goes any further has no other mark of having been forwarded.
    pub async fn begun(&self, provisional: &Provisional) -> Result<(), Unrecorded> {
        self.note(EARLY, json!(provisional).to_string()).await?;
        self.durable().await
    }

    /// Records that the request goes upstream now, and waits until that is durable.
    pub async fn forwarded(&self) -> Result<(), Unrecorded> {
        self.append(Event::Forwarded).await?;
        self.durable().await?;
        self.0.on_its_way.cancel();
        Ok(())
    }

    /// Records that the request, which only reads, goes upstream now. Whoever shows anything of its answer waits for
    /// [`Exchange::proven`] before.
    pub async fn forwarding(&self) -> Result<(), Unrecorded> {
        self.append(Event::Forwarded).await?;
        self.0.unproven.store(true, Ordering::Release);
        self.0.on_its_way.cancel();
        Ok(())
    }

    /// Waits until a request that went upstream before it was durable is so.
    pub async fn proven(&self) -> Result<(), Unrecorded> {
        if self.0.unproven.load(Ordering::Acquire) {
            self.durable().await?;
            self.0.unproven.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Resolves once the request goes upstream.
    pub async fn on_its_way(&self) {
        self.0.on_its_way.cancelled().await;
    }

    /// Waits until everything recorded so far would survive a crash.
    pub async fn durable(&self) -> Result<(), Unrecorded> {
        let Some(recorder) = self.recorder() else { return Ok(()) };
        let done = recorder.durable().await;
        done.or_else(|error| self.tolerate(error))
    }
}
