//! Accounts, sessions and keys.

use castellan_protocol::{SessionId, UserId};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::columns::id;
use super::{BEGIN_IMMEDIATE, transaction};
use crate::storage::{AccountChange, AccountRow, KeyRow, SessionRow, StorageError};

pub(super) async fn create_account(
    connection: &mut SqliteConnection,
    account: &AccountRow,
) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO accounts (user_id, username, username_folded, password_hash, role, created_at_ms, guest_seen_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (user_id) DO NOTHING",
    )
    .bind(account.user.to_string())
    .bind(&account.username)
    .bind(&account.folded)
    .bind(&account.password_hash)
    .bind(&account.role)
    .bind(account.created_at_ms)
    .bind(account.guest_seen_at_ms)
    .execute(connection)
    .await
    .map_err(taken_name)?;
    Ok(())
}

pub(super) fn taken_name(error: sqlx::Error) -> StorageError {
    match &error {
        sqlx::Error::Database(cause) if cause.is_unique_violation() => StorageError::AlreadyExists,
        _ => error.into(),
    }
}

pub(super) async fn account(
    connection: &mut SqliteConnection,
    folded: &str,
) -> Result<Option<AccountRow>, StorageError> {
    let row = sqlx::query(
        "SELECT user_id, username, username_folded, password_hash, role, created_at_ms, disabled_at_ms, \
         guest_seen_at_ms FROM accounts WHERE username_folded = ?1",
    )
    .bind(folded)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(account_row).transpose()
}

pub(super) async fn account_of(
    connection: &mut SqliteConnection,
    user: UserId,
) -> Result<Option<AccountRow>, StorageError> {
    let row = sqlx::query(
        "SELECT user_id, username, username_folded, password_hash, role, created_at_ms, disabled_at_ms, \
         guest_seen_at_ms FROM accounts WHERE user_id = ?1",
    )
    .bind(user.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(account_row).transpose()
}

pub(super) async fn replace_password_hash(
    connection: &mut SqliteConnection,
    user: UserId,
    old: &str,
    new: &str,
) -> Result<bool, StorageError> {
    let done = sqlx::query("UPDATE accounts SET password_hash = ?3 WHERE user_id = ?1 AND password_hash = ?2")
        .bind(user.to_string())
        .bind(old)
        .bind(new)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn some_password_hash(
    connection: &mut SqliteConnection,
    from: UserId,
) -> Result<Option<String>, StorageError> {
    let hash = sqlx::query_scalar(
        "SELECT * FROM (SELECT password_hash FROM accounts WHERE user_id >= ?1 ORDER BY user_id LIMIT 1) \
         UNION ALL SELECT * FROM (SELECT password_hash FROM accounts ORDER BY user_id LIMIT 1) LIMIT 1",
    )
    .bind(from.to_string())
    .fetch_optional(connection)
    .await?;
    Ok(hash)
}

fn account_row(row: &SqliteRow) -> Result<AccountRow, StorageError> {
    Ok(AccountRow {
        user: id(row, "user_id")?,
        username: row.try_get("username")?,
        folded: row.try_get("username_folded")?,
        password_hash: row.try_get("password_hash")?,
        role: row.try_get("role")?,
        created_at_ms: row.try_get("created_at_ms")?,
        disabled_at_ms: row.try_get("disabled_at_ms")?,
        guest_seen_at_ms: row.try_get("guest_seen_at_ms")?,
    })
}

pub(super) async fn accounts(
    connection: &mut SqliteConnection,
    after: &str,
    max: u32,
) -> Result<Vec<AccountRow>, StorageError> {
    let rows = sqlx::query(
        "SELECT user_id, username, username_folded, password_hash, role, created_at_ms, disabled_at_ms, \
         guest_seen_at_ms FROM accounts \
         WHERE username_folded > ?1 ORDER BY username_folded LIMIT ?2",
    )
    .bind(after)
    .bind(max)
    .fetch_all(connection)
    .await?;
    rows.iter().map(account_row).collect()
}

pub(super) async fn change_account(
    connection: &mut SqliteConnection,
    user: UserId,
    change: &AccountChange,
    now_ms: i64,
) -> Result<bool, StorageError> {
    let query = match change {
        AccountChange::Role(role) => {
            sqlx::query("UPDATE accounts SET role = ?2 WHERE user_id = ?1").bind(user.to_string()).bind(role)
        }
        AccountChange::Disable => {
            sqlx::query("UPDATE accounts SET disabled_at_ms = ifnull(disabled_at_ms, ?2) WHERE user_id = ?1")
                .bind(user.to_string())
                .bind(now_ms)
        }
        AccountChange::Enable => {
            sqlx::query("UPDATE accounts SET disabled_at_ms = NULL WHERE user_id = ?1").bind(user.to_string())
        }
        AccountChange::Delete => sqlx::query("DELETE FROM accounts WHERE user_id = ?1").bind(user.to_string()),
    };
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

pub(super) async fn departed_users(
    connection: &mut SqliteConnection,
    before_ms: i64,
    max: u32,
) -> Result<Vec<UserId>, StorageError> {
    let rows = sqlx::query(
        "SELECT user_id FROM departed_users WHERE departed_at_ms < ?1 ORDER BY departed_at_ms, user_id LIMIT ?2",
    )
    .bind(before_ms)
    .bind(max)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| id(row, "user_id")).collect()
}

pub(super) async fn forget_departed(connection: &mut SqliteConnection, user: UserId) -> Result<bool, StorageError> {
    let done = sqlx::query(
        "DELETE FROM departed_users WHERE user_id = ?1 \
         AND NOT EXISTS (SELECT 1 FROM characters WHERE user_id = ?1 AND deleted_at_ms IS NULL)",
    )
    .bind(user.to_string())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn change_password(
    connection: &mut SqliteConnection,
    user: UserId,
    password_hash: &str,
    kept: Option<SessionId>,
    now_ms: i64,
) -> Result<Option<Vec<SessionId>>, StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    let done = sqlx::query("UPDATE accounts SET password_hash = ?2 WHERE user_id = ?1")
        .bind(user.to_string())
        .bind(password_hash)
        .execute(&mut *transaction)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(None);
    }
    let ended = end_others(&mut transaction, user, kept, now_ms).await?;
    transaction.commit().await?;
    Ok(Some(ended))
}

/// Revokes a user's sessions, all but `kept`, and returns them.
pub(super) async fn end_others(
    connection: &mut SqliteConnection,
    user: UserId,
    kept: Option<SessionId>,
    now_ms: i64,
) -> Result<Vec<SessionId>, StorageError> {
    let rows = sqlx::query(
        "UPDATE sessions SET revoked_at_ms = ?3 WHERE user_id = ?1 AND id IS NOT ?2 AND revoked_at_ms IS NULL \
         RETURNING id",
    )
    .bind(user.to_string())
    .bind(kept.map(|session| session.to_string()))
    .bind(now_ms)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| id(row, "id")).collect()
}

