//! Dead letters, and an operator's decisions about them.

use castellan_protocol::{CharacterId, UserId};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::characters::{bind, character, write_one};
use super::leases::check_one;
use super::{BEGIN_IMMEDIATE, transaction};
use crate::storage::columns::signed;
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
        "INSERT OR REPLACE INTO dead_letters (character_id, user_id, shard, name, version, recoveries, \
         schema_version, state, request_ids, created_at_ms, updated_at_ms, deleted_at_ms, epoch, error, attempts, \
         failed_at_ms, verdict) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
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
        "SELECT character_id, user_id, shard, name, version, recoveries, schema_version, state, request_ids, \
         created_at_ms, updated_at_ms, deleted_at_ms, epoch, error, attempts, failed_at_ms, verdict \
         FROM dead_letters ORDER BY failed_at_ms, character_id",
    )
    .fetch_all(connection)
    .await?;
    rows.iter().map(dead_letter).collect()
}

fn dead_letter(row: &SqliteRow) -> Result<DeadLetter, StorageError> {
    Ok(DeadLetter {
        row: character(row, "character_id")?,
        epoch: row.try_get("epoch")?,
        error: row.try_get("error")?,
        attempts: row.try_get("attempts")?,
        failed_at_ms: row.try_get("failed_at_ms")?,
        verdict: row.try_get::<Option<&str>, _>("verdict")?.map(Verdict::named).transpose()?,
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

pub(super) async fn retry(
    connection: &mut SqliteConnection,
    lease: Lease,
    row: &CharacterRow,
    version: u64,
) -> Result<(), StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    check_one(&mut transaction, lease).await?;
    write_one(&mut transaction, row).await?;
    raise(&mut transaction, lease, row.user, row.id, version).await?;
    forget(&mut transaction, row.id).await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn discard(
    connection: &mut SqliteConnection,
    lease: Lease,
    user: UserId,
    character: CharacterId,
    version: u64,
) -> Result<(), StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    check_one(&mut transaction, lease).await?;
    raise(&mut transaction, lease, user, character, version).await?;
    forget(&mut transaction, character).await?;
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn forget_undecided(
    connection: &mut SqliteConnection,
    lease: Lease,
    character: CharacterId,
    version: u64,
) -> Result<(), StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    check_one(&mut transaction, lease).await?;
    sqlx::query("DELETE FROM dead_letters WHERE character_id = ?1 AND version = ?2 AND verdict IS NULL")
        .bind(character.to_string())
        .bind(signed(version)?)
        .execute(&mut *transaction)
        .await?;
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

async fn forget(connection: &mut SqliteConnection, character: CharacterId) -> Result<(), StorageError> {
    sqlx::query("DELETE FROM dead_letters WHERE character_id = ?1")
        .bind(character.to_string())
        .execute(connection)
        .await?;
    Ok(())
}
