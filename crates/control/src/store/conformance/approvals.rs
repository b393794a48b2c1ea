//! Approvals, and many who want the same at once.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::join_all;
use lockgate_core::approval::TicketState;

use crate::{
    model::{Answer, Approval, NotDecided, PageRequest, State},
    samples::{HOUR, at, exchange, request, says, someone, terms},
    store::{MAX_PENDING, Store, StoreError},
};

const HOUR_SECONDS: i64 = HOUR.as_secs() as i64;

async fn ask(store: &dyn Store, key: &str, second: i64) -> Approval {
    store.request_approval(request(key, terms(&[], 1)), at(second)).await.unwrap()
}

async fn answer(
    store: &dyn Store,
    id: &str,
    who: &str,
    answer: Answer,
    second: i64,
) -> Result<Approval, StoreError> {
    store.decide(id, says(someone(who, &[]), answer, at(second))).await
}

async fn ids(store: &dyn Store, states: &[State], second: i64) -> Vec<String> {
    let page = store.approvals(states, &PageRequest::default(), at(second)).await.unwrap();
    page.items.into_iter().map(|approval| approval.id).collect()
}

pub(crate) async fn the_same_request_is_the_same_approval(store: Arc<dyn Store>) {
    let first = ask(&*store, "a", 0).await;
    assert_eq!(first.state, TicketState::Pending);
    assert_eq!(first.request.key, "a");
    let again = ask(&*store, "a", 1).await;
    assert_eq!((&again.id, again.created), (&first.id, at(0)));
    assert_eq!(again.request, first.request, "the first to ask is shown");
    assert_ne!(ask(&*store, "b", 1).await.id, first.id);

    answer(&*store, &first.id, "bo", Answer::Approve, 2).await.unwrap();
    let approved = ask(&*store, "a", 3).await;
    assert_eq!(
        (approved.id, approved.state.clone()),
        (first.id.clone(), TicketState::Approved { by: vec!["corp:bo".into()] })
    );

    let stricter = store.request_approval(request("a", terms(&[], 2)), at(4)).await.unwrap();
    assert_ne!(stricter.id, first.id);
    assert_eq!(stricter.state, TicketState::Pending);
}

pub(crate) async fn a_request_after_a_denial_is_a_new_one(store: Arc<dyn Store>) {
    let first = ask(&*store, "a", 0).await;
    let denied = answer(&*store, &first.id, "bo", Answer::Deny, 1).await.unwrap();
    assert_eq!(denied.state, TicketState::Denied { by: "corp:bo".into(), reason: "not today".into() });
    let second = ask(&*store, "a", 2).await;
    assert_ne!(second.id, first.id);
    assert_eq!(second.state, TicketState::Pending);
    let first = store.approval(&first.id, at(3)).await.unwrap();
    assert_eq!(first.state, denied.state, "the denial stays for what it answered");
}

pub(crate) async fn a_request_after_use_or_expiry_is_a_new_one(store: Arc<dyn Store>) {
    let first = ask(&*store, "a", 0).await;
    answer(&*store, &first.id, "bo", Answer::Approve, 1).await.unwrap();
    store.redeem(&first.id, &exchange(), at(2)).await.unwrap();
    let second = ask(&*store, "a", 3).await;
    assert_ne!(second.id, first.id);

    let third = ask(&*store, "a", 3 + HOUR_SECONDS).await;
    assert_ne!(third.id, second.id);
    let second = store.approval(&second.id, at(3 + HOUR_SECONDS)).await.unwrap();
    assert_eq!(second.state, TicketState::Expired);
    let late = answer(&*store, &second.id, "bo", Answer::Approve, 3 + HOUR_SECONDS).await;
    assert!(matches!(late, Err(StoreError::NotDecided(NotDecided::NotOpen(State::Expired)))));
}

pub(crate) async fn an_answer_is_kept_with_the_audit(store: Arc<dyn Store>) {
    let asked = store.request_approval(request("a", terms(&[], 2)), at(0)).await.unwrap();
    answer(&*store, &asked.id, "bo", Answer::Approve, 1).await.unwrap();
    answer(&*store, &asked.id, "bo", Answer::Approve, 2).await.unwrap();
    answer(&*store, &asked.id, "bo", Answer::Deny, 3).await.unwrap();
    let kept = store.approval(&asked.id, at(4)).await.unwrap();
    assert_eq!(kept.decisions, [says(someone("bo", &[]), Answer::Deny, at(3))]);
    let events = store.audit(&PageRequest::default()).await.unwrap().items;
    let told: Vec<_> = events.iter().map(|event| (&*event.action, &*event.detail, event.at)).collect();
    assert_eq!(told, [("approval.deny", "not today", at(3)), ("approval.approve", "", at(1))]);
    assert!(events.iter().all(|event| event.target == asked.id && event.by.to_string() == "corp:bo"));
}

pub(crate) async fn a_refused_answer_changes_nothing(store: Arc<dyn Store>) {
    let asked = store.request_approval(request("a", terms(&["release"], 1)), at(0)).await.unwrap();
    for who in ["agent", "bo"] {
        let refused = answer(&*store, &asked.id, who, Answer::Approve, 1).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotDecided(_)), "{refused:?}");
    }
    let kept = store.approval(&asked.id, at(2)).await.unwrap();
    assert_eq!(kept, asked);
    assert_eq!(store.audit(&PageRequest::default()).await.unwrap().items, []);
}

