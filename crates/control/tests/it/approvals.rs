//! Approvals, from the question to the use.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use lockgate_control::{
    CallError,
    client::ControlClient,
    model::{Answer, PageRequest, State},
    transport::{Endpoint, connect},
};
use lockgate_core::approval::{ApprovalError, Approvals, TicketState};
use serde_json::json;

use crate::support::{Plane, ask, exchange, policy};

#[tokio::test]
async fn a_push_is_held_approved_and_used_once() {
    let plane = Plane::start().await;
    let (proxy, bo) = (plane.proxy().await, plane.person("bo", &["release"]));
    let ticket = proxy.ask(ask("c1")).await.unwrap();
    assert_eq!(ticket.state, TicketState::Pending);
    assert_eq!(ticket.url, Some(format!("https://gate.example/approvals/{}", ticket.id)));
    assert_eq!(ticket.command, format!("lockgate approvals approve {}", ticket.id));
    assert_eq!(proxy.ask(ask("c1")).await.unwrap().id, ticket.id);

    let waiting = tokio::spawn({
        let (proxy, id) = (proxy.clone(), ticket.id.clone());
        async move { proxy.decided(&id).await }
    });
    let pending = bo.approvals(&[State::Pending], &PageRequest::default()).await.unwrap().items;
    assert_eq!(pending.len(), 1);
    assert_eq!(pending[0].request.accesses[0].binding, "refs/heads/main 0..c1");
    assert_eq!(pending[0].request.requester.to_string(), "corp:agent");
    bo.decide(&ticket.id, Answer::Approve, "looks good").await.unwrap();
    let approved = TicketState::Approved { by: vec!["corp:bo".into()] };
    assert_eq!(waiting.await.unwrap().unwrap(), approved);

    let again = proxy.ask(ask("c1")).await.unwrap();
    assert_eq!((&again.id, &again.state), (&ticket.id, &approved));
    let first = exchange();
    let granted = proxy.redeem(&ticket.id, &first).await.unwrap();
    assert_eq!((granted.id, granted.by), (ticket.id.clone(), vec!["corp:bo".to_owned()]));
    proxy.redeem(&ticket.id, &first).await.expect("the same exchange may ask again");
    let used = proxy.redeem(&ticket.id, &exchange()).await.unwrap_err();
    assert!(matches!(used, ApprovalError::NotUsable(id) if id == ticket.id));
    assert_eq!(bo.approval(&ticket.id).await.unwrap().used_by, Some(first));
    assert_eq!(proxy.decided(&ticket.id).await.unwrap(), TicketState::Used);
    assert_ne!(proxy.ask(ask("c1")).await.unwrap().id, ticket.id);
}

#[tokio::test]
async fn a_hundred_redeem_and_one_passes() {
    let plane = Plane::start().await;
    let proxy = plane.proxy().await;
    let ticket = proxy.ask(ask("c1")).await.unwrap();
    plane.person("bo", &["release"]).decide(&ticket.id, Answer::Approve, "").await.unwrap();
    let tasks = (0..100).map(|_| {
        let (proxy, id) = (proxy.clone(), ticket.id.clone());
        tokio::spawn(async move { proxy.redeem(&id, &exchange()).await.is_ok() })
    });
    let passed: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(passed.into_iter().filter(|passed| *passed).count(), 1);
}

#[tokio::test]
async fn a_denial_reaches_whoever_waits() {
    let plane = Plane::start().await;
    let (proxy, bo) = (plane.proxy().await, plane.person("bo", &["release"]));
    let ticket = proxy.ask(ask("c1")).await.unwrap();
    let unexplained = bo.decide(&ticket.id, Answer::Deny, " ").await.unwrap_err();
    assert!(matches!(unexplained, CallError::Invalid(_)), "{unexplained:?}");
    bo.decide(&ticket.id, Answer::Deny, "not on a Friday").await.unwrap();
    let denied = TicketState::Denied { by: "corp:bo".into(), reason: "not on a Friday".into() };
    assert_eq!(proxy.decided(&ticket.id).await.unwrap(), denied);
    let late = bo.decide(&ticket.id, Answer::Approve, "").await.unwrap_err();
    assert!(matches!(&late, CallError::NotNow(text) if text.contains("denied")), "{late:?}");
    assert!(proxy.redeem(&ticket.id, &exchange()).await.is_err());
    let next = proxy.ask(ask("c1")).await.unwrap();
    assert_ne!(next.id, ticket.id);
    assert_eq!(next.state, TicketState::Pending);
}

