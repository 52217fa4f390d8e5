//! Loads a user's characters; saves many characters in one transaction.

use std::sync::LazyLock;

use castellan_protocol::UserId;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Connection, Row, Sqlite};

use super::columns::{id, request_ids, request_ids_text};
use super::leases::{check_one, gone, held, shard};
use super::{BEGIN_IMMEDIATE, transaction};
use crate::crash;
use crate::storage::columns::{covered, signed, unsigned};
use crate::storage::{CharacterRow, Lease, ShardId, StorageError};

pub(super) async fn load(
    connection: &mut SqliteConnection,
    lease: Lease,
    users: &[UserId],
) -> Result<Vec<CharacterRow>, StorageError> {
    let mut transaction = connection.begin().await?;
    check_one(&mut transaction, lease).await?;
    let mut characters = Vec::new();
    for user in users {
        let rows = sqlx::query(LOAD.as_str()).bind(user.to_string()).fetch_all(&mut *transaction).await?;
        for row in &rows {
            characters.push(character(row, "id")?);
        }
    }
    transaction.commit().await?;
    Ok(characters)
}

/// Reads the characters of a user: those that are not deleted, and those that have books. Each part has its own index.
static LOAD: LazyLock<String> = LazyLock::new(|| {
    let part = |which: &str| {
        format!(
            "SELECT id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, created_at_ms, \
             updated_at_ms, deleted_at_ms FROM characters WHERE user_id = ?1 AND {which}"
        )
    };
    let living = part("deleted_at_ms IS NULL");
    let deleted = part("deleted_at_ms IS NOT NULL AND schema_version >= 1000000");
    format!("{living} UNION ALL {deleted} ORDER BY created_at_ms, id")
});

/// The character in a row; `id_column` holds its id.
pub(super) fn character(row: &SqliteRow, id_column: &str) -> Result<CharacterRow, StorageError> {
    Ok(CharacterRow {
        id: id(row, id_column)?,
        user: id(row, "user_id")?,
        shard: shard(row, "shard")?,
        name: row.try_get("name")?,
        version: unsigned(row.try_get("version")?)?,
        recoveries: row.try_get("recoveries")?,
        schema_version: row.try_get("schema_version")?,
        state: row.try_get("state")?,
        request_ids: request_ids(row)?,
        created_at_ms: row.try_get("created_at_ms")?,
        updated_at_ms: row.try_get("updated_at_ms")?,
        deleted_at_ms: row.try_get("deleted_at_ms")?,
    })
}

pub(super) async fn save(
    connection: &mut SqliteConnection,
    leases: &[Lease],
    rows: &[CharacterRow],
) -> Result<Vec<ShardId>, StorageError> {
    covered(leases, rows)?;
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    let held = held(&mut transaction, leases).await?;
    let rows: Vec<&CharacterRow> = rows.iter().filter(|row| held.contains(&row.shard)).collect();
    let (chunks, rest) = rows.as_chunks::<CHUNK_ROWS>();
    for chunk in chunks {
        write(&mut transaction, WRITE_CHUNK.as_str(), chunk).await?;
    }
    for row in rest {
        write_one(&mut transaction, row).await?;
    }
    crash::point("after_writes");
    transaction.commit().await?;
    crash::point("after_commit");
    Ok(gone(leases, &held))
}

pub(super) async fn purge(
    connection: &mut SqliteConnection,
    leases: &[Lease],
    before_ms: i64,
    max: u32,
) -> Result<u64, StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    let held = held(&mut transaction, leases).await?;
    let shards: Vec<u16> = held.iter().map(|shard| shard.number()).collect();
    let done = sqlx::query(
        "DELETE FROM characters WHERE id IN (SELECT id FROM characters WHERE deleted_at_ms < ?1 \
         AND shard IN (SELECT value FROM json_each(?2)) \
         AND schema_version < 1000000 \
         AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE character_id = characters.id) \
         ORDER BY deleted_at_ms LIMIT ?3)",
    )
    .bind(before_ms)
    .bind(serde_json::to_string(&shards).expect("numbers are plain data"))
    .bind(max)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(done.rows_affected())
}

/// Rows written by one statement. Each statement costs two thread switches.
const CHUNK_ROWS: usize = 32;

/// Columns of a row.
const COLUMNS: usize = 12;

static WRITE_ONE: LazyLock<String> = LazyLock::new(|| write_statement(1));
static WRITE_CHUNK: LazyLock<String> = LazyLock::new(|| write_statement(CHUNK_ROWS));

/// Inserts this many rows, or replaces older versions.
fn write_statement(rows: usize) -> String {
    let row = format!("({})", ["?"; COLUMNS].join(", "));
    format!(
        "INSERT INTO characters (id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, \
         created_at_ms, updated_at_ms, deleted_at_ms) VALUES {} \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version, \
         recoveries = excluded.recoveries, schema_version = excluded.schema_version, state = excluded.state, \
         request_ids = excluded.request_ids, updated_at_ms = excluded.updated_at_ms, \
         deleted_at_ms = excluded.deleted_at_ms WHERE characters.version < excluded.version",
        vec![row; rows].join(", ")
    )
}

/// Writes a row in a transaction that has already proven its lease.
pub(super) async fn write_one(connection: &mut SqliteConnection, row: &CharacterRow) -> Result<(), StorageError> {
    write(connection, WRITE_ONE.as_str(), &[row]).await
}

async fn write(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: &[&CharacterRow],
) -> Result<(), StorageError> {
    let mut query = sqlx::query(statement);
    for row in rows {
        query = bind(query, row)?;
    }
    query.execute(connection).await?;
    Ok(())
}

/// A statement whose parameters are bound one after another.
type Statement<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// Binds a row's columns to a statement's next parameters, in the table's order.
pub(super) fn bind<'q>(query: Statement<'q>, row: &'q CharacterRow) -> Result<Statement<'q>, StorageError> {
    Ok(query
        .bind(row.id.to_string())
        .bind(row.user.to_string())
        .bind(row.shard.number())
        .bind(&row.name)
        .bind(signed(row.version)?)
        .bind(row.recoveries)
        .bind(row.schema_version)
        .bind(&row.state)
        .bind(request_ids_text(&row.request_ids)?)
        .bind(row.created_at_ms)
        .bind(row.updated_at_ms)
        .bind(row.deleted_at_ms))
}