pub(crate) async fn one_redeems_of_a_hundred(store: Arc<dyn Store>) {
    let asked = ask(&*store, "a", 0).await;
    answer(&*store, &asked.id, "bo", Answer::Approve, 1).await.unwrap();
    let tasks = (0..100).map(|_| {
        let (store, id, exchange) = (store.clone(), asked.id.clone(), exchange());
        tokio::spawn(async move { (store.redeem(&id, &exchange, at(2)).await, exchange) })
    });
    let results: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(|(result, _)| result.is_ok());
    assert_eq!((won.len(), lost.len()), (1, 99));
    for (result, _) in lost {
        let used = StoreError::NotDecided(NotDecided::NotOpen(State::Used));
        assert_eq!(result.unwrap_err().to_string(), used.to_string());
    }
    let winner = &won[0].1;
    let kept = store.approval(&asked.id, at(3)).await.unwrap();
    assert_eq!((kept.state, kept.used_by.as_ref()), (TicketState::Used, Some(winner)));
    store.redeem(&asked.id, winner, at(4)).await.expect("the winner hears the same again");
}

pub(crate) async fn one_approval_for_a_hundred_who_ask_at_once(store: Arc<dyn Store>) {
    let tasks = (0..100).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { ask(&*store, "a", 0).await.id })
    });
    let ids: BTreeSet<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids.len(), 1);
}

pub(crate) async fn a_hundred_answers_at_once_all_count(store: Arc<dyn Store>) {
    let asked = store.request_approval(request("a", terms(&[], 100)), at(0)).await.unwrap();
    let tasks = (0..100).map(|number| {
        let (store, id) = (store.clone(), asked.id.clone());
        tokio::spawn(async move {
            answer(&*store, &id, &format!("person {number}"), Answer::Approve, 1).await.unwrap().state()
        })
    });
    let states: Vec<_> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(states.iter().filter(|state| **state == State::Approved).count(), 1);
    assert_eq!(store.approval(&asked.id, at(2)).await.unwrap().approvers().len(), 100);
}

pub(crate) async fn nobody_asks_without_end(store: Arc<dyn Store>) {
    for number in 0..MAX_PENDING {
        ask(&*store, &number.to_string(), 0).await;
    }
    let one_more = |key: &str, second| {
        let request = request(key, terms(&[], 1));
        let store = store.clone();
        async move { store.request_approval(request, at(second)).await }
    };
    assert!(matches!(one_more("more", 1).await, Err(StoreError::TooManyPending)));
    let known = one_more("7", 1).await.expect("what was asked already is no more");
    let mut other = request("other", terms(&[], 1));
    other.requester = someone("somebody else", &[]);
    store.request_approval(other, at(1)).await.expect("others ask for themselves");
    answer(&*store, &known.id, "bo", Answer::Approve, 2).await.unwrap();
    one_more("more", 3).await.expect("one was answered");
    assert!(one_more("again", 3).await.is_err());
    one_more("again", HOUR_SECONDS).await.expect("the others have expired");
}

pub(crate) async fn lists_are_by_state(store: Arc<dyn Store>) {
    let mut asked = Vec::new();
    for key in ["pending", "approved", "denied", "used"] {
        asked.push(ask(&*store, key, 0).await.id);
    }
    let [pending, approved, denied, used] = &asked[..] else { unreachable!() };
    answer(&*store, approved, "bo", Answer::Approve, 1000).await.unwrap();
    answer(&*store, used, "bo", Answer::Approve, 1000).await.unwrap();
    answer(&*store, denied, "bo", Answer::Deny, 1000).await.unwrap();
    store.redeem(used, &exchange(), at(1001)).await.unwrap();

    let newest_first = [used, denied, approved, pending].map(Clone::clone);
    assert_eq!(ids(&*store, &[], 1002).await, newest_first);
    for (state, id) in
        [(State::Pending, pending), (State::Approved, approved), (State::Denied, denied), (State::Used, used)]
    {
        assert_eq!(ids(&*store, &[state], 1002).await, std::slice::from_ref(id), "{state:?}");
    }
    assert_eq!(ids(&*store, &[State::Expired], 1002).await, [""; 0]);
    assert_eq!(ids(&*store, &[State::Expired], HOUR_SECONDS).await, std::slice::from_ref(pending));
    let later = HOUR_SECONDS + 1000;
    let expired = [approved.clone(), pending.clone()];
    assert_eq!(ids(&*store, &[State::Expired], later).await, expired);
    assert_eq!(ids(&*store, &[State::Pending, State::Approved], later).await, [""; 0]);

    let mut page = PageRequest::first(3);
    let first = store.approvals(&[], &page, at(1002)).await.unwrap();
    page.token = first.next;
    let second = store.approvals(&[], &page, at(1002)).await.unwrap();
    let both: Vec<_> = first.items.into_iter().chain(second.items).map(|approval| approval.id).collect();
    assert_eq!((both, second.next), (newest_first.to_vec(), None));
}

pub(crate) async fn what_is_not_there_is_not_found(store: Arc<dyn Store>) {
    let id = exchange();
    let missing = |error: StoreError| matches!(error, StoreError::NotFound { id: named, .. } if named == id);
    assert!(missing(store.approval(&id, at(0)).await.unwrap_err()));
    assert!(missing(answer(&*store, &id, "bo", Answer::Approve, 0).await.unwrap_err()));
    assert!(missing(store.redeem(&id, "x", at(0)).await.unwrap_err()));
    assert!(missing(store.entry(&id).await.unwrap_err()));
}
