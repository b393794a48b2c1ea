//! Approvals and the answers to them. What may happen to one is [`Approval`]'s to say; here it is read, and
//! written back by the transaction that nothing else gets between.

use futures::StreamExt;
use jiff::Timestamp;
use lockgate_core::principal::Principal;
use sqlx::{QueryBuilder, SqliteConnection};
use uuid::Uuid;

use super::{
    super::{MAX_PENDING, StoreError},
    audit::{self, By},
    micros,
    page::{self, Item},
    principal, time, unsigned,
};
use crate::model::{Answer, Approval, ApprovalRequest, Decision, Page, PageRequest, State};

const SELECT: &str = "SELECT id, request, created, expires, used_by FROM approval ";

pub(super) async fn request(
    db: &mut SqliteConnection,
    request: ApprovalRequest,
    now: Timestamp,
) -> Result<Approval, StoreError> {
    let mut query = QueryBuilder::new(SELECT);
    query.push("WHERE state IN ('pending', 'approved') AND key = ").push_bind(&request.key);
    query.push(" AND expires > ").push_bind(micros(now));
    let rows: Vec<Row> = query.build_query_as().fetch_all(&mut *db).await?;
    for row in rows {
        let open = with_decisions(db, row, now).await?;
        if open.answers(&request) {
            return Ok(open);
        }
    }
    if pending(db, &request.requester, now).await? >= MAX_PENDING {
        return Err(StoreError::TooManyPending);
    }
    let approval = Approval::new(Uuid::now_v7().to_string(), request, now);
    insert(db, &approval).await?;
    Ok(approval)
}

pub(super) async fn get(db: &mut SqliteConnection, id: &str, now: Timestamp) -> Result<Approval, StoreError> {
    let mut query = QueryBuilder::new(SELECT);
    query.push("WHERE id = ").push_bind(id);
    let row: Option<Row> = query.build_query_as().fetch_optional(&mut *db).await?;
    let row = row.ok_or_else(|| StoreError::NotFound { what: "approval", id: id.to_owned() })?;
    with_decisions(db, row, now).await
}

pub(super) async fn list(
    db: &mut SqliteConnection,
    states: &[State],
    page: &PageRequest,
    now: Timestamp,
) -> Result<Page<Approval>, StoreError> {
    let mut query = QueryBuilder::new("SELECT id, length(request) FROM approval WHERE (");
    let states = if states.is_empty() { &State::ALL } else { states };
    let mut any = query.separated(" OR ");
    for state in states {
        match state {
            State::Denied | State::Used => any.push("state = ").push_bind_unseparated(state.word()),
            State::Pending | State::Approved => any
                .push("state = ")
                .push_bind_unseparated(state.word())
                .push_unseparated(" AND expires > ")
                .push_bind_unseparated(micros(now)),
            State::Expired => any
                .push("state IN ('pending', 'approved') AND expires <= ")
                .push_bind_unseparated(micros(now)),
        };
    }
    query.push(")");
    if let Some(token) = &page.token {
        query.push(" AND id < ").push_bind(token);
    }
    query.push(" ORDER BY id DESC LIMIT ").push_bind(page.limit() + 1);
    let rows = query.build_query_as::<(String, i64)>();
    let found = rows.fetch(&mut *db).map(|row| {
        let (id, length) = row?;
        Ok(Item { item: id.clone(), token: id, bytes: unsigned(length, "approval.request")? as usize })
    });
    let Page { items: ids, next } = page::cut(page, found).await?;
    let mut items = Vec::with_capacity(ids.len());
    for id in ids {
        items.push(get(db, &id, now).await?);
    }
    Ok(Page { items, next })
}

pub(super) async fn decide(
    db: &mut SqliteConnection,
    id: &str,
    decision: Decision,
) -> Result<Approval, StoreError> {
    let mut approval = get(db, id, decision.at).await?;
    if approval.decide(decision.clone())? {
        replace_decision(db, id, &decision).await?;
        update(db, &approval).await?;
        let (by, action) = (By { who: &decision.by, at: decision.at }, audit_word(decision.answer));
        audit::write(db, by, action, id, &decision.reason).await?;
    }
    Ok(approval)
}

