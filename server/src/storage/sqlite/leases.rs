//! Leases: the right to write a shard.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::{BEGIN_IMMEDIATE, transaction};
use crate::storage::{Lease, ShardId, StorageError};

/// The shards of the leases that still hold. Inside a transaction the answer stays true until its end: a writing
/// transaction has the file's only write lock, a reading one sees a snapshot.
pub(super) async fn held(connection: &mut SqliteConnection, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
    let rows = sqlx::query("SELECT shard, epoch FROM shard_leases WHERE NOT released").fetch_all(connection).await?;
    let mut epochs = HashMap::with_capacity(rows.len());
    for row in &rows {
        epochs.insert(shard(row, "shard")?, row.try_get::<i64, _>("epoch")?);
    }
    Ok(leases.iter().filter(|lease| epochs.get(&lease.shard) == Some(&lease.epoch)).map(|lease| lease.shard).collect())
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
    let rows = sqlx::query(
        "UPDATE shard_leases SET epoch = epoch + 1, recoveries = recoveries + NOT released, released = 0, \
         node = ?1, taken_at_ms = unixepoch() * 1000 RETURNING shard, epoch, recoveries",
    )
    .bind(node)
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    let lease = |row: &SqliteRow| {
        Ok(Lease { shard: shard(row, "shard")?, epoch: row.try_get("epoch")?, recoveries: row.try_get("recoveries")? })
    };
    let mut leases = rows.iter().map(lease).collect::<Result<Vec<_>, StorageError>>()?;
    leases.sort_unstable_by_key(|lease| lease.shard);
    Ok(leases)
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
