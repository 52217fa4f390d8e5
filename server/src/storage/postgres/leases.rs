//! Leases: the right to write a shard.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};

use super::commits::{begin_reading, confirm};
use crate::planted::{self, Bug};
use crate::storage::{Lease, ShardId, StorageError};

/// Finds and locks the leases that still hold. `$1` are their shards, `$2` their epochs.
const LOCK: &str = "SELECT lease.shard FROM shard_leases AS lease \
     JOIN UNNEST($1::smallint[], $2::bigint[]) AS held (shard, epoch) \
     ON lease.shard = held.shard AND lease.epoch = held.epoch AND NOT lease.released \
     ORDER BY lease.shard FOR SHARE OF lease";

/// The same without the lock: for a look, and for a planted bug, [`Bug::FenceWithoutLock`].
const HELD: &str = "SELECT lease.shard FROM shard_leases AS lease \
     JOIN UNNEST($1::smallint[], $2::bigint[]) AS held (shard, epoch) \
     ON lease.shard = held.shard AND lease.epoch = held.epoch AND NOT lease.released";

/// The query that finds the leases that still hold and locks them until the transaction ends.
pub(super) fn locking() -> &'static str {
    if planted::is(Bug::FenceWithoutLock) { HELD } else { LOCK }
}

/// Locks the rows of the leases that still hold until the transaction ends, and returns their shards.
///
/// A takeover waits for the lock. A caller that waits for a takeover then finds its epoch gone, because PostgreSQL
/// reads the row again after waiting. Everyone locks in the order of shards, which rules out deadlocks.
pub(super) async fn lock(connection: &mut PgConnection, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
    let (shards, epochs) = columns(leases);
    let rows = sqlx::query(locking()).bind(shards).bind(epochs).fetch_all(connection).await?;
    rows.iter().map(|row| shard(row, "shard")).collect()
}

/// Locks the row of one lease, or returns `Fenced`.
pub(super) async fn lock_one(connection: &mut PgConnection, lease: Lease) -> Result<(), StorageError> {
    if lock(connection, &[lease]).await?.is_empty() { Err(StorageError::Fenced(lease.shard)) } else { Ok(()) }
}

/// Leases as columns: shards and epochs.
pub(super) fn columns(leases: &[Lease]) -> (Vec<i16>, Vec<i64>) {
    leases.iter().map(|lease| (number(lease.shard), lease.epoch)).unzip()
}

/// Returns lost shards once that is certain: a commit that locked no lease has waited for no standby.
pub(super) async fn confirmed(connection: &mut PgConnection, gone: Vec<ShardId>) -> Result<Vec<ShardId>, StorageError> {
    if !gone.is_empty() {
        confirm(connection).await?;
    }
    Ok(gone)
}

/// The shards of `leases` that are not in `held`.
pub(super) fn gone(leases: &[Lease], held: &[ShardId]) -> Vec<ShardId> {
    leases.iter().map(|lease| lease.shard).filter(|shard| !held.contains(shard)).collect()
}

pub(super) async fn prove(connection: &mut PgConnection, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
    let mut transaction = connection.begin_with(begin_reading()).await?;
    let held = lock(&mut transaction, leases).await?;
    transaction.commit().await?;
    confirmed(connection, gone(leases, &held)).await
}

pub(super) async fn lost(connection: &mut PgConnection, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
    let (shards, epochs) = columns(leases);
    let rows = sqlx::query(HELD).bind(shards).bind(epochs).fetch_all(connection).await?;
    let held = rows.iter().map(|row| shard(row, "shard")).collect::<Result<Vec<_>, _>>()?;
    Ok(gone(leases, &held))
}

pub(super) async fn take_over(connection: &mut PgConnection, node: &str) -> Result<Vec<Lease>, StorageError> {
    take(connection, node, ShardId::all().map(number).collect(), true).await
}

pub(super) async fn take_again(
    connection: &mut PgConnection,
    node: &str,
    shards: &[ShardId],
) -> Result<Vec<Lease>, StorageError> {
    take(connection, node, shards.iter().copied().map(number).collect(), false).await
}

/// Takes these shards: all of them, or those that nobody has.
async fn take(
    connection: &mut PgConnection,
    node: &str,
    shards: Vec<i16>,
    from_others: bool,
) -> Result<Vec<Lease>, StorageError> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT 1 FROM shard_leases WHERE shard = ANY ($1) ORDER BY shard FOR UPDATE")
        .bind(&shards)
        .execute(&mut *transaction)
        .await?;
    let rows = sqlx::query(
        "UPDATE shard_leases SET epoch = epoch + 1, recoveries = recoveries + (NOT released)::integer, \
         released = false, node = $1, taken_at = now(), \
         process = (SELECT id FROM nodes WHERE kind = 'serve' AND name = $1) \
         WHERE shard = ANY ($2) AND ($3 OR released OR node = $1) RETURNING shard, epoch, recoveries",
    )
    .bind(node)
    .bind(&shards)
    .bind(from_others)
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    in_order(&rows)
}

/// The leases in rows, in the order of shards.
pub(super) fn in_order(rows: &[PgRow]) -> Result<Vec<Lease>, StorageError> {
    let mut leases = rows.iter().map(lease).collect::<Result<Vec<_>, _>>()?;
    leases.sort_unstable_by_key(|lease| lease.shard);
    Ok(leases)
}

/// The lease in a row.
pub(super) fn lease(row: &PgRow) -> Result<Lease, StorageError> {
    Ok(Lease { shard: shard(row, "shard")?, epoch: row.try_get("epoch")?, recoveries: row.try_get("recoveries")? })
}

pub(super) async fn release(connection: &mut PgConnection, leases: &[Lease]) -> Result<(), StorageError> {
    let (shards, epochs) = columns(leases);
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT 1 FROM shard_leases WHERE shard = ANY ($1) ORDER BY shard FOR UPDATE")
        .bind(&shards)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "UPDATE shard_leases AS lease SET released = true, process = NULL \
         FROM UNNEST($1::smallint[], $2::bigint[]) AS held (shard, epoch) \
         WHERE lease.shard = held.shard AND lease.epoch = held.epoch",
    )
    .bind(&shards)
    .bind(epochs)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// A shard's number for the column.
pub(super) fn number(shard: ShardId) -> i16 {
    i16::try_from(shard.number()).expect("shards are below 256")
}

/// The shard in a column.
pub(super) fn shard(row: &PgRow, column: &str) -> Result<ShardId, StorageError> {
    let number: i16 = row.try_get(column)?;
    u16::try_from(number)
        .ok()
        .filter(|number| *number < crate::storage::SHARDS)
        .map(ShardId::new)
        .ok_or_else(|| StorageError::Corrupt(format!("no such shard: {number}")))
}
