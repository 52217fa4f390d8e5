//! Connections to the file: one that writes, some that read.

use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::{BEGIN_IMMEDIATE, file, migrations, transaction};
use crate::storage::error::at_start;
use crate::storage::{StorageError, StorageOptions};

/// The file's connections, and the lock that keeps other servers from it.
///
/// SQLite lets one connection write at a time. Here they queue for the one writer, in order, instead of polling the
/// file for its lock; readers see the last commit and never wait for the disk.
pub(super) struct Connections {
    writer: SqlitePool,
    readers: SqlitePool,
    _hold: Option<File>,
}

/// Cache of a connection that reads, as SQLite wants it: negative, in KiB.
///
/// A user's rows are read once and then live in memory, so there is little to keep here.
const READER_CACHE: &str = "-256";

impl Connections {
    pub(super) async fn open(path: &Path, storage: &StorageOptions) -> Result<Self, StorageError> {
        let path = file::make(path)?;
        let hold = if storage.exclusive { Some(file::hold(&path)?) } else { None };
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(storage.call_timeout);
        let writing = options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .thread_name(|_| "sqlite-writer".to_owned());
        let reading =
            options.read_only(true).pragma("cache_size", READER_CACHE).thread_name(|id| format!("sqlite-reader-{id}"));
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(storage.acquire_timeout)
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let writer = pool().max_connections(1).connect_with(writing).await.map_err(at_start)?;
        let readers = pool().max_connections(storage.connections_max.max(1)).connect_lazy_with(reading);
        Ok(Self { writer, readers, _hold: hold })
    }

    /// The connection that writes.
    pub(super) async fn writer(&self) -> Result<Held, StorageError> {
        Ok(Held(Some(self.writer.acquire().await?)))
    }

    /// A connection that reads.
    pub(super) async fn reader(&self) -> Result<Held, StorageError> {
        Ok(Held(Some(self.readers.acquire().await?)))
    }
}

/// Runs all migrations that are missing in one transaction: it holds the write lock, so a second process waits.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    migrations::migrator().run_direct(None, &mut *transaction, false).await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn ping(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    sqlx::query("SELECT count(*) FROM sqlite_schema").execute(connection).await?;
    Ok(())
}

/// A connection during a call. It goes back to its pool only by [`Held::settle`]; dropped before, it is closed.
pub(super) struct Held(Option<PoolConnection<Sqlite>>);

const STILL_HELD: &str = "the connection is there until it is settled";

impl Held {
    /// Ends a call. After a failure of the file the connection is closed, and waited for: SQLite ends the transaction
    /// by itself on some of them, and sqlx would count it as open for ever.
    pub(super) async fn settle<T>(mut self, outcome: Result<T, StorageError>) -> Result<T, StorageError> {
        let failed = matches!(outcome, Err(StorageError::Transient(_) | StorageError::Corrupt(_)));
        if let Some(connection) = self.0.take().filter(|_| failed) {
            // How it closes changes nothing: the outcome is already known to be a failure.
            drop(connection.close().await);
        }
        outcome
    }
}

impl Deref for Held {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        self.0.as_ref().expect(STILL_HELD)
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.0.as_mut().expect(STILL_HELD)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}