#[tokio::test]
async fn whoever_asked_never_approves_whatever_their_role() {
    let plane = Plane::start().await;
    let ticket = plane.proxy().await.ask(ask("c1")).await.unwrap();
    let agent = plane.person("agent", &["release", "approvers", "admins"]);
    let refused = agent.decide(&ticket.id, Answer::Approve, "").await.unwrap_err();
    assert!(matches!(&refused, CallError::Forbidden(text) if text.contains("whoever asked")), "{refused:?}");
    let outside = plane.person("cy", &["admins"]).decide(&ticket.id, Answer::Approve, "").await.unwrap_err();
    assert!(matches!(&outside, CallError::Forbidden(text) if text.contains("release")), "{outside:?}");
    let state = plane.operator().approval(&ticket.id).await.unwrap().state;
    assert_eq!(state, TicketState::Pending);
}

#[tokio::test]
async fn a_group_of_the_policy_counts() {
    let plane = Plane::start().await;
    let ticket = plane.proxy().await.ask(ask("c1")).await.unwrap();
    let di = plane.person_with("di", &[("team", json!("release"))]);
    assert!(matches!(di.approval(&ticket.id).await, Err(CallError::Forbidden(_))), "no policy yet");
    plane.publish(&policy("one")).await;
    assert!(di.decide(&ticket.id, Answer::Approve, "").await.is_ok());
}

#[tokio::test]
async fn it_takes_as_many_people_as_it_says() {
    let plane = Plane::start().await;
    let proxy = plane.proxy().await;
    let mut two = ask("c1");
    two.terms.count = 2;
    let ticket = proxy.ask(two).await.unwrap();
    for _ in 0..3 {
        let state =
            plane.person("bo", &["release"]).decide(&ticket.id, Answer::Approve, "").await.unwrap().state;
        assert_eq!(state, TicketState::Pending);
    }
    assert!(matches!(proxy.redeem(&ticket.id, &exchange()).await, Err(ApprovalError::NotUsable(_))));
    plane.person("cy", &["release"]).decide(&ticket.id, Answer::Approve, "").await.unwrap();
    let by = vec!["corp:bo".into(), "corp:cy".into()];
    assert_eq!(proxy.decided(&ticket.id).await.unwrap(), TicketState::Approved { by });
}

#[tokio::test]
async fn whoever_waits_hears_that_the_time_is_over() {
    let plane = Plane::start().await;
    let proxy = plane.proxy().await;
    let mut brief = ask("c1");
    brief.terms.ttl = Duration::from_millis(1);
    let ticket = proxy.ask(brief).await.unwrap();
    assert_eq!(proxy.decided(&ticket.id).await.unwrap(), TicketState::Expired);
}

#[tokio::test]
async fn without_a_control_plane_there_is_no_approval() {
    let folder = tempfile::tempdir().unwrap();
    let channel = connect(&Endpoint::Unix(folder.path().join("nobody"))).unwrap();
    let proxy = ControlClient::new(channel, "alone");
    assert!(matches!(proxy.ask(ask("c1")).await, Err(ApprovalError::Unavailable(_))));
    assert!(matches!(proxy.redeem(&exchange(), &exchange()).await, Err(ApprovalError::Unavailable(_))));
    let waiting = tokio::time::timeout(Duration::from_millis(50), proxy.decided("x")).await;
    assert!(waiting.is_err(), "whoever waits for people waits on");
}

#[tokio::test]
async fn an_approval_that_was_never_asked_for_can_not_be_used() {
    let plane = Plane::start().await;
    let proxy: Arc<dyn Approvals> = Arc::new(plane.proxy().await);
    let id = exchange();
    assert!(matches!(proxy.redeem(&id, &exchange()).await, Err(ApprovalError::NotUsable(_))));
    assert!(matches!(proxy.decided(&id).await, Err(ApprovalError::NotUsable(_))));
}
