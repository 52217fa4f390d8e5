//! Shards that change their owners, one by one.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};
use uuid::Uuid;

use super::commits::confirm;
use super::leases::{in_order, lease, number};
use crate::storage::{Lease, Owned, StorageError, Wanted};

/// Locks the rows of the present owners of some shards. A renewal by one of them has happened, or waits for this
/// transaction and then sees what it has taken. Before the leases, and in an order, which rules out deadlocks.
const LOCK_OWNERS: &str = "SELECT 1 FROM nodes WHERE id IN (SELECT process FROM shard_leases WHERE shard = ANY ($1)) \
     ORDER BY id FOR SHARE";

/// Takes what is wanted and is still as the taker saw it.
const TAKE: &str = "UPDATE shard_leases AS lease SET epoch = lease.epoch + 1, \
     recoveries = lease.recoveries + (NOT lease.released)::integer, released = false, node = taker.name, \
     taken_at = now(), process = taker.id \
     FROM nodes AS taker, UNNEST($2::smallint[], $3::bigint[], $4::bigint[]) AS wanted (shard, epoch, heartbeat) \
     WHERE taker.id = $1 AND lease.shard = wanted.shard AND lease.epoch = wanted.epoch AND (lease.process IS NULL \
     OR EXISTS (SELECT FROM nodes AS owner WHERE owner.id = lease.process AND owner.heartbeat = wanted.heartbeat)) \
     RETURNING lease.shard, lease.epoch, lease.recoveries";

pub(super) async fn owners(connection: &mut PgConnection) -> Result<Vec<Owned>, StorageError> {
    let rows = sqlx::query("SELECT shard, epoch, recoveries, released, process FROM shard_leases ORDER BY shard");
    rows.fetch_all(connection).await?.iter().map(owned).collect()
}

pub(super) async fn take(
    connection: &mut PgConnection,
    process: Uuid,
    wanted: &[Wanted],
) -> Result<Vec<Lease>, StorageError> {
    let shards: Vec<i16> = wanted.iter().map(|wanted| number(wanted.shard)).collect();
    let (epochs, heartbeats): (Vec<i64>, Vec<Option<i64>>) =
        wanted.iter().map(|wanted| (wanted.epoch, wanted.heartbeat)).unzip();
    let mut transaction = connection.begin().await?;
    sqlx::query(LOCK_OWNERS).bind(&shards).execute(&mut *transaction).await?;
    sqlx::query("SELECT 1 FROM shard_leases WHERE shard = ANY ($1) ORDER BY shard FOR UPDATE")
        .bind(&shards)
        .execute(&mut *transaction)
        .await?;
    let rows = sqlx::query(TAKE)
        .bind(process)
        .bind(&shards)
        .bind(epochs)
        .bind(heartbeats)
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    in_order(&rows)
}

pub(super) async fn transfer(
    connection: &mut PgConnection,
    from: Uuid,
    to: Uuid,
    lease: Lease,
) -> Result<Owned, StorageError> {
    let mut transaction = connection.begin().await?;
    let transferred = sqlx::query(
        "UPDATE shard_leases AS lease SET epoch = lease.epoch + 1, node = receiver.name, taken_at = now(), \
         process = receiver.id FROM nodes AS receiver WHERE receiver.id = $1 \
         AND lease.shard = $2 AND lease.epoch = $3 AND lease.process = $4 AND NOT lease.released",
    )
    .bind(to)
    .bind(number(lease.shard))
    .bind(lease.epoch)
    .bind(from)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    let row = sqlx::query("SELECT shard, epoch, recoveries, released, process FROM shard_leases WHERE shard = $1")
        .bind(number(lease.shard))
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    if transferred == 0 {
        confirm(connection).await?;
    }
    owned(&row)
}

fn owned(row: &PgRow) -> Result<Owned, StorageError> {
    Ok(Owned { lease: lease(row)?, released: row.try_get("released")?, owner: row.try_get("process")? })
}
