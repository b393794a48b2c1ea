//! The [`Store`] on SQLite: one file, for a control plane of one process.
//!
//! One connection writes, so that transactions never meet; a few read beside it (WAL). Every commit is
//! synced: an answer that was given survives a power cut.

mod approvals;
mod audit;
mod entries;
mod page;
mod policies;
mod search;

use std::path::Path;

use jiff::Timestamp;
use lockgate_core::{index::Entry, principal::Principal};
use serde_json::Map;
use sqlx::{
    ConnectOptions, Connection, Sqlite, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use self::audit::By;
use super::{Publication, Store, StoreError, Which};
use crate::model::{
    Approval, ApprovalRequest, AuditEvent, Decision, EntryFilter, Page, PageRequest, PublishedPolicy,
    Session, State,
};

/// The state in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    write: SqlitePool,
    read: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, creates it where it is missing, and brings it up to date.
    ///
    /// # Errors
    /// When the file can't be opened, is no database, or was written by a later version.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        let write = SqlitePoolOptions::new().max_connections(1).after_release(|connection, _| {
            Box::pin(async move {
                // SQLite ends a transaction by itself when the disk is full. The driver misses that, and
                // would begin no other on this connection.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        });
        let write = write.connect_with(options.clone()).await?;
        sqlx::migrate!("migrations/sqlite").run(&write).await?;
        let read = SqlitePoolOptions::new().max_connections(4).connect_with(options.read_only(true)).await?;
        Ok(Self { write, read })
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }
}

#[tonic::async_trait]
impl Store for SqliteStore {
    async fn publish(&self, publication: Publication) -> Result<PublishedPolicy, StoreError> {
        let mut tx = self.begin().await?;
        let policy = policies::publish(&mut tx, publication).await?;
        tx.commit().await?;
        Ok(policy)
    }

    async fn policy(&self, which: Which<'_>) -> Result<Option<PublishedPolicy>, StoreError> {
        policies::find(&mut *self.read.acquire().await?, which).await
    }

    async fn policies(&self, page: &PageRequest) -> Result<Page<PublishedPolicy>, StoreError> {
        policies::list(&mut *self.read.acquire().await?, page).await
    }

    async fn request_approval(
        &self,
        request: ApprovalRequest,
        now: Timestamp,
    ) -> Result<Approval, StoreError> {
        let mut tx = self.begin().await?;
        let approval = approvals::request(&mut tx, request, now).await?;
        tx.commit().await?;
        Ok(approval)
    }

    async fn approval(&self, id: &str, now: Timestamp) -> Result<Approval, StoreError> {
        // A transaction, so that the answers are those of the row.
        approvals::get(&mut *self.read.begin().await?, id, now).await
    }

    async fn approvals(
        &self,
        states: &[State],
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<Approval>, StoreError> {
        approvals::list(&mut *self.read.begin().await?, states, page, now).await
    }

    async fn decide(&self, id: &str, decision: Decision) -> Result<Approval, StoreError> {
        let mut tx = self.begin().await?;
        let approval = approvals::decide(&mut tx, id, decision).await?;
        tx.commit().await?;
        Ok(approval)
    }

    async fn redeem(&self, id: &str, exchange: &str, now: Timestamp) -> Result<Approval, StoreError> {
        let mut tx = self.begin().await?;
        let approval = approvals::redeem(&mut tx, id, exchange, now).await?;
        tx.commit().await?;
        Ok(approval)
    }

    async fn put_entries(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        entries::put(&mut tx, entries).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn restore_entries(
        &self,
        entries: &[Entry],
        by: &Principal,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for entry in entries {
            entries::restore(&mut tx, entry, By { who: by, at }).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn search_entries(
        &self,
        filter: &EntryFilter,
        page: &PageRequest,
    ) -> Result<Page<Entry>, StoreError> {
        search::entries(&mut *self.read.acquire().await?, filter, page).await
    }

    async fn search_sessions(
        &self,
        filter: &EntryFilter,
        page: &PageRequest,
    ) -> Result<Page<Session>, StoreError> {
        search::sessions(&mut *self.read.acquire().await?, filter, page).await
    }

    async fn entry(&self, exchange: &str) -> Result<Entry, StoreError> {
        entries::get(&mut *self.read.acquire().await?, exchange).await
    }

    async fn audit(&self, page: &PageRequest) -> Result<Page<AuditEvent>, StoreError> {
        audit::list(&mut *self.read.acquire().await?, page).await
    }

    async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// A time as it is kept.
fn micros(time: Timestamp) -> i64 {
    time.as_microsecond()
}

/// A time as it was kept.
fn time(micros: i64, column: &'static str) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(micros).map_err(|_| StoreError::Row { column })
}

/// Somebody as they are kept: their groups were of the moment.
fn principal(issuer: String, subject: String) -> Principal {
    Principal { issuer, subject, groups: Vec::new(), claims: Map::new() }
}

/// A number that is never negative.
fn unsigned(number: i64, column: &'static str) -> Result<u64, StoreError> {
    number.try_into().map_err(|_| StoreError::Row { column })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{samples::entry, store::conformance::conformance};

    async fn open() -> (Arc<dyn Store>, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("control.db")).await.unwrap();
        (Arc::new(store), folder)
    }

    conformance!(super::open);

    #[tokio::test]
    async fn what_was_kept_is_there_after_a_restart() {
        let (store, folder) = open().await;
        let entry = entry("team/app", "refs/heads/main", 0);
        store.put_entries(std::slice::from_ref(&entry)).await.unwrap();
        store.close().await;
        let again = SqliteStore::open(&folder.path().join("control.db")).await.unwrap();
        assert_eq!(again.entry(&entry.exchange).await.unwrap(), entry);
    }

    #[tokio::test]
    async fn what_is_no_database_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.db");
        std::fs::write(&path, "not a database, but long enough to look at".repeat(100)).unwrap();
        assert!(SqliteStore::open(&path).await.is_err());
        assert!(SqliteStore::open(folder.path()).await.is_err());
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_that_passes() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("control.db")).await.unwrap();
        sqlx::query("PRAGMA max_page_count = 1").execute(&store.write).await.unwrap();
        let mut large = entry("team/app", "refs/heads/main", 0);
        large.accesses[0].binding = "x".repeat(1 << 20);
        let refused = store.put_entries(&[entry("team/app", "refs/heads/main", 0), large.clone()]).await;
        assert!(matches!(refused, Err(StoreError::Database(_))), "{refused:?}");
        let all = store.search_entries(&EntryFilter::default(), &PageRequest::default()).await.unwrap();
        assert_eq!(all.items, [], "nothing is half done");
        sqlx::query("PRAGMA max_page_count = 1000000").execute(&store.write).await.unwrap();
        store.put_entries(&[large]).await.expect("there is room again");
    }
}
