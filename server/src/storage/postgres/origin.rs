//! Recognises a database that was restored or copied; jumps and ends sessions.

use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{Connection, Row};

use crate::storage::StorageError;
use crate::storage::origin::{BLIND_JUMP, Change, Origin, seconds};

/// Which database this is, as far as it tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    /// Of the cluster; `initdb` draws it. A base backup keeps it, a dump does not contain it.
    system_identifier: Option<i64>,
    /// Of the database inside the cluster.
    database_oid: i64,
    /// Grows by one when a standby is promoted, and when a restore has reached its point in time.
    timeline: Option<i64>,
}

/// The identity at the last start.
struct Stored {
    identity: Identity,
    /// True if the row was written by a server, false if a restored dump brought it along.
    genuine: bool,
}

/// What follows from a comparison.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    /// The first start, or one that learns more than the last one.
    Write,
    Timeline {
        before: i64,
        now: i64,
    },
    Restored(&'static str),
}

pub(super) async fn recognise(connection: &mut PgConnection, now_ms: i64) -> Result<Origin, StorageError> {
    let (present, hidden) = ask(connection).await?;
    // Usually nothing has changed, and no lock disturbs a server that is running.
    if compare(stored(connection).await?.as_ref(), &present) == Verdict::Same {
        return Ok(Origin { change: Change::None, hidden });
    }
    let mut transaction = connection.begin().await?;
    lock(&mut transaction).await?;
    let change = match compare(stored(&mut transaction).await?.as_ref(), &present) {
        Verdict::Same | Verdict::Write => Change::None,
        Verdict::Timeline { before, now } => {
            jump(&mut transaction, RECOVERIES, now_ms).await?;
            Change::Timeline { before, now }
        }
        Verdict::Restored(sign) => {
            Change::Restored { sign: sign.to_owned(), sessions: undo(&mut transaction, now_ms).await? }
        }
    };
    write(&mut transaction, &present).await?;
    transaction.commit().await?;
    Ok(Origin { change, hidden })
}

pub(super) async fn restored(connection: &mut PgConnection, now_ms: i64) -> Result<u64, StorageError> {
    let (present, _) = ask(connection).await?;
    let mut transaction = connection.begin().await?;
    lock(&mut transaction).await?;
    let sessions = undo(&mut transaction, now_ms).await?;
    write(&mut transaction, &present).await?;
    transaction.commit().await?;
    Ok(sessions)
}

/// Waits for writes under way and holds up later ones and takeovers until the transaction ends.
async fn lock(connection: &mut PgConnection) -> Result<(), StorageError> {
    sqlx::query("SELECT 1 FROM shard_leases ORDER BY shard FOR UPDATE").execute(connection).await?;
    Ok(())
}

/// A timeline change leaves the epochs alone: the server that lived through a failover keeps its shards.
const RECOVERIES: &str =
    "UPDATE shard_leases SET recoveries = CASE WHEN recoveries < $1 THEN $1 ELSE recoveries + $2 END";

/// Leaves the shards nobody's and not released: a server that is running must not take them again with the old keys in
/// its memory.
const RECOVERIES_AND_EPOCHS: &str = "UPDATE shard_leases SET epoch = CASE WHEN epoch < $1 THEN $1 ELSE epoch + $2 END, \
     recoveries = CASE WHEN recoveries < $1 THEN $1 ELSE recoveries + $2 END, released = false, node = NULL, \
     process = NULL";

async fn jump(connection: &mut PgConnection, statement: &'static str, now_ms: i64) -> Result<(), StorageError> {
    sqlx::query(statement).bind(seconds(now_ms)).bind(BLIND_JUMP).execute(connection).await?;
    Ok(())
}

/// Makes all shards jump, and deletes all sessions and the keys of their tokens. Returns the number of sessions.
async fn undo(connection: &mut PgConnection, now_ms: i64) -> Result<u64, StorageError> {
    jump(connection, RECOVERIES_AND_EPOCHS, now_ms).await?;
    let row = sqlx::query("SELECT count(*) AS sessions FROM sessions").fetch_one(&mut *connection).await?;
    let sessions: i64 = row.try_get("sessions")?;
    // At once, however many there are: a call must end within its time limit.
    sqlx::query("TRUNCATE sessions").execute(&mut *connection).await?;
    // Access tokens are believed by their signature alone, so the keys must go as well.
    sqlx::query("DELETE FROM signing_keys WHERE purpose IN ('es256', 'refresh')").execute(connection).await?;
    Ok(sessions.unsigned_abs())
}

/// Asks the database who it is, and returns what it did not tell.
async fn ask(connection: &mut PgConnection) -> Result<(Identity, Vec<String>), StorageError> {
    let mut hidden = Vec::new();
    let system_identifier = told(connection, "SELECT system_identifier FROM pg_control_system()", &mut hidden).await?;
    // Not from the last checkpoint, which may be older than a promotion.
    let timeline = told(
        connection,
        "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint",
        &mut hidden,
    )
    .await?;
    let row = sqlx::query("SELECT oid::bigint AS oid FROM pg_database WHERE datname = current_database()")
        .fetch_one(connection)
        .await?;
    Ok((Identity { system_identifier, database_oid: row.try_get("oid")?, timeline }, hidden))
}

