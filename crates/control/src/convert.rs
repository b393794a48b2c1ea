//! The one door between the generated types and the domain's: nothing else in the workspace looks into the
//! former. What comes in is checked field by field, and an error names the field.

mod approval;
mod audit;
mod policy;
mod session;

use std::time::Duration;

use jiff::Timestamp;
use lockgate_core::{principal::Principal, verdict::Effect};
use lockgate_proto::v1;
use serde_json::Map;
use uuid::Uuid;

use crate::model::PageRequest;
pub(crate) use approval::{Decide, Links, ListApprovals, approval, proto_state, ticket};
pub(crate) use policy::{Publish, WatchMessage};

/// How long a text written by a person may be: a reason, a comment, a filter's value.
const MAX_TEXT: usize = 4096;

/// A message that makes no sense, and where. Whoever sent it is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct WrongField {
    /// The field, from the message down, e.g. `request.terms.count`.
    pub field: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl WrongField {
    fn new(field: &str, problem: &'static str) -> Self {
        Self { field: field.to_owned(), problem }
    }

    /// The same field, seen from the message that holds it.
    fn within(mut self, outer: &str) -> Self {
        self.field = format!("{outer}.{}", self.field);
        self
    }
}

type Result<T> = std::result::Result<T, WrongField>;

/// What a message stands for. Not `TryFrom`, since most types on both sides are other crates'.
pub(crate) trait FromProto<M>: Sized {
    /// Checks the message and takes it apart.
    fn from_proto(message: M) -> Result<Self>;
}

/// What stands for it in a message.
pub(crate) trait IntoProto {
    /// The generated type.
    type Message;

    /// Makes the message.
    fn into_proto(self) -> Self::Message;
}

/// A message inside a message that must be there, turned into what it stands for.
pub(crate) fn inner<M, T: FromProto<M>>(value: Option<M>, field: &str) -> Result<T> {
    T::from_proto(present(value, field)?).map_err(|error| error.within(field))
}

pub(crate) fn present<T>(value: Option<T>, field: &str) -> Result<T> {
    value.ok_or_else(|| WrongField::new(field, "is missing"))
}

fn not_empty(text: String, field: &str) -> Result<String> {
    if text.is_empty() { Err(WrongField::new(field, "is empty")) } else { Ok(text) }
}

pub(crate) fn short(text: String, field: &str) -> Result<String> {
    if text.len() > MAX_TEXT { Err(WrongField::new(field, "is longer than 4 KiB")) } else { Ok(text) }
}

/// A text that means something when it is not empty.
fn optional(text: String, field: &str) -> Result<Option<String>> {
    Ok(Some(short(text, field)?).filter(|text| !text.is_empty()))
}

pub(crate) fn uuid(text: String, field: &str) -> Result<String> {
    match Uuid::try_parse(&text) {
        // One spelling, so that equal ids are equal texts.
        Ok(uuid) => Ok(uuid.hyphenated().to_string()),
        Err(_) => Err(WrongField::new(field, "is not a UUID")),
    }
}

fn enumeration<E: TryFrom<i32>>(value: i32, field: &str) -> Result<E> {
    E::try_from(value).map_err(|_| WrongField::new(field, "is not known to this version"))
}

fn time(value: Option<prost_types::Timestamp>, field: &str) -> Result<Timestamp> {
    let value = present(value, field)?;
    Timestamp::new(value.seconds, value.nanos).map_err(|_| WrongField::new(field, "is out of range"))
}

fn optional_time(value: Option<prost_types::Timestamp>, field: &str) -> Result<Option<Timestamp>> {
    value.map(|value| time(Some(value), field)).transpose()
}

fn duration(value: Option<prost_types::Duration>, field: &str) -> Result<Duration> {
    present(value, field)?.try_into().map_err(|_| WrongField::new(field, "is negative or out of range"))
}

fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

fn proto_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 0 })
}

/// The page that a list's request asks for.
pub(crate) fn page(size: u32, token: String) -> Result<PageRequest> {
    Ok(PageRequest { size, token: optional(token, "page_token")? })
}

impl FromProto<v1::Principal> for Principal {
    fn from_proto(principal: v1::Principal) -> Result<Self> {
        let v1::Principal { issuer, subject, groups } = principal;
        Ok(Self { issuer, subject, groups, claims: Map::new() })
    }
}

impl IntoProto for &Principal {
    type Message = v1::Principal;

    fn into_proto(self) -> v1::Principal {
        let Principal { issuer, subject, groups, claims: _ } = self;
        v1::Principal { issuer: issuer.clone(), subject: subject.clone(), groups: groups.clone() }
    }
}

fn attributes(attributes: Vec<v1::Attribute>) -> Vec<(String, String)> {
    attributes.into_iter().map(|v1::Attribute { name, value }| (name, value)).collect()
}

fn proto_attributes(attributes: Vec<(String, String)>) -> Vec<v1::Attribute> {
    attributes.into_iter().map(|(name, value)| v1::Attribute { name, value }).collect()
}

fn effect_word(effect: v1::Effect) -> &'static str {
    match effect {
        v1::Effect::Unspecified => "",
        v1::Effect::Allow => Effect::Allow.word(),
        v1::Effect::RequireApproval => Effect::RequireApproval.word(),
        v1::Effect::Deny => Effect::Deny.word(),
    }
}

fn proto_effect(word: &str) -> v1::Effect {
    let all = [v1::Effect::Allow, v1::Effect::RequireApproval, v1::Effect::Deny];
    all.into_iter().find(|effect| effect_word(*effect) == word).unwrap_or(v1::Effect::Unspecified)
}

#[cfg(test)]
mod tests;
