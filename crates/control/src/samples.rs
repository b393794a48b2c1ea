//! What the tests of several modules are about.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use lockgate_core::{
    index::{Entry, EntryAccess},
    principal::Principal,
    verdict::{ApprovalTerms, OnDisconnect},
};
use serde_json::Map;
use uuid::Uuid;

use crate::model::{Answer, ApprovalRequest, AskedAccess, Decision};

pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// `seconds` after some day in 2025.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + seconds).unwrap()
}

/// Of the issuer `corp`, in these groups.
pub(crate) fn someone(subject: &str, groups: &[&str]) -> Principal {
    Principal {
        issuer: "corp".into(),
        subject: subject.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        claims: Map::new(),
    }
}

pub(crate) fn terms(from: &[&str], count: u32) -> ApprovalTerms {
    ApprovalTerms {
        from: from.iter().map(|group| (*group).to_owned()).collect::<BTreeSet<_>>(),
        count,
        hold: Duration::from_secs(60),
        ttl: HOUR,
        on_disconnect: OnDisconnect::Cancel,
    }
}

/// `agent` wants to push `key` to main.
pub(crate) fn request(key: &str, terms: ApprovalTerms) -> ApprovalRequest {
    ApprovalRequest {
        key: key.into(),
        requester: someone("agent", &["agents"]),
        session: "5e55".into(),
        upstream: "forge".into(),
        accesses: vec![AskedAccess {
            protocol: "git".into(),
            action: "push".into(),
            resource: "team/app".into(),
            binding: format!("refs/heads/main 0..{key}"),
            attributes: vec![("ref".into(), "refs/heads/main".into())],
        }],
        rules: vec!["main".into()],
        terms,
        exchange: exchange(),
    }
}

pub(crate) fn exchange() -> String {
    Uuid::now_v7().to_string()
}

pub(crate) fn says(by: Principal, answer: Answer, at: Timestamp) -> Decision {
    let reason = match answer {
        Answer::Approve => String::new(),
        Answer::Deny => "not today".into(),
    };
    Decision { by, answer, reason, at }
}

/// A push of `reference` to `resource`, begun `started` seconds after [`at`]'s day.
pub(crate) fn entry(resource: &str, reference: &str, started: i64) -> Entry {
    let micros = at(started).as_microsecond() as u64;
    Entry {
        exchange: exchange(),
        session: "5e55".into(),
        issuer: "corp".into(),
        subject: "ada".into(),
        upstream: "forge".into(),
        protocol: "git".into(),
        accesses: vec![access("push", resource, reference)],
        verdict: "permit".into(),
        rules: vec!["branches".into()],
        approval: None,
        outcome: "complete".into(),
        status: 200,
        started: micros,
        ended: micros + 5_000_000,
        bytes_in: 1,
        bytes_out: 2,
        bundles: vec!["0198".into()],
    }
}

pub(crate) fn access(action: &str, resource: &str, reference: &str) -> EntryAccess {
    EntryAccess {
        action: action.into(),
        resource: resource.into(),
        binding: format!("{reference} 0000..1234abcd"),
        attributes: vec![("repository".into(), resource.into()), ("ref".into(), reference.into())],
        effect: "allow".into(),
    }
}
