//! Hold: keeps the client while people decide, in the way of its protocol.
//!
//! Below the decision that asks for people, above the forwarding that needs their answer. The request is
//! durable before anybody is asked, so that an approver sees from the recording what would go upstream.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use super::{Decided, Permitted, Understood, classify::Prober, decide};
use crate::{
    approval::{ApprovalError, Approvals, Ask, Ticket, TicketState},
    body::{self, Body, FrameSender},
    exchange::Exchange,
    policy::PolicyHandle,
    protocol::{Context, HeldStream, HoldStyle},
    refusal::{Refusal, RefusalKind},
    spool::Spools,
    step::{Next, Step},
    verdict::{Hold as Held, OnDisconnect, Permit, Verdict},
};
use bytes::Bytes;
use http::Response;
use http_body::Frame;
use http_body_util::BodyExt as _;
use lockgate_recording::Outcome;
use tokio_util::sync::CancellationToken;

/// The kind of the recorded note that holds what approvers are shown of the content.
pub const SHOWN: &str = "shown";

/// The layer.
pub struct Hold {
    /// Who is asked.
    pub approvals: Arc<dyn Approvals>,
    /// The policy in force, which may be another one by the time people have answered.
    pub policy: PolicyHandle,
    /// Says that the gateway ends: nobody is kept waiting any longer.
    pub ending: CancellationToken,
    /// Where what has to be asked of an upstream, to show what is held, is kept.
    pub spools: Spools,
}

impl From<ApprovalError> for Refusal {
    fn from(error: ApprovalError) -> Self {
        let refusal = match &error {
            ApprovalError::Unavailable(_) => {
                let reason = "an approval is needed, and nobody can be asked for it now";
                Self::new(RefusalKind::PolicyUnavailable, reason)
            }
            ApprovalError::NotUsable(_) => {
                let reason = "the approval has been used or has expired; try again to ask for a new one";
                Self::new(RefusalKind::ApprovalNeeded, reason)
            }
        };
        refusal.because(&error)
    }
}

impl Step<Decided> for Hold {
    type Out = Permitted;
    type Error = Refusal;
    type Below = Refusal;

    async fn run(
        self: Arc<Self>,
        decided: Decided,
        next: Next<Permitted, Refusal>,
    ) -> Result<Response<Body>, Refusal> {
        let Decided { verdict, asked } = decided;
        match verdict {
            Verdict::Permit(permit) => next.run(Permitted { permit, asked }).await,
            Verdict::Denial(denial) => Err(decide::refuse(RefusalKind::Denied, denial.grounds())),
            // In a box, that those who wait for nobody have no room for it.
            Verdict::Hold(held) => Box::pin(self.hold(held, asked, next)).await,
        }
    }
}

impl Hold {
    /// Keeps the client until people have decided.
    async fn hold(
        self: Arc<Self>,
        held: Held,
        asked: Understood,
        next: Next<Permitted, Refusal>,
    ) -> Result<Response<Body>, Refusal> {
        // An upstream does not wait for people: it is sent anew when they have agreed.
        let asked = Understood { begun: None, ..asked };
        let exchange = asked.exchange.clone();
        let dialect = Arc::clone(&asked.dialect);
        let (target, passthrough) = (Arc::clone(&asked.target), asked.passthrough.clone());
        let probe = Prober { target: &target, passthrough };
        let (upstream, caller, needs) = (&target.upstream, asked.caller.clone(), asked.needs.clone());
        let context = Context {
            upstream,
            principal: &caller.principal,
            session: &caller.session,
            exchange: exchange.id(),
            recorded: None,
            spools: &self.spools,
            probe: &probe,
            early: None,
            needs: &needs,
        };
        if let Some(text) = dialect.show(context).await {
            exchange.note(SHOWN, text).await?;
        }
        let ticket = self.ask(question(&held, &asked), &exchange).await?;
        let waiting = Waiting { layer: Arc::clone(&self), held, ticket, asked };
        if waiting.ticket.state != TicketState::Pending {
            let state = waiting.ticket.state.clone();
            let permitted = waiting.settle(state).await?;
            return next.run(permitted).await;
        }
        if waiting.held.terms().on_disconnect == OnDisconnect::Continue {
            waiting.asked.exchange.detach();
        }
        match waiting.asked.dialect.hold() {
            HoldStyle::Retry => Err(waiting.approval_needed()),
            HoldStyle::Wait(longest) => {
                let limit = waiting.held.terms().hold.min(longest);
                let permitted = waiting.wait(limit).await?;
                next.run(permitted).await
            }
            HoldStyle::Stream(stream) => Ok(waiting.stream(stream, next)),
        }
    }

    async fn ask(&self, ask: Ask, exchange: &Exchange) -> Result<Ticket, Refusal> {
        exchange.durable().await?;
        let ticket = self.approvals.ask(ask).await?;
        exchange.approval(&ticket.id, word(&ticket.state), &[]).await?;
        tracing::info!(exchange = %exchange.id(), approval = ticket.id, "held");
        Ok(ticket)
    }
}

