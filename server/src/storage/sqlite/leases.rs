//! Leases: the right to write a shard.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{BEGIN_IMMEDIATE, transaction};
use crate::storage::{Lease, ShardId, StorageError};

/// The shards of the leases that still hold. Inside a transaction the answer stays true until its end: a writing
/// transaction has the file's only write lock, a reading one sees a snapshot.
///
/// The answer is one row, because sqlx wakes two threads for each row of SQLite.
pub(super) async fn held(connection: &mut SqliteConnection, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
    let query = "SELECT json_group_array(json_array(shard, epoch)) FROM shard_leases WHERE NOT released";
    let held: String = sqlx::query_scalar(query).fetch_one(connection).await?;
    let held: Vec<(u16, i64)> =
        serde_json::from_str(&held).map_err(|error| StorageError::Corrupt(error.to_string()))?;
    let epochs: HashMap<u16, i64> = held.into_iter().collect();
    let holds = |lease: &&Lease| epochs.get(&lease.shard.number()) == Some(&lease.epoch);
    Ok(leases.iter().filter(holds).map(|lease| lease.shard).collect())
}

/// Returns `Fenced` if the lease is lost.
pub(super) async fn check_one(connection: &mut SqliteConnection, lease: Lease) -> Result<(), StorageError> {
    let row = sqlx::query("SELECT 1 FROM shard_leases WHERE shard = ?1 AND epoch = ?2 AND NOT released")
        .bind(lease.shard.number())
        .bind(lease.epoch)
        .fetch_optional(connection)
        .await?;
    if row.is_none() { Err(StorageError::Fenced(lease.shard)) } else { Ok(()) }
}

/// The shards of `leases` that are not in `held`.
pub(super) fn gone(leases: &[Lease], held: &[ShardId]) -> Vec<ShardId> {
    leases.iter().map(|lease| lease.shard).filter(|shard| !held.contains(shard)).collect()
}

pub(super) async fn prove(connection: &mut SqliteConnection, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
    let held = held(connection, leases).await?;
    Ok(gone(leases, &held))
}

pub(super) async fn take_over(connection: &mut SqliteConnection, node: &str) -> Result<Vec<Lease>, StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    let mut leases = Vec::new();
    for shard in ShardId::all() {
        leases.extend(take(&mut transaction, node, shard, true).await?);
    }
    transaction.commit().await?;
    Ok(leases)
}

pub(super) async fn take_again(
    connection: &mut SqliteConnection,
    node: &str,
    shards: &[ShardId],
) -> Result<Vec<Lease>, StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    let mut leases = Vec::new();
    for shard in shards {
        leases.extend(take(&mut transaction, node, *shard, false).await?);
    }
    transaction.commit().await?;
    Ok(leases)
}

/// Takes a shard, if `from_others` is true or nobody has it.
async fn take(
    connection: &mut SqliteConnection,
    node: &str,
    shard: ShardId,
    from_others: bool,
) -> Result<Option<Lease>, StorageError> {
    let row = sqlx::query(
        "UPDATE shard_leases SET epoch = epoch + 1, recoveries = recoveries + NOT released, released = 0, \
         node = ?1, taken_at_ms = unixepoch() * 1000 \
         WHERE shard = ?2 AND (?3 OR released OR node = ?1) RETURNING epoch, recoveries",
    )
    .bind(node)
    .bind(shard.number())
    .bind(from_others)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok(Lease { shard, epoch: row.try_get("epoch")?, recoveries: row.try_get("recoveries")? })).transpose()
}

pub(super) async fn release(connection: &mut SqliteConnection, leases: &[Lease]) -> Result<(), StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    for lease in leases {
        sqlx::query("UPDATE shard_leases SET released = 1 WHERE shard = ?1 AND epoch = ?2")
            .bind(lease.shard.number())
            .bind(lease.epoch)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// The shard in a column.
pub(super) fn shard(row: &SqliteRow, column: &str) -> Result<ShardId, StorageError> {
    let number: i64 = row.try_get(column)?;
    u16::try_from(number)
        .ok()
        .filter(|number| *number < crate::storage::SHARDS)
        .map(ShardId::new)
        .ok_or_else(|| StorageError::Corrupt(format!("no such shard: {number}")))
}
