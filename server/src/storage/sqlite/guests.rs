//! Guests: claimed, or purged.

use castellan_protocol::{SessionId, UserId};
use sqlx::sqlite::SqliteConnection;

use super::accounts::{end_others, taken_name};
use super::columns::id;
use super::{BEGIN_IMMEDIATE, transaction};
use crate::storage::{Claim, StorageError};

pub(super) async fn claim_account(
    connection: &mut SqliteConnection,
    user: UserId,
    claim: &Claim,
    kept: SessionId,
    now_ms: i64,
) -> Result<Option<Vec<SessionId>>, StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    let done = sqlx::query(
        "UPDATE accounts SET username = ?2, username_folded = ?3, password_hash = ?4, guest_seen_at_ms = NULL \
         WHERE user_id = ?1 AND guest_seen_at_ms IS NOT NULL",
    )
    .bind(user.to_string())
    .bind(&claim.username)
    .bind(&claim.folded)
    .bind(&claim.password_hash)
    .execute(&mut *transaction)
    .await
    .map_err(taken_name)?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    let ended = end_others(&mut transaction, user, Some(kept), now_ms).await?;
    transaction.commit().await?;
    Ok(Some(ended))
}

pub(super) async fn purge_guests(
    connection: &mut SqliteConnection,
    before_ms: i64,
    with_characters_before_ms: i64,
    max: u32,
) -> Result<Vec<UserId>, StorageError> {
    let rows = sqlx::query(
        "DELETE FROM accounts WHERE user_id IN (SELECT user_id FROM accounts AS guests \
         WHERE (guest_seen_at_ms < ?1 \
         AND NOT EXISTS (SELECT 1 FROM sessions WHERE user_id = guests.user_id AND rotated_at_ms >= ?1) \
         AND NOT EXISTS (SELECT 1 FROM characters WHERE user_id = guests.user_id AND deleted_at_ms IS NULL)) \
         OR (guest_seen_at_ms < ?2 \
         AND NOT EXISTS (SELECT 1 FROM sessions WHERE user_id = guests.user_id AND rotated_at_ms >= ?2)) \
         LIMIT ?3) RETURNING user_id",
    )
    .bind(before_ms)
    .bind(with_characters_before_ms)
    .bind(max)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| id(row, "user_id")).collect()
}
