//! The registered processes.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};
use uuid::Uuid;

use super::commits::confirm;
use super::{agreed, leases};
use crate::storage::{InUse, Link, Load, Node, NodeKind, Present, Renewal, Report, Seen, StorageError};

/// The columns of [`Present`].
macro_rules! present {
    () => {
        "SELECT id, kind, name, coalesce(address, '') AS address, link_secret, link_oldest, link_newest, weight, \
         draining, catalogue, revision, complaint, schema_version, sockets, intents_per_second, dirty, lag_ms, heartbeat, (extract(epoch FROM started_at) * 1000)::bigint AS \
         started_at_ms, (extract(epoch FROM clock_timestamp() - started_at) * 1000)::bigint AS age_ms, (extract(epoch FROM clock_timestamp() - seen_at) * 1000)::bigint AS seen_ago_ms FROM nodes "
    };
}

pub(super) async fn register(
    connection: &mut PgConnection,
    node: &Node,
    still: &[Seen],
) -> Result<Vec<Present>, StorageError> {
    let (processes, heartbeats) = columns(still);
    let mut transaction = connection.begin().await?;
    sqlx::query(agreed::ONE_AT_A_TIME).execute(&mut *transaction).await?;
    let rows = sqlx::query(concat!(
        present!(),
        "WHERE (kind <> $1 OR name = $4) AND id <> $5 \
         AND NOT EXISTS (SELECT FROM UNNEST($2::uuid[], $3::bigint[]) AS still (id, heartbeat) \
         WHERE still.id = nodes.id AND still.heartbeat = nodes.heartbeat) ORDER BY name, id"
    ))
    .bind(node.kind.name())
    .bind(processes)
    .bind(heartbeats)
    .bind(&node.name)
    .bind(node.process)
    .fetch_all(&mut *transaction)
    .await?;
    if !rows.is_empty() {
        transaction.rollback().await?;
        return rows.iter().map(present).collect();
    }
    agreed::agree_on_schema(&mut transaction, node).await?;
    let link = node.link.as_ref();
    sqlx::query(
        "INSERT INTO nodes (id, kind, name, address, link_secret, link_oldest, link_newest, weight, draining, catalogue, \
         revision, complaint, schema_version, heartbeat, started_at, seen_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 1, clock_timestamp(), clock_timestamp()) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(node.process)
    .bind(node.kind.name())
    .bind(&node.name)
    .bind(&node.address)
    .bind(link.map(|link| link.secret.as_slice()))
    .bind(link.map(|link| i32::from(link.oldest)))
    .bind(link.map(|link| i32::from(link.newest)))
    .bind(i32::try_from(node.weight).map_err(|_| StorageError::Refused(format!("no such weight: {}", node.weight)))?)
    .bind(node.draining)
    .bind(&node.rules.catalogue)
    .bind(node.rules.revision)
    .bind(&node.rules.complaint)
    .bind(node.schema_version)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Vec::new())
}

pub(super) async fn renew(
    connection: &mut PgConnection,
    process: Uuid,
    report: &Report,
) -> Result<Option<Renewal>, StorageError> {
    let Report { rules, load } = report;
    let mut transaction = connection.begin().await?;
    let renewed = sqlx::query(concat!(
        "UPDATE nodes SET heartbeat = heartbeat + 1, seen_at = clock_timestamp(), catalogue = $2, revision = $3, \
         complaint = $4, sockets = $5, intents_per_second = $6, dirty = $7, lag_ms = $8 FROM (",
        agreed::select_agreed!(),
        ") AS agreed WHERE id = $1 RETURNING agreed.*"
    ))
    .bind(process)
    .bind(&rules.catalogue)
    .bind(rules.revision)
    .bind(&rules.complaint)
    .bind(capped(load.sockets))
    .bind(capped(load.intents_per_second))
    .bind(capped(load.dirty))
    .bind(capped(load.lag_ms))
    .fetch_optional(&mut *transaction)
    .await?;
    // A statement of its own: the first one may have waited for a take, and this one sees what that has taken.
    let rows = sqlx::query("SELECT shard, epoch, recoveries FROM shard_leases WHERE process = $1 AND NOT released")
        .bind(process)
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    let Some(renewed) = renewed else {
        confirm(connection).await?;
        return Ok(None);
    };
    Ok(Some(Renewal { leases: leases::in_order(&rows)?, agreed: agreed::read(&renewed)? }))
}

