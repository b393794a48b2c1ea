//! Hold: keeps the client while people decide, in the way of its protocol.
//!
//! Below the decision that asks for people, above the forwarding that needs their answer. The request is
//! durable before anybody is asked, so that an approver sees from the recording what would go upstream.

use std::{sync::Arc, time::Duration};

use super::{Decided, Permitted, Understood, decide};
use crate::{
    approval::{ApprovalError, Approvals, Ask, Ticket, TicketState},
    body::{self, Body, FrameSender},
    exchange::Exchange,
    protocol::{HeldStream, HoldStyle},
    refusal::{Refusal, RefusalKind},
    step::{Next, Step},
    verdict::{Hold as Held, OnDisconnect, Permit, Verdict},
};
use bytes::Bytes;
use http::Response;
use http_body::Frame;
use http_body_util::BodyExt as _;
use lockgate_recording::Outcome;

/// The layer.
pub struct Hold {
    /// Who is asked.
    pub approvals: Arc<dyn Approvals>,
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
        let held = match verdict {
            Verdict::Permit(permit) => return next.run(Permitted { permit, asked }).await,
            Verdict::Denial(denial) => {
                return Err(decide::refuse(RefusalKind::Denied, denial.grounds()));
            }
            Verdict::Hold(held) => held,
        };
        let exchange = asked.exchange.clone();
        let ticket = self.ask(question(&held, &asked), &exchange).await?;
        let waiting = Waiting { approvals: Arc::clone(&self.approvals), held, ticket, asked };
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
}

impl Hold {
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
    approvals: Arc<dyn Approvals>,
    held: Held,
    ticket: Ticket,
    asked: Understood,
}

impl Waiting {
    /// Waits for the decision, and uses it.
    async fn wait(self, limit: Duration) -> Result<Permitted, Refusal> {
        let decided = tokio::time::timeout(limit, self.approvals.decided(&self.ticket.id)).await;
        match decided {
            Ok(state) => self.settle(state?).await,
            Err(_) => Err(self.approval_needed()),
        }
    }

