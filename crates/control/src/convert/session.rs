//! Entries of the session index and what is asked of it.

use std::mem::take;

use jiff::Timestamp;
use lockgate_core::index::{Entry, EntryAccess};
use lockgate_proto::v1;

use super::{
    FromProto, IntoProto, Result, WrongField, attributes, effect_word, enumeration, inner, optional,
    optional_time, present, proto_attributes, proto_effect, short, time, timestamp, uuid,
};
use crate::model::{EntryFilter, Session, Verdict};

/// How many attributes one search may name.
const MAX_ATTRIBUTES: usize = 16;

impl FromProto<v1::Entry> for Entry {
    fn from_proto(entry: v1::Entry) -> Result<Self> {
        let principal = present(entry.principal, "principal")?;
        let accesses = entry.accesses.into_iter().map(EntryAccess::from_proto).collect::<Result<_>>();
        Ok(Self {
            exchange: uuid(entry.exchange, "exchange")?,
            session: entry.session,
            issuer: principal.issuer,
            subject: principal.subject,
            upstream: entry.upstream,
            protocol: entry.protocol,
            accesses: accesses.map_err(|error| error.within("accesses"))?,
            verdict: verdict(entry.verdict, "verdict")?.word().to_owned(),
            rules: entry.rules,
            approval: Some(entry.approval).filter(|id| !id.is_empty()),
            outcome: entry.outcome,
            status: entry.status.try_into().map_err(|_| WrongField::new("status", "is out of range"))?,
            started: micros(entry.started_at, "started_at")?,
            ended: micros(entry.ended_at, "ended_at")?,
            bytes_in: entry.bytes_in,
            bytes_out: entry.bytes_out,
            bundles: entry.bundles,
        })
    }
}

impl IntoProto for Entry {
    type Message = v1::Entry;

    fn into_proto(self) -> v1::Entry {
        let verdict = Verdict::from_word(&self.verdict);
        v1::Entry {
            exchange: self.exchange,
            session: self.session,
            principal: Some(v1::Principal { issuer: self.issuer, subject: self.subject, groups: Vec::new() }),
            upstream: self.upstream,
            protocol: self.protocol,
            accesses: self.accesses.into_iter().map(IntoProto::into_proto).collect(),
            verdict: verdict.map_or(v1::Verdict::Unspecified, Verdict::into_proto).into(),
            rules: self.rules,
            approval: self.approval.unwrap_or_default(),
            outcome: self.outcome,
            status: self.status.into(),
            started_at: from_micros(self.started),
            ended_at: from_micros(self.ended),
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            bundles: self.bundles,
        }
    }
}

fn micros(value: Option<prost_types::Timestamp>, field: &str) -> Result<u64> {
    let micros = time(value, field)?.as_microsecond();
    micros.try_into().map_err(|_| WrongField::new(field, "is before 1970"))
}

fn from_micros(micros: u64) -> Option<prost_types::Timestamp> {
    let micros = i64::try_from(micros).ok()?;
    Timestamp::from_microsecond(micros).ok().map(timestamp)
}

impl FromProto<v1::EntryAccess> for EntryAccess {
    fn from_proto(access: v1::EntryAccess) -> Result<Self> {
        Ok(Self {
            action: access.action,
            resource: access.resource,
            binding: access.binding,
            attributes: attributes(access.attributes),
            effect: effect_word(enumeration(access.effect, "effect")?).to_owned(),
        })
    }
}

impl IntoProto for EntryAccess {
    type Message = v1::EntryAccess;

    fn into_proto(self) -> v1::EntryAccess {
        v1::EntryAccess {
            effect: proto_effect(&self.effect).into(),
            action: self.action,
            resource: self.resource,
            binding: self.binding,
            attributes: proto_attributes(self.attributes),
        }
    }
}

