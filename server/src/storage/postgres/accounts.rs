//! Accounts, sessions and keys.

use castellan_protocol::{SessionId, UserId};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};

use crate::storage::{AccountChange, AccountRow, KeyRow, SessionRow, StorageError};

pub(super) async fn create_account(connection: &mut PgConnection, account: &AccountRow) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO accounts (user_id, username, username_folded, password_hash, role, created_at, guest_seen_at) \
         VALUES ($1, $2, $3, $4, $5, to_timestamp($6 * 0.001::float8), to_timestamp($7 * 0.001::float8)) ON CONFLICT (user_id) DO NOTHING",
    )
    .bind(account.user.uuid())
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

const ACCOUNT: &str = "SELECT user_id, username, username_folded, password_hash, role, \
     (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms, \
     (extract(epoch FROM disabled_at) * 1000)::bigint AS disabled_at_ms, \
     (extract(epoch FROM guest_seen_at) * 1000)::bigint AS guest_seen_at_ms FROM accounts WHERE username_folded = $1";

const ACCOUNT_OF: &str = "SELECT user_id, username, username_folded, password_hash, role, \
     (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms, \
     (extract(epoch FROM disabled_at) * 1000)::bigint AS disabled_at_ms, \
     (extract(epoch FROM guest_seen_at) * 1000)::bigint AS guest_seen_at_ms FROM accounts WHERE user_id = $1";

/// By bytes, as the name is compared everywhere else.
const ACCOUNTS: &str = "SELECT user_id, username, username_folded, password_hash, role, \
     (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms, \
     (extract(epoch FROM disabled_at) * 1000)::bigint AS disabled_at_ms, \
     (extract(epoch FROM guest_seen_at) * 1000)::bigint AS guest_seen_at_ms FROM accounts \
     WHERE username_folded COLLATE \"C\" > $1 ORDER BY username_folded COLLATE \"C\" LIMIT $2";

pub(super) async fn account(connection: &mut PgConnection, folded: &str) -> Result<Option<AccountRow>, StorageError> {
    // PostgreSQL refuses NUL in any text, even in a parameter of a query.
    if folded.contains('\0') {
        return Ok(None);
    }
    let row = sqlx::query(ACCOUNT).bind(folded).fetch_optional(connection).await?;
    row.as_ref().map(account_row).transpose()
}

