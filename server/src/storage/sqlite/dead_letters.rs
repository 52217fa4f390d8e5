//! Dead letters, and an operator's decisions about them.

use castellan_protocol::{CharacterId, UserId};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::characters::{bind, character, write_one};
use super::columns::id;
use super::leases::{check_one, shard};
use super::{BEGIN_IMMEDIATE, transaction};
use crate::storage::columns::{not_overtaken, signed, unsigned};
use crate::storage::rows::known;
use crate::storage::{CharacterRow, DeadLetter, Lease, StorageError, VERSION_JUMP, Verdict};

pub(super) async fn add(
    connection: &mut SqliteConnection,
    lease: Lease,
    letter: &DeadLetter,
) -> Result<(), StorageError> {
    let row = &letter.row;
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    check_one(&mut transaction, lease).await?;
    let statement = sqlx::query(
        "INSERT INTO dead_letters AS letter (character_id, user_id, shard, name, version, recoveries, \
         schema_version, state, request_ids, created_at_ms, updated_at_ms, deleted_at_ms, epoch, error, attempts, \
         failed_at_ms, verdict) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
         ON CONFLICT (character_id) DO UPDATE SET verdict = CASE \
         WHEN letter.version > COALESCE((SELECT version FROM characters WHERE id = letter.character_id), 0) \
         THEN letter.verdict ELSE excluded.verdict END, user_id = excluded.user_id, shard = excluded.shard, \
         name = excluded.name, version = excluded.version, recoveries = excluded.recoveries, \
         schema_version = excluded.schema_version, state = excluded.state, request_ids = excluded.request_ids, \
         created_at_ms = excluded.created_at_ms, updated_at_ms = excluded.updated_at_ms, \
         deleted_at_ms = excluded.deleted_at_ms, epoch = excluded.epoch, error = excluded.error, \
         attempts = excluded.attempts, failed_at_ms = excluded.failed_at_ms \
         WHERE letter.version <= excluded.version",
    );
    bind(statement, row)?
        .bind(letter.epoch)
        .bind(&letter.error)
        .bind(letter.attempts)
        .bind(letter.failed_at_ms)
        .bind(letter.verdict.map(Verdict::name))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn all(connection: &mut SqliteConnection) -> Result<Vec<DeadLetter>, StorageError> {
    let rows = sqlx::query(
        "SELECT letter.*, stored.version AS stored \
         FROM dead_letters AS letter LEFT JOIN characters AS stored ON stored.id = character_id \
         ORDER BY failed_at_ms, character_id",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().filter_map(|row| known(dead_letter(row).or_else(|error| damaged(row, &error)))).collect())
}

/// A letter with a column that cannot be read.
fn damaged(row: &SqliteRow, error: &StorageError) -> Result<DeadLetter, StorageError> {
    Ok(DeadLetter::damaged(
        id(row, "character_id")?,
        id(row, "user_id")?,
        shard(row, "shard")?,
        unsigned(row.try_get("version")?)?,
        row.try_get::<Option<&str>, _>("verdict")?.and_then(|name| Verdict::named(name).ok()),
        stored(row)?,
        error,
    ))
}

/// The version of the character's row.
fn stored(row: &SqliteRow) -> Result<Option<u64>, StorageError> {
    row.try_get::<Option<i64>, _>("stored")?.map(unsigned).transpose()
}

fn dead_letter(row: &SqliteRow) -> Result<DeadLetter, StorageError> {
    Ok(DeadLetter {
        row: character(row, "character_id")?,
        epoch: row.try_get("epoch")?,
        error: row.try_get("error")?,
        attempts: row.try_get("attempts")?,
        failed_at_ms: row.try_get("failed_at_ms")?,
        verdict: row.try_get::<Option<&str>, _>("verdict")?.map(Verdict::named).transpose()?,
        stored: stored(row)?,
    })
}

pub(super) async fn decide(
    connection: &mut SqliteConnection,
    character: CharacterId,
    verdict: Verdict,
) -> Result<bool, StorageError> {
    let done = sqlx::query("UPDATE dead_letters SET verdict = ?2 WHERE character_id = ?1")
        .bind(character.to_string())
        .bind(verdict.name())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn reject(
    connection: &mut SqliteConnection,
    lease: Lease,
    letter: &DeadLetter,
    error: &str,
) -> Result<(), StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    check_one(&mut transaction, lease).await?;
    sqlx::query(
        "UPDATE dead_letters SET verdict = NULL, error = ?4, attempts = attempts + 1 \
         WHERE character_id = ?1 AND version = ?2 AND verdict IS ?3",
    )
    .bind(letter.row.id.to_string())
    .bind(signed(letter.row.version)?)
    .bind(letter.verdict.map(Verdict::name))
    .bind(error)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn retry(
    connection: &mut SqliteConnection,
    lease: Lease,
    row: &CharacterRow,
    version: u64,
) -> Result<(), StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    check_one(&mut transaction, lease).await?;
    let found = sqlx::query("SELECT version AS stored FROM characters WHERE id = ?1")
        .bind(row.id.to_string())
        .fetch_optional(&mut *transaction)
        .await?;
    not_overtaken(row, found.as_ref().map_or(Ok(None), stored)?)?;
    write_one(&mut transaction, row).await?;
    raise(&mut transaction, lease, row.user, row.id, version).await?;
    forget(&mut transaction, row.id, row.version).await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn discard(
    connection: &mut SqliteConnection,
    lease: Lease,
    user: UserId,
    character: CharacterId,
    letter: Option<u64>,
    version: u64,
) -> Result<(), StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    check_one(&mut transaction, lease).await?;
    raise(&mut transaction, lease, user, character, version).await?;
    if let Some(letter) = letter {
        forget(&mut transaction, character, letter).await?;
    }
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn forget_one(
    connection: &mut SqliteConnection,
    lease: Lease,
    character: CharacterId,
    version: u64,
) -> Result<(), StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    check_one(&mut transaction, lease).await?;
    forget(&mut transaction, character, version).await?;
    transaction.commit().await?;
    Ok(())
}

/// Raises a row's version. A character without a row gets one that is deleted.
async fn raise(
    connection: &mut SqliteConnection,
    lease: Lease,
    user: UserId,
    character: CharacterId,
    version: u64,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO characters (id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, \
         created_at_ms, updated_at_ms, deleted_at_ms) \
         SELECT ?1, ?2, ?3, '', ?4, ?5, 1, '{}', '[]', now.ms, now.ms, now.ms \
         FROM (SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS ms) AS now WHERE true \
         ON CONFLICT (id) DO UPDATE SET recoveries = excluded.recoveries, version = max(excluded.version, \
         characters.version + (1 + max(excluded.recoveries - characters.recoveries, 0)) * ?6)",
    )
    .bind(character.to_string())
    .bind(user.to_string())
    .bind(lease.shard.number())
    .bind(signed(version)?)
    .bind(lease.recoveries)
    .bind(signed(VERSION_JUMP)?)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes the letter of this version, and no newer one.
async fn forget(connection: &mut SqliteConnection, character: CharacterId, version: u64) -> Result<(), StorageError> {
    sqlx::query("DELETE FROM dead_letters WHERE character_id = ?1 AND version = ?2")
        .bind(character.to_string())
        .bind(signed(version)?)
        .execute(connection)
        .await?;
    Ok(())
}
