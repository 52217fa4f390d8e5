//! Loads a user's characters; saves many characters in one statement.

use std::sync::LazyLock;

use castellan_protocol::{CharacterId, UserId};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};
use uuid::Uuid;

use super::commits::begin_reading;
use super::leases::{columns, confirmed, gone, lock_one, locking, number, shard};
use crate::crash;
use crate::storage::columns::{covered, signed, unsigned};
use crate::storage::{CharacterRow, Lease, ShardId, StorageError};

pub(super) async fn load(
    connection: &mut PgConnection,
    lease: Lease,
    users: &[UserId],
) -> Result<Vec<CharacterRow>, StorageError> {
    let mut transaction = connection.begin_with(begin_reading()).await?;
    lock_one(&mut transaction, lease).await?;
    let rows = sqlx::query(LOAD.as_str())
        .bind(users.iter().map(|user| user.uuid()).collect::<Vec<_>>())
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    rows.iter().map(character).collect()
}

/// Reads the characters of users: those that are not deleted, and those that have books. Each part has its own index.
static LOAD: LazyLock<String> = LazyLock::new(|| {
    let part = |which: &str| {
        format!(
            "SELECT id, user_id, shard, name, version, recoveries, schema_version, state::text AS state, request_ids, \
             (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms, \
             (extract(epoch FROM updated_at) * 1000)::bigint AS updated_at_ms, \
             (extract(epoch FROM deleted_at) * 1000)::bigint AS deleted_at_ms \
             FROM characters WHERE user_id = ANY ($1) AND {which}"
        )
    };
    let (living, deleted) = (part("deleted_at IS NULL"), part("deleted_at IS NOT NULL AND schema_version >= 1000000"));
    format!("{living} UNION ALL {deleted} ORDER BY user_id, created_at_ms, id")
});

fn character(row: &PgRow) -> Result<CharacterRow, StorageError> {
    Ok(CharacterRow {
        id: CharacterId::from_uuid(row.try_get("id")?),
        user: UserId::from_uuid(row.try_get("user_id")?),
        shard: shard(row, "shard")?,
        name: row.try_get("name")?,
        version: unsigned(row.try_get("version")?)?,
        recoveries: row.try_get("recoveries")?,
        schema_version: row.try_get("schema_version")?,
        state: row.try_get("state")?,
        request_ids: row.try_get::<Vec<i64>, _>("request_ids")?.into_iter().map(unsigned).collect::<Result<_, _>>()?,
        created_at_ms: row.try_get("created_at_ms")?,
        updated_at_ms: row.try_get("updated_at_ms")?,
        deleted_at_ms: row.try_get("deleted_at_ms")?,
    })
}

pub(super) async fn save(
    connection: &mut PgConnection,
    leases: &[Lease],
    rows: &[CharacterRow],
) -> Result<Vec<ShardId>, StorageError> {
    covered(leases, rows)?;
    let gone = write(connection, leases, rows).await?;
    crash::point("after_commit");
    confirmed(connection, gone).await
}

/// Locks the leases and writes the rows under leases that still hold. Returns the shards with a lost lease.
///
/// One statement is one round trip and its own transaction. It takes all locks before it writes the first row, and
/// waits for an earlier takeover and sees it. Reads the whole answer, because an error of the commit comes last.
pub(super) async fn write(
    connection: &mut PgConnection,
    leases: &[Lease],
    rows: &[CharacterRow],
) -> Result<Vec<ShardId>, StorageError> {
    let (shards, epochs) = columns(leases);
    let rows = Columns::new(rows)?;
    let held = sqlx::query(WRITE.as_str())
        .bind(shards)
        .bind(epochs)
        .bind(rows.ids)
        .bind(rows.users)
        .bind(rows.shards)
        .bind(rows.names)
        .bind(rows.versions)
        .bind(rows.recoveries)
        .bind(rows.schema_versions)
        .bind(rows.states)
        .bind(rows.request_ids)
        .bind(rows.request_ids_begins)
        .bind(rows.request_ids_ends)
        .bind(rows.created_at_ms)
        .bind(rows.updated_at_ms)
        .bind(rows.deleted_at_ms)
        .fetch_all(connection)
        .await?;
    let held = held.iter().map(|row| shard(row, "shard")).collect::<Result<Vec<_>, _>>()?;
    Ok(gone(leases, &held))
}

