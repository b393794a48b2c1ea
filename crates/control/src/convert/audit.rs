//! The audit's events.

use lockgate_proto::v1;

use super::{FromProto, IntoProto, Result, inner, time, timestamp};
use crate::model::AuditEvent;

impl FromProto<v1::AuditEvent> for AuditEvent {
    fn from_proto(event: v1::AuditEvent) -> Result<Self> {
        Ok(Self {
            number: event.number,
            at: time(event.at, "at")?,
            by: inner(event.by, "by")?,
            action: event.action,
            target: event.target,
            detail: event.detail,
        })
    }
}

impl IntoProto for AuditEvent {
    type Message = v1::AuditEvent;

    fn into_proto(self) -> v1::AuditEvent {
        v1::AuditEvent {
            number: self.number,
            at: Some(timestamp(self.at)),
            by: Some((&self.by).into_proto()),
            action: self.action,
            target: self.target,
            detail: self.detail,
        }
    }
}
