//! Record: opens the exchange and tees every byte in both directions, as the client sees them.
//!
//! Above everything that may answer or rewrite, so that what is masked below never enters the recording.
//! The end of a response is withheld until the whole of it is durable. A request that was understood as a
//! change goes on to its end once it is on its way, also when the client is gone; any other ends with it.

use std::{convert::Infallible, sync::Arc, time::Duration};

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
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use lockgate_recording::Outcome;

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

#[cfg(test)]
mod tests {
    use std::future::Future;

    use http::StatusCode;
    use tower::{Layer as _, ServiceExt as _};

    use super::*;
    use crate::{
        step::StepLayer,
        testing::{self, Rig},
        upstream::Auth,
    };

    fn input(request: Request<Body>) -> Authenticated {
        let target = testing::target(Auth::Oidc);
        Authenticated { target, caller: testing::caller(), passthrough: None, request }
    }

    fn layer(rig: &Rig) -> StepLayer<Record> {
        let (client_idle, orphan) = (Duration::from_mins(1), Duration::from_mins(1));
        let policy = PolicyHandle::default();
        StepLayer::new(Record { evidence: rig.evidence.clone(), policy, client_idle, orphan })
    }

    /// Sends a request through the layer onto `below`.
    async fn call<F>(
        rig: &Rig,
        request: Request<Body>,
        below: impl Fn(Recorded) -> F + Clone + Send + 'static,
    ) -> Response<Body>
    where
        F: Future<Output = Rendered> + Send + 'static,
    {
        let service = layer(rig).layer(tower::service_fn(below));
        service.oneshot(input(request)).await.unwrap()
    }

    /// Reads the request and says what it was.
    async fn echo(mut recorded: Recorded) -> Rendered {
        let body = std::mem::replace(recorded.request.body_mut(), body::empty());
        let text = testing::read(body).await;
        Ok(testing::text(StatusCode::OK, &format!("got {text}")))
    }

    #[tokio::test]
    async fn records_both_directions_whole() {
        let rig = Rig::new().await;
        let response = call(&rig, testing::post("/x", "hello"), echo).await;
        assert_eq!(testing::read(response.into_body()).await, "got hello");
        let (events, entry) = rig.finish().await;
        assert_eq!(testing::response_bytes(&events), "got hello");
        assert_eq!((entry.outcome.as_str(), entry.status), ("complete", 200));
        assert_eq!((entry.bytes_in, entry.bytes_out), (5, 9));
        assert_eq!(entry.bundles.len(), 1);
    }

    #[tokio::test]
    async fn a_response_that_is_not_read_to_its_end_is_not_complete() {
        let rig = Rig::new().await;
        drop(call(&rig, testing::get("/x"), echo).await);
        assert_eq!(rig.finish().await.1.outcome, "client gone");
    }

    #[tokio::test]
    async fn refuses_without_a_place_to_record() {
        let rig = Rig::new().await;
        rig.evidence.recorder.close().await.unwrap();
        let response = call(&rig, testing::get("/x"), async |_| panic!("it was forwarded")).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn a_panic_below_is_our_fault_and_is_recorded() {
        let rig = Rig::new().await;
        let response = call(&rig, testing::get("/x"), async |_| panic!("a defect")).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        testing::read(response.into_body()).await;
        assert_eq!(rig.finish().await.1.outcome, "failed: internal");
    }

    #[tokio::test]
    async fn a_read_ends_with_its_client() {
        let rig = Rig::new().await;
        let (started, begun) = tokio::sync::oneshot::channel::<()>();
        let (finished, dropped) = tokio::sync::oneshot::channel::<()>();
        let shared = Arc::new(std::sync::Mutex::new(Some((started, finished))));
        let below = move |_| {
            let (started, finished) = shared.lock().unwrap().take().unwrap();
            async move {
                let _finished = finished;
                started.send(()).unwrap();
                std::future::pending::<Rendered>().await
            }
        };
        let client = call(&rig, testing::get("/x"), below);
        tokio::select! {
            _ = client => panic!("answered"),
            begun = begun => begun.unwrap(),
        }
        // The client has gone; the work below is dropped with its sender.
        dropped.await.unwrap_err();
        assert_eq!(rig.finish().await.1.outcome, "client gone");
    }

    #[tokio::test]
    async fn a_change_under_way_goes_on_without_its_client() {
        let rig = Rig::new().await;
        let (sender, frames) = body::channel();
        let shared = Arc::new(std::sync::Mutex::new(Some(frames)));
        let below = move |recorded: Recorded| {
            let frames = shared.lock().unwrap().take().unwrap();
            async move {
                let accesses = [testing::access(&recorded.request)];
                recorded.exchange.accesses(&testing::SCHEMA, &accesses).await.unwrap();
                recorded.exchange.detach();
                Ok(Response::new(frames))
            }
        };
        let response = call(&rig, testing::post("/x", ""), below).await;
        drop(response);
        for text in ["one", "two"] {
            sender.send(Ok(Frame::data(Bytes::from(text)))).await.expect("still read");
        }
        drop(sender);
        let (events, entry) = rig.finish().await;
        assert_eq!(testing::response_bytes(&events), "onetwo");
        assert_eq!(entry.outcome, "client gone");
    }

    #[tokio::test(start_paused = true)]
    async fn gives_up_a_client_that_stops_sending() {
        let rig = Rig::new().await;
        let (_sender, silent) = body::channel();
        let below = async |mut recorded: Recorded| {
            let frame = recorded.request.body_mut().frame().await;
            assert!(matches!(frame, Some(Err(BodyError::Client(_)))), "{frame:?}");
            Ok(testing::text(StatusCode::REQUEST_TIMEOUT, ""))
        };
        let response = call(&rig, Request::post("/x").body(silent).unwrap(), below).await;
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
