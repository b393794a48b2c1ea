//! A proxy's side of the control plane: asks for approvals, hands over index entries, follows the policy.
//!
//! While the control plane is away, an approval can't be had (never a pass), entries wait in a bounded queue,
//! and the last good policy stays in force.

mod backlog;
mod backoff;
mod index;
mod last_good;
mod policy;

use std::{path::Path, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use lockgate_core::{
    approval::{ApprovalError, Approvals, Ask, Granted, Ticket, TicketState},
    index::{Entry, Index},
};
use lockgate_proto::v1::{self, approval_service_client::ApprovalServiceClient};
use tonic::transport::Channel;

use self::{backlog::Backlog, backoff::Backoff, index::Queue};
use crate::{
    call::CallError,
    convert::{self, FromProto, IntoProto},
    model::Approval,
    transport::MAX_ANSWER,
};

pub(crate) use index::cut;
pub use policy::PolicyWatch;

/// How long one question may take, tries included.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often a question is put that could not be delivered.
const TRIES: usize = 3;

/// A proxy's connection to its control plane. Clones share it.
#[derive(Debug, Clone)]
pub struct ControlClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    proxy: String,
    channel: Channel,
    index: Queue,
}

impl ControlClient {
    /// A client of the proxy of that name. Must be called within a runtime, on which entries are sent.
    pub fn new(channel: Channel, proxy: impl Into<String>) -> Self {
        Self::with_queue(channel, proxy, None)
    }

    /// As [`ControlClient::new`], and index entries that can't be sent are kept in `folder` for the next start.
    pub fn keeping(channel: Channel, proxy: impl Into<String>, folder: &Path) -> Self {
        Self::with_queue(channel, proxy, Some(Backlog::new(folder)))
    }

    fn with_queue(channel: Channel, proxy: impl Into<String>, backlog: Option<Backlog>) -> Self {
        let index = Queue::new(channel.clone(), backlog);
        Self(Arc::new(Inner { proxy: proxy.into(), channel, index }))
    }

    /// How many index entries were given up because the control plane was away too long.
    pub fn dropped_entries(&self) -> u64 {
        self.0.index.dropped()
    }

    /// Sends what is still waiting; says whether all of it went out in time. The rest is kept for the next start, where
    /// there is a place for it.
    pub async fn flush(&self, within: Duration) -> bool {
        self.0.index.flush(within).await
    }

    fn approvals(&self) -> ApprovalServiceClient<Channel> {
        ApprovalServiceClient::new(self.0.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    async fn request(&self, ask: Ask) -> Result<Ticket, CallError> {
        let request = v1::RequestApprovalRequest { request: Some(ask.into_proto()) };
        let answer = insist(|| {
            let (mut client, request) = (self.approvals(), request.clone());
            async move { client.request_approval(request).await }
        });
        let approval = answer.await?.approval;
        Ok(convert::ticket(convert::present(approval, "approval")?)?)
    }

    async fn use_up(&self, id: &str, exchange: &str) -> Result<Granted, CallError> {
        let request = v1::RedeemApprovalRequest { id: id.to_owned(), exchange: exchange.to_owned() };
        let answer = insist(|| {
            let (mut client, request) = (self.approvals(), request.clone());
            async move { client.redeem_approval(request).await }
        });
        let approval = convert::inner::<_, Approval>(answer.await?.approval, "approval")?;
        Ok(Granted { by: approval.approvers(), id: approval.id })
    }

    /// Follows an approval until it is decided, across every interruption.
    async fn follow(&self, id: &str) -> Result<TicketState, CallError> {
        let mut backoff = Backoff::new();
        loop {
            match self.follow_once(id, &mut backoff).await {
                Ok(Some(state)) => return Ok(state),
                // It ended before its time, as when the control plane restarts.
                Ok(None) => {}
                Err(error) if error.is_transient() => {
                    tracing::debug!(approval = id, %error, "the control plane is away while people decide");
                }
                Err(error) => return Err(error),
            }
            backoff.wait().await;
        }
    }

    async fn follow_once(&self, id: &str, backoff: &mut Backoff) -> Result<Option<TicketState>, CallError> {
        let request = v1::WatchApprovalRequest { id: id.to_owned() };
        let mut states = self.approvals().watch_approval(request).await?.into_inner();
        while let Some(message) = states.message().await? {
            backoff.reset();
            let approval = Approval::from_proto(convert::present(message.approval, "approval")?)?;
            if approval.state != TicketState::Pending {
                return Ok(Some(approval.state));
            }
        }
        Ok(None)
    }
}

impl Approvals for ControlClient {
    fn ask(&self, ask: Ask) -> BoxFuture<'_, Result<Ticket, ApprovalError>> {
        async move { self.request(ask).await.map_err(unavailable) }.boxed()
    }

    fn decided<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<TicketState, ApprovalError>> {
        async move { self.follow(id).await.map_err(|error| not_usable(id, error)) }.boxed()
    }

    fn redeem<'a>(&'a self, id: &'a str, exchange: &'a str) -> BoxFuture<'a, Result<Granted, ApprovalError>> {
        async move { self.use_up(id, exchange).await.map_err(|error| not_usable(id, error)) }.boxed()
    }
}

impl Index for ControlClient {
    fn put(&self, entry: Entry) {
        self.0.index.put(entry);
    }
}

fn unavailable(error: CallError) -> ApprovalError {
    ApprovalError::Unavailable(Arc::new(error))
}

/// An error about one approval: it is gone or used, or we do not know.
fn not_usable(id: &str, error: CallError) -> ApprovalError {
    match error {
        CallError::NotFound(_) | CallError::NotNow(_) => ApprovalError::NotUsable(id.to_owned()),
        error @ (CallError::Unavailable(_)
        | CallError::Unauthenticated(_)
        | CallError::Forbidden(_)
        | CallError::Invalid(_)
        | CallError::Policy(_)
        | CallError::Answer(_)
        | CallError::Failed(_)) => unavailable(error),
    }
}

/// Puts a question again that could not be delivered. Only for questions that may arrive twice.
async fn insist<T, F>(mut question: impl FnMut() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
{
    let tries = async {
        let mut backoff = Backoff::new();
        for _ in 1..TRIES {
            match question().await.map_err(CallError::from) {
                Err(error) if error.is_transient() => backoff.wait().await,
                result => return result.map(tonic::Response::into_inner),
            }
        }
        Ok(question().await?.into_inner())
    };
    let late = |_| CallError::Unavailable("it does not answer in time".to_owned());
    tokio::time::timeout(ANSWER_WITHIN, tries).await.map_err(late)?
}
