//! Early forwarding: a request is begun upstream while it is still being read, and its end is withheld until its
//! verdict.
//!
//! Nothing goes before the policy has said that nobody can have to approve it ([`Policy::foresee`]), and before that
//! and all that goes are durable in the recording; nothing goes beyond what the protocol says no server can take for
//! a whole ([`Gate`]). With the permit goes the rest; without one the request is broken off, so that it never was one.
//! Whatever goes wrong before the permit, a request that was not completed is sent anew, as if it had not been begun.
//!
//! [`Policy::foresee`]: crate::policy::Policy::foresee

#[cfg(test)]
mod tests;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Request, Response, StatusCode, request};
use http_body::{Frame, SizeHint};
use tokio::{sync::watch, task::JoinHandle};

use super::{Target, forward};
use crate::{
    access::Outline,
    body::{self, Body, BodyError},
    client::ClientError,
    exchange::Exchange,
    policy::PolicyHandle,
    principal::Caller,
    protocol::{Early, Gate, Passage},
    refusal::{Refusal, RefusalKind},
    spool::Follower,
    upstream::Forwarding,
    verdict::{Permit, Provisional},
};

/// Begins one request, at most once.
pub(super) struct Starter<'a> {
    target: &'a Arc<Target>,
    caller: &'a Caller,
    passthrough: Option<&'a HeaderValue>,
    exchange: &'a Exchange,
    policy: &'a PolicyHandle,
    begun: Mutex<Option<Begun>>,
}

impl<'a> Starter<'a> {
    /// `None` where the upstream is sent nothing before its verdict.
    pub(super) fn new(
        target: &'a Arc<Target>,
        caller: &'a Caller,
        passthrough: Option<&'a HeaderValue>,
        exchange: &'a Exchange,
        policy: &'a PolicyHandle,
    ) -> Option<Self> {
        match target.upstream.forward {
            Forwarding::AfterVerdict => None,
            Forwarding::Early => {
                Some(Self { target, caller, passthrough, exchange, policy, begun: Mutex::default() })
            }
        }
    }