impl FromProto<v1::EntryFilter> for EntryFilter {
    fn from_proto(filter: v1::EntryFilter) -> Result<Self> {
        if filter.attributes.len() > MAX_ATTRIBUTES {
            return Err(WrongField::new("attributes", "has more than 16"));
        }
        let mut attributes = attributes(filter.attributes);
        for (name, value) in &mut attributes {
            (*name, *value) =
                (short(take(name), "attributes.name")?, short(take(value), "attributes.value")?);
        }
        let mut verdicts: Vec<Verdict> = Vec::new();
        for value in filter.verdicts {
            let verdict = verdict(value, "verdicts")?;
            if !verdicts.contains(&verdict) {
                verdicts.push(verdict);
            }
        }
        Ok(Self {
            principal: optional(filter.principal, "principal")?,
            session: optional(filter.session, "session")?,
            upstream: optional(filter.upstream, "upstream")?,
            protocol: optional(filter.protocol, "protocol")?,
            action: optional(filter.action, "action")?,
            resource: optional(filter.resource, "resource")?,
            attributes,
            verdicts,
            outcome: optional(filter.outcome, "outcome")?,
            since: optional_time(filter.since, "since")?,
            until: optional_time(filter.until, "until")?,
            text: optional(filter.text, "text")?.map(words).transpose()?,
        })
    }
}

/// A text to search for, without the words that no entry can have.
fn words(text: String) -> Result<String> {
    let words: Vec<_> =
        text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).collect();
    if words.is_empty() {
        return Err(WrongField::new("text", "has no letter or digit to search for"));
    }
    Ok(words.join(" "))
}

impl IntoProto for EntryFilter {
    type Message = v1::EntryFilter;

    fn into_proto(self) -> v1::EntryFilter {
        v1::EntryFilter {
            principal: self.principal.unwrap_or_default(),
            session: self.session.unwrap_or_default(),
            upstream: self.upstream.unwrap_or_default(),
            protocol: self.protocol.unwrap_or_default(),
            action: self.action.unwrap_or_default(),
            resource: self.resource.unwrap_or_default(),
            attributes: proto_attributes(self.attributes),
            verdicts: self.verdicts.into_iter().map(|it| it.into_proto().into()).collect(),
            outcome: self.outcome.unwrap_or_default(),
            since: self.since.map(timestamp),
            until: self.until.map(timestamp),
            text: self.text.unwrap_or_default(),
        }
    }
}

impl FromProto<v1::Session> for Session {
    fn from_proto(session: v1::Session) -> Result<Self> {
        Ok(Self {
            id: session.id,
            principal: inner(session.principal, "principal")?,
            upstreams: session.upstreams,
            exchanges: session.exchanges,
            denied: session.denied,
            held: session.held,
            started: time(session.started_at, "started_at")?,
            ended: time(session.ended_at, "ended_at")?,
        })
    }
}

impl IntoProto for Session {
    type Message = v1::Session;

    fn into_proto(self) -> v1::Session {
        v1::Session {
            id: self.id,
            principal: Some((&self.principal).into_proto()),
            upstreams: self.upstreams,
            exchanges: self.exchanges,
            denied: self.denied,
            held: self.held,
            started_at: Some(timestamp(self.started)),
            ended_at: Some(timestamp(self.ended)),
        }
    }
}

fn verdict(value: i32, field: &str) -> Result<Verdict> {
    match enumeration(value, field)? {
        v1::Verdict::Permit => Ok(Verdict::Permit),
        v1::Verdict::Hold => Ok(Verdict::Hold),
        v1::Verdict::Deny => Ok(Verdict::Deny),
        v1::Verdict::None => Ok(Verdict::None),
        v1::Verdict::Unspecified => Err(WrongField::new(field, "is missing")),
    }
}

impl IntoProto for Verdict {
    type Message = v1::Verdict;

    fn into_proto(self) -> v1::Verdict {
        match self {
            Verdict::Permit => v1::Verdict::Permit,
            Verdict::Hold => v1::Verdict::Hold,
            Verdict::Deny => v1::Verdict::Deny,
            Verdict::None => v1::Verdict::None,
        }
    }
}
