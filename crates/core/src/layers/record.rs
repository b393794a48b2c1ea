//! Record: opens the exchange and tees every byte in both directions, as the client sees them.
//!
//! Above everything that may answer or rewrite, so that what is masked below never enters the recording.
//! The end of a response is withheld until the whole of it is durable. A request that was understood as a
//! change goes on to its end once it is on its way, also when the client is gone; any other ends with it.

mod tee;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response, header, request};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use lockgate_recording::Outcome;
use tokio::{sync::oneshot, task::AbortHandle};

use self::tee::Tee;
use super::{Authenticated, Recorded, Target};
use crate::{
    body::{self, Body, Carrier, Drain, Place},
    exchange::{Evidence, Exchange, Unrecorded},
    policy::PolicyHandle,
    principal::{Caller, Peer},
    protocol::LongRunning,
    refusal::{Refusal, RefusalKind},
    step::{Next, Rendered, Step},
    upgrade::{self, ClientEnd},
    verdict::RecordTerms,
};

/// The layer.
pub struct Record {
    /// Where to record.
    pub evidence: Evidence,
    /// Whose defaults hold until there is a verdict.
    pub policy: PolicyHandle,
    /// How long an upstream may still answer a change after its client has gone.
    pub orphan: Duration,
}

/// What the client is sent; a refusal where that cannot be recorded.
type Answer = Result<Response<Body>, Refusal>;

impl Step<Authenticated> for Record {
    type Out = Recorded;
    type Error = Infallible;
    type Below = Infallible;

    async fn run(self: Arc<Self>, input: Authenticated, next: Next<Recorded, Infallible>) -> Rendered {
        let Authenticated { target, caller, passthrough, request } = input;
        let (head, body) = request.into_parts();
        let (client_end, head, body) = if target.protocol.upgrades(&head) {
            let (client_end, request) = ClientEnd::of(Request::from_parts(head, body));
            let (head, body) = request.into_parts();
            (Some(client_end), head, body)
        } else {
            (None, head, body)
        };
        let is_dropped = target.protocol.drops_body(&head) && !body.is_end_stream();
        let body = if is_dropped { body::dropped(body).await } else { body };
        let exchange = match self.open(&target, &caller, &head, is_dropped).await {
            Ok(exchange) => exchange,
            Err(refusal) => {
                tracing::error!(reason = refusal.reason, detail = refusal.detail, "not recorded, refused");
                return Ok(target.protocol.refuse(&head, &refusal));
            }
        };
        let request = Request::from_parts(head.clone(), tee_request(body, exchange.clone()));
        let protocol = Arc::clone(&target.protocol);
        let recorded = Recorded { target, caller, passthrough, exchange: exchange.clone(), request };
        let (client, answer) = oneshot::channel();
        let work = self.evidence.closing.spawn({
            let (record, exchange) = (Arc::clone(&self), exchange.clone());
            async move {
                let Ok(response) = next.run(recorded).await;
                record.carry(response, exchange, client).await;
            }
        });
        let (work, asked) = (work.abort_handle(), exchange.clone());
        let mut attended = Attended { work, exchange: asked, is_answered: false };
        let answer = match answer.await {
            Ok(answer) => answer,
            Err(_) => {
                let refusal = Refusal::new(RefusalKind::Internal, "the gateway failed");
                exchange.refused(&refusal);
                self.tee(protocol.refuse(&head, &refusal), &exchange).await
            }
        };
        attended.is_answered = true;
        let response = answer.unwrap_or_else(|refusal| {
            exchange.refused(&refusal);
            protocol.refuse(&head, &refusal)
        });
        match client_end {
            Some(client_end) if upgrade::is_stream(&response) => {
                let (response, stream) = client_end.join(response);
                drop(self.evidence.closing.spawn(stream));
                Ok(response)
            }
            Some(_) | None => Ok(response),
        }
    }
}

impl Record {
    async fn open(
        &self,
        target: &Target,
        caller: &Caller,
        head: &request::Parts,
        is_dropped: bool,
    ) -> Result<Exchange, Refusal> {
        let policy = self.policy.current();
        let terms = policy.map_or_else(RecordTerms::default, |policy| policy.record_terms_before_verdict());
        let peer = head.extensions.get::<Peer>().copied();
        let exchange = Exchange::begin(&self.evidence, terms, caller, &target.upstream, peer).await?;
        exchange.request_head(head, target.protocol.request_headers()).await?;
        if is_dropped {
            exchange.note("body-dropped", "the request's body was not looked at, and is not here").await?;
        }
        Ok(exchange)
    }

    /// Carries an answer to the client; the answer to a change to the recording alone, when nobody is there
    /// to take it.
    async fn carry(&self, response: Response<Body>, exchange: Exchange, client: oneshot::Sender<Answer>) {
        let answer = self.tee(response, &exchange).await;
        let response = match answer {
            Ok(response) if exchange.mutates() => response,
            answer => return drop(client.send(answer)),
        };
        let (head, body) = response.into_parts();
        let (sender, frames) = body::carried(body.size_hint());
        drop(client.send(Ok(Response::from_parts(head, frames))));
        pump(body, sender, exchange, self.orphan).await;
    }