    /// The request, where it was begun.
    pub(super) fn begun(self) -> Option<Begun> {
        self.begun.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Early for Starter<'_> {
    fn begin(&self, outlines: &[Outline], head: &request::Parts, spool: Follower) -> Option<Gate> {
        let policy = self.policy.current()?;
        let upstream = &self.target.upstream.name;
        let provisional = policy.foresee(&self.caller.principal, upstream, outlines)?;
        let (gate, over) = (Gate::new(), Arc::new(AtomicBool::new(false)));
        let exchange = self.exchange.clone();
        let beginning = Beginning { spool, passage: gate.watch(), exchange, sent: 0, durable: 0, over };
        let over = Arc::clone(&beginning.over);
        let request = Request::from_parts(head.clone(), beginning.into_body());
        let (target, passthrough) = (Arc::clone(self.target), self.passthrough.cloned());
        let exchange = self.exchange.clone();
        let response = tokio::spawn(async move {
            let request = forward::prepare(&target, passthrough.as_ref(), request).await?;
            begin(&target, &exchange, provisional, request).await
        });
        let begun = Begun { gate: gate.clone(), response, over };
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
        Some(gate)
    }
}

/// Why there is no answer to a request that was begun.
enum Unanswered {
    /// It did not come so far.
    Unsent(Refusal),
    /// The upstream, or the way to it, failed.
    Failed(ClientError),
}

impl From<Refusal> for Unanswered {
    fn from(refusal: Refusal) -> Self {
        Self::Unsent(refusal)
    }
}

/// Sends the request, whose body goes no further than its gate is open. The provisional permit ends here.
async fn begin(
    target: &Target,
    exchange: &Exchange,
    provisional: Provisional,
    request: Request<Body>,
) -> Result<Response<Body>, Unanswered> {
    exchange.begun(&provisional).await.map_err(Refusal::from)?;
    tracing::debug!(exchange = %exchange.id(), "begun upstream before the verdict");
    target.client.send(request).await.map_err(Unanswered::Failed)
}

/// A request that was begun upstream. Dropped, it is broken off there.
pub struct Begun {
    gate: Gate,
    response: JoinHandle<Result<Response<Body>, Unanswered>>,
    /// Whether anything went that was permitted only now.
    over: Arc<AtomicBool>,
}

impl Begun {
    /// Sends the rest. `None` where the upstream can't have had the whole, which has to be sent anew then: it broke
    /// off before, or has answered what it had of it otherwise than servers do that read on.
    ///
    /// # Errors
    /// As a request that was sent and failed.
    pub(super) async fn complete(mut self, _: Permit) -> Result<Option<Response<Body>>, Refusal> {
        let was_answered = self.response.is_finished();
        if !was_answered {
            self.gate.set(Passage::Whole);
        }
        let answer = match (&mut self.response).await {
            Ok(answer) => answer,
            Err(error) => {
                let refusal = Refusal::new(RefusalKind::Internal, "the request failed on its way");
                return Err(refusal.because(&error));
            }
        };
        match answer {
            Ok(response) if !was_answered || response.status() == StatusCode::OK => {
                self.gate.set(Passage::Whole);
                Ok(Some(response))
            }
            Err(Unanswered::Failed(error)) if self.over.load(Ordering::Acquire) => Err(error.into()),
            Ok(_) => Ok(None),
            Err(Unanswered::Unsent(refusal)) => {
                tracing::info!(
                    reason = refusal.reason,
                    detail = refusal.detail,
                    "not begun early, sent anew"
                );
                Ok(None)
            }
            Err(Unanswered::Failed(error)) => {
                tracing::info!(%error, "what was begun early broke off, and is sent anew");
                Ok(None)
            }
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.response.is_finished() {
            self.gate.set(Passage::Closed);
            self.response.abort();
        }
    }
}

/// The body of a request that was begun: as much of its spool as may go, once that is durable.
struct Beginning {
    spool: Follower,
    passage: watch::Receiver<Passage>,
    exchange: Exchange,
    sent: u64,
    /// Bytes that were recorded when the recording was last made durable.
    durable: u64,
    over: Arc<AtomicBool>,
}

impl Beginning {
    /// Of no length that is said: a server that was promised more than it gets may wait for it (`git http-backend`
    /// does, for ever and as fast as it can).
    fn into_body(self) -> Body {
        let frames = stream::try_unfold(self, async |mut beginning| {
            Ok(beginning.next().await?.map(|bytes| (Frame::data(bytes), beginning)))
        });
        body::from_stream(frames, SizeHint::default())
    }

    /// The next bytes; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let ours = |error: &'static str| BodyError::Ours(error.into());
        loop {
            let passage = *self.passage.borrow_and_update();
            let until = match passage {
                Passage::Until(until) if until <= self.sent => {
                    self.passage.changed().await.map_err(|_| ours("the request was given up"))?;
                    continue;
                }
                Passage::Until(until) => until,
                Passage::Whole => u64::MAX,
                Passage::Closed => return Err(ours("the request is refused")),
            };
            let until = self.spool.beyond(self.sent).await.min(until);
            if until == self.sent {
                return match passage {
                    Passage::Whole => Ok(None),
                    Passage::Until(_) | Passage::Closed => Err(ours("the request broke off")),
                };
            }
            // What is in the spool was recorded before it came there.
            if self.durable <= self.sent {
                self.exchange.durable().await?;
                self.durable = until;
            }
            if passage == Passage::Whole {
                self.over.store(true, Ordering::Release);
            }
            let read = self.spool.read(self.sent, until.min(self.durable)).await;
            let bytes = read.map_err(|error| BodyError::Ours(error.into()))?;
            self.sent += bytes.len() as u64;
            return Ok(Some(bytes));
        }
    }
}
