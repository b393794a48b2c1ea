//! Entries of the session index: the whole as JSON, and what is searched in columns, tables and
//! words.

use std::collections::BTreeMap;

use lockgate_core::index::Entry;
use sqlx::SqliteConnection;

use super::{
    super::StoreError,
    audit::{self, By},
};

/// How many entries one query puts: enough that its way to the database's thread is nothing beside it, few enough that
/// it takes neither much memory nor a processor for long.
const AT_ONCE: usize = 50;

/// Replaces the entries of exchanges, given as a JSON array of [`Row`]s. As one query for many, because each goes to the
/// database's thread and back; and their words last, because what their index has gathered is written out
/// before each statement that may have to be undone by itself, as the others may.
const PUT: &str = "
    DELETE FROM entry_text WHERE rowid IN (
        SELECT entry.id FROM json_each(?1) AS put JOIN entry ON entry.exchange = put.value ->> 0);
    DELETE FROM entry WHERE exchange IN (SELECT value ->> 0 FROM json_each(?1));
    INSERT INTO entry (exchange, session, issuer, subject, upstream, protocol, verdict, outcome, started, ended, entry)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
               value ->> 8, value ->> 9, value ->> 10
        FROM json_each(?1);
    INSERT INTO entry_access (entry, position, action, resource)
        SELECT entry.id, access.key, access.value ->> 'action', access.value ->> 'resource'
        FROM json_each(?1) AS put JOIN entry ON entry.exchange = put.value ->> 0,
             json_each(entry.entry, '$.accesses') AS access;
    INSERT OR IGNORE INTO entry_attribute (entry, position, name, value)
        SELECT entry.id, access.key, attribute.value ->> 0, attribute.value ->> 1
        FROM json_each(?1) AS put JOIN entry ON entry.exchange = put.value ->> 0,
             json_each(entry.entry, '$.accesses') AS access,
             json_each(access.value, '$.attributes') AS attribute;
    INSERT INTO entry_text (rowid, text)
        SELECT entry.id, put.value ->> 11 FROM json_each(?1) AS put JOIN entry ON entry.exchange = put.value ->> 0;
";

/// The columns of an entry: exchange, session, issuer, subject, upstream, protocol, verdict, outcome, started, ended, the
/// whole as JSON, its words.
type Row<'a> =
    (&'a str, &'a str, &'a str, &'a str, &'a str, &'a str, &'a str, &'a str, i64, i64, String, String);

pub(super) async fn put(db: &mut SqliteConnection, entries: &[Entry]) -> Result<(), StoreError> {
    // The later entry of an exchange stands.
    let last: BTreeMap<&str, &Entry> = entries.iter().map(|entry| (&*entry.exchange, entry)).collect();
    let rows: Vec<Row<'_>> = last.into_values().map(row).collect();
    for rows in rows.chunks(AT_ONCE) {
        let rows = serde_json::to_string(rows).expect("text and numbers are JSON");
        sqlx::query(PUT).bind(rows).execute(&mut *db).await?;
    }
    Ok(())
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
        words(entry),
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