pub(super) async fn create_session(
    connection: &mut SqliteConnection,
    session: &SessionRow,
    password_hash: &str,
) -> Result<bool, StorageError> {
    let done = sqlx::query(
        "INSERT INTO sessions (id, user_id, generation, rotated_at_ms, expires_at_ms, revoked_at_ms, network, \
         started_at_ms) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM accounts WHERE user_id = ?2 AND password_hash = ?9 \
         AND disabled_at_ms IS NULL \
         ON CONFLICT (id) DO UPDATE SET id = excluded.id",
    )
    .bind(session.id.to_string())
    .bind(session.user.to_string())
    .bind(session.generation)
    .bind(session.rotated_at_ms)
    .bind(session.expires_at_ms)
    .bind(session.revoked_at_ms)
    .bind(&session.network)
    .bind(session.started_at_ms)
    .bind(password_hash)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn has_logged_in_from(
    connection: &mut SqliteConnection,
    user: UserId,
    network: &str,
) -> Result<bool, StorageError> {
    let has = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sessions WHERE user_id = ?1 AND network = ?2)")
        .bind(user.to_string())
        .bind(network)
        .fetch_one(connection)
        .await?;
    Ok(has)
}

pub(super) async fn session(
    connection: &mut SqliteConnection,
    session: SessionId,
) -> Result<Option<SessionRow>, StorageError> {
    let row = sqlx::query(
        "SELECT id, user_id, generation, rotated_at_ms, expires_at_ms, revoked_at_ms, network, started_at_ms \
         FROM sessions WHERE id = ?1",
    )
    .bind(session.to_string())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(session_row).transpose()
}

pub(super) async fn sessions_of(
    connection: &mut SqliteConnection,
    user: UserId,
    now_ms: i64,
    max: u32,
) -> Result<Vec<SessionRow>, StorageError> {
    let rows = sqlx::query(
        "SELECT id, user_id, generation, rotated_at_ms, expires_at_ms, revoked_at_ms, network, started_at_ms \
         FROM sessions WHERE user_id = ?1 AND expires_at_ms > ?2 AND revoked_at_ms IS NULL \
         ORDER BY rotated_at_ms DESC, id LIMIT ?3",
    )
    .bind(user.to_string())
    .bind(now_ms)
    .bind(max)
    .fetch_all(connection)
    .await?;
    rows.iter().map(session_row).collect()
}

fn session_row(row: &SqliteRow) -> Result<SessionRow, StorageError> {
    Ok(SessionRow {
        id: id(row, "id")?,
        user: id(row, "user_id")?,
        generation: row.try_get("generation")?,
        started_at_ms: row.try_get("started_at_ms")?,
        rotated_at_ms: row.try_get("rotated_at_ms")?,
        expires_at_ms: row.try_get("expires_at_ms")?,
        revoked_at_ms: row.try_get("revoked_at_ms")?,
        network: row.try_get("network")?,
    })
}

