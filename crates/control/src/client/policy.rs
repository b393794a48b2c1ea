//! Follows the policy: what the control plane publishes comes into force here, or is refused whole.

use std::{path::Path, pin::pin, sync::Arc, time::Duration};

use lockgate_core::{
    access::Schema,
    policy::{Policy, PolicyHandle},
};
use lockgate_proto::v1::{self, policy_service_client::PolicyServiceClient};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Channel;

use super::{
    ControlClient,
    backoff::Backoff,
    last_good::{Kept, LastGood},
};
use crate::{
    call::CallError,
    convert::{self, IntoProto, WatchMessage},
    force,
    model::PublishedPolicy,
    transport::MAX_ANSWER,
};

/// How long the control plane may take for the first policy before the last good one is taken.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// How long a reason may be that the control plane is told.
const MAX_REASON: usize = 4000;

/// The policy is followed as long as this lives.
#[derive(Debug)]
pub struct PolicyWatch {
    in_force: watch::Receiver<bool>,
    _task: AbortOnDropHandle<()>,
}

impl PolicyWatch {
    /// Waits until there is a policy in force: the control plane's, or the last good one.
    pub async fn ready(&self) {
        let mut in_force = self.in_force.clone();
        // The task ends with this value only.
        let _ended = in_force.wait_for(|in_force| *in_force).await;
    }
}

impl ControlClient {
    /// Keeps `handle` at the policy that the control plane has in force. With a folder, the last good policy
    /// is kept there, and is taken when the control plane is away at the start.
    pub fn watch_policy(
        &self,
        handle: PolicyHandle,
        schemas: &[&'static Schema],
        last_good: Option<&Path>,
    ) -> PolicyWatch {
        let (sender, in_force) = watch::channel(handle.current().is_some());
        let follower = Follower {
            client: PolicyServiceClient::new(self.0.channel.clone()).max_decoding_message_size(MAX_ANSWER),
            proxy: self.0.proxy.clone(),
            handle,
            schemas: schemas.into(),
            last_good: last_good.map(LastGood::new),
            in_force: sender,
        };
        PolicyWatch { in_force, _task: AbortOnDropHandle::new(tokio::spawn(follower.run())) }
    }
}

struct Follower {
    client: PolicyServiceClient<Channel>,
    proxy: String,
    handle: PolicyHandle,
    schemas: Arc<[&'static Schema]>,
    last_good: Option<LastGood>,
    in_force: watch::Sender<bool>,
}

impl Follower {
    async fn run(self) {
        let mut backoff = Backoff::new();
        loop {
            let ended = {
                let mut following = pin!(self.follow(&mut backoff));
                let late = tokio::time::sleep(FIRST_WITHIN);
                tokio::select! {
                    ended = &mut following => ended,
                    () = late => {
                        self.fall_back().await;
                        following.await
                    }
                }
            };
            match ended {
                Ok(()) => tracing::info!("the control plane ended the watch of the policy"),
                Err(error) => tracing::warn!(%error, "the policy can't be followed; the last good one stays"),
            }
            self.fall_back().await;
            backoff.wait().await;
        }
    }

    /// One stream, from its start to its end.
    async fn follow(&self, backoff: &mut Backoff) -> Result<(), CallError> {
        let (say, said) = mpsc::channel(4);
        let version = self.handle.current().map(|policy| policy.version().to_owned());
        let start = WatchMessage::Start { proxy: self.proxy.clone(), version: version.unwrap_or_default() };
        // There is room: the channel is new.
        let _sent = say.try_send(start.into_proto());
        let mut client = self.client.clone();
        let mut policies = client.watch_policy(ReceiverStream::new(said)).await?.into_inner();
        while let Some(v1::WatchPolicyResponse { policy }) = policies.message().await? {
            backoff.reset();
            let published: PublishedPolicy = convert::inner(policy, "policy")?;
            let answer = self.answer(published).await;
            // Whoever does not listen any more has ended the stream, too.
            let _sent = say.send(answer.into_proto()).await;
        }
        Ok(())
    }

    /// Puts a policy in force, or says why not.
    async fn answer(&self, published: PublishedPolicy) -> WatchMessage {
        let PublishedPolicy { version, text, .. } = published;
        match self.load(&version, &text).await {
            Ok(policy) => {
                self.keep(&version, text);
                self.put_in_force(policy);
                tracing::info!(version, "the policy is in force");
                WatchMessage::Ack { version }
            }
            Err(reason) => {
                tracing::error!(version, reason, "a policy does not load here; the one before stays");
                WatchMessage::Nack { version, reason }
            }
        }
    }

    /// The policy of a text, which must be of the version that it is said to be.
    async fn load(&self, version: &str, text: &str) -> Result<Policy, String> {
        let policy = force::load(text.to_owned(), self.schemas.clone()).await;
        let policy = policy.map_err(|errors| shortened(errors.to_string()))?;
        if policy.version() == version {
            Ok(policy)
        } else {
            Err("the text has another hash than its version".to_owned())
        }
    }

