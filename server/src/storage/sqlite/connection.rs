//! Connections to the file: one writer, several readers.

use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use sqlx::Row as _;
use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::{BEGIN_IMMEDIATE, file, migrations, transaction};
use crate::storage::error::at_start;
use crate::storage::{Examination, StorageError, StorageOptions};

/// The file's connections, and the lock that keeps other servers out.
///
/// SQLite lets one connection write at a time. Here calls queue in order for the one writer instead of polling for the
/// file's lock. Readers see the last commit and never wait for the disk.
pub(super) struct Connections {
    writer: SqlitePool,
    readers: SqlitePool,
    _hold: Option<File>,
}

/// Cache of a reading connection in KiB, negative as SQLite requires.
///
/// Small, because a user's rows are read once and then live in the server's memory.
const READER_CACHE: &str = "-256";

impl Connections {
    pub(super) async fn open(path: &Path, storage: &StorageOptions) -> Result<Self, StorageError> {
        let path = file::make(path)?;
        let hold = if storage.exclusive { Some(file::hold(&path)?) } else { None };
        file::remove_foreign_log(&path, storage.exclusive)?;
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

    /// The writing connection.
    pub(super) async fn writer(&self) -> Result<Held, StorageError> {
        Ok(Held(Some(self.writer.acquire().await?)))
    }

    /// A reading connection.
    pub(super) async fn reader(&self) -> Result<Held, StorageError> {
        Ok(Held(Some(self.readers.acquire().await?)))
    }
}

/// Runs all missing migrations in one transaction. It holds the write lock, so a second process waits.
pub(super) async fn migrate(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    migrations::migrator().run_direct(None, &mut *transaction, false).await?;
    transaction.commit().await?;
    Ok(())
}

/// Looks at the database for an operator.
pub(super) async fn examine(connection: &mut SqliteConnection) -> Result<Examination, StorageError> {
    let row = sqlx::query(
        "SELECT sqlite_version(), (SELECT page_count * page_size / 1024 FROM pragma_page_count, pragma_page_size), \
         (SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations')",
    )
    .fetch_one(&mut *connection)
    .await?;
    let mut migrations = Vec::new();
    if row.try_get::<i64, _>(2)? > 0 {
        let rows = sqlx::query("SELECT version FROM _sqlx_migrations WHERE success ORDER BY version");
        for row in rows.fetch_all(connection).await? {
            migrations.push(row.try_get(0)?);
        }
    }
    Ok(Examination {
        what: format!("SQLite {}", row.try_get::<String, _>(0)?),
        facts: vec![format!("{} KiB of data; one server at a time can use it", row.try_get::<i64, _>(1)?)],
        migrations,
        ..Examination::default()
    })
}

pub(super) async fn ping(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    sqlx::query("SELECT count(*) FROM sqlite_schema").execute(connection).await?;
    Ok(())
}

/// A connection during a call. [`Held::hand_back`] returns it to its pool; dropped before that, it is closed.
pub(super) struct Held(Option<PoolConnection<Sqlite>>);

const STILL_HELD: &str = "a held connection exists until it is handed back";

impl Held {
    /// Ends a call. After a failure of the file it closes the connection and waits for that: SQLite itself ends the
    /// transaction on some failures, but sqlx would count it as open forever.
    pub(super) async fn hand_back<T>(mut self, outcome: Result<T, StorageError>) -> Result<T, StorageError> {
        let failed = matches!(outcome, Err(StorageError::Transient(_) | StorageError::Corrupt(_)));
        if let Some(connection) = self.0.take().filter(|_| failed) {
            // An error while closing changes nothing: the call has already failed.
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
