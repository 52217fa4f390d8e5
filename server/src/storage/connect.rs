//! Opens the database that a URL names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::postgres::{self, PostgresStorage};
use super::sqlite::SqliteStorage;
use super::{Storage, StorageError};

/// Options for opening a database.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// Most connections, at least 1. SQLite: most readers; there is always one writer in addition.
    pub connections_max: u32,
    /// How long a call waits for a connection, including a new one.
    pub acquire_timeout: Duration,
    /// Time limit of a call that has a connection. PostgreSQL ends the statement and an abandoned transaction after the
    /// same time, so that a frozen holder cannot block a takeover for longer. SQLite: how long to wait for another
    /// process that writes.
    pub call_timeout: Duration,
    /// SQLite: lock other servers out of the file for the life of the process. Commands leave this off.
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
/// Creates a missing SQLite file and its folder. Does not contact PostgreSQL before the first call. The tables may be
/// missing or old: [`Storage::migrate`] creates and updates them.
///
/// # Errors
///
/// `Unusable`: the URL is invalid, the file cannot be opened, or another server uses it.
pub async fn connect(url: &str, options: &StorageOptions) -> Result<Arc<dyn Storage>, StorageError> {
    match url.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => {
            Ok(Arc::new(SqliteStorage::open(Path::new(path), options).await?))
        }
        Some(("postgres" | "postgresql", _)) => Ok(Arc::new(PostgresStorage::open(url, options)?)),
        _ => Err(StorageError::Unusable(format!("database.url {NO_DATABASE}"))),
    }
}

const NO_DATABASE: &str = "must be sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME";

/// Checks a URL without opening anything.
///
/// # Errors
///
/// Says what is wrong, without quoting the password.
pub fn check_url(url: &str) -> Result<(), String> {
    match url.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() => Ok(()),
        Some(("postgres" | "postgresql", rest)) if !rest.is_empty() => postgres::check_url(url),
        _ => Err(NO_DATABASE.to_owned()),
    }
}