    fn put_in_force(&self, policy: Policy) {
        self.handle.set(policy);
        self.in_force.send_replace(true);
    }

    /// A policy is in force even when it can't be kept: it may be stricter than the one before.
    fn keep(&self, version: &str, text: String) {
        let Some(last_good) = &self.last_good else { return };
        if let Err(error) = last_good.save(&Kept { version: version.to_owned(), text }) {
            tracing::error!(%error, "the policy can't be kept: a restart without the control plane would go back");
        }
    }

    /// Takes the last good policy, where there is none in force.
    async fn fall_back(&self) {
        let Some(last_good) = &self.last_good else { return };
        if self.handle.current().is_some() {
            return;
        }
        let Kept { version, text } = match last_good.load() {
            Ok(Some(kept)) => kept,
            Ok(None) => return,
            Err(error) => return tracing::error!(%error, "the last good policy can't be read"),
        };
        match self.load(&version, &text).await {
            Ok(policy) => {
                tracing::warn!(version, "the control plane is away: the last good policy is in force");
                self.put_in_force(policy);
            }
            Err(reason) => tracing::error!(version, reason, "the last good policy does not load"),
        }
    }
}

/// A text of at most [`MAX_REASON`] bytes.
fn shortened(mut text: String) -> String {
    if text.len() > MAX_REASON {
        let end = (0..=MAX_REASON).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::in_memory;

    const TEXT: &str = "version: 1\n";

    fn follower(folder: &Path) -> Follower {
        let (channel, _nobody) = in_memory();
        Follower {
            client: PolicyServiceClient::new(channel),
            proxy: "edge".into(),
            handle: PolicyHandle::new(),
            schemas: Arc::new([]),
            last_good: Some(LastGood::new(folder)),
            in_force: watch::Sender::new(false),
        }
    }

    fn published(version: &str, text: &str) -> PublishedPolicy {
        PublishedPolicy {
            revision: 1,
            version: version.into(),
            text: text.into(),
            by: crate::samples::someone("ada", &[]),
            at: crate::samples::at(0),
            comment: String::new(),
            current: true,
        }
    }

    fn version() -> String {
        Policy::load(TEXT, &[]).unwrap().version().to_owned()
    }

    #[tokio::test]
    async fn what_is_in_force_is_kept_and_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = follower(folder.path());
        let answer = first.answer(published(&version(), TEXT)).await;
        assert!(matches!(answer, WatchMessage::Ack { version: acked } if acked == version()));
        let second = follower(folder.path());
        second.fall_back().await;
        assert_eq!(second.handle.current().unwrap().version(), version());
        assert!(*second.in_force.borrow());
    }

    #[tokio::test]
    async fn what_does_not_load_is_neither_in_force_nor_kept() {
        let folder = tempfile::tempdir().unwrap();
        let follower = follower(folder.path());
        let wrong = [published("cafe", TEXT), published(&version(), "version: 2"), published("cafe", "{")];
        for policy in wrong {
            let answer = follower.answer(policy).await;
            assert!(matches!(answer, WatchMessage::Nack { reason, .. } if !reason.is_empty()));
        }
        assert!(follower.handle.current().is_none());
        follower.fall_back().await;
        assert!(follower.handle.current().is_none());
    }

    #[tokio::test]
    async fn a_kept_policy_that_was_changed_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let follower = follower(folder.path());
        let last_good = LastGood::new(folder.path());
        last_good.save(&Kept { version: version(), text: format!("{TEXT}# changed\n") }).unwrap();
        follower.fall_back().await;
        assert!(follower.handle.current().is_none());
    }

    #[tokio::test]
    async fn a_policy_in_force_is_never_replaced_by_the_kept_one() {
        let folder = tempfile::tempdir().unwrap();
        let follower = follower(folder.path());
        LastGood::new(folder.path()).save(&Kept { version: version(), text: TEXT.into() }).unwrap();
        let newer = Policy::load("version: 1\n# newer\n", &[]).unwrap();
        let version = newer.version().to_owned();
        follower.put_in_force(newer);
        follower.fall_back().await;
        assert_eq!(follower.handle.current().unwrap().version(), version);
    }

    #[tokio::test]
    async fn a_policy_that_can_not_be_kept_is_in_force_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let follower = follower(&folder.path().join("missing"));
        let answer = follower.answer(published(&version(), TEXT)).await;
        assert!(matches!(answer, WatchMessage::Ack { .. }));
        assert!(follower.handle.current().is_some());
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(shortened("short".into()), "short");
        let cut = shortened("é".repeat(3000));
        assert!(cut.len() <= MAX_REASON && cut.ends_with('é'));
    }
}
