//! The table of who did what.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::{BEGIN_IMMEDIATE, transaction};
use crate::storage::{AuditRow, StorageError};

pub(super) async fn add(connection: &mut SqliteConnection, rows: &[AuditRow]) -> Result<(), StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    for row in rows {
        sqlx::query(
            "INSERT INTO audit (id, happened_at_ms, actor, address, target, action, outcome) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
        )
        .bind(row.id.to_string())
        .bind(row.at_ms)
        .bind(&row.actor)
        .bind(&row.address)
        .bind(&row.target)
        .bind(&row.action)
        .bind(&row.outcome)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn newest(connection: &mut SqliteConnection, max: u32) -> Result<Vec<AuditRow>, StorageError> {
    let rows = sqlx::query(
        "SELECT id, happened_at_ms, actor, address, target, action, outcome FROM audit \
         ORDER BY happened_at_ms DESC, id DESC LIMIT ?1",
    )
    .bind(max)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let id: &str = row.try_get("id")?;
            Ok(AuditRow {
                id: id.parse().map_err(|_| StorageError::Corrupt(format!("the id of an audit row: {id}")))?,
                at_ms: row.try_get("happened_at_ms")?,
                actor: row.try_get("actor")?,
                address: row.try_get("address")?,
                target: row.try_get("target")?,
                action: row.try_get("action")?,
                outcome: row.try_get("outcome")?,
            })
        })
        .collect()
}

pub(super) async fn forget(connection: &mut SqliteConnection, before_ms: i64, max: u32) -> Result<u64, StorageError> {
    let done = sqlx::query(
        "DELETE FROM audit WHERE id IN \
         (SELECT id FROM audit WHERE happened_at_ms < ?1 ORDER BY happened_at_ms LIMIT ?2)",
    )
    .bind(before_ms)
    .bind(max)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
