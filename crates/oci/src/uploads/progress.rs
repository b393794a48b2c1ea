//! What is known of the content of an upload.

use bytes::Bytes;
use lockgate_core::{body::BodyError, protocol::RecordedBody};

use crate::{
    parse::name::{Algorithm, Hasher},
    scan::Feed,
};

/// What is known of the content so far.
pub(crate) struct Progress {
    pub(crate) hasher: Hasher,
    pub(crate) length: u64,
    /// Looks through it, where that was asked for from its first byte on.
    pub(crate) feed: Option<Feed>,
    pub(crate) is_begun: bool,
    /// Makes the digest of what this request brings, so that the hasher need not.
    recorded: Option<RecordedBody>,
}

impl Progress {
    /// Takes the next bytes.
    pub(crate) async fn take(&mut self, data: &Bytes) {
        // Whether the recording keeps every byte is said by the verdict, which is there now.
        if !self.is_begun {
            self.recorded = self.recorded.take().filter(RecordedBody::is_whole);
        }
        self.is_begun = true;
        if self.recorded.is_none() {
            self.hasher.update(data);
        }
        self.length += data.len() as u64;
        if let Some(feed) = &self.feed {
            feed.push(data.clone()).await;
        }
    }

    /// The request that brings the next bytes is read to its end.
    ///
    /// # Errors
    /// [`BodyError`] where nothing can be recorded.
    pub(crate) async fn settle(&mut self) -> Result<(), BodyError> {
        if let Some(recorded) = self.recorded.take().filter(|_| self.is_begun) {
            self.hasher = Hasher::Sha256(recorded.sha256().await?);
        }
        Ok(())
    }

    /// Of an upload that is at its beginning.
    pub(crate) fn begin(algorithm: Algorithm) -> Self {
        Self { hasher: Hasher::new(algorithm), length: 0, feed: None, is_begun: false, recorded: None }
    }

    /// Leaves the digest to the recording of the request that brings the first bytes.
    pub(crate) fn leave_to(&mut self, recorded: Option<&RecordedBody>) {
        if !self.is_begun && self.hasher.algorithm() == Algorithm::Sha256 {
            self.recorded = recorded.cloned();
        }
    }
}