/// Inserts the rows under leases that still hold, or replaces older versions.
static WRITE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH held AS ({}), written AS (\
         INSERT INTO characters AS stored (id, user_id, shard, name, version, recoveries, schema_version, state, \
         request_ids, created_at, updated_at, deleted_at) \
         SELECT id, user_id, shard, name, version, recoveries, schema_version, state::jsonb, \
         ($11::bigint[])[ids_begin + 1 : ids_end], to_timestamp(created_at_ms * 0.001::float8), \
         to_timestamp(updated_at_ms * 0.001::float8), to_timestamp(deleted_at_ms * 0.001::float8) \
         FROM UNNEST($3::uuid[], $4::uuid[], $5::smallint[], $6::text[], $7::bigint[], $8::bigint[], \
         $9::integer[], $10::text[], $12::integer[], $13::integer[], $14::bigint[], $15::bigint[], $16::bigint[]) \
         AS new_row (id, user_id, shard, name, version, recoveries, schema_version, state, ids_begin, ids_end, \
         created_at_ms, updated_at_ms, deleted_at_ms) WHERE shard = ANY (ARRAY (SELECT shard FROM held)) \
         ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, version = EXCLUDED.version, \
         recoveries = EXCLUDED.recoveries, schema_version = EXCLUDED.schema_version, state = EXCLUDED.state, \
         request_ids = EXCLUDED.request_ids, updated_at = EXCLUDED.updated_at, deleted_at = EXCLUDED.deleted_at \
         WHERE stored.version < EXCLUDED.version) \
         SELECT shard FROM held",
        locking()
    )
});

/// Locks the leases, and deletes rows of characters that were deleted before `$3` under leases that still hold.
static PURGE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH held AS ({}), purged AS (\
         DELETE FROM characters WHERE deleted_at < to_timestamp($3 * 0.001::float8) AND id = ANY (ARRAY (\
         SELECT id FROM characters AS old WHERE deleted_at < to_timestamp($3 * 0.001::float8) \
         AND shard = ANY (ARRAY (SELECT shard FROM held)) \
         AND schema_version < 1000000 \
         AND NOT EXISTS (SELECT FROM dead_letters WHERE character_id = old.id) \
         ORDER BY deleted_at LIMIT $4)) RETURNING id) \
         SELECT count(*) AS purged FROM purged",
        locking()
    )
});

pub(super) async fn purge(
    connection: &mut PgConnection,
    leases: &[Lease],
    before_ms: i64,
    max: u32,
) -> Result<u64, StorageError> {
    let (shards, epochs) = columns(leases);
    let row = sqlx::query(PURGE.as_str())
        .bind(shards)
        .bind(epochs)
        .bind(before_ms)
        .bind(i64::from(max))
        .fetch_one(connection)
        .await?;
    Ok(row.try_get::<i64, _>("purged")?.unsigned_abs())
}

/// Rows as columns: each column is one array parameter.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    users: Vec<Uuid>,
    shards: Vec<i16>,
    names: Vec<&'a str>,
    versions: Vec<i64>,
    recoveries: Vec<i64>,
    schema_versions: Vec<i32>,
    states: Vec<&'a str>,
    /// The request ids of all rows, one after another: PostgreSQL's nested arrays must all have the same length.
    request_ids: Vec<i64>,
    /// Start of each row's request ids in `request_ids`, counted from 0.
    request_ids_begins: Vec<i32>,
    /// End of each row's request ids.
    request_ids_ends: Vec<i32>,
    created_at_ms: Vec<i64>,
    updated_at_ms: Vec<i64>,
    deleted_at_ms: Vec<Option<i64>>,
}

impl<'a> Columns<'a> {
    /// Sorts the rows by id, so that concurrent batches lock rows in the same order.
    fn new(rows: &'a [CharacterRow]) -> Result<Self, StorageError> {
        let mut rows: Vec<&CharacterRow> = rows.iter().collect();
        rows.sort_unstable_by_key(|row| row.id);
        let mut columns = Self::default();
        for row in rows {
            columns.ids.push(row.id.uuid());
            columns.users.push(row.user.uuid());
            columns.shards.push(number(row.shard));
            columns.names.push(&row.name);
            columns.versions.push(signed(row.version)?);
            columns.recoveries.push(row.recoveries);
            columns.schema_versions.push(row.schema_version);
            columns.states.push(&row.state);
            columns.request_ids_begins.push(index(columns.request_ids.len())?);
            for id in &row.request_ids {
                columns.request_ids.push(signed(*id)?);
            }
            columns.request_ids_ends.push(index(columns.request_ids.len())?);
            columns.created_at_ms.push(row.created_at_ms);
            columns.updated_at_ms.push(row.updated_at_ms);
            columns.deleted_at_ms.push(row.deleted_at_ms);
        }
        Ok(columns)
    }
}

/// Converts an index into an array of the database.
fn index(place: usize) -> Result<i32, StorageError> {
    i32::try_from(place)
        .map_err(|_| StorageError::Refused("too many request ids in one batch; lower flush.batch_rows".to_owned()))
}
