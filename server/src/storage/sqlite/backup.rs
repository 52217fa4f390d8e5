//! Copies the file while a server uses it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, Row};

use super::file::{self, beside};
use super::{connection, origin};
use crate::storage::{Copied, StorageError, StorageOptions};

/// Copies the database `source` to `target`.
///
/// SQLite writes the copy under another name. There it gets the current schema, jumps and loses its sessions, so that
/// even an older server may be started on it. It gets its own name when it is complete and on disk.
pub(in crate::storage) async fn backup(
    source: &Path,
    target: &Path,
    now_ms: i64,
    options: &StorageOptions,
) -> Result<Copied, StorageError> {
    if fs::symlink_metadata(target).is_ok() {
        return Err(refused(format!("{} already exists; choose another name", target.display())));
    }
    let source = source
        .canonicalize()
        .map_err(|error| refused(format!("there is no database file {}: {error}", source.display())))?;
    file::remove_foreign_log(&source, false)?;
    let partial = beside(target, ".partial");
    file::create_private(&partial).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => refused(format!(
            "{} exists: another backup is writing it, or was killed. If no backup is running, remove the file",
            partial.display()
        )),
        _ => refused(format!("cannot create {}: {error}", partial.display())),
    })?;
    let outcome = match copy(&source, &partial, now_ms, options).await {
        Ok(characters) => {
            settle(&partial, target).map(|bytes| Copied { bytes, characters }).map_err(|error| failed(target, &error))
        }
        Err(StorageError::Transient(text) | StorageError::Corrupt(text)) => Err(failed(target, &text)),
        Err(error) => Err(failed(target, &error)),
    };
    if outcome.is_err() {
        for leftover in [beside(&partial, "-journal"), partial] {
            // It may be gone already, and the first error is the one to tell.
            let _ = fs::remove_file(leftover);
        }
    }
    outcome
}

/// Writes the copy and returns the number of characters in it.
async fn copy(source: &Path, partial: &Path, now_ms: i64, storage: &StorageOptions) -> Result<u64, StorageError> {
    let name = partial.to_str().ok_or_else(|| refused("the name must be valid UTF-8".to_owned()))?;
    let reading = SqliteConnectOptions::new().filename(source).read_only(true).busy_timeout(storage.call_timeout);
    let mut original = SqliteConnection::connect_with(&reading).await?;
    // Fails on a file that is no database of ours, whose copy would be worth nothing.
    sqlx::query("SELECT 1 FROM shard_leases, characters LIMIT 1").execute(&mut original).await?;
    // One read transaction: the copy shows one commit, and neither waits for the server nor holds it up.
    sqlx::query("VACUUM INTO ?1").bind(name).execute(&mut original).await?;
    original.close().await?;

    let writing = SqliteConnectOptions::new()
        .filename(partial)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Full);
    let mut copy = SqliteConnection::connect_with(&writing).await?;
    connection::migrate(&mut copy).await?;
    let mut transaction = copy.begin().await?;
    origin::undo(&mut transaction, now_ms).await?;
    origin::mark(&mut transaction, now_ms).await?;
    transaction.commit().await?;
    let row = sqlx::query("SELECT count(*) AS characters FROM characters WHERE deleted_at_ms IS NULL")
        .fetch_one(&mut copy)
        .await?;
    let characters: i64 = row.try_get("characters")?;
    copy.close().await?;
    Ok(characters.unsigned_abs())
}

/// Brings the copy to disk and gives it its name. Returns its size.
fn settle(partial: &Path, target: &Path) -> io::Result<u64> {
    let file = File::open(partial)?;
    file.sync_all()?;
    let bytes = file.metadata()?.len();
    fs::rename(partial, target)?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.inspect_err(|_| drop(fs::remove_file(target)))?;
    Ok(bytes)
}

fn refused(text: String) -> StorageError {
    StorageError::Unusable(text)
}

fn failed(target: &Path, error: &dyn std::fmt::Display) -> StorageError {
    refused(format!("the backup to {} failed; no file was left behind: {error}", target.display()))
}
