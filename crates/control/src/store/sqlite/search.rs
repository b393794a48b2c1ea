//! Searches of the session index: a filter becomes a `WHERE`, every value of it a parameter.

use futures::StreamExt;
use lockgate_core::index::Entry;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{
    super::StoreError,
    entries, micros,
    page::{self, Item},
    principal, time, unsigned,
};
use crate::model::{EntryFilter, Page, PageRequest, Session};

pub(super) async fn entries(
    db: &mut SqliteConnection,
    filter: &EntryFilter,
    page: &PageRequest,
) -> Result<Page<Entry>, StoreError> {
    let mut query = QueryBuilder::new("SELECT started, exchange, entry FROM entry WHERE ");
    matching(&mut query, filter);
    if let Some((started, exchange)) = page::time_and_id(page)? {
        query.push(" AND (started, exchange) < (").push_bind(started).push(", ");
        query.push_bind(exchange.to_owned()).push(")");
    }
    query.push(" ORDER BY started DESC, exchange DESC LIMIT ").push_bind(page.limit() + 1);
    let rows = query.build_query_as::<(i64, String, String)>();
    let found = rows.fetch(db).map(|row| {
        let (started, exchange, entry) = row?;
        let (token, bytes) = (format!("{started}.{exchange}"), entry.len());
        Ok(Item { item: entries::parse(&entry)?, token, bytes })
    });
    page::cut(page, found).await
}

pub(super) async fn sessions(
    db: &mut SqliteConnection,
    filter: &EntryFilter,
    page: &PageRequest,
) -> Result<Page<Session>, StoreError> {
    let mut query = QueryBuilder::new(
        "SELECT session, issuer, subject, json_group_array(DISTINCT upstream) AS upstreams,
                count(*) AS exchanges, sum(verdict = 'deny') AS denied, sum(verdict = 'hold') AS held,
                min(started) AS started, max(ended) AS ended, max(started) AS latest
         FROM entry WHERE ",
    );
    matching(&mut query, filter);
    query.push(" GROUP BY session");
    if let Some((latest, session)) = page::time_and_id(page)? {
        query.push(" HAVING (max(started), session) < (").push_bind(latest).push(", ");
        query.push_bind(session.to_owned()).push(")");
    }
    query.push(" ORDER BY latest DESC, session DESC LIMIT ").push_bind(page.limit() + 1);
    let rows = query.build_query_as::<SessionRow>().fetch(db);
    page::cut(page, rows.map(|row| row?.item())).await
}

/// The conditions of a filter.
fn matching(query: &mut QueryBuilder<Sqlite>, filter: &EntryFilter) {
    query.push("TRUE");
    if let Some(who) = &filter.principal {
        query.push(" AND (");
        like(query, "subject", who);
        query.push(" OR ");
        like(query, "issuer || ':' || subject", who);
        query.push(")");
    }
    let exact = [("session", &filter.session), ("protocol", &filter.protocol)];
    for (column, value) in exact {
        if let Some(value) = value {
            query.push(" AND ").push(column).push(" = ").push_bind(value.clone());
        }
    }
    if let Some(outcome) = &filter.outcome {
        query.push(" AND (outcome = ").push_bind(outcome.clone());
        for more in [": ", ", "] {
            query.push(" OR instr(outcome, ").push_bind(format!("{outcome}{more}")).push(") = 1");
        }
        query.push(")");
    }
    if let Some(upstream) = &filter.upstream {
        query.push(" AND ");
        like(query, "upstream", upstream);
    }
    if !filter.verdicts.is_empty() {
        query.push(" AND verdict IN (");
        let mut words = query.separated(", ");
        for verdict in &filter.verdicts {
            words.push_bind(verdict.word());
        }
        query.push(")");
    }
    if let Some(since) = filter.since {
        query.push(" AND started >= ").push_bind(micros(since));
    }
    if let Some(until) = filter.until {
        query.push(" AND started < ").push_bind(micros(until));
    }
    having_access(query, filter);
    if let Some(text) = &filter.text {
        query.push(" AND id IN (SELECT rowid FROM entry_text WHERE entry_text MATCH ");
        query.push_bind(words(text)).push(")");
    }
}

/// What is asked of accesses is asked of one and the same.
fn having_access(query: &mut QueryBuilder<Sqlite>, filter: &EntryFilter) {
    if filter.action.is_none() && filter.resource.is_none() && filter.attributes.is_empty() {
        return;
    }
    query.push(" AND id IN (SELECT access.entry FROM entry_access access WHERE TRUE");
    for (column, value) in [("access.action", &filter.action), ("access.resource", &filter.resource)] {
        if let Some(value) = value {
            query.push(" AND ");
            like(query, column, value);
        }
    }
    for (name, value) in &filter.attributes {
        query.push(" AND EXISTS (SELECT 1 FROM entry_attribute it");
        query.push(" WHERE it.entry = access.entry AND it.position = access.position AND it.name = ");
        query.push_bind(name.clone()).push(" AND ");
        like(query, "it.value", value);
        query.push(")");
    }
    query.push(")");
}

/// A condition that a column is a text in which `*` stands for any characters.
fn like(query: &mut QueryBuilder<Sqlite>, column: &'static str, pattern: &str) {
    query.push(column);
    if pattern.contains('*') {
        // GLOB's other wildcards are characters like any other here.
        let pattern = pattern.replace('[', "[[]").replace('?', "[?]");
        query.push(" GLOB ").push_bind(pattern);
    } else {
        query.push(" = ").push_bind(pattern.to_owned());
    }
}

/// The words in the language of FTS5: each as a phrase, of which the last word may go on.
fn words(text: &str) -> String {
    let phrases = text.split_whitespace().map(|word| format!("\"{}\"*", word.replace('"', "\"\"")));
    phrases.collect::<Vec<_>>().join(" ")
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    session: String,
    issuer: String,
    subject: String,
    upstreams: String,
    exchanges: i64,
    denied: i64,
    held: i64,
    started: i64,
    ended: i64,
    latest: i64,
}

impl SessionRow {
    fn item(self) -> Result<Item<Session>, StoreError> {
        let token = format!("{}.{}", self.latest, self.session);
        let bytes = 200 + self.upstreams.len();
        let mut upstreams: Vec<String> = serde_json::from_str(&self.upstreams)
            .map_err(|_| StoreError::Row { column: "entry.upstream" })?;
        upstreams.sort_unstable();
        let item = Session {
            id: self.session,
            principal: principal(self.issuer, self.subject),
            upstreams,
            exchanges: unsigned(self.exchanges, "entry")?,
            denied: unsigned(self.denied, "entry.verdict")?,
            held: unsigned(self.held, "entry.verdict")?,
            started: time(self.started, "entry.started")?,
            ended: time(self.ended, "entry.ended")?,
        };
        Ok(Item { item, token, bytes })
    }
}
