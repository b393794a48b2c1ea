//! Record: opens the exchange and tees every byte in both directions, as the client sees them.
//!
//! Above everything that may answer or rewrite, so that what is masked below never enters the recording.
//! The end of a response is withheld until the whole of it is durable. A request that was understood as a
//! change goes on to its end once it is on its way, also when the client is gone; any other ends with it.

#[cfg(test)]
mod tests;

use std::{convert::Infallible, sync::Arc, time::Duration};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use lockgate_recording::Outcome;

use super::{Authenticated, Recorded};
use crate::{
    body::{self, Body, BodyError, FrameSender},
    exchange::{Evidence, Exchange},
    policy::PolicyHandle,
    principal::Peer,
    refusal::{Refusal, RefusalKind},
    step::{Next, Rendered, Step},
    verdict::{Payload, RecordTerms},
};

/// The layer.
pub struct Record {
    /// Where to record.
    pub evidence: Evidence,
    /// Whose defaults hold until there is a verdict.
    pub policy: PolicyHandle,
    /// A client that sends nothing for so long, while its request is read, is given up.
    pub client_idle: Duration,
    /// How long an upstream may still answer a change after its client has gone.
    pub orphan: Duration,
}

impl Step<Authenticated> for Record {
    type Out = Recorded;
    type Error = Infallible;
    type Below = Infallible;

    async fn run(self: Arc<Self>, input: Authenticated, next: Next<Recorded, Infallible>) -> Rendered {
        let Authenticated { target, caller, passthrough, request } = input;
        let (head, body) = request.into_parts();
        let exchange = match self.open(&target.upstream, &caller, &head).await {
            Ok(exchange) => exchange,
            Err(refusal) => {
                tracing::error!(reason = refusal.reason, detail = refusal.detail, "not recorded, refused");
                return Ok(target.protocol.refuse(&head, &refusal));
            }
        };
        let body = tee_request(body, exchange.clone(), self.client_idle);
        let request = Request::from_parts(head.clone(), body);
        let protocol = Arc::clone(&target.protocol);
        let recorded = Recorded { target, caller, passthrough, exchange: exchange.clone(), request };
        let work = self.evidence.closing.spawn(next.run(recorded));
        let work = Attended { work, exchange: exchange.clone() };
        let response = match work.finish().await {
            Ok(Ok(response)) => response,
            Err(error) => {
                let refusal = Refusal::new(RefusalKind::Internal, "the gateway failed").because(&error);
                exchange.refused(&refusal);
                protocol.refuse(&head, &refusal)
            }
        };
        match self.tee(response, &exchange).await {
            Ok(response) => Ok(response),
            Err(refusal) => {
                exchange.refused(&refusal);
                Ok(protocol.refuse(&head, &refusal))
            }
        }
    }
}

impl Record {
    async fn open(
        &self,
        upstream: &crate::upstream::Upstream,
        caller: &crate::principal::Caller,
        head: &http::request::Parts,
    ) -> Result<Exchange, Refusal> {
        let policy = self.policy.current();
        let terms = policy.map_or_else(RecordTerms::default, |policy| policy.record_terms_before_verdict());
        let peer = head.extensions.get::<Peer>().copied();
        let exchange = Exchange::begin(&self.evidence, terms, caller, upstream, peer).await?;
        exchange.request_head(head).await?;
        Ok(exchange)
    }

    async fn tee(&self, response: Response<Body>, exchange: &Exchange) -> Result<Response<Body>, Refusal> {
        let (head, body) = response.into_parts();
        exchange.response_head(&head).await?;
        let mut tee = Tee::new(body, exchange.clone());
        if tee.body.is_end_stream() {
            tee.end().await?;
            return Ok(Response::from_parts(head, body::empty()));
        }
        let body = tee.into_body();
        if !exchange.mutates() {
            return Ok(Response::from_parts(head, body));
        }
        let hint = body.size_hint();
        let (sender, frames) = body::channel();
        self.evidence.closing.spawn(pump(body, sender, exchange.clone(), self.orphan));
        let frames = stream::unfold(frames, async |mut body: Body| Some((body.frame().await?, body)));
        Ok(Response::from_parts(head, body::from_stream(frames, hint)))
    }
}

/// The work on a request: ends with the client that waits for it, unless it was detached.
struct Attended<T> {
    work: tokio::task::JoinHandle<T>,
    exchange: Exchange,
}

