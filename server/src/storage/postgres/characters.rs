//! Characters: loading a user's, saving many in one statement.

use castellan_protocol::{CharacterId, UserId};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::leases::{gone, lock, lock_one, number, shard};
use super::{BEGIN, BEGIN_READING, transaction};
use crate::crash;
use crate::storage::columns::{covered, signed, unsigned};
use crate::storage::{CharacterRow, Lease, ShardId, StorageError};

pub(super) async fn load_user(
    connection: &mut PgConnection,
    lease: Lease,
    user: UserId,
) -> Result<Vec<CharacterRow>, StorageError> {
    let mut transaction = transaction(connection, BEGIN_READING).await?;
    lock_one(&mut transaction, lease).await?;
    let rows = sqlx::query(
        "SELECT id, user_id, shard, name, version, recoveries, schema_version, state::text AS state, request_ids, \
         (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms, \
         (extract(epoch FROM updated_at) * 1000)::bigint AS updated_at_ms, \
         (extract(epoch FROM deleted_at) * 1000)::bigint AS deleted_at_ms \
         FROM characters WHERE user_id = $1 AND deleted_at IS NULL ORDER BY created_at, id",
    )
    .bind(user.uuid())
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    rows.iter().map(character).collect()
}

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
    let mut transaction = transaction(connection, BEGIN).await?;
    let held = lock(&mut transaction, leases).await?;
    let columns = Columns::new(rows.iter().filter(|row| held.contains(&row.shard)))?;
    if !columns.ids.is_empty() {
        upsert(&mut transaction, columns).await?;
    }
    crash::point("after_writes");
    transaction.commit().await?;
    crash::point("after_commit");
    Ok(gone(leases, &held))
}

/// Rows as columns, each an array that goes to the database whole.
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
    /// The request ids of all rows one behind the other: arrays of arrays would all have to be of one length.
    request_ids: Vec<i64>,
    /// Where each row's request ids end in `request_ids`; they begin where those of the row before end.
    request_ids_ends: Vec<i32>,
    created_at_ms: Vec<i64>,
    updated_at_ms: Vec<i64>,
    deleted_at_ms: Vec<Option<i64>>,
}

impl<'a> Columns<'a> {
    /// In the order of ids, so that two batches that meet lock the rows in one order.
    fn new(rows: impl Iterator<Item = &'a CharacterRow>) -> Result<Self, StorageError> {
        let mut rows: Vec<&CharacterRow> = rows.collect();
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
            for id in &row.request_ids {
                columns.request_ids.push(signed(*id)?);
            }
            let end = i32::try_from(columns.request_ids.len())
                .map_err(|_| StorageError::Refused("too many request ids in one batch".to_owned()))?;
            columns.request_ids_ends.push(end);
            columns.created_at_ms.push(row.created_at_ms);
            columns.updated_at_ms.push(row.updated_at_ms);
            columns.deleted_at_ms.push(row.deleted_at_ms);
        }
        Ok(columns)
    }
}

/// Inserts rows, or writes them over those of a lower version.
async fn upsert(connection: &mut PgConnection, columns: Columns<'_>) -> Result<(), StorageError> {
    let mut begins = columns.request_ids_ends.clone();
    begins.rotate_right(1);
    begins[0] = 0;
    sqlx::query(
        "INSERT INTO characters AS stored (id, user_id, shard, name, version, recoveries, schema_version, state, \
         request_ids, created_at, updated_at, deleted_at) \
         SELECT id, user_id, shard, name, version, recoveries, schema_version, state::jsonb, \
         ($9::bigint[])[ids_begin + 1 : ids_end], to_timestamp(created_at_ms * 0.001::float8), \
         to_timestamp(updated_at_ms * 0.001::float8), to_timestamp(deleted_at_ms * 0.001::float8) \
         FROM UNNEST($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::bigint[], $6::bigint[], $7::integer[], \
         $8::text[], $10::integer[], $11::integer[], $12::bigint[], $13::bigint[], $14::bigint[]) \
         AS new_row (id, user_id, shard, name, version, recoveries, schema_version, state, ids_begin, ids_end, \
         created_at_ms, updated_at_ms, deleted_at_ms) \
         ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, version = EXCLUDED.version, \
         recoveries = EXCLUDED.recoveries, schema_version = EXCLUDED.schema_version, state = EXCLUDED.state, \
         request_ids = EXCLUDED.request_ids, updated_at = EXCLUDED.updated_at, deleted_at = EXCLUDED.deleted_at \
         WHERE stored.version < EXCLUDED.version",
    )
    .bind(columns.ids)
    .bind(columns.users)
    .bind(columns.shards)
    .bind(columns.names)
    .bind(columns.versions)
    .bind(columns.recoveries)
    .bind(columns.schema_versions)
    .bind(columns.states)
    .bind(columns.request_ids)
    .bind(begins)
    .bind(columns.request_ids_ends)
    .bind(columns.created_at_ms)
    .bind(columns.updated_at_ms)
    .bind(columns.deleted_at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes one row in a transaction that has locked its lease.
pub(super) async fn write_one(connection: &mut PgConnection, row: &CharacterRow) -> Result<(), StorageError> {
    upsert(connection, Columns::new(std::iter::once(row))?).await
}
