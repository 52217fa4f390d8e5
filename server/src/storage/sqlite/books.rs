//! Reads the books of characters for those who trade with them.

use castellan_protocol::CharacterId;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::columns::id;
use crate::storage::{BooksRow, ShardId, StorageError};

pub(super) async fn books(
    connection: &mut SqliteConnection,
    characters: &[CharacterId],
) -> Result<Vec<BooksRow>, StorageError> {
    let rows = sqlx::query(
        "SELECT id, user_id, deleted_at_ms IS NOT NULL AS is_deleted, \
         CASE WHEN schema_version < 1000000 THEN NULL WHEN json_valid(state) THEN coalesce(state -> '$.books', 'null') \
         ELSE 'null' END AS books \
         FROM characters WHERE id IN (SELECT value FROM json_each(?1))",
    )
    .bind(serde_json::to_string(characters).expect("ids are plain data"))
    .fetch_all(connection)
    .await?;
    rows.iter().map(row).collect()
}

pub(super) async fn traders(
    connection: &mut SqliteConnection,
    shards: &[ShardId],
    after: Option<CharacterId>,
    max: u32,
) -> Result<Vec<BooksRow>, StorageError> {
    let shards: Vec<u16> = shards.iter().map(|shard| shard.number()).collect();
    let rows = sqlx::query(
        "SELECT id, user_id, deleted_at_ms IS NOT NULL AS is_deleted, \
         CASE WHEN json_valid(state) THEN coalesce(state -> '$.books', 'null') ELSE 'null' END AS books \
         FROM characters WHERE schema_version >= 1000000 AND shard IN (SELECT value FROM json_each(?1)) \
         AND id > ?2 ORDER BY id LIMIT ?3",
    )
    .bind(serde_json::to_string(&shards).expect("numbers are plain data"))
    .bind(after.map(|id| id.to_string()).unwrap_or_default())
    .bind(max)
    .fetch_all(connection)
    .await?;
    rows.iter().map(row).collect()
}

fn row(row: &SqliteRow) -> Result<BooksRow, StorageError> {
    Ok(BooksRow {
        id: id(row, "id")?,
        user: id(row, "user_id")?,
        is_deleted: row.try_get("is_deleted")?,
        books: row.try_get("books")?,
    })
}
