//! Requests held in every style, by people who answer, refuse, or are away.

use http::StatusCode;
use lockgate_recording::{Event, What};
use tower::{Layer as _, ServiceExt as _};

use super::*;
use crate::{
    step::StepLayer,
    testing::{self, People, Rig},
};

fn layer(approvals: Arc<dyn Approvals>, policy: PolicyHandle) -> Hold {
    Hold { approvals, policy, ending: CancellationToken::new(), spools: testing::spools() }
}

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
    let service = StepLayer::new(layer(people.clone(), testing::policy())).layer(service);
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
async fn what_people_are_shown_is_recorded_before_they_are_asked() {
    let (rig, people) = (Rig::new().await, Arc::new(People::default()));
    call(&rig, &people, "/held", || HoldStyle::Retry).await.unwrap_err();
    let (events, _) = rig.finish().await;
    let place = |wanted: fn(&Event) -> bool| {
        events.iter().position(|event| matches!(&event.what, What::Event(event) if wanted(event)))
    };
    let is_shown =
        |event: &Event| matches!(event, Event::Note { kind, text } if kind == SHOWN && text == "all of it");
    let (shown, asked) = (place(is_shown), place(|event| matches!(event, Event::Approval(_))));
    assert!(shown.is_some() && shown < asked, "{shown:?} {asked:?}");
    let rig = Rig::new().await;
    text(call(&rig, &people, "/open", stream).await).await;
    let (events, _) = rig.finish().await;
    assert!(!format!("{events:?}").contains("all of it"), "nobody is asked");
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
    assert_eq!(refusal.command.as_deref(), Some("approve a1"));
}

#[tokio::test]
async fn a_client_that_comes_back_by_itself_is_told_at_once() {
    let (rig, people) = (Rig::new().await, Arc::new(People::default()));
    let refusal = call(&rig, &people, "/held", || HoldStyle::Retry).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::ApprovalNeeded);
}

/// A held request that is approved while another policy has come into force.
async fn approved_under(policy: &str) -> Result<&'static str, RefusalKind> {
    let (rig, handle) = (Rig::new().await, testing::policy());
    let asked = rig.asked(testing::post("/held", "")).await;
    let verdict = handle.current().unwrap().judge(&asked.caller.principal, "box", &asked.accesses);
    handle.set(crate::policy::Policy::load(policy, &[&testing::SCHEMA]).unwrap());
    let people = People::saying(TicketState::Approved { by: Vec::new() });
    let below = tower::service_fn(async |_: Permitted| Ok(testing::text(StatusCode::OK, "")));
    let service = StepLayer::new(layer(people.clone(), handle)).layer(below);
    let answer = service.oneshot(Decided { verdict, asked }).await;
    let used = *people.redeemed.lock().unwrap();
    answer.map(|_| if used == 0 { "unused" } else { "used" }).map_err(|refusal| refusal.kind)
}

#[tokio::test]
async fn what_was_forbidden_while_people_decided_is_not_released() {
    let rules = |rules: &str| format!("version: 1\nrules:\n{rules}");
    let held = "  - { id: held, match: { toy: { paths: [held] } }, decide: require_approval";
    let same = approved_under(testing::POLICY).await;
    assert_eq!(same, Ok("used"));
    let denied = rules("  - { id: none, match: { toy: { paths: ['**'] } }, decide: deny }");
    assert_eq!(approved_under(&denied).await, Err(RefusalKind::Denied));
    let stricter = rules(&format!("{held}, approval: {{ count: 2 }} }}"));
    assert_eq!(approved_under(&stricter).await, Err(RefusalKind::ApprovalNeeded));
    let open = rules("  - { id: open, match: { toy: { paths: ['**'] } }, decide: allow }");
    assert_eq!(approved_under(&open).await, Ok("unused"));
    let asks_more = rules("  - { id: red, match: { toy: { colors: red } }, decide: deny }");
    assert_eq!(approved_under(&asks_more).await, Err(RefusalKind::PolicyUnavailable), "nobody looked");
}

#[tokio::test]
async fn nobody_waits_for_a_gateway_that_ends() {
    let (rig, people) = (Rig::new().await, Arc::new(People::default()));
    let asked = rig.asked(testing::post("/held", "")).await;
    let policy = testing::policy();
    let verdict = policy.current().unwrap().judge(&asked.caller.principal, "box", &asked.accesses);
    let hold = layer(people.clone(), policy);
    let ending = hold.ending.clone();
    let below = tower::service_fn(async |_: Permitted| -> Answer { panic!("it was forwarded") });
    let mut body =
        StepLayer::new(hold).layer(below).oneshot(Decided { verdict, asked }).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    ending.cancel();
    let text = testing::read(body).await;
    assert!(text.contains("[no: "), "{text}");
    assert_eq!(rig.finish().await.1.outcome, "refused");
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
    let verdict = testing::policy().current().unwrap().judge(&asked.caller.principal, "box", &asked.accesses);
    let below = tower::service_fn(async |_: Permitted| -> Answer { panic!("it was forwarded") });
    let service = StepLayer::new(layer(Arc::new(Nobody), testing::policy())).layer(below);
    let refusal = service.oneshot(Decided { verdict, asked }).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::PolicyUnavailable);
}