pub(super) async fn rotate_session(
    connection: &mut SqliteConnection,
    id: SessionId,
    generation: i64,
    rotated_at_ms: i64,
    expires_at_ms: i64,
) -> Result<bool, StorageError> {
    let done = sqlx::query(
        "UPDATE sessions SET generation = generation + 1, rotated_at_ms = ?3, expires_at_ms = ?4 \
         WHERE id = ?1 AND generation = ?2 AND revoked_at_ms IS NULL",
    )
    .bind(id.to_string())
    .bind(generation)
    .bind(rotated_at_ms)
    .bind(expires_at_ms)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn revoke_session(
    connection: &mut SqliteConnection,
    id: SessionId,
    revoked_at_ms: i64,
) -> Result<(), StorageError> {
    sqlx::query("UPDATE sessions SET revoked_at_ms = ?2 WHERE id = ?1 AND revoked_at_ms IS NULL")
        .bind(id.to_string())
        .bind(revoked_at_ms)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn revoke_sessions_of(
    connection: &mut SqliteConnection,
    user: UserId,
    revoked_at_ms: i64,
) -> Result<u64, StorageError> {
    let done = sqlx::query("UPDATE sessions SET revoked_at_ms = ?2 WHERE user_id = ?1 AND revoked_at_ms IS NULL")
        .bind(user.to_string())
        .bind(revoked_at_ms)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}

pub(super) async fn revoke_oldest_sessions(
    connection: &mut SqliteConnection,
    newest: &SessionRow,
    others_max: u32,
    revoked_at_ms: i64,
) -> Result<Vec<SessionId>, StorageError> {
    let rows = sqlx::query(
        "UPDATE sessions SET revoked_at_ms = ?4 WHERE id IN ( \
         SELECT id FROM sessions WHERE user_id = ?1 AND id <> ?2 AND revoked_at_ms IS NULL AND expires_at_ms > ?4 \
         ORDER BY rotated_at_ms DESC, id DESC LIMIT -1 OFFSET ?3) RETURNING id",
    )
    .bind(newest.user.to_string())
    .bind(newest.id.to_string())
    .bind(others_max)
    .bind(revoked_at_ms)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| id(row, "id")).collect()
}

pub(super) async fn revoked_sessions(
    connection: &mut SqliteConnection,
    since_ms: i64,
) -> Result<Vec<(SessionId, UserId)>, StorageError> {
    let rows = sqlx::query("SELECT id, user_id FROM sessions WHERE revoked_at_ms >= ?1 ORDER BY id")
        .bind(since_ms)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok((id(row, "id")?, id(row, "user_id")?))).collect()
}

pub(super) async fn expired_sessions(
    connection: &mut SqliteConnection,
    before_ms: i64,
    max: u32,
) -> Result<Vec<SessionId>, StorageError> {
    let rows = sqlx::query("SELECT id FROM sessions WHERE expires_at_ms < ?1 OR revoked_at_ms < ?1 LIMIT ?2")
        .bind(before_ms)
        .bind(max)
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| id(row, "id")).collect()
}

pub(super) async fn forget_sessions(
    connection: &mut SqliteConnection,
    sessions: &[SessionId],
) -> Result<(), StorageError> {
    let ids = serde_json::to_string(sessions).expect("ids are plain data");
    sqlx::query("DELETE FROM sessions WHERE id IN (SELECT value FROM json_each(?1))")
        .bind(ids)
        .execute(connection)
        .await?;
    Ok(())
}

pub(super) async fn keys(connection: &mut SqliteConnection) -> Result<Vec<KeyRow>, StorageError> {
    let rows = sqlx::query("SELECT id, purpose, secret, created_at_ms FROM signing_keys ORDER BY created_at_ms, id")
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(KeyRow {
                id: row.try_get("id")?,
                purpose: row.try_get("purpose")?,
                secret: row.try_get("secret")?,
                created_at_ms: row.try_get("created_at_ms")?,
            })
        })
        .collect()
}

pub(super) async fn replace_keys(
    connection: &mut SqliteConnection,
    before: &[KeyRow],
    after: &[KeyRow],
) -> Result<bool, StorageError> {
    // Overwrites what is deleted, and empties the log if nobody reads it, so that no secret stays behind on disk.
    sqlx::query("PRAGMA secure_delete = ON").execute(&mut *connection).await?;
    let outcome = exchange_keys(connection, before, after).await;
    sqlx::query("PRAGMA secure_delete = OFF").execute(&mut *connection).await?;
    if outcome? {
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(connection).await?;
        return Ok(true);
    }
    Ok(false)
}

async fn exchange_keys(
    connection: &mut SqliteConnection,
    before: &[KeyRow],
    after: &[KeyRow],
) -> Result<bool, StorageError> {
    let mut transaction = transaction(connection, BEGIN_IMMEDIATE).await?;
    if keys(&mut transaction).await? != before {
        return Ok(false);
    }
    sqlx::query("DELETE FROM signing_keys").execute(&mut *transaction).await?;
    for key in after {
        sqlx::query("INSERT INTO signing_keys (id, purpose, secret, created_at_ms) VALUES (?1, ?2, ?3, ?4)")
            .bind(&key.id)
            .bind(&key.purpose)
            .bind(&key.secret)
            .bind(key.created_at_ms)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(true)
}
