//! Users of outside issuers.

use castellan_protocol::UserId;
use sqlx::sqlite::SqliteConnection;

use super::accounts::create_account;
use super::columns::id;
use super::{BEGIN_IMMEDIATE, transaction};
use crate::storage::{AccountRow, StorageError};

pub(super) async fn identity(
    connection: &mut SqliteConnection,
    issuer: &str,
    subject: &str,
) -> Result<Option<UserId>, StorageError> {
    let row = sqlx::query("SELECT user_id FROM identities WHERE issuer = ?1 AND subject = ?2")
        .bind(issuer)
        .bind(subject)
        .fetch_optional(connection)
        .await?;
    row.map(|row| id(&row, "user_id")).transpose()
}

pub(super) async fn identity_of(
    connection: &mut SqliteConnection,
    user: UserId,
) -> Result<Option<(String, String)>, StorageError> {
    let found = sqlx::query_as("SELECT issuer, subject FROM identities WHERE user_id = ?1").bind(user.to_string());
    Ok(found.fetch_optional(connection).await?)
}

pub(super) async fn bind_account(
    connection: &mut SqliteConnection,
    account: &AccountRow,
    issuer: &str,
    subject: &str,
) -> Result<bool, StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    let done = sqlx::query(
        "INSERT INTO identities (issuer, subject, user_id) VALUES (?1, ?2, ?3) ON CONFLICT (issuer, subject) DO NOTHING",
    )
    .bind(issuer)
    .bind(subject)
    .bind(account.user.to_string())
    .execute(&mut *transaction)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    create_account(&mut transaction, account).await?;
    transaction.commit().await?;
    Ok(true)
}