pub(super) async fn account_of(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<Option<AccountRow>, StorageError> {
    let row = sqlx::query(ACCOUNT_OF).bind(user.uuid()).fetch_optional(connection).await?;
    row.as_ref().map(account_row).transpose()
}

pub(super) async fn replace_password_hash(
    connection: &mut PgConnection,
    user: UserId,
    old: &str,
    new: &str,
) -> Result<bool, StorageError> {
    let done = sqlx::query("UPDATE accounts SET password_hash = $3 WHERE user_id = $1 AND password_hash = $2")
        .bind(user.uuid())
        .bind(old)
        .bind(new)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn some_password_hash(
    connection: &mut PgConnection,
    from: UserId,
) -> Result<Option<String>, StorageError> {
    let hash = sqlx::query_scalar(
        "(SELECT password_hash FROM accounts WHERE user_id >= $1 ORDER BY user_id LIMIT 1) \
         UNION ALL (SELECT password_hash FROM accounts ORDER BY user_id LIMIT 1) LIMIT 1",
    )
    .bind(from.uuid())
    .fetch_optional(connection)
    .await?;
    Ok(hash)
}

fn account_row(row: &PgRow) -> Result<AccountRow, StorageError> {
    Ok(AccountRow {
        user: UserId::from_uuid(row.try_get("user_id")?),
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
    connection: &mut PgConnection,
    after: &str,
    max: u32,
) -> Result<Vec<AccountRow>, StorageError> {
    let rows = sqlx::query(ACCOUNTS).bind(after).bind(i64::from(max)).fetch_all(connection).await?;
    rows.iter().map(account_row).collect()
}

pub(super) async fn change_account(
    connection: &mut PgConnection,
    user: UserId,
    change: &AccountChange,
    now_ms: i64,
) -> Result<bool, StorageError> {
    let query = match change {
        AccountChange::Role(role) => sqlx::query("UPDATE accounts SET role = $2 WHERE user_id = $1").bind(user.uuid()).bind(role),
        AccountChange::Disable => sqlx::query(
            "UPDATE accounts SET disabled_at = coalesce(disabled_at, to_timestamp($2 * 0.001::float8)) WHERE user_id = $1",
        )
        .bind(user.uuid())
        .bind(now_ms),
        AccountChange::Enable => sqlx::query("UPDATE accounts SET disabled_at = NULL WHERE user_id = $1").bind(user.uuid()),
        AccountChange::Delete => sqlx::query("DELETE FROM accounts WHERE user_id = $1").bind(user.uuid()),
    };
    Ok(query.execute(connection).await?.rows_affected() > 0)
}

pub(super) async fn departed_users(
    connection: &mut PgConnection,
    before_ms: i64,
    max: u32,
) -> Result<Vec<UserId>, StorageError> {
    let rows = sqlx::query(
        "SELECT user_id FROM departed_users WHERE departed_at < to_timestamp($1 * 0.001::float8) \
         ORDER BY departed_at, user_id LIMIT $2",
    )
    .bind(before_ms)
    .bind(i64::from(max))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(UserId::from_uuid(row.try_get("user_id")?))).collect()
}

pub(super) async fn forget_departed(connection: &mut PgConnection, user: UserId) -> Result<bool, StorageError> {
    let done = sqlx::query(
        "DELETE FROM departed_users WHERE user_id = $1 \
         AND NOT EXISTS (SELECT FROM characters WHERE user_id = $1 AND deleted_at IS NULL)",
    )
    .bind(user.uuid())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn change_password(
    connection: &mut PgConnection,
    user: UserId,
    password_hash: &str,
    kept: Option<SessionId>,
    now_ms: i64,
) -> Result<Option<Vec<SessionId>>, StorageError> {
    let mut transaction = connection.begin().await?;
    let done = sqlx::query("UPDATE accounts SET password_hash = $2 WHERE user_id = $1")
        .bind(user.uuid())
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
///
/// Call it after the statement that has locked the account, so that it sees a session whose login held that lock before.
pub(super) async fn end_others(
    connection: &mut PgConnection,
    user: UserId,
    kept: Option<SessionId>,
    now_ms: i64,
) -> Result<Vec<SessionId>, StorageError> {
    let rows = sqlx::query(
        "UPDATE sessions SET revoked_at = to_timestamp($3 * 0.001::float8) \
         WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND revoked_at IS NULL RETURNING id",
    )
    .bind(user.uuid())
    .bind(kept.map(|session| session.uuid()))
    .bind(now_ms)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(SessionId::from_uuid(row.try_get("id")?))).collect()
}

pub(super) async fn create_session(
    connection: &mut PgConnection,
    session: &SessionRow,
    password_hash: &str,
) -> Result<bool, StorageError> {
    let done = sqlx::query(
        "INSERT INTO sessions (id, user_id, generation, rotated_at, expires_at, revoked_at, network, started_at) \
         SELECT $1, $2, $3, to_timestamp($4 * 0.001::float8), to_timestamp($5 * 0.001::float8), \
         to_timestamp($6 * 0.001::float8), $7, to_timestamp($8 * 0.001::float8) \
         FROM accounts WHERE user_id = $2 AND password_hash = $9 AND disabled_at IS NULL FOR SHARE \
         ON CONFLICT (id) DO UPDATE SET id = excluded.id",
    )
    .bind(session.id.uuid())
    .bind(session.user.uuid())
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
    connection: &mut PgConnection,
    user: UserId,
    network: &str,
) -> Result<bool, StorageError> {
    let has = sqlx::query_scalar("SELECT EXISTS (SELECT FROM sessions WHERE user_id = $1 AND network = $2)")
        .bind(user.uuid())
        .bind(network)
        .fetch_one(connection)
        .await?;
    Ok(has)
}

pub(super) async fn session(connection: &mut PgConnection, id: SessionId) -> Result<Option<SessionRow>, StorageError> {
    let row = sqlx::query(SESSION).bind(id.uuid()).fetch_optional(connection).await?;
    row.as_ref().map(session_row).transpose()
}

pub(super) async fn sessions_of(
    connection: &mut PgConnection,
    user: UserId,
    now_ms: i64,
    max: u32,
) -> Result<Vec<SessionRow>, StorageError> {
    let rows =
        sqlx::query(SESSIONS_OF).bind(user.uuid()).bind(now_ms).bind(i64::from(max)).fetch_all(connection).await?;
    rows.iter().map(session_row).collect()
}

const SESSION: &str = "SELECT id, user_id, generation, (extract(epoch FROM rotated_at) * 1000)::bigint AS rotated_at_ms, \
     (extract(epoch FROM expires_at) * 1000)::bigint AS expires_at_ms, \
     (extract(epoch FROM revoked_at) * 1000)::bigint AS revoked_at_ms, network, \
     (extract(epoch FROM started_at) * 1000)::bigint AS started_at_ms FROM sessions WHERE id = $1";

const SESSIONS_OF: &str = "SELECT id, user_id, generation, \
     (extract(epoch FROM rotated_at) * 1000)::bigint AS rotated_at_ms, \
     (extract(epoch FROM expires_at) * 1000)::bigint AS expires_at_ms, \
     (extract(epoch FROM revoked_at) * 1000)::bigint AS revoked_at_ms, network, \
     (extract(epoch FROM started_at) * 1000)::bigint AS started_at_ms FROM sessions \
     WHERE user_id = $1 AND expires_at > to_timestamp($2 * 0.001::float8) AND revoked_at IS NULL \
     ORDER BY rotated_at DESC, id LIMIT $3";

fn session_row(row: &PgRow) -> Result<SessionRow, StorageError> {
    Ok(SessionRow {
        id: SessionId::from_uuid(row.try_get("id")?),
        user: UserId::from_uuid(row.try_get("user_id")?),
        generation: row.try_get("generation")?,
        started_at_ms: row.try_get("started_at_ms")?,
        rotated_at_ms: row.try_get("rotated_at_ms")?,
        expires_at_ms: row.try_get("expires_at_ms")?,
        revoked_at_ms: row.try_get("revoked_at_ms")?,
        network: row.try_get("network")?,
    })
}

pub(super) async fn rotate_session(
    connection: &mut PgConnection,
    id: SessionId,
    generation: i64,
    rotated_at_ms: i64,
    expires_at_ms: i64,
) -> Result<bool, StorageError> {
    let done = sqlx::query(
        "UPDATE sessions SET generation = generation + 1, rotated_at = to_timestamp($3 * 0.001::float8), \
         expires_at = to_timestamp($4 * 0.001::float8) WHERE id = $1 AND generation = $2 AND revoked_at IS NULL",
    )
    .bind(id.uuid())
    .bind(generation)
    .bind(rotated_at_ms)
    .bind(expires_at_ms)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn revoke_session(
    connection: &mut PgConnection,
    id: SessionId,
    revoked_at_ms: i64,
) -> Result<(), StorageError> {
    sqlx::query(
        "UPDATE sessions SET revoked_at = to_timestamp($2 * 0.001::float8) WHERE id = $1 AND revoked_at IS NULL",
    )
    .bind(id.uuid())
    .bind(revoked_at_ms)
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn revoke_sessions_of(
    connection: &mut PgConnection,
    user: UserId,
    revoked_at_ms: i64,
) -> Result<u64, StorageError> {
    let done = sqlx::query(
        "UPDATE sessions SET revoked_at = to_timestamp($2 * 0.001::float8) WHERE user_id = $1 AND revoked_at IS NULL",
    )
    .bind(user.uuid())
    .bind(revoked_at_ms)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn revoke_oldest_sessions(
    connection: &mut PgConnection,
    newest: &SessionRow,
    others_max: u32,
    revoked_at_ms: i64,
) -> Result<Vec<SessionId>, StorageError> {
    let rows = sqlx::query(
        "UPDATE sessions SET revoked_at = to_timestamp($4 * 0.001::float8) WHERE id IN ( \
         SELECT id FROM sessions WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL \
         AND expires_at > to_timestamp($4 * 0.001::float8) ORDER BY rotated_at DESC, id DESC OFFSET $3) RETURNING id",
    )
    .bind(newest.user.uuid())
    .bind(newest.id.uuid())
    .bind(i64::from(others_max))
    .bind(revoked_at_ms)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(SessionId::from_uuid(row.try_get("id")?))).collect()
}

pub(super) async fn revoked_sessions(
    connection: &mut PgConnection,
    since_ms: i64,
) -> Result<Vec<(SessionId, UserId)>, StorageError> {
    let rows = sqlx::query(
        "SELECT id, user_id FROM sessions WHERE revoked_at >= to_timestamp($1 * 0.001::float8) ORDER BY id",
    )
    .bind(since_ms)
    .fetch_all(connection)
    .await?;
    let read = |row: &PgRow| Ok((SessionId::from_uuid(row.try_get("id")?), UserId::from_uuid(row.try_get("user_id")?)));
    rows.iter().map(read).collect()
}

pub(super) async fn expired_sessions(
    connection: &mut PgConnection,
    before_ms: i64,
    max: u32,
) -> Result<Vec<SessionId>, StorageError> {
    let rows = sqlx::query(
        "SELECT id FROM sessions WHERE expires_at < to_timestamp($1 * 0.001::float8) \
         OR revoked_at < to_timestamp($1 * 0.001::float8) LIMIT $2",
    )
    .bind(before_ms)
    .bind(i64::from(max))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok(SessionId::from_uuid(row.try_get("id")?))).collect()
}

pub(super) async fn forget_sessions(connection: &mut PgConnection, sessions: &[SessionId]) -> Result<(), StorageError> {
    let ids: Vec<_> = sessions.iter().map(|session| session.uuid()).collect();
    sqlx::query("DELETE FROM sessions WHERE id = ANY ($1)").bind(ids).execute(connection).await?;
    Ok(())
}

pub(super) async fn keys(connection: &mut PgConnection) -> Result<Vec<KeyRow>, StorageError> {
    let rows = sqlx::query(
        "SELECT id, purpose, secret, (extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms \
         FROM signing_keys ORDER BY created_at, id",
    )
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
    connection: &mut PgConnection,
    before: &[KeyRow],
    after: &[KeyRow],
) -> Result<bool, StorageError> {
    let mut transaction = connection.begin().await?;
    // Only one at a time compares and writes; readers are not blocked.
    sqlx::query("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE").execute(&mut *transaction).await?;
    if keys(&mut transaction).await? != before {
        return Ok(false);
    }
    sqlx::query("DELETE FROM signing_keys").execute(&mut *transaction).await?;
    for key in after {
        sqlx::query(
            "INSERT INTO signing_keys (id, purpose, secret, created_at) \
             VALUES ($1, $2, $3, to_timestamp($4 * 0.001::float8))",
        )
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
