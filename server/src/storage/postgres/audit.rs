//! The table of who did what.

use sqlx::Row;
use sqlx::postgres::PgConnection;

use crate::storage::{AuditRow, StorageError};

pub(super) async fn add(connection: &mut PgConnection, rows: &[AuditRow]) -> Result<(), StorageError> {
    let column = |of: fn(&AuditRow) -> &str| rows.iter().map(|row| of(row).replace('\0', "")).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO audit (id, happened_at, actor, address, target, action, outcome) \
         SELECT id, to_timestamp(at_ms * 0.001::float8), actor, address, target, action, outcome \
         FROM UNNEST($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) \
         AS new_row (id, at_ms, actor, address, target, action, outcome) ON CONFLICT (id) DO NOTHING",
    )
    .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.at_ms).collect::<Vec<_>>())
    .bind(column(|row| &row.actor))
    .bind(rows.iter().map(|row| row.address.clone()).collect::<Vec<_>>())
    .bind(column(|row| &row.target))
    .bind(column(|row| &row.action))
    .bind(column(|row| &row.outcome))
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn newest(connection: &mut PgConnection, max: u32) -> Result<Vec<AuditRow>, StorageError> {
    let rows = sqlx::query(
        "SELECT id, (extract(epoch FROM happened_at) * 1000)::bigint AS at_ms, actor, address, target, action, outcome \
         FROM audit ORDER BY happened_at DESC, id DESC LIMIT $1",
    )
    .bind(i64::from(max))
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(AuditRow {
                id: row.try_get("id")?,
                at_ms: row.try_get("at_ms")?,
                actor: row.try_get("actor")?,
                address: row.try_get("address")?,
                target: row.try_get("target")?,
                action: row.try_get("action")?,
                outcome: row.try_get("outcome")?,
            })
        })
        .collect()
}

pub(super) async fn forget(connection: &mut PgConnection, before_ms: i64, max: u32) -> Result<u64, StorageError> {
    let done = sqlx::query(
        "DELETE FROM audit WHERE id = ANY (ARRAY (SELECT id FROM audit \
         WHERE happened_at < to_timestamp($1 * 0.001::float8) ORDER BY happened_at LIMIT $2))",
    )
    .bind(before_ms)
    .bind(i64::from(max))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