pub(super) async fn nodes(connection: &mut PgConnection) -> Result<Vec<Present>, StorageError> {
    let rows = sqlx::query(concat!(present!(), "ORDER BY name, id")).fetch_all(connection).await?;
    rows.iter().map(present).collect()
}

pub(super) async fn leave(connection: &mut PgConnection, process: Uuid) -> Result<bool, StorageError> {
    sqlx::query("DELETE FROM nodes WHERE id = $1 AND NOT EXISTS (SELECT FROM shard_leases WHERE process = $1)")
        .bind(process)
        .execute(&mut *connection)
        .await?;
    let left = sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM nodes WHERE id = $1)");
    Ok(left.bind(process).fetch_one(connection).await?)
}

pub(super) async fn set_draining(
    connection: &mut PgConnection,
    name: &str,
    draining: bool,
) -> Result<bool, StorageError> {
    let set = sqlx::query("UPDATE nodes SET draining = $2 WHERE kind = 'node' AND name = $1");
    Ok(set.bind(name).bind(draining).execute(connection).await?.rows_affected() > 0)
}

pub(super) async fn forget(connection: &mut PgConnection, still: &[Seen]) -> Result<u64, StorageError> {
    let (processes, heartbeats) = columns(still);
    let forgotten = sqlx::query(
        "DELETE FROM nodes USING UNNEST($1::uuid[], $2::bigint[]) AS still (id, heartbeat) \
         WHERE nodes.id = still.id AND nodes.heartbeat = still.heartbeat \
         AND NOT EXISTS (SELECT FROM shard_leases WHERE process = nodes.id)",
    )
    .bind(processes)
    .bind(heartbeats)
    .execute(connection)
    .await?;
    Ok(forgotten.rows_affected())
}

/// Processes and their heartbeats as columns.
fn columns(seen: &[Seen]) -> (Vec<Uuid>, Vec<i64>) {
    seen.iter().map(|seen| (seen.process, seen.heartbeat)).unzip()
}

fn present(row: &PgRow) -> Result<Present, StorageError> {
    let (secret, oldest, newest): (Option<Vec<u8>>, Option<i32>, Option<i32>) =
        (row.try_get("link_secret")?, row.try_get("link_oldest")?, row.try_get("link_newest")?);
    let link = match (secret, oldest, newest) {
        (Some(secret), Some(oldest), Some(newest)) => {
            Some(Link { secret, oldest: small(oldest)?, newest: small(newest)? })
        }
        _ => None,
    };
    let node = Node {
        process: row.try_get("id")?,
        kind: NodeKind::named(row.try_get("kind")?)?,
        name: row.try_get("name")?,
        address: row.try_get("address")?,
        link,
        weight: small(row.try_get("weight")?)?,
        draining: row.try_get("draining")?,
        rules: InUse {
            catalogue: row.try_get("catalogue")?,
            revision: row.try_get("revision")?,
            complaint: row.try_get("complaint")?,
        },
        schema_version: row.try_get("schema_version")?,
    };
    let load = Load {
        sockets: small(row.try_get("sockets")?)?,
        intents_per_second: small(row.try_get("intents_per_second")?)?,
        dirty: small(row.try_get("dirty")?)?,
        lag_ms: small(row.try_get("lag_ms")?)?,
    };
    Ok(Present {
        node,
        load,
        heartbeat: row.try_get("heartbeat")?,
        started_at_ms: row.try_get("started_at_ms")?,
        age_ms: row.try_get("age_ms")?,
        seen_ago_ms: row.try_get("seen_ago_ms")?,
    })
}

/// A number for a column of integers.
fn capped(number: u32) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

fn small<T: TryFrom<i32>>(number: i32) -> Result<T, StorageError> {
    T::try_from(number).map_err(|_| StorageError::Corrupt(format!("{number} is out of bounds in the table nodes")))
}
