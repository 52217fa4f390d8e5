//! What all nodes follow.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};

use crate::storage::membership::schema_beside;
use crate::storage::{Agreed, Node, Published, StorageError};

/// Makes registrations wait for one another, but for nothing else: heartbeats go on. The number has no meaning.
pub(super) const ONE_AT_A_TIME: &str = "SELECT pg_advisory_xact_lock(7165066980124812911)";

/// The columns of [`Agreed`].
macro_rules! select_agreed {
    () => {
        "SELECT revision AS agreed_revision, (extract(epoch FROM clock_timestamp() - published_at) * 1000)::bigint AS \
         agreed_age_ms, stored_schema AS agreed_schema FROM cluster"
    };
}
pub(super) use select_agreed;

pub(super) async fn agreed(connection: &mut PgConnection) -> Result<Agreed, StorageError> {
    read(&sqlx::query(select_agreed!()).fetch_one(connection).await?)
}

pub(super) async fn publish(
    connection: &mut PgConnection,
    rules: &str,
    by: &str,
    first: bool,
) -> Result<i64, StorageError> {
    sqlx::query(
        "UPDATE cluster SET revision = revision + 1, rules = $1, published_by = $2, published_at = clock_timestamp() \
         WHERE revision = 0 OR (rules <> $1 AND NOT $3)",
    )
    .bind(rules)
    .bind(by)
    .bind(first)
    .execute(&mut *connection)
    .await?;
    Ok(sqlx::query_scalar("SELECT revision FROM cluster").fetch_one(connection).await?)
}

/// Says which schema is stored beside a process that registers, and refuses a node that cannot read it.
pub(super) async fn agree_on_schema(connection: &mut PgConnection, node: &Node) -> Result<(), StorageError> {
    let present = sqlx::query_scalar("SELECT stored_schema FROM cluster").fetch_one(&mut *connection).await?;
    let schema = schema_beside(present, node)?;
    if schema != present {
        sqlx::query("UPDATE cluster SET stored_schema = $1").bind(schema).execute(connection).await?;
    }
    Ok(())
}

pub(super) async fn raise_schema(
    connection: &mut PgConnection,
    to: i32,
    alive_within_ms: i64,
) -> Result<i32, StorageError> {
    let mut transaction = connection.begin().await?;
    // No node registers meanwhile.
    sqlx::query(ONE_AT_A_TIME).execute(&mut *transaction).await?;
    sqlx::query(
        "UPDATE cluster SET stored_schema = $1 WHERE stored_schema < $1 AND NOT EXISTS (SELECT FROM nodes \
         WHERE kind = 'node' AND schema_version < $1 AND seen_at > clock_timestamp() - $2 * interval '1 millisecond')",
    )
    .bind(to)
    .bind(alive_within_ms)
    .execute(&mut *transaction)
    .await?;
    let stored = sqlx::query_scalar("SELECT stored_schema FROM cluster").fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(stored)
}

pub(super) async fn published(connection: &mut PgConnection) -> Result<Option<Published>, StorageError> {
    let row = sqlx::query("SELECT revision, rules, published_by FROM cluster WHERE revision > 0");
    let row = row.fetch_optional(connection).await?;
    row.map(|row| {
        Ok(Published {
            revision: row.try_get("revision")?,
            rules: row.try_get("rules")?,
            by: row.try_get("published_by")?,
        })
    })
    .transpose()
}

pub(super) fn read(row: &PgRow) -> Result<Agreed, StorageError> {
    Ok(Agreed {
        revision: row.try_get("agreed_revision")?,
        age_ms: row.try_get("agreed_age_ms")?,
        stored_schema: row.try_get("agreed_schema")?,
    })
}
