//! Users of outside issuers.

use castellan_protocol::UserId;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::accounts::create_account;
use crate::storage::{AccountRow, StorageError};

pub(super) async fn identity(
    connection: &mut PgConnection,
    issuer: &str,
    subject: &str,
) -> Result<Option<UserId>, StorageError> {
    let user = sqlx::query_scalar("SELECT user_id FROM identities WHERE issuer = $1 AND subject = $2")
        .bind(issuer)
        .bind(subject)
        .fetch_optional(connection)
        .await?;
    Ok(user.map(UserId::from_uuid))
}

pub(super) async fn identity_of(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<Option<(String, String)>, StorageError> {
    let found = sqlx::query_as("SELECT issuer, subject FROM identities WHERE user_id = $1").bind(user.uuid());
    Ok(found.fetch_optional(connection).await?)
}

pub(super) async fn bind_account(
    connection: &mut PgConnection,
    account: &AccountRow,
    issuer: &str,
    subject: &str,
) -> Result<bool, StorageError> {
    let mut transaction = connection.begin().await?;
    let done = sqlx::query(
        "INSERT INTO identities (issuer, subject, user_id) VALUES ($1, $2, $3) ON CONFLICT (issuer, subject) DO NOTHING",
    )
    .bind(issuer)
    .bind(subject)
    .bind(account.user.uuid())
    .execute(&mut *transaction)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    create_account(&mut transaction, account).await?;
    transaction.commit().await?;
    Ok(true)
}
