//! What goes through the door, and what does not.

use lockgate_core::{approval::TicketState, index::Entry, verdict::ApprovalTerms};
use proptest::prelude::*;

use super::*;
use crate::{
    model::{
        Answer, Approval, ApprovalRequest, AuditEvent, Decision, EntryFilter, PublishedPolicy, Session,
        State, Verdict,
    },
    samples::{access, at, entry, exchange, request, says, someone, terms},
};

/// There and back.
fn again<T: IntoProto + FromProto<T::Message>>(value: T) -> Result<T> {
    T::from_proto(value.into_proto())
}

fn returns<T: IntoProto + FromProto<T::Message> + Clone + PartialEq + std::fmt::Debug>(value: T) {
    assert_eq!(again(value.clone()), Ok(value));
}

/// Changes a message that makes sense, and expects it not to any more.
fn check<T, M>(good: T, change: impl FnOnce(&mut M), expected: &str)
where
    T: IntoProto<Message = M> + FromProto<M> + std::fmt::Debug,
{
    let mut message = good.into_proto();
    change(&mut message);
    assert_eq!(T::from_proto(message).unwrap_err().to_string(), expected);
}

fn asked() -> ApprovalRequest {
    request("k", terms(&["release", "sre"], 2))
}

fn full_entry() -> Entry {
    let mut entry = entry("team/app", "refs/heads/main", 0);
    entry.accesses.push(access("delete", "team/app", "refs/tags/v1"));
    entry.accesses[1].effect = "require_approval".into();
    entry.approval = Some(exchange());
    entry
}

fn full_filter() -> EntryFilter {
    let some = |text: &str| Some(text.to_owned());
    EntryFilter {
        principal: some("corp:ada"),
        session: some("5e55"),
        upstream: some("forge"),
        protocol: some("git"),
        action: some("push"),
        resource: some("team/*"),
        attributes: vec![("ref".into(), "refs/heads/main".into())],
        verdicts: Verdict::ALL.to_vec(),
        outcome: some("complete"),
        since: Some(at(0)),
        until: Some(at(1)),
        text: some("words to find"),
    }
}

fn decided(answers: Vec<Decision>, used_by: Option<&str>) -> Approval {
    let mut approval = Approval::new(exchange(), request("k", terms(&[], 1)), at(0));
    approval.decisions = answers;
    approval.used_by = used_by.map(str::to_owned);
    approval.state = approval.state_at(at(10));
    approval
}

#[test]
fn what_goes_out_comes_back_as_it_was() {
    returns(asked());
    returns(full_entry());
    returns(full_filter());
    returns(EntryFilter::default());
    let policy = PublishedPolicy {
        revision: 3,
        version: "cafe".into(),
        text: "version: 1".into(),
        by: someone("ada", &[]),
        at: at(5),
        comment: "why".into(),
        current: true,
    };
    returns(policy);
    let event = AuditEvent {
        number: 7,
        at: at(6),
        by: someone("ada", &[]),
        action: "policy.publish".into(),
        target: "cafe".into(),
        detail: "why".into(),
    };
    returns(event);
    let session = Session {
        id: "5e55".into(),
        principal: someone("ada", &[]),
        upstreams: vec!["forge".into()],
        exchanges: 3,
        denied: 2,
        held: 1,
        started: at(1),
        ended: at(2),
    };
    returns(session);
}

#[test]
fn an_approval_comes_back_in_every_state() {
    let yes = || says(someone("bo", &[]), Answer::Approve, at(1));
    let no = says(someone("bo", &[]), Answer::Deny, at(1));
    let mut expired = decided(vec![], None);
    expired.state = TicketState::Expired;
    let all = [
        decided(vec![], None),
        decided(vec![yes()], None),
        decided(vec![no], None),
        expired,
        decided(vec![yes()], Some(&exchange())),
    ];
    let links = Links { approvals_url: Some("https://gate.example/approvals/".into()) };
    let nowhere = Links { approvals_url: None };
    for (sent, state) in all.into_iter().zip(State::ALL) {
        assert_eq!(sent.state(), state);
        let message = approval(sent.clone(), &links);
        let place = ticket(message.clone()).unwrap();
        assert_eq!(Approval::from_proto(message), Ok(sent.clone()));
        assert_eq!(place.state, sent.state);
        assert_eq!(place.url, Some(format!("https://gate.example/approvals/{}", sent.id)));
        assert_eq!(ticket(approval(sent.clone(), &nowhere)).unwrap().url, None);
        assert_eq!(place.command, format!("lockgate approvals approve {}", sent.id));
    }
}