/// Insufficient privilege, undefined function, feature not supported, not in the required state.
const NOT_TOLD: &[&str] = &["42501", "42883", "0A000", "55000"];

/// The answer to a question that the database may refuse; a refusal goes to `hidden`.
async fn told(
    connection: &mut PgConnection,
    question: &'static str,
    hidden: &mut Vec<String>,
) -> Result<Option<i64>, StorageError> {
    match sqlx::query_scalar(question).fetch_one(connection).await {
        Ok(answer) => Ok(Some(answer)),
        Err(sqlx::Error::Database(error))
            if error.try_downcast_ref::<PgDatabaseError>().is_some_and(|error| NOT_TOLD.contains(&error.code())) =>
        {
            hidden.push(error.message().to_owned());
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn stored(connection: &mut PgConnection) -> Result<Option<Stored>, StorageError> {
    // PostgreSQL keeps a row's `xmin` for good, also when it freezes the row.
    let row = sqlx::query(
        "SELECT system_identifier, database_oid, timeline, written_by = xmin::text::bigint AS genuine FROM origin",
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let identity = Identity {
        system_identifier: row.try_get("system_identifier")?,
        database_oid: row.try_get("database_oid")?,
        timeline: row.try_get("timeline")?,
    };
    Ok(Some(Stored { identity, genuine: row.try_get("genuine")? }))
}

/// Remembers the present identity. What the database does not tell this time stays as it was.
async fn write(connection: &mut PgConnection, present: &Identity) -> Result<(), StorageError> {
    sqlx::query(
        "INSERT INTO origin (system_identifier, database_oid, timeline, written_by) \
         VALUES ($1, $2, $3, txid_current() & 4294967295) \
         ON CONFLICT (one) DO UPDATE SET system_identifier = coalesce($1, origin.system_identifier), \
         database_oid = $2, timeline = coalesce($3, origin.timeline), written_by = EXCLUDED.written_by",
    )
    .bind(present.system_identifier)
    .bind(present.database_oid)
    .bind(present.timeline)
    .execute(connection)
    .await?;
    Ok(())
}

fn compare(stored: Option<&Stored>, present: &Identity) -> Verdict {
    let Some(Stored { identity: before, genuine }) = stored else { return Verdict::Write };
    let both = |before: Option<i64>, now: Option<i64>| before.zip(now).filter(|(before, now)| before != now);
    if both(before.system_identifier, present.system_identifier).is_some() {
        return Verdict::Restored("it is in a different PostgreSQL cluster than at the last start");
    }
    if before.database_oid != present.database_oid {
        return Verdict::Restored("it is a different database than at the last start");
    }
    if !genuine {
        return Verdict::Restored("its rows were written by a restore");
    }
    if let Some((before, now)) = both(before.timeline, present.timeline) {
        return Verdict::Timeline { before, now };
    }
    let learnt = |before: Option<i64>, now: Option<i64>| before.is_none() && now.is_some();
    if learnt(before.system_identifier, present.system_identifier) || learnt(before.timeline, present.timeline) {
        return Verdict::Write;
    }
    Verdict::Same
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Identity = Identity { system_identifier: Some(7), database_oid: 16_384, timeline: Some(3) };
    const SILENT: Identity = Identity { system_identifier: None, timeline: None, ..HERE };

    fn verdict(identity: Identity, genuine: bool, present: Identity) -> Verdict {
        compare(Some(&Stored { identity, genuine }), &present)
    }

    #[test]
    fn a_database_is_the_same_only_if_everything_that_is_known_agrees() {
        assert_eq!(compare(None, &HERE), Verdict::Write);
        assert_eq!(verdict(HERE, true, HERE), Verdict::Same);
        assert_eq!(verdict(HERE, true, SILENT), Verdict::Same);
        assert_eq!(verdict(SILENT, true, SILENT), Verdict::Same);
        assert_eq!(verdict(SILENT, true, HERE), Verdict::Write);
        assert_eq!(
            verdict(HERE, true, Identity { timeline: Some(4), ..HERE }),
            Verdict::Timeline { before: 3, now: 4 }
        );
        for (identity, genuine) in [
            (Identity { system_identifier: Some(8), ..HERE }, true),
            (Identity { system_identifier: Some(8), timeline: Some(1), ..HERE }, true),
            (Identity { database_oid: 16_385, ..HERE }, true),
            (Identity { database_oid: 16_385, ..SILENT }, true),
            (HERE, false),
            (SILENT, false),
        ] {
            let verdict = verdict(identity, genuine, HERE);
            assert!(matches!(verdict, Verdict::Restored(_)), "{identity:?} {genuine}: {verdict:?}");
        }
    }
}
