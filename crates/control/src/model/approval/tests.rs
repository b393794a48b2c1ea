//! The rules of an approval's life.

use proptest::prelude::*;

use super::*;
use crate::samples::{HOUR, at, request, says, someone, terms};

fn approval(from: &[&str], count: u32) -> Approval {
    Approval::new("id".into(), request("k", terms(from, count)), at(0))
}

fn approve(approval: &mut Approval, who: &str, groups: &[&str], second: i64) -> Result<bool, NotDecided> {
    approval.decide(says(someone(who, groups), Answer::Approve, at(second)))
}

fn deny(approval: &mut Approval, who: &str, second: i64) -> Result<bool, NotDecided> {
    approval.decide(says(someone(who, &[]), Answer::Deny, at(second)))
}

const HOUR_SECONDS: i64 = HOUR.as_secs() as i64;

#[test]
fn one_person_is_enough_where_one_is_asked_for() {
    let mut asked = approval(&[], 1);
    assert_eq!(approve(&mut asked, "bo", &[], 1), Ok(true));
    assert_eq!(asked.state, TicketState::Approved { by: vec!["corp:bo".into()] });
}

#[test]
fn whoever_asked_decides_nothing() {
    let mut asked = approval(&["agents"], 1);
    assert_eq!(approve(&mut asked, "agent", &["agents", "admins"], 1), Err(NotDecided::OwnRequest));
    assert_eq!(deny(&mut asked, "agent", 1), Err(NotDecided::OwnRequest));
    assert_eq!(asked.state, TicketState::Pending);
}

#[test]
fn the_same_name_of_another_issuer_is_another_person() {
    let mut asked = approval(&[], 1);
    let other = Principal { issuer: "elsewhere".into(), ..someone("agent", &[]) };
    assert_eq!(asked.decide(says(other, Answer::Approve, at(1))), Ok(true));
}

#[test]
fn only_members_of_the_groups_decide() {
    let mut asked = approval(&["release", "sre"], 1);
    let outside = Err(NotDecided::NotInGroups(vec!["release".into(), "sre".into()]));
    assert_eq!(approve(&mut asked, "bo", &["dev"], 1), outside);
    assert_eq!(deny(&mut asked, "bo", 1), outside);
    assert_eq!(approve(&mut asked, "cy", &["dev", "sre"], 1), Ok(true));
}

#[test]
fn a_person_counts_once() {
    let mut asked = approval(&[], 2);
    assert_eq!(approve(&mut asked, "bo", &["a"], 1), Ok(true));
    assert_eq!(approve(&mut asked, "bo", &["b"], 2), Ok(false));
    assert_eq!(asked.state, TicketState::Pending);
    assert_eq!(approve(&mut asked, "cy", &[], 3), Ok(true));
    assert_eq!(asked.state(), State::Approved);
    assert_eq!(approve(&mut asked, "di", &[], 4), Ok(true), "one more does no harm");
    assert_eq!(asked.approvers(), ["corp:bo", "corp:cy", "corp:di"]);
}

#[test]
fn one_denial_denies_and_stays() {
    let mut asked = approval(&[], 2);
    approve(&mut asked, "bo", &[], 1).unwrap();
    assert_eq!(deny(&mut asked, "cy", 2), Ok(true));
    assert_eq!(asked.state, TicketState::Denied { by: "corp:cy".into(), reason: "not today".into() });
    assert_eq!(approve(&mut asked, "di", &[], 3), Err(NotDecided::NotOpen(State::Denied)));
    assert_eq!(asked.redeem("x", at(3)), Err(NotDecided::NotOpen(State::Denied)));
    assert_eq!(asked.state_at(at(10 * HOUR_SECONDS)), asked.state, "a denial does not expire");
}

#[test]
fn an_approval_can_be_taken_back_until_it_is_used() {
    let mut asked = approval(&[], 1);
    approve(&mut asked, "bo", &[], 1).unwrap();
    let mut used = asked.clone();
    assert_eq!(deny(&mut asked, "bo", 2), Ok(true));
    assert_eq!(asked.state(), State::Denied);
    assert_eq!(asked.decisions.len(), 1);

    used.redeem("x", at(2)).unwrap();
    assert_eq!(deny(&mut used, "bo", 3), Err(NotDecided::NotOpen(State::Used)));
}

