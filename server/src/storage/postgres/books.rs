//! Reads the books of characters for those who trade with them.

use castellan_protocol::{CharacterId, UserId};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::leases::number;
use crate::storage::{BooksRow, Look, ShardId, StorageError};

/// Most looks in one hint: a payload must stay below 8,000 bytes, and a look takes 64.
const LOOKS_MAX: usize = 120;

pub(super) async fn books(
    connection: &mut PgConnection,
    characters: &[CharacterId],
) -> Result<Vec<BooksRow>, StorageError> {
    let ids: Vec<Uuid> = characters.iter().map(|character| character.uuid()).collect();
    let rows = sqlx::query(
        "SELECT id, user_id, deleted_at IS NOT NULL AS is_deleted, \
         CASE WHEN schema_version >= 1000000 THEN coalesce((state -> 'books')::text, 'null') END AS books \
         FROM characters WHERE id = ANY ($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.iter().map(row).collect()
}

pub(super) async fn traders(
    connection: &mut PgConnection,
    shards: &[ShardId],
    after: Option<CharacterId>,
    max: u32,
) -> Result<Vec<BooksRow>, StorageError> {
    let rows = sqlx::query(
        "SELECT id, user_id, deleted_at IS NOT NULL AS is_deleted, coalesce((state -> 'books')::text, 'null') AS books \
         FROM characters WHERE schema_version >= 1000000 AND shard = ANY ($1) AND ($2::uuid IS NULL OR id > $2) \
         ORDER BY id LIMIT $3",
    )
    .bind(shards.iter().map(|shard| number(*shard)).collect::<Vec<_>>())
    .bind(after.map(CharacterId::uuid))
    .bind(i64::from(max))
    .fetch_all(connection)
    .await?;
    rows.iter().map(row).collect()
}

fn row(row: &PgRow) -> Result<BooksRow, StorageError> {
    Ok(BooksRow {
        id: CharacterId::from_uuid(row.try_get("id")?),
        user: UserId::from_uuid(row.try_get("user_id")?),
        is_deleted: row.try_get("is_deleted")?,
        books: row.try_get("books")?,
    })
}

/// The commit waits for nothing: a hint may get lost.
pub(super) async fn hint(connection: &mut PgConnection, looks: &[Look]) -> Result<(), StorageError> {
    let payloads: Vec<String> = looks.chunks(LOOKS_MAX).map(write_hint).collect();
    sqlx::query(
        "SELECT set_config('synchronous_commit', 'off', true), pg_notify('castellan', payload) \
         FROM UNNEST($1::text[]) AS payload",
    )
    .bind(payloads)
    .execute(connection)
    .await?;
    Ok(())
}

/// What a payload about books begins with.
const BOOKS: &str = "books ";

fn write_hint(looks: &[Look]) -> String {
    let look = |(who, other): &Look| format!("{}{}", who.uuid().as_simple(), other.uuid().as_simple());
    BOOKS.to_owned() + &looks.iter().map(look).collect::<String>()
}

/// The looks in a payload; `None` if it is about something else. Ignores what it cannot read.
pub(super) fn read_hint(payload: &str) -> Option<Vec<Look>> {
    let looks = payload.strip_prefix(BOOKS)?;
    let id = |text: &[u8]| Uuid::try_parse_ascii(text).ok().map(CharacterId::from_uuid);
    let look = |look: &[u8; 64]| Some((id(&look[..32])?, id(&look[32..])?));
    Some(looks.as_bytes().as_chunks().0.iter().filter_map(look).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_read_as_it_was_written() {
        let look = |number| {
            let id = |number| CharacterId::from_uuid(Uuid::from_u128(number));
            (id(number), id(u128::MAX - number))
        };
        let looks: Vec<Look> = (0..LOOKS_MAX as u128).map(look).collect();
        let payload = write_hint(&looks);
        assert!(payload.len() < 8_000, "PostgreSQL refuses longer ones");
        assert_eq!(read_hint(&payload), Some(looks));
        assert_eq!(read_hint("leases"), None);
        assert_eq!(read_hint("books of another release"), Some(Vec::new()));
    }
}
