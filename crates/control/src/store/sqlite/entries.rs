//! Entries of the session index, one by one: the whole as JSON, and what is searched in columns, tables and
//! words.

use lockgate_core::index::Entry;
use sqlx::SqliteConnection;

use super::{
    super::StoreError,
    audit::{self, By},
};

/// Replaces the entry of an exchange. As one query, because each goes to the database's thread and back.
const PUT: &str = "
    DELETE FROM entry_text WHERE rowid = (SELECT id FROM entry WHERE exchange = ?);
    DELETE FROM entry WHERE exchange = ?;
    INSERT INTO entry (exchange, session, issuer, subject, upstream, protocol, verdict, outcome, started, ended, entry)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
    INSERT INTO entry_access (entry, position, action, resource)
        SELECT entry.id, access.key, access.value ->> 'action', access.value ->> 'resource'
        FROM entry, json_each(entry.entry, '$.accesses') AS access WHERE entry.exchange = ?;
    INSERT OR IGNORE INTO entry_attribute (entry, position, name, value)
        SELECT entry.id, access.key, attribute.value ->> 0, attribute.value ->> 1
        FROM entry, json_each(entry.entry, '$.accesses') AS access,
             json_each(access.value, '$.attributes') AS attribute
        WHERE entry.exchange = ?;
    INSERT INTO entry_text (rowid, text) SELECT id, ? FROM entry WHERE exchange = ?;
";

pub(super) async fn put(db: &mut SqliteConnection, entry: &Entry) -> Result<(), StoreError> {
    let json = serde_json::to_string(entry).expect("plain data with text for keys is JSON");
    let exchange = &entry.exchange;
    sqlx::query(PUT)
        .bind(exchange)
        .bind(exchange)
        .bind(exchange)
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
        .bind(exchange)
        .bind(exchange)
        .bind(words(entry))
        .bind(exchange)
        .execute(db)
        .await?;
    Ok(())
}

/// Puts an entry, unless there is one of its exchange.
pub(super) async fn restore(db: &mut SqliteConnection, entry: &Entry, by: By<'_>) -> Result<(), StoreError> {
    match get(db, &entry.exchange).await {
        Err(StoreError::NotFound { .. }) => {}
        known => return known.map(drop),
    }
    put(db, entry).await?;
    audit::write(db, by, "index.restore", &entry.exchange, "").await
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
