//! The streams: a task for each, which ends with its client, with its subject, or with the control plane.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use lockgate_proto::v1;
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::{
    convert::{self, FromProto, IntoProto, WatchMessage},
    force::Current,
    model::{Approval, PublishedPolicy},
    server::Shared,
    status::shutting_down,
};

type Sender<T> = mpsc::Sender<Result<T, Status>>;

/// How long a proxy may take to introduce itself.
const START_WITHIN: Duration = Duration::from_secs(10);

/// The policy in force and each that follows.
pub(super) fn policy(
    shared: Shared,
    identity: String,
    inbound: Streaming<v1::WatchPolicyRequest>,
) -> ReceiverStream<Result<v1::WatchPolicyResponse, Status>> {
    let (sender, receiver) = mpsc::channel(1);
    let tracker = shared.tracker.clone();
    tracker.spawn(async move {
        let watching = PolicyWatch { shared, identity, inbound, sender: sender.clone() };
        if let Err(status) = watching.run().await {
            // A client that has gone hears nothing.
            let _gone = sender.send(Err(status)).await;
        }
    });
    ReceiverStream::new(receiver)
}

struct PolicyWatch {
    shared: Shared,
    /// What the transport vouches for.
    identity: String,
    inbound: Streaming<v1::WatchPolicyRequest>,
    sender: Sender<v1::WatchPolicyResponse>,
}

impl PolicyWatch {
    async fn run(mut self) -> Result<(), Status> {
        let start = tokio::time::timeout(START_WITHIN, self.hear()).await;
        let start = start.map_err(|_| Status::deadline_exceeded("say what you run on"))??;
        let Some(WatchMessage::Start { proxy, version }) = start else {
            return Err(Status::invalid_argument("a watch begins with `start`"));
        };
        tracing::info!(proxy, identity = self.identity, version, "a proxy watches the policy");
        let mut policies = self.shared.in_force.watch();
        let stopped = self.shared.stopped.clone();
        let mut sent = version;
        loop {
            let current = policies.borrow_and_update().clone();
            if let Some(policy) = current.filter(|current| current.published.version != sent) {
                sent.clone_from(&policy.published.version);
                if self.send(&policy).await.is_err() {
                    return Ok(());
                }
            }
            tokio::select! {
                () = stopped.cancelled() => return Err(shutting_down()),
                changed = policies.changed() => if changed.is_err() { return Ok(()) },
                heard = self.hear() => match heard? {
                    Some(message) => log(&proxy, &self.identity, message)?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn hear(&mut self) -> Result<Option<WatchMessage>, Status> {
        let message = self.inbound.message().await?;
        Ok(message.map(WatchMessage::from_proto).transpose()?)
    }

    async fn send(&self, current: &Arc<Current>) -> Result<(), mpsc::error::SendError<()>> {
        let policy: PublishedPolicy = current.published.clone();
        let response = v1::WatchPolicyResponse { policy: Some(policy.into_proto()) };
        self.sender.send(Ok(response)).await.map_err(|_| mpsc::error::SendError(()))
    }
}

fn log(proxy: &str, identity: &str, message: WatchMessage) -> Result<(), Status> {
    match message {
        WatchMessage::Ack { version } => tracing::info!(proxy, identity, version, "a policy is in force"),
        WatchMessage::Nack { version, reason } => {
            tracing::warn!(
                proxy,
                identity,
                version,
                reason,
                "a proxy can't load a policy and stays on the one before"
            );
        }
        WatchMessage::Start { .. } => return Err(Status::invalid_argument("`start` comes once")),
    }
    Ok(())
}

/// An approval, and again at every change until the last.
pub(super) fn approval(
    shared: Shared,
    id: String,
) -> ReceiverStream<Result<v1::WatchApprovalResponse, Status>> {
    let (sender, receiver) = mpsc::channel(1);
    let tracker = shared.tracker.clone();
    tracker.spawn(async move {
        if let Err(status) = watch_approval(&shared, &id, &sender).await {
            // A client that has gone hears nothing.
            let _gone = sender.send(Err(status)).await;
        }
    });
    ReceiverStream::new(receiver)
}

async fn watch_approval(
    shared: &Shared,
    id: &str,
    sender: &Sender<v1::WatchApprovalResponse>,
) -> Result<(), Status> {
    // Before the first look, so that no change falls between.
    let mut changes = shared.approvals.subscribe();
    let mut last: Option<Approval> = None;
    loop {
        let now = Timestamp::now();
        let approval = shared.store.approval(id, now).await?;
        let (ended, left) = (approval.state().is_final(), until(&approval, now));
        if last.as_ref() != Some(&approval) {
            let response = convert::approval(approval.clone(), &shared.links);
            let response = v1::WatchApprovalResponse { approval: Some(response) };
            if sender.send(Ok(response)).await.is_err() {
                return Ok(());
            }
            last = Some(approval);
        }
        if ended {
            return Ok(());
        }
        tokio::select! {
            () = shared.stopped.cancelled() => return Err(shutting_down()),
            () = sender.closed() => return Ok(()),
            () = tokio::time::sleep(left) => {}
            () = changed(&mut changes, id) => {}
        }
    }
}

/// How long until an approval expires; a little more, so that it has when it is looked at.
fn until(approval: &Approval, now: Timestamp) -> Duration {
    let left = approval.expires.duration_since(now).try_into().unwrap_or(Duration::ZERO);
    left + Duration::from_millis(1)
}

/// Waits for a change of this approval, or of one that might have been it.
async fn changed(changes: &mut tokio::sync::broadcast::Receiver<Arc<str>>, id: &str) {
    loop {
        match changes.recv().await {
            Ok(changed) if *changed == *id => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
