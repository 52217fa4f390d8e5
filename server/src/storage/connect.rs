//! Chooses the database by the scheme of its URL.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::postgres::PostgresStorage;
use super::sqlite::SqliteStorage;
use super::{Storage, StorageError};

/// How to hold a database.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// Connections at most, from 1. SQLite: readers at most; there is always one writer beside them.
    pub connections_max: u32,
    /// How long a call waits for a connection, also for one that is being opened.
    pub acquire_timeout: Duration,
    /// How long a call may take once it has a connection. PostgreSQL ends the statement, and a transaction that its
    /// client forgot, after the same time, so that a frozen holder does not stand in the way of a takeover for
    /// longer. SQLite: how long to wait for another process that writes.
    pub call_timeout: Duration,
    /// SQLite: keep other servers from the file for the life of the process. The command line goes without.
    pub exclusive: bool,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            connections_max: 8,
            acquire_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(5),
            exclusive: true,
        }
    }
}

/// Opens the database that `url` names: `sqlite://path` (`sqlite:///path` from the root), `postgres://…` or
/// `postgresql://…`.
///
/// A SQLite file and its folder are made where they are missing. PostgreSQL is not spoken to before the first call.
/// The tables may be missing or old: [`Storage::migrate`] sees to them.
///
/// # Errors
///
/// `Unusable`: the URL is none of these, the file cannot be had, or another server has it.
pub async fn connect(url: &str, options: &StorageOptions) -> Result<Arc<dyn Storage>, StorageError> {
    match url.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => {
            Ok(Arc::new(SqliteStorage::open(Path::new(path), options).await?))
        }
        Some(("postgres" | "postgresql", _)) => Ok(Arc::new(PostgresStorage::open(url, options)?)),
        _ => Err(StorageError::Unusable(
            "the database URL must be sqlite://path, postgres://… or postgresql://…".to_owned(),
        )),
    }
}