pub(super) async fn redeem(
    db: &mut SqliteConnection,
    id: &str,
    exchange: &str,
    now: Timestamp,
) -> Result<Approval, StoreError> {
    let mut approval = get(db, id, now).await?;
    if approval.redeem(exchange, now)? {
        update(db, &approval).await?;
    }
    Ok(approval)
}

/// How many requests of somebody wait for an answer.
async fn pending(db: &mut SqliteConnection, who: &Principal, now: Timestamp) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM approval WHERE subject = ? AND issuer = ? AND state = 'pending' AND expires > ?",
    )
    .bind(&who.subject)
    .bind(&who.issuer)
    .bind(micros(now))
    .fetch_one(db)
    .await?;
    unsigned(count, "approval")
}

async fn insert(db: &mut SqliteConnection, approval: &Approval) -> Result<(), StoreError> {
    let request = serde_json::to_string(&approval.request).expect("plain data with text for keys is JSON");
    sqlx::query(
        "INSERT INTO approval (id, key, state, issuer, subject, request, created, expires)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&approval.id)
    .bind(&approval.request.key)
    .bind(approval.state().word())
    .bind(&approval.request.requester.issuer)
    .bind(&approval.request.requester.subject)
    .bind(request)
    .bind(micros(approval.created))
    .bind(micros(approval.expires))
    .execute(db)
    .await?;
    Ok(())
}

async fn update(db: &mut SqliteConnection, approval: &Approval) -> Result<(), StoreError> {
    sqlx::query("UPDATE approval SET state = ?, expires = ?, used_by = ? WHERE id = ?")
        .bind(approval.state().word())
        .bind(micros(approval.expires))
        .bind(&approval.used_by)
        .bind(&approval.id)
        .execute(db)
        .await?;
    Ok(())
}

async fn replace_decision(
    db: &mut SqliteConnection,
    id: &str,
    decision: &Decision,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO approval_decision (approval, issuer, subject, answer, reason, at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET answer = excluded.answer, reason = excluded.reason, at = excluded.at",
    )
    .bind(id)
    .bind(&decision.by.issuer)
    .bind(&decision.by.subject)
    .bind(answer_word(decision.answer))
    .bind(&decision.reason)
    .bind(micros(decision.at))
    .execute(db)
    .await?;
    Ok(())
}

async fn with_decisions(db: &mut SqliteConnection, row: Row, now: Timestamp) -> Result<Approval, StoreError> {
    let decisions: Vec<DecisionRow> = sqlx::query_as(
        "SELECT issuer, subject, answer, reason, at FROM approval_decision WHERE approval = ? ORDER BY at",
    )
    .bind(&row.id)
    .fetch_all(db)
    .await?;
    let request =
        serde_json::from_str(&row.request).map_err(|_| StoreError::Row { column: "approval.request" })?;
    let mut approval = Approval::new(row.id, request, time(row.created, "approval.created")?);
    approval.expires = time(row.expires, "approval.expires")?;
    approval.used_by = row.used_by;
    approval.decisions = decisions.into_iter().map(DecisionRow::decision).collect::<Result<_, _>>()?;
    approval.state = approval.state_at(now);
    Ok(approval)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    request: String,
    created: i64,
    expires: i64,
    used_by: Option<String>,
}

#[derive(sqlx::FromRow)]
struct DecisionRow {
    issuer: String,
    subject: String,
    answer: String,
    reason: String,
    at: i64,
}

impl DecisionRow {
    fn decision(self) -> Result<Decision, StoreError> {
        let answer = [Answer::Approve, Answer::Deny].into_iter().find(|it| answer_word(*it) == self.answer);
        Ok(Decision {
            by: principal(self.issuer, self.subject),
            answer: answer.ok_or(StoreError::Row { column: "approval_decision.answer" })?,
            reason: self.reason,
            at: time(self.at, "approval_decision.at")?,
        })
    }
}

fn answer_word(answer: Answer) -> &'static str {
    match answer {
        Answer::Approve => "approve",
        Answer::Deny => "deny",
    }
}

fn audit_word(answer: Answer) -> &'static str {
    match answer {
        Answer::Approve => "approval.approve",
        Answer::Deny => "approval.deny",
    }
}
