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