    async fn tee(&self, response: Response<Body>, exchange: &Exchange) -> Answer {
        let may_be_silent =
            upgrade::is_stream(&response) || response.extensions().get::<LongRunning>().is_some();
        let (head, body) = response.into_parts();
        exchange.response_head(&head).await.map_err(Unrecorded::withheld)?;
        // Its length may be said by the head alone.
        let said =
            head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let length = body.size_hint().exact().or(said);
        let expected = head.extensions.get().copied();
        let mut tee = Tee::new(body, length, expected, exchange.clone());
        if tee.body.is_end_stream() {
            if let Some(wrong) = tee.end().await.map_err(Unrecorded::withheld)? {
                let reason = "the upstream's answer is not what its digest says";
                return Err(Refusal::new(RefusalKind::UpstreamInvalid, reason).because(&wrong));
            }
            exchange.conclude(Outcome::Complete);
            return Ok(Response::from_parts(head, body::empty()));
        }
        if !may_be_silent {
            tee.gather().await.map_err(Unrecorded::withheld)?;
        }
        // What was gathered whole is durable, and the request with it.
        exchange.proven().await.map_err(Unrecorded::withheld)?;
        Ok(Response::from_parts(head, tee.into_body()))
    }
}

/// The work on a request: ends with the client that waits for its answer, unless it was detached.
struct Attended {
    work: AbortHandle,
    exchange: Exchange,
    is_answered: bool,
}

impl Drop for Attended {
    fn drop(&mut self) {
        if !self.is_answered && !self.exchange.is_detached() {
            self.work.abort();
        }
    }
}

/// Tees what the client sends. Trailers end here: nobody asked for them, and they could hold anything.
fn tee_request(body: Body, exchange: Exchange) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let hint = body.size_hint();
    let frames = stream::try_unfold((body, exchange), move |(mut body, exchange)| async move {
        loop {
            let frame = body.frame().await.transpose();
            match frame.inspect_err(|_| exchange.conclude(Outcome::ClientGone))? {
                Some(frame) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if let Err(unrecorded) = exchange.request_data(data.clone()).await {
                        // It goes nowhere; the client is to hear why.
                        Drain::default().drain(&mut body).await;
                        return Err(unrecorded.into());
                    }
                    return Ok(Some((Frame::data(data), (body, exchange))));
                }
                None => {
                    exchange.request_end().await?;
                    return Ok(None);
                }
            }
        }
    });
    body::from_stream(frames, hint)
}

/// Carries the response to a change to its client, and to the recording alone when the client has gone.
async fn pump(mut body: Body, client: Carrier, exchange: Exchange, orphan: Duration) {
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = client.closed() => break,
        };
        let Some(frame) = frame else {
            exchange.conclude(Outcome::Complete);
            return client.end();
        };
        let (failed, is_piece) = (frame.is_err(), frame.as_ref().is_ok_and(is_piece));
        let place = Place::of(body.is_end_stream());
        if client.send(place, frame).await.is_err() {
            if is_piece {
                undelivered(&exchange).await;
            }
            break;
        }
        if failed {
            return;
        }
        if place == Place::Last {
            exchange.conclude(Outcome::Complete);
            return client.end();
        }
    }
    if !exchange.is_detached() {
        return exchange.conclude(Outcome::ClientGone);
    }
    exchange.leave();
    // The frames are in the recording by the tee that yields them. A client may leave when it has all that it
    // wants, and not wait for the end.
    let rest = async {
        while let Some(frame) = body.frame().await {
            match frame {
                // It may have been on its way when they left.
                Ok(frame) if is_piece(&frame) => undelivered(&exchange).await,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        exchange.conclude(Outcome::Complete);
    };
    // People may take longer than an upstream may.
    let late = async {
        exchange.on_its_way().await;
        tokio::time::sleep(orphan).await;
    };
    tokio::select! {
        () = rest => {}
        () = late => {
            undelivered(&exchange).await;
            tracing::warn!(exchange = %exchange.id(), "the upstream did not end its answer in time");
        }
    }
}

/// Whether a frame brings something of an answer. Many servers end one by a frame that holds nothing.
fn is_piece(frame: &Frame<Bytes>) -> bool {
    frame.data_ref().is_some_and(|data| !data.is_empty())
}

/// Says, once, that the client has not had all of its answer.
async fn undelivered(exchange: &Exchange) {
    if !exchange.is_concluded() {
        exchange.conclude(Outcome::ClientGone);
        // Without the note the outcome says it.
        let _ = exchange.note("client-gone", "the client has gone; what follows was not delivered").await;
    }
}