impl<T> Attended<T> {
    async fn finish(mut self) -> Result<T, tokio::task::JoinError> {
        (&mut self.work).await
    }
}

impl<T> Drop for Attended<T> {
    fn drop(&mut self) {
        if !self.exchange.is_detached() {
            self.work.abort();
        }
    }
}

fn tee_request(body: Body, exchange: Exchange, idle: Duration) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let hint = body.size_hint();
    let frames = stream::try_unfold((body, exchange), move |(mut body, exchange)| async move {
        let frame = match tokio::time::timeout(idle, body.frame()).await {
            Ok(frame) => frame.transpose(),
            Err(elapsed) => Err(BodyError::Client(elapsed.into())),
        };
        let frame = frame.inspect_err(|_| exchange.conclude(Outcome::ClientGone))?;
        match frame {
            Some(frame) => {
                if let Some(data) = frame.data_ref() {
                    exchange.request_data(data.clone()).await?;
                }
                Ok(Some((frame, (body, exchange))))
            }
            None => {
                exchange.request_end().await?;
                Ok(None)
            }
        }
    });
    body::from_stream(frames, hint)
}

/// A response's body on its way through the recording.
struct Tee {
    body: Body,
    exchange: Exchange,
    /// Bytes until the client has the whole, where the length is known.
    left: Option<u64>,
    /// Where only the digest is recorded.
    digest: Option<Context>,
    ended: bool,
}

impl Tee {
    fn new(body: Body, exchange: Exchange) -> Self {
        let left = body.size_hint().exact();
        let digest = match exchange.payload() {
            Payload::Full => None,
            Payload::Digest => Some(Context::new(&SHA256)),
        };
        Self { body, exchange, left, digest, ended: false }
    }

    fn into_body(self) -> Body {
        let hint = self.body.size_hint();
        let frames =
            stream::try_unfold(self, async |mut tee| Ok(tee.next().await?.map(|frame| (frame, tee))));
        body::from_stream(frames, hint)
    }

    async fn next(&mut self) -> Result<Option<Frame<Bytes>>, BodyError> {
        match self.body.frame().await {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.data(data.clone()).await?;
                }
                Ok(Some(frame))
            }
            Some(Err(error)) => {
                self.exchange.conclude(match &error {
                    BodyError::Client(_) => Outcome::ClientGone,
                    BodyError::Upstream(_) => Outcome::UpstreamFailed,
                    BodyError::Ours(_) => Outcome::Failed("body".into()),
                });
                Err(error)
            }
            None => {
                self.end().await?;
                Ok(None)
            }
        }
    }

    async fn data(&mut self, data: Bytes) -> Result<(), BodyError> {
        let length = data.len() as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(&data);
        }
        self.exchange.response_data(data).await?;
        // The client of a body of known length does not wait for its end: its last byte is withheld.
        self.left = self.left.map(|left| left.saturating_sub(length));
        if self.left == Some(0) {
            self.end().await?;
        }
        Ok(())
    }

    /// Everything was recorded: makes it durable, once.
    async fn end(&mut self) -> Result<(), crate::exchange::Unrecorded> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        let digest = self.digest.take().map(|digest| format!("sha256:{}", hex::encode(digest.finish())));
        self.exchange.response_end(digest).await?;
        self.exchange.durable().await?;
        self.exchange.conclude(Outcome::Complete);
        Ok(())
    }
}

/// Carries the response to a change to its client, and to the recording alone when the client has gone.
async fn pump(mut body: Body, client: FrameSender, exchange: Exchange, orphan: Duration) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = client.closed() => break,
        };
        let Some(frame) = frame else { return };
        let failed = frame.is_err();
        if client.send(frame).await.is_err() {
            break;
        }
        if failed {
            return;
        }
    }
    exchange.conclude(Outcome::ClientGone);
    if !exchange.is_detached() {
        return;
    }
    let gone = "the client has gone; what follows was not delivered";
    if exchange.note("client-gone", gone).await.is_ok() {
        // The frames are in the recording by the tee that yields them.
        let rest = async { while let Some(Ok(_)) = body.frame().await {} };
        if tokio::time::timeout(orphan, rest).await.is_err() {
            tracing::warn!(exchange = %exchange.id(), "the upstream did not end its answer in time");
        }
    }
}