    /// Turns a decision into a permit or a refusal.
    async fn settle(self, state: TicketState) -> Result<Permitted, Refusal> {
        let exchange = &self.asked.exchange;
        match state {
            TicketState::Approved { .. } => {
                let granted = self.approvals.redeem(&self.ticket.id, &exchange.id().to_string()).await?;
                exchange.approval(&granted.id, "used", &granted.by).await?;
                let permit: Permit = self.held.release(granted);
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
        decide::refuse(RefusalKind::ApprovalNeeded, self.held.grounds()).with_url(&self.ticket.url)
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

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use tower::{Layer as _, ServiceExt as _};

    use super::*;
    use crate::{
        step::StepLayer,
        testing::{self, People, Rig},
    };

    /// Sends a request for `path`, decided by the test policy, to the layer over a service that answers
    /// `done`.
    async fn call(rig: &Rig, people: &Arc<People>, path: &str, style: fn() -> HoldStyle) -> Answer {
        let mut asked = rig.asked(testing::post(path, "")).await;
        asked.dialect = Arc::new(testing::ToyDialect { hold: style });
        let policy = testing::policy().current().unwrap();
        let verdict = policy.judge(&asked.caller.principal, "box", &asked.accesses);
        let service = tower::service_fn(async |permitted: Permitted| {
            assert_eq!(permitted.permit.grounds().accesses.len(), 1);
            Ok(testing::text(StatusCode::OK, "done"))
        });
        let service = StepLayer::new(Hold { approvals: people.clone() }).layer(service);
        service.oneshot(Decided { verdict, asked }).await
    }

    type Answer = Result<Response<Body>, Refusal>;

    fn stream() -> HoldStyle {
        HoldStyle::Stream(Box::new(testing::ToyStream))
    }

    async fn text(answer: Answer) -> String {
        testing::read(answer.unwrap().into_body()).await
    }

    #[tokio::test]
    async fn what_is_permitted_asks_nobody() {
        let (rig, people) = (Rig::new().await, Arc::new(People::default()));
        assert_eq!(text(call(&rig, &people, "/open", stream).await).await, "done");
        assert!(people.asked.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_approval_given_before_is_used_once() {
        let (rig, people) = (Rig::new().await, People::saying(TicketState::Approved { by: Vec::new() }));
        assert_eq!(text(call(&rig, &people, "/held", stream).await).await, "done");
        assert_eq!(*people.redeemed.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_person_may_say_no() {
        let denied = TicketState::Denied { by: "ada".into(), reason: "not today".into() };
        let (rig, people) = (Rig::new().await, People::saying(denied));
        let refusal = call(&rig, &people, "/held", stream).await.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::ApprovalDenied);
        assert_eq!(refusal.reason, "refused by ada: not today");
        assert_eq!(*people.redeemed.lock().unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_kept_alive_until_the_answer() {
        let (rig, people) = (Rig::new().await, Arc::new(People::default()));
        let mut body = call(&rig, &people, "/held", stream).await.unwrap().into_body();
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            seen.push(String::from_utf8(data.to_vec()).unwrap());
            if seen.iter().filter(|text| *text == ".").count() == 3 {
                people.approve();
            }
        }
        assert_eq!(seen.first().map(String::as_str), Some("[wait http://approve/a1]"));
        assert_eq!(seen.last().map(String::as_str), Some("done"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_the_place_to_approve() {
        let (rig, people) = (Rig::new().await, Arc::new(People::default()));
        let text = text(call(&rig, &people, "/held", stream).await).await;
        assert!(text.starts_with("[wait http://approve/a1].."), "{text}");
        assert!(text.contains("[no: "), "{text}");
        assert_eq!(*people.redeemed.lock().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_client_that_goes_takes_its_request_along() {
        let (rig, people) = (Rig::new().await, Arc::new(People::default()));
        let mut body = call(&rig, &people, "/held", stream).await.unwrap().into_body();
        body.frame().await.unwrap().unwrap();
        drop(body);
        people.approve();
        let (_, entry) = rig.finish().await;
        assert_eq!((entry.outcome.as_str(), entry.approval.as_deref()), ("client gone", Some("a1")));
        assert_eq!(*people.redeemed.lock().unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_can_only_wait_waits_so_long() {
        let (rig, people) = (Rig::new().await, Arc::new(People::default()));
        let wait = || HoldStyle::Wait(Duration::from_secs(25));
        let began = tokio::time::Instant::now();
        let refusal = call(&rig, &people, "/held", wait).await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), 25);
        assert_eq!(refusal.kind, RefusalKind::ApprovalNeeded);
        assert_eq!(refusal.url.as_deref(), Some("http://approve/a1"));
    }

    #[tokio::test]
    async fn a_client_that_comes_back_by_itself_is_told_at_once() {
        let (rig, people) = (Rig::new().await, Arc::new(People::default()));
        let refusal = call(&rig, &people, "/held", || HoldStyle::Retry).await.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::ApprovalNeeded);
    }

    #[tokio::test]
    async fn nobody_to_ask_is_never_a_pass() {
        struct Nobody;
        impl Approvals for Nobody {
            fn ask(&self, _: Ask) -> futures::future::BoxFuture<'_, Result<Ticket, ApprovalError>> {
                let error = Arc::new(std::io::Error::other("away"));
                Box::pin(async { Err(ApprovalError::Unavailable(error)) })
            }
            fn decided<'a>(
                &'a self,
                _: &'a str,
            ) -> futures::future::BoxFuture<'a, Result<TicketState, ApprovalError>> {
                unreachable!("nothing was asked")
            }
            fn redeem<'a>(
                &'a self,
                _: &'a str,
                _: &'a str,
            ) -> futures::future::BoxFuture<'a, Result<crate::approval::Granted, ApprovalError>> {
                unreachable!("nothing was asked")
            }
        }
        let rig = Rig::new().await;
        let asked = rig.asked(testing::post("/held", "")).await;
        let verdict =
            testing::policy().current().unwrap().judge(&asked.caller.principal, "box", &asked.accesses);
        let below = tower::service_fn(async |_: Permitted| -> Answer { panic!("it was forwarded") });
        let service = StepLayer::new(Hold { approvals: Arc::new(Nobody) }).layer(below);
        let refusal = service.oneshot(Decided { verdict, asked }).await.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::PolicyUnavailable);
    }
}
