//! Entries of the session index, one by one: the whole as JSON, and what is searched in columns, tables and
//! words.

use lockgate_core::index::Entry;
use sqlx::SqliteConnection;

use super::{
    super::StoreError,
    audit::{self, By},
};

pub(super) async fn put(db: &mut SqliteConnection, entry: &Entry) -> Result<(), StoreError> {
    remove(db, &entry.exchange).await?;
    add(db, entry).await
}

/// Puts an entry, unless there is one of its exchange.
pub(super) async fn restore(db: &mut SqliteConnection, entry: &Entry, by: By<'_>) -> Result<(), StoreError> {
    match get(db, &entry.exchange).await {
        Err(StoreError::NotFound { .. }) => {}
        known => return known.map(drop),
    }
    add(db, entry).await?;
    audit::write(db, by, "index.restore", &entry.exchange, "").await
}

async fn add(db: &mut SqliteConnection, entry: &Entry) -> Result<(), StoreError> {
    let id = insert(db, entry).await?;
    // From the JSON that is there: a statement each goes to the database's thread and back.
    sqlx::query(
        "INSERT INTO entry_access (entry, position, action, resource)
         SELECT entry.id, access.key, access.value ->> 'action', access.value ->> 'resource'
         FROM entry, json_each(entry.entry, '$.accesses') AS access WHERE entry.id = ?",
    )
    .bind(id)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT OR IGNORE INTO entry_attribute (entry, position, name, value)
         SELECT entry.id, access.key, attribute.value ->> 0, attribute.value ->> 1
         FROM entry, json_each(entry.entry, '$.accesses') AS access,
              json_each(access.value, '$.attributes') AS attribute WHERE entry.id = ?",
    )
    .bind(id)
    .execute(&mut *db)
    .await?;
    sqlx::query("INSERT INTO entry_text (rowid, text) VALUES (?, ?)")
        .bind(id)
        .bind(words(entry))
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn get(db: &mut SqliteConnection, exchange: &str) -> Result<Entry, StoreError> {
    let text: Option<String> = sqlx::query_scalar("SELECT entry FROM entry WHERE exchange = ?")
        .bind(exchange)
        .fetch_optional(db)
        .await?;
    parse(&text.ok_or_else(|| StoreError::NotFound { what: "exchange", id: exchange.to_owned() })?)
}

/// An entry as it was kept.
pub(super) fn parse(text: &str) -> Result<Entry, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Row { column: "entry.entry" })
}

async fn remove(db: &mut SqliteConnection, exchange: &str) -> Result<(), StoreError> {
    let id: Option<i64> = sqlx::query_scalar("DELETE FROM entry WHERE exchange = ? RETURNING id")
        .bind(exchange)
        .fetch_optional(&mut *db)
        .await?;
    if let Some(id) = id {
        sqlx::query("DELETE FROM entry_text WHERE rowid = ?").bind(id).execute(db).await?;
    }
    Ok(())
}

async fn insert(db: &mut SqliteConnection, entry: &Entry) -> Result<i64, StoreError> {
    let json = serde_json::to_string(entry).expect("plain data with text for keys is JSON");
    let done = sqlx::query(
        "INSERT INTO entry (exchange, session, issuer, subject, upstream, protocol, verdict, outcome,
                            started, ended, entry) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&entry.exchange)
    .bind(&entry.session)
    .bind(&entry.issuer)
    .bind(&entry.subject)
    .bind(&entry.upstream)
    .bind(&entry.protocol)
    .bind(&entry.verdict)
    .bind(&entry.outcome)
    .bind(signed(entry.started))
    .bind(signed(entry.ended))
    .bind(json)
    .execute(db)
    .await?;
    Ok(done.last_insert_rowid())
}

/// A time of an entry as a column.
fn signed(micros: u64) -> i64 {
    micros.try_into().unwrap_or(i64::MAX)
}

/// What a search for text looks through.
fn words(entry: &Entry) -> String {
    let own = [&entry.exchange, &entry.session, &entry.subject, &entry.upstream, &entry.protocol];
    let ends = [&entry.verdict, &entry.outcome];
    let accesses = entry.accesses.iter().flat_map(|access| {
        let attributes = access.attributes.iter().map(|(_, value)| value);
        [&access.action, &access.resource, &access.binding].into_iter().chain(attributes)
    });
    let all = own.into_iter().chain(ends).chain(&entry.rules).chain(&entry.approval).chain(accesses);
    all.map(String::as_str).collect::<Vec<_>>().join("\n")
}
