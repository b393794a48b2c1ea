//! Entries of the session index: the whole as JSON, and what is searched in columns, tables and
//! words.

use std::collections::BTreeMap;

use lockgate_core::index::Entry;
use serde::Serialize;
use sqlx::SqliteConnection;

use super::{
    super::StoreError,
    audit::{self, By},
};

/// How many entries one query puts: enough that its way to the database's thread is nothing beside it, few enough that
/// it takes neither much memory nor a processor for long.
const AT_ONCE: usize = 50;

/// Replaces the entries of exchanges. As one query for many, because each goes to the database's thread and back. Each
/// statement is given a JSON array: the exchanges, but the third one [`Row`]s, and the last one exchanges with their
/// words. What is taken apart is written out once (`MATERIALIZED`), and not at each look at a part of it. And words
/// come last, because what their index has gathered is written out before each statement that may have to be undone by
/// itself, as the others may.
const PUT: &str = "
    DELETE FROM entry_text WHERE rowid IN (
        SELECT entry.id FROM json_each(?) AS put JOIN entry ON entry.exchange = put.value);
    DELETE FROM entry WHERE exchange IN (SELECT value FROM json_each(?));
    WITH put AS MATERIALIZED (SELECT value FROM json_each(?))
    INSERT INTO entry (exchange, session, issuer, subject, upstream, protocol, verdict, outcome, started, ended, entry)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
               value ->> 8, value ->> 9, value ->> 10
        FROM put;
    INSERT INTO entry_access (entry, position, action, resource)
        SELECT entry.id, access.key, access.value ->> 'action', access.value ->> 'resource'
        FROM json_each(?) AS put JOIN entry ON entry.exchange = put.value,
             json_each(entry.entry, '$.accesses') AS access;
    INSERT OR IGNORE INTO entry_attribute (entry, position, name, value)
        SELECT entry.id, access.key, attribute.value ->> 0, attribute.value ->> 1
        FROM json_each(?) AS put JOIN entry ON entry.exchange = put.value,
             json_each(entry.entry, '$.accesses') AS access,
             json_each(access.value, '$.attributes') AS attribute;
    WITH put AS MATERIALIZED (SELECT value FROM json_each(?))
    INSERT INTO entry_text (rowid, text)
        SELECT entry.id, put.value ->> 1 FROM put JOIN entry ON entry.exchange = put.value ->> 0;
";

/// The columns of an entry: exchange, session, issuer, subject, upstream, protocol, verdict, outcome, started, ended, the
/// whole as JSON.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str, &'a str, &'a str, &'a str, &'a str, i64, i64, String);

pub(super) async fn put(db: &mut SqliteConnection, entries: &[Entry]) -> Result<(), StoreError> {
    // The later entry of an exchange stands.
    let last: BTreeMap<&str, &Entry> = entries.iter().map(|entry| (&*entry.exchange, entry)).collect();
    let entries: Vec<&Entry> = last.into_values().collect();
    for entries in entries.chunks(AT_ONCE) {
        let rows = array(entries.iter().map(|entry| row(entry)));
        let exchanges = array(entries.iter().map(|entry| &*entry.exchange));
        let texts = array(entries.iter().map(|entry| (&*entry.exchange, words(entry))));
        let mut query = sqlx::query(PUT);
        for given in [&exchanges, &exchanges, &rows, &exchanges, &exchanges, &texts] {
            query = query.bind(given);
        }
        query.execute(&mut *db).await?;
    }
    Ok(())
}

fn array<T: Serialize>(items: impl Iterator<Item = T>) -> String {
    serde_json::to_string(&items.collect::<Vec<_>>()).expect("text and numbers are JSON")
}

fn row(entry: &Entry) -> Row<'_> {
    let json = serde_json::to_string(entry).expect("plain data with text for keys is JSON");
    (
        &entry.exchange,
        &entry.session,
        &entry.issuer,
        &entry.subject,
        &entry.upstream,
        &entry.protocol,
        &entry.verdict,
        &entry.outcome,
        signed(entry.started),
        signed(entry.ended),
        json,
    )
}

/// Puts an entry, unless there is one of its exchange.
pub(super) async fn restore(db: &mut SqliteConnection, entry: &Entry, by: By<'_>) -> Result<(), StoreError> {
    match get(db, &entry.exchange).await {
        Err(StoreError::NotFound { .. }) => {}
        known => return known.map(drop),
    }
    put(db, std::slice::from_ref(entry)).await?;
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
