//! Recognises a copy that `castellan backup` made; jumps and ends sessions after a restore.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::{BEGIN_IMMEDIATE, transaction};
use crate::storage::StorageError;
use crate::storage::origin::{BLIND_JUMP, Change, Origin, seconds};

pub(super) async fn recognise(connection: &mut SqliteConnection, now_ms: i64) -> Result<Origin, StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    let Some(row) =
        sqlx::query("SELECT strftime('%Y-%m-%d %H:%M:%SZ', copied_at_ms / 1000, 'unixepoch') AS copied_at FROM origin")
            .fetch_optional(&mut *transaction)
            .await?
    else {
        return Ok(Origin::default());
    };
    let copied_at: String = row.try_get("copied_at")?;
    let sessions = undo(&mut transaction, now_ms).await?;
    transaction.commit().await?;
    let sign = format!("this file is a copy that `castellan backup` made at {copied_at}");
    Ok(Origin { change: Change::Restored { sign, sessions }, hidden: Vec::new() })
}

pub(super) async fn restored(connection: &mut SqliteConnection, now_ms: i64) -> Result<u64, StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    let sessions = undo(&mut transaction, now_ms).await?;
    transaction.commit().await?;
    Ok(sessions)
}

/// Marks the file as a copy; the first start on it jumps once more, to the time of that start.
pub(super) async fn mark(connection: &mut SqliteConnection, now_ms: i64) -> Result<(), StorageError> {
    sqlx::query("INSERT INTO origin (one, copied_at_ms) VALUES (1, ?1)").bind(now_ms).execute(connection).await?;
    Ok(())
}

/// Makes all shards jump, and deletes all sessions, the keys of their tokens, and the mark of a copy. Returns the number
/// of sessions.
pub(super) async fn undo(connection: &mut SqliteConnection, now_ms: i64) -> Result<u64, StorageError> {
    // Nobody's and not released: a server that is running must not take them again with the old keys in its memory.
    sqlx::query(
        "UPDATE shard_leases SET epoch = CASE WHEN epoch < ?1 THEN ?1 ELSE epoch + ?2 END, \
         recoveries = CASE WHEN recoveries < ?1 THEN ?1 ELSE recoveries + ?2 END, released = 0, node = NULL",
    )
    .bind(seconds(now_ms))
    .bind(BLIND_JUMP)
    .execute(&mut *connection)
    .await?;
    let sessions = sqlx::query("DELETE FROM sessions").execute(&mut *connection).await?.rows_affected();
    // Access tokens are believed by their signature alone, so the keys must go as well.
    sqlx::query("DELETE FROM signing_keys WHERE purpose IN ('es256', 'refresh')").execute(&mut *connection).await?;
    sqlx::query("DELETE FROM origin").execute(connection).await?;
    Ok(sessions)
}