#[test]
fn a_request_that_makes_no_sense_is_refused_by_its_field() {
    check(asked(), |it| it.key.clear(), "key: is empty");
    check(asked(), |it| it.key = "k".repeat(5000), "key: is longer than 4 KiB");
    check(asked(), |it| it.requester = None, "requester: is missing");
    check(asked(), |it| it.upstream.clear(), "upstream: is empty");
    check(asked(), |it| it.accesses.clear(), "accesses: there is nothing to approve");
    check(asked(), |it| it.exchange = "x".into(), "exchange: is not a UUID");
    check(asked(), |it| it.terms = None, "terms: is missing");
    let in_terms = |change: fn(&mut v1::ApprovalTerms), expected: &str| {
        check(asked(), |it| change(it.terms.as_mut().unwrap()), expected);
    };
    in_terms(|it| it.count = 0, "terms.count: nobody's approval is no approval");
    in_terms(|it| it.ttl = None, "terms.ttl: is missing");
    in_terms(|it| it.hold.as_mut().unwrap().seconds = -1, "terms.hold: is negative or out of range");
    in_terms(|it| it.on_disconnect = 0, "terms.on_disconnect: is missing");
    in_terms(|it| it.on_disconnect = 9, "terms.on_disconnect: is not known to this version");
}

#[test]
fn an_answer_that_makes_no_sense_is_refused_by_its_field() {
    let decide = |change: fn(&mut v1::DecideApprovalRequest)| {
        let mut message = v1::DecideApprovalRequest {
            id: exchange(),
            answer: v1::Answer::Deny.into(),
            reason: "because".into(),
        };
        change(&mut message);
        Decide::from_proto(message).map(|it| it.reason).map_err(|error| error.to_string())
    };
    assert_eq!(decide(|_| ()), Ok("because".into()));
    assert_eq!(decide(|it| it.id = "1".into()), Err("id: is not a UUID".into()));
    assert_eq!(decide(|it| it.answer = 0), Err("answer: is missing".into()));
    assert_eq!(decide(|it| it.answer = 9), Err("answer: is not known to this version".into()));
    let why = Err("reason: a denial needs one: the requester is told".into());
    assert_eq!(decide(|it| it.reason = " ".into()), why);
    assert_eq!(decide(|it| it.reason = "x".repeat(5000)), Err("reason: is longer than 4 KiB".into()));
}

#[test]
fn an_entry_that_makes_no_sense_is_refused_by_its_field() {
    check(full_entry(), |it| it.exchange.clear(), "exchange: is not a UUID");
    check(full_entry(), |it| it.principal = None, "principal: is missing");
    check(full_entry(), |it| it.verdict = 0, "verdict: is missing");
    check(full_entry(), |it| it.verdict = 9, "verdict: is not known to this version");
    check(full_entry(), |it| it.status = 70_000, "status: is out of range");
    check(full_entry(), |it| it.started_at = None, "started_at: is missing");
    let early = Some(prost_types::Timestamp { seconds: -1, nanos: 0 });
    check(full_entry(), |it| it.ended_at = early, "ended_at: is before 1970");
    let never = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    check(full_entry(), |it| it.ended_at = never, "ended_at: is out of range");
    check(full_entry(), |it| it.accesses[1].effect = 9, "accesses.effect: is not known to this version");
}

#[test]
fn a_search_that_makes_no_sense_is_refused_by_its_field() {
    check(full_filter(), |it| it.verdicts.push(0), "verdicts: is missing");
    check(full_filter(), |it| it.resource = "x".repeat(5000), "resource: is longer than 4 KiB");
    let many = |it: &mut v1::EntryFilter| it.attributes = vec![it.attributes[0].clone(); 17];
    check(full_filter(), many, "attributes: has more than 16");
    check(full_filter(), |it| it.text = "-- *".into(), "text: has no letter or digit to search for");
}

#[test]
fn equal_ids_are_equal_texts() {
    let id = exchange();
    assert_eq!(uuid(id.to_uppercase(), "id"), Ok(id.clone()));
    assert_eq!(uuid(id.replace('-', ""), "id"), Ok(id));
}

#[test]
fn a_duration_without_end_is_the_longest() {
    let endless = ApprovalTerms { ttl: Duration::MAX, ..terms(&[], 1) };
    assert!(again(endless).unwrap().ttl > Duration::from_hours(24 * 365 * 1000));
}

proptest! {
    /// Whatever bytes are a message at all, taking it apart does not panic.
    #[test]
    fn no_message_is_a_panic(seconds: i64, nanos: i32, number: i32, text in ".{0,40}") {
        let stamp = Some(prost_types::Timestamp { seconds, nanos });
        let span = Some(prost_types::Duration { seconds, nanos });
        let _ = Entry::from_proto(v1::Entry {
            exchange: text.clone(),
            principal: Some(v1::Principal::default()),
            verdict: number,
            started_at: stamp,
            ended_at: stamp,
            ..full_entry().into_proto()
        });
        let _ = EntryFilter::from_proto(v1::EntryFilter {
            since: stamp,
            verdicts: vec![number],
            text,
            ..v1::EntryFilter::default()
        });
        let _ = ApprovalTerms::from_proto(v1::ApprovalTerms {
            count: number as u32,
            hold: span,
            ttl: span,
            on_disconnect: number,
            ..v1::ApprovalTerms::default()
        });
    }
}
