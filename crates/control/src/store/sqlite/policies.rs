//! The log of published policies.

use futures::StreamExt;
use sqlx::SqliteConnection;

use super::{
    super::{Publication, StoreError, Which},
    audit::{self, By},
    micros,
    page::{self, Item},
    principal, time, unsigned,
};
use crate::model::{Page, PageRequest, PublishedPolicy};

pub(super) async fn publish(
    db: &mut SqliteConnection,
    publication: Publication,
) -> Result<PublishedPolicy, StoreError> {
    let current = find(db, Which::Current).await?;
    let version = current.as_ref().map(|policy| policy.version.as_str()).unwrap_or_default();
    if publication.if_current.as_ref().is_some_and(|wanted| wanted != version) {
        return Err(StoreError::NotCurrent { current: version.to_owned() });
    }
    match current {
        Some(policy) if policy.version == publication.version => Ok(policy),
        Some(_) | None => append(db, publication).await,
    }
}

async fn append(db: &mut SqliteConnection, publication: Publication) -> Result<PublishedPolicy, StoreError> {
    let Publication { version, text, by, at, comment, if_current: _, act } = publication;
    sqlx::query("INSERT INTO policy_text (version, text) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(&version)
        .bind(&text)
        .execute(&mut *db)
        .await?;
    let done = sqlx::query(
        "INSERT INTO policy_publication (version, issuer, subject, at, comment) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(&version)
    .bind(&by.issuer)
    .bind(&by.subject)
    .bind(micros(at))
    .bind(&comment)
    .execute(&mut *db)
    .await?;
    audit::write(db, By { who: &by, at }, act.word(), &version, &comment).await?;
    let revision = unsigned(done.last_insert_rowid(), "policy_publication.revision")?;
    Ok(PublishedPolicy { revision, version, text, by, at, comment, current: true })
}

pub(super) async fn find(
    db: &mut SqliteConnection,
    which: Which<'_>,
) -> Result<Option<PublishedPolicy>, StoreError> {
    let (filter, version) = match which {
        Which::Current => (SELECT_CURRENT, None),
        Which::Previous => (SELECT_PREVIOUS, None),
        Which::Version(version) => (SELECT_VERSION, Some(version)),
    };
    let query = sqlx::query_as::<_, Row>(filter);
    let query = if let Some(version) = version { query.bind(version) } else { query };
    query.fetch_optional(db).await?.map(Row::policy).transpose()
}

pub(super) async fn list(
    db: &mut SqliteConnection,
    page: &PageRequest,
) -> Result<Page<PublishedPolicy>, StoreError> {
    let rows = sqlx::query_as::<_, Row>(
        "SELECT revision, version, '' AS text, issuer, subject, at, comment,
                revision = (SELECT max(revision) FROM policy_publication) AS current
         FROM policy_publication WHERE revision < ? ORDER BY revision DESC LIMIT ?",
    )
    .bind(page::number(page)?.unwrap_or(i64::MAX))
    .bind(page.limit() + 1)
    .fetch(db);
    page::cut(page, rows.map(|row| row?.item())).await
}

/// All columns of a policy; what follows says of which.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT revision, version, text, issuer, subject, at, comment,
                    revision = (SELECT max(revision) FROM policy_publication) AS current
             FROM policy_publication JOIN policy_text USING (version) ",
            $which,
            " ORDER BY revision DESC LIMIT 1"
        )
    };
}

const SELECT_CURRENT: &str = select!("");
const SELECT_VERSION: &str = select!("WHERE version = ?");
const SELECT_PREVIOUS: &str =
    select!("WHERE version <> (SELECT version FROM policy_publication ORDER BY revision DESC LIMIT 1)");

#[derive(sqlx::FromRow)]
struct Row {
    revision: i64,
    version: String,
    text: String,
    issuer: String,
    subject: String,
    at: i64,
    comment: String,
    current: bool,
}

impl Row {
    fn policy(self) -> Result<PublishedPolicy, StoreError> {
        Ok(PublishedPolicy {
            revision: unsigned(self.revision, "policy_publication.revision")?,
            version: self.version,
            text: self.text,
            by: principal(self.issuer, self.subject),
            at: time(self.at, "policy_publication.at")?,
            comment: self.comment,
            current: self.current,
        })
    }

    fn item(self) -> Result<Item<PublishedPolicy>, StoreError> {
        let (token, bytes) = (self.revision.to_string(), 200 + self.comment.len());
        Ok(Item { item: self.policy()?, token, bytes })
    }
}