fn question(held: &Held, asked: &Understood) -> Ask {
    let upstream = asked.target.upstream.name.clone();
    Ask {
        key: Ask::key(&asked.caller, &upstream, &asked.accesses),
        caller: asked.caller.clone(),
        upstream,
        accesses: asked.accesses.clone(),
        rules: held.grounds().accesses.iter().flat_map(|ground| ground.rules.clone()).collect(),
        terms: held.terms().clone(),
        exchange: asked.exchange.id().to_string(),
    }
}

/// A request that waits for people.
struct Waiting {
    layer: Arc<Hold>,
    held: Held,
    ticket: Ticket,
    asked: Understood,
}

impl Waiting {
    /// Waits for the decision, and uses it.
    async fn wait(self, limit: Duration) -> Result<Permitted, Refusal> {
        let state = tokio::select! {
            state = self.layer.approvals.decided(&self.ticket.id) => state?,
            () = tokio::time::sleep(limit) => return Err(self.approval_needed()),
            () = self.layer.ending.cancelled() => return Err(self.approval_needed()),
        };
        self.settle(state).await
    }

    /// Turns a decision into a permit or a refusal.
    async fn settle(mut self, state: TicketState) -> Result<Permitted, Refusal> {
        let exchange = self.asked.exchange.clone();
        match state {
            TicketState::Approved { .. } => {
                // What people were asked for may be forbidden since.
                let policy = decide::in_force(&self.layer.policy)?;
                let verdict = decide::judge(&policy, &self.asked)?;
                if verdict.grounds().policy != self.held.grounds().policy {
                    exchange.verdict(&verdict).await?;
                    if !matches!(verdict, Verdict::Denial(_)) {
                        self.asked = decide::narrow(&policy, self.asked).await?;
                    }
                }
                let held = match verdict {
                    Verdict::Permit(permit) => return Ok(Permitted { permit, asked: self.asked }),
                    Verdict::Denial(denial) => {
                        return Err(decide::refuse(RefusalKind::Denied, denial.grounds()));
                    }
                    Verdict::Hold(held) => held,
                };
                if held.terms() != self.held.terms() {
                    let reason = "the policy has changed while this was decided; try again to ask anew";
                    return Err(Refusal::new(RefusalKind::ApprovalNeeded, reason));
                }
                let used_by = exchange.id().to_string();
                let granted = self.layer.approvals.redeem(&self.ticket.id, &used_by).await?;
                exchange.approval(&granted.id, "used", &granted.by).await?;
                let permit: Permit = held.release(granted);
                Ok(Permitted { permit, asked: self.asked })
            }
            TicketState::Denied { by, reason } => {
                exchange.approval(&self.ticket.id, "denied", std::slice::from_ref(&by)).await?;
                let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
                Err(Refusal::new(RefusalKind::ApprovalDenied, format!("refused by {by}{why}")))
            }
            TicketState::Pending => Err(self.approval_needed()),
            TicketState::Expired | TicketState::Used => {
                Err(ApprovalError::NotUsable(self.ticket.id.clone()).into())
            }
        }
    }

    fn approval_needed(&self) -> Refusal {
        let Ticket { url, command, .. } = &self.ticket;
        let refusal =
            decide::refuse(RefusalKind::ApprovalNeeded, self.held.grounds()).with_command(command.as_str());
        match url {
            Some(url) => refusal.with_url(url),
            None => refusal,
        }
    }

    /// Begins the response at once; signs of life until the decision, then what came of it.
    fn stream(self, held: Box<dyn HeldStream>, next: Next<Permitted, Refusal>) -> Response<Body> {
        let (head, ()) = held.head().into_parts();
        let body = body::produced(|client| async move {
            let exchange = self.asked.exchange.clone();
            let body = match self.keep_alive(&*held, &client).await {
                Some(Ok(permitted)) => match next.run(permitted).await {
                    Ok(response) => held.resume(response),
                    Err(refusal) => Err(refusal),
                },
                Some(Err(refusal)) => Err(refusal),
                None => return exchange.conclude(Outcome::ClientGone),
            };
            let mut body = body.unwrap_or_else(|refusal| {
                exchange.refused(&refusal);
                body::full(held.refuse(&refusal))
            });
            while let Some(frame) = body.frame().await {
                let failed = frame.is_err();
                if client.send(frame).await.is_err() || failed {
                    return;
                }
            }
        });
        Response::from_parts(head, body)
    }

    /// `None` when the client has gone.
    async fn keep_alive(
        self,
        held: &dyn HeldStream,
        client: &FrameSender,
    ) -> Option<Result<Permitted, Refusal>> {
        let limit = self.held.terms().hold;
        send(client, held.notice(&self.ticket, limit)).await?;
        let mut ticks = tokio::time::interval(held.interval());
        let wait = self.wait(limit);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                decided = &mut wait => return Some(decided),
                _ = ticks.tick() => send(client, held.keepalive()).await?,
            }
        }
    }
}

async fn send(client: &FrameSender, bytes: Bytes) -> Option<()> {
    client.send(Ok(Frame::data(bytes))).await.ok()
}

fn word(state: &TicketState) -> &'static str {
    match state {
        TicketState::Pending => "pending",
        TicketState::Approved { .. } => "approved",
        TicketState::Denied { .. } => "denied",
        TicketState::Expired => "expired",
        TicketState::Used => "used",
    }
}