#[test]
fn it_is_used_by_one_exchange_only() {
    let mut asked = approval(&[], 1);
    assert_eq!(asked.redeem("x", at(1)), Err(NotDecided::StillPending));
    approve(&mut asked, "bo", &[], 2).unwrap();
    assert_eq!(asked.redeem("x", at(3)), Ok(true));
    assert_eq!(asked.state, TicketState::Used);
    assert_eq!(asked.redeem("x", at(10 * HOUR_SECONDS)), Ok(false), "its own, again");
    assert_eq!(asked.redeem("y", at(3)), Err(NotDecided::NotOpen(State::Used)));
    assert_eq!(asked.used_by.as_deref(), Some("x"));
}

#[test]
fn it_expires_unanswered() {
    let mut asked = approval(&[], 1);
    assert_eq!(asked.state_at(at(HOUR_SECONDS - 1)), TicketState::Pending);
    assert_eq!(asked.state_at(at(HOUR_SECONDS)), TicketState::Expired);
    let late = approve(&mut asked, "bo", &[], HOUR_SECONDS);
    assert_eq!(late, Err(NotDecided::NotOpen(State::Expired)));
}

#[test]
fn it_expires_unused_an_hour_after_the_approval() {
    let mut asked = approval(&[], 1);
    approve(&mut asked, "bo", &[], 1000).unwrap();
    approve(&mut asked, "cy", &[], 2000).unwrap();
    assert_eq!(asked.state_at(at(1000 + HOUR_SECONDS - 1)), asked.state);
    let late = at(1000 + HOUR_SECONDS);
    assert_eq!(asked.redeem("x", late), Err(NotDecided::NotOpen(State::Expired)));
}

#[test]
fn the_same_request_is_answered_while_open_and_on_the_same_terms() {
    let mut asked = approval(&[], 1);
    let again = request("k", terms(&[], 1));
    assert!(asked.answers(&again));
    assert!(!asked.answers(&request("other", terms(&[], 1))));
    assert!(!asked.answers(&request("k", terms(&[], 2))), "the policy became stricter");
    approve(&mut asked, "bo", &[], 1).unwrap();
    assert!(asked.answers(&again));
    asked.redeem("x", at(2)).unwrap();
    assert!(!asked.answers(&again));
}

#[test]
fn an_endless_ttl_is_no_overflow() {
    let mut endless = terms(&[], 1);
    endless.ttl = std::time::Duration::MAX;
    let mut asked = Approval::new("id".into(), request("k", endless), at(0));
    approve(&mut asked, "bo", &[], 1).unwrap();
    assert_eq!(asked.state(), State::Approved);
}

proptest! {
    /// Whatever people do in whatever order, what is approved was approved by `count` others.
    #[test]
    fn what_is_approved_had_its_people(
        count in 1_u32..4,
        acts in prop::collection::vec((0_usize..5, any::<bool>(), any::<bool>()), 0..12),
    ) {
        let people = ["agent", "bo", "cy", "di", "ed"];
        let mut asked = approval(&["release"], count);
        for (second, (who, yes, member)) in (0..).zip(acts) {
            let groups: &[&str] = if member { &["release"] } else { &[] };
            let answer = if yes { Answer::Approve } else { Answer::Deny };
            let decision = says(someone(people[who], groups), answer, at(second));
            let before = asked.clone();
            if asked.decide(decision).is_err() {
                prop_assert_eq!(&asked.decisions, &before.decisions);
            }
            let mut approvers = asked.approvers();
            approvers.sort();
            approvers.dedup();
            prop_assert!(!approvers.contains(&"corp:agent".to_owned()));
            if asked.state() == State::Approved {
                prop_assert!(approvers.len() >= count as usize);
            }
        }
    }
}
