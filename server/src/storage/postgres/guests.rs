//! Guests: claimed, or purged.

use castellan_protocol::{SessionId, UserId};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};

use super::accounts::{end_others, taken_name};
use crate::storage::{Claim, StorageError};

pub(super) async fn claim_account(
    connection: &mut PgConnection,
    user: UserId,
    claim: &Claim,
    kept: SessionId,
    now_ms: i64,
) -> Result<Option<Vec<SessionId>>, StorageError> {
    let mut transaction = connection.begin().await?;
    let done = sqlx::query(
        "UPDATE accounts SET username = $2, username_folded = $3, password_hash = $4, guest_seen_at = NULL \
         WHERE user_id = $1 AND guest_seen_at IS NOT NULL",
    )
    .bind(user.uuid())
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

/// A guest's account that nobody uses. $1 and $2 are the times since when it is not used, without and with characters.
macro_rules! unused_guest {
    () => {
        "((guest_seen_at < to_timestamp($1 * 0.001::float8) \
         AND NOT EXISTS (SELECT FROM sessions WHERE sessions.user_id = accounts.user_id \
         AND rotated_at >= to_timestamp($1 * 0.001::float8)) \
         AND NOT EXISTS (SELECT FROM characters WHERE characters.user_id = accounts.user_id AND deleted_at IS NULL)) \
         OR (guest_seen_at < to_timestamp($2 * 0.001::float8) \
         AND NOT EXISTS (SELECT FROM sessions WHERE sessions.user_id = accounts.user_id \
         AND rotated_at >= to_timestamp($2 * 0.001::float8))))"
    };
}

pub(super) async fn purge_guests(
    connection: &mut PgConnection,
    before_ms: i64,
    with_characters_before_ms: i64,
    max: u32,
) -> Result<Vec<UserId>, StorageError> {
    const LOCK: &str = concat!(
        "SELECT user_id FROM accounts WHERE ",
        unused_guest!(),
        " ORDER BY guest_seen_at LIMIT $3 FOR UPDATE SKIP LOCKED"
    );
    const DELETE: &str =
        concat!("DELETE FROM accounts WHERE user_id = ANY ($3) AND ", unused_guest!(), " RETURNING user_id");
    let mut transaction = connection.begin().await?;
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar(LOCK)
        .bind(before_ms)
        .bind(with_characters_before_ms)
        .bind(i64::from(max))
        .fetch_all(&mut *transaction)
        .await?;
    // Asked again under the lock: a login may have begun a session before it.
    let rows = sqlx::query(DELETE)
        .bind(before_ms)
        .bind(with_characters_before_ms)
        .bind(ids)
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    rows.iter().map(|row| Ok(UserId::from_uuid(row.try_get("user_id")?))).collect()
}
