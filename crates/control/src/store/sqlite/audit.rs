//! The audit's rows. Written by the transaction that does what they tell.

use futures::StreamExt;
use jiff::Timestamp;
use lockgate_core::principal::Principal;
use sqlx::SqliteConnection;

use super::{
    super::StoreError,
    micros,
    page::{self, Item},
    principal, time, unsigned,
};
use crate::model::{AuditEvent, Page, PageRequest};

/// Who did it, when.
#[derive(Clone, Copy)]
pub(super) struct By<'a> {
    pub(super) who: &'a Principal,
    pub(super) at: Timestamp,
}

/// Appends an event.
pub(super) async fn write(
    db: &mut SqliteConnection,
    by: By<'_>,
    action: &str,
    target: &str,
    detail: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO audit (at, issuer, subject, action, target, detail) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(micros(by.at))
        .bind(&by.who.issuer)
        .bind(&by.who.subject)
        .bind(action)
        .bind(target)
        .bind(detail)
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn list(
    db: &mut SqliteConnection,
    page: &PageRequest,
) -> Result<Page<AuditEvent>, StoreError> {
    let rows = sqlx::query_as::<_, Row>(
        "SELECT number, at, issuer, subject, action, target, detail FROM audit
         WHERE number < ? ORDER BY number DESC LIMIT ?",
    )
    .bind(page::number(page)?.unwrap_or(i64::MAX))
    .bind(page.limit() + 1)
    .fetch(db);
    page::cut(page, rows.map(|row| row?.item())).await
}

#[derive(sqlx::FromRow)]
struct Row {
    number: i64,
    at: i64,
    issuer: String,
    subject: String,
    action: String,
    target: String,
    detail: String,
}

impl Row {
    fn item(self) -> Result<Item<AuditEvent>, StoreError> {
        let bytes = 200 + self.detail.len();
        let item = AuditEvent {
            number: unsigned(self.number, "audit.number")?,
            at: time(self.at, "audit.at")?,
            by: principal(self.issuer, self.subject),
            action: self.action,
            target: self.target,
            detail: self.detail,
        };
        Ok(Item { item, token: self.number.to_string(), bytes })
    }
}
