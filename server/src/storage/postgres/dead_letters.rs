//! Dead letters, and an operator's decisions about them.

use castellan_protocol::{CharacterId, UserId};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};

use super::characters::write;
use super::leases::{lock_one, number, shard};
use crate::storage::columns::{not_overtaken, signed, unsigned};
use crate::storage::rows::known;
use crate::storage::{CharacterRow, DeadLetter, Lease, StorageError, VERSION_JUMP, Verdict};

pub(super) async fn add(connection: &mut PgConnection, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
    let row = &letter.row;
    let request_ids = row.request_ids.iter().map(|id| signed(*id)).collect::<Result<Vec<i64>, _>>()?;
    let mut transaction = connection.begin().await?;
    lock_one(&mut transaction, lease).await?;
    sqlx::query(
        "INSERT INTO dead_letters AS letter (character_id, user_id, shard, name, version, recoveries, \
         schema_version, state, request_ids, created_at_ms, updated_at_ms, deleted_at_ms, epoch, error, attempts, failed_at_ms, verdict) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
         ON CONFLICT (character_id) DO UPDATE SET verdict = CASE \
         WHEN letter.version > COALESCE((SELECT version FROM characters WHERE id = letter.character_id), 0) \
         THEN letter.verdict ELSE EXCLUDED.verdict END, user_id = EXCLUDED.user_id, shard = EXCLUDED.shard, \
         name = EXCLUDED.name, version = EXCLUDED.version, recoveries = EXCLUDED.recoveries, \
         schema_version = EXCLUDED.schema_version, state = EXCLUDED.state, request_ids = EXCLUDED.request_ids, \
         created_at_ms = EXCLUDED.created_at_ms, updated_at_ms = EXCLUDED.updated_at_ms, \
         deleted_at_ms = EXCLUDED.deleted_at_ms, epoch = EXCLUDED.epoch, error = EXCLUDED.error, \
         attempts = EXCLUDED.attempts, failed_at_ms = EXCLUDED.failed_at_ms \
         WHERE letter.version <= EXCLUDED.version",
    )
    .bind(row.id.uuid())
    .bind(row.user.uuid())
    .bind(number(row.shard))
    .bind(row.name.as_bytes())
    .bind(signed(row.version)?)
    .bind(row.recoveries)
    .bind(row.schema_version)
    .bind(row.state.as_bytes())
    .bind(request_ids)
    .bind(row.created_at_ms)
    .bind(row.updated_at_ms)
    .bind(row.deleted_at_ms)
    .bind(letter.epoch)
    .bind(letter.error.replace('\0', "\u{fffd}"))
    .bind(letter.attempts)
    .bind(letter.failed_at_ms)
    .bind(letter.verdict.map(Verdict::name))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn all(connection: &mut PgConnection) -> Result<Vec<DeadLetter>, StorageError> {
    let rows = sqlx::query(
        "SELECT character_id, letter.user_id, letter.shard, letter.name, letter.version, letter.recoveries, \
         letter.schema_version, letter.state, letter.request_ids, created_at_ms, updated_at_ms, deleted_at_ms, epoch, \
         error, attempts, failed_at_ms, verdict, stored.version AS stored \
         FROM dead_letters AS letter LEFT JOIN characters AS stored ON stored.id = character_id \
         ORDER BY failed_at_ms, character_id",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().filter_map(|row| known(dead_letter(row).or_else(|error| damaged(row, &error)))).collect())
}

/// A letter with a column that cannot be read.
fn damaged(row: &PgRow, error: &StorageError) -> Result<DeadLetter, StorageError> {
    let verdict = row.try_get::<Option<&str>, _>("verdict")?.and_then(|name| Verdict::named(name).ok());
    Ok(DeadLetter::damaged(
        CharacterId::from_uuid(row.try_get("character_id")?),
        UserId::from_uuid(row.try_get("user_id")?),
        shard(row, "shard")?,
        unsigned(row.try_get("version")?)?,
        verdict,
        stored(row)?,
        error,
    ))
}

/// The version of the character's row.
fn stored(row: &PgRow) -> Result<Option<u64>, StorageError> {
    row.try_get::<Option<i64>, _>("stored")?.map(unsigned).transpose()
}

fn dead_letter(row: &PgRow) -> Result<DeadLetter, StorageError> {
    Ok(DeadLetter {
        row: CharacterRow {
            id: CharacterId::from_uuid(row.try_get("character_id")?),
            user: UserId::from_uuid(row.try_get("user_id")?),
            shard: shard(row, "shard")?,
            name: text(row, "name")?,
            version: unsigned(row.try_get("version")?)?,
            recoveries: row.try_get("recoveries")?,
            schema_version: row.try_get("schema_version")?,
            state: text(row, "state")?,
            request_ids: row
                .try_get::<Vec<i64>, _>("request_ids")?
                .into_iter()
                .map(unsigned)
                .collect::<Result<_, _>>()?,
            created_at_ms: row.try_get("created_at_ms")?,
            updated_at_ms: row.try_get("updated_at_ms")?,
            deleted_at_ms: row.try_get("deleted_at_ms")?,
        },
        epoch: row.try_get("epoch")?,
        error: row.try_get("error")?,
        attempts: row.try_get("attempts")?,
        failed_at_ms: row.try_get("failed_at_ms")?,
        verdict: row.try_get::<Option<&str>, _>("verdict")?.map(Verdict::named).transpose()?,
        stored: stored(row)?,
    })
}

/// The text in a column of bytes.
fn text(row: &PgRow, column: &str) -> Result<String, StorageError> {
    String::from_utf8(row.try_get(column)?)
        .map_err(|_| StorageError::Corrupt(format!("{column} of a dead letter is not UTF-8")))
}

pub(super) async fn decide(
    connection: &mut PgConnection,
    character: CharacterId,
    verdict: Verdict,
) -> Result<bool, StorageError> {
    let done = sqlx::query("UPDATE dead_letters SET verdict = $2 WHERE character_id = $1")
        .bind(character.uuid())
        .bind(verdict.name())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn reject(
    connection: &mut PgConnection,
    lease: Lease,
    letter: &DeadLetter,
    error: &str,
) -> Result<(), StorageError> {
    let mut transaction = connection.begin().await?;
    lock_one(&mut transaction, lease).await?;
    sqlx::query(
        "UPDATE dead_letters SET verdict = NULL, error = $4, attempts = attempts + 1 \
         WHERE character_id = $1 AND version = $2 AND verdict IS NOT DISTINCT FROM $3",
    )
    .bind(letter.row.id.uuid())
    .bind(signed(letter.row.version)?)
    .bind(letter.verdict.map(Verdict::name))
    .bind(error.replace('\0', "\u{fffd}"))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn retry(
    connection: &mut PgConnection,
    lease: Lease,
    row: &CharacterRow,
    version: u64,
) -> Result<(), StorageError> {
    let mut transaction = connection.begin().await?;
    lock_one(&mut transaction, lease).await?;
    let found = sqlx::query("SELECT version AS stored FROM characters WHERE id = $1 FOR UPDATE")
        .bind(row.id.uuid())
        .fetch_optional(&mut *transaction)
        .await?;
    not_overtaken(row, found.as_ref().map_or(Ok(None), stored)?)?;
    if !write(&mut transaction, &[lease], std::slice::from_ref(row)).await?.is_empty() {
        return Err(StorageError::Fenced(lease.shard));
    }
    raise(&mut transaction, lease, row.user, row.id, version).await?;
    forget(&mut transaction, row.id, row.version).await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn discard(
    connection: &mut PgConnection,
    lease: Lease,
    user: UserId,
    character: CharacterId,
    letter: Option<u64>,
    version: u64,
) -> Result<(), StorageError> {
    let mut transaction = connection.begin().await?;
    lock_one(&mut transaction, lease).await?;
    raise(&mut transaction, lease, user, character, version).await?;
    if let Some(letter) = letter {
        forget(&mut transaction, character, letter).await?;
    }
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn forget_one(
    connection: &mut PgConnection,
    lease: Lease,
    character: CharacterId,
    version: u64,
) -> Result<(), StorageError> {
    let mut transaction = connection.begin().await?;
    lock_one(&mut transaction, lease).await?;
    forget(&mut transaction, character, version).await?;
    transaction.commit().await?;
    Ok(())
}

/// Raises a row's version. A character without a row gets one that is deleted.
async fn raise(
    connection: &mut PgConnection,
    lease: Lease,
    user: UserId,
    character: CharacterId,
    version: u64,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO characters AS stored (id, user_id, shard, name, version, recoveries, schema_version, state, \
         request_ids, created_at, updated_at, deleted_at) \
         VALUES ($1, $2, $3, '', $4, $5, 1, '{}', '{}', now(), now(), now()) \
         ON CONFLICT (id) DO UPDATE SET recoveries = EXCLUDED.recoveries, version = GREATEST(EXCLUDED.version, \
         stored.version + (1 + GREATEST(EXCLUDED.recoveries - stored.recoveries, 0)) * $6)",
    )
    .bind(character.uuid())
    .bind(user.uuid())
    .bind(number(lease.shard))
    .bind(signed(version)?)
    .bind(lease.recoveries)
    .bind(signed(VERSION_JUMP)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes the letter of this version, and no newer one.
async fn forget(connection: &mut PgConnection, character: CharacterId, version: u64) -> Result<(), StorageError> {
    sqlx::query("DELETE FROM dead_letters WHERE character_id = $1 AND version = $2")
        .bind(character.uuid())
        .bind(signed(version)?)
        .execute(connection)
        .await?;
    Ok(())
}
