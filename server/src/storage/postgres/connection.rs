//! Connections to PostgreSQL: how they are set up, and what becomes of one that was left in the middle of a call.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Postgres};

use crate::storage::error::at_start;
use crate::storage::{StorageError, StorageOptions};

/// A connection idle for longer is asked for a sign of life before it is used.
///
/// Asking each time would cost every flush a round trip; never asking would make calls fail after a restart of the
/// database, once for each connection of the pool.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// How long all migrations together may take.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The pool, and the bounds in time of what is done with it.
pub(super) struct Connections {
    pool: PgPool,
    options: PgConnectOptions,
    acquire_timeout: Duration,
    call_timeout: Duration,
}

impl Connections {
    /// Prepares connections to `url`; opens none.
    pub(super) fn new(url: &str, storage: &StorageOptions) -> Result<Self, StorageError> {
        let options = PgConnectOptions::from_str(url).map_err(at_start)?.application_name("castellan");
        let limit = storage.call_timeout.as_millis().max(1);
        let limited = options.clone().options([
            ("statement_timeout", limit),
            // Half, so that a takeover outlives a frozen holder's transaction within its own first call.
            ("idle_in_transaction_session_timeout", limit.div_ceil(2)),
            ("tcp_user_timeout", limit),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(storage.connections_max.max(1))
            .acquire_timeout(storage.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| {
                Box::pin(async move {
                    if metadata.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(|connection, _| Box::pin(insist_on_durability(connection)))
            .connect_lazy_with(limited);
        Ok(Self { pool, options, acquire_timeout: storage.acquire_timeout, call_timeout: storage.call_timeout })
    }

    /// A connection for one call.
    pub(super) async fn acquire(&self) -> Result<Held, StorageError> {
        Ok(Held(Some(self.pool.acquire().await?)))
    }

    /// Runs a call within the time it may take.
    pub(super) async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        tokio::time::timeout(self.call_timeout, call).await.unwrap_or_else(|_| {
            Err(StorageError::Transient(format!("no answer from PostgreSQL within {:?}", self.call_timeout)))
        })
    }

    /// Runs the migrations on a connection of their own, without the pool's bounds in time: a new index on a large
    /// table takes as long as it takes. Waiting for a lock stays bounded, because whoever comes behind waits as well.
    pub(super) async fn migrate(&self) -> Result<(), StorageError> {
        let options = self.options.clone().options([("lock_timeout", self.call_timeout.as_millis().max(1))]);
        let connecting = tokio::time::timeout(self.acquire_timeout, PgConnection::connect_with(&options));
        let mut connection = connecting
            .await
            .map_err(|_| StorageError::Transient("PostgreSQL does not answer".to_owned()))?
            .map_err(at_start)?;
        let migrator = super::migrations::migrator();
        tokio::time::timeout(MIGRATION_TIMEOUT, migrator.run_direct(None, &mut connection, false))
            .await
            .map_err(|_| StorageError::Transient(format!("the migrations took more than {MIGRATION_TIMEOUT:?}")))??;
        connection.close().await?;
        Ok(())
    }
}

pub(super) async fn ping(connection: &mut PgConnection) -> Result<(), StorageError> {
    sqlx::query("SELECT 1").execute(connection).await?;
    Ok(())
}

/// A commit must mean that it is on disk, also where somebody has made the database's default `off`.
async fn insist_on_durability(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A connection during a call. It goes back to the pool only by [`Held::settle`]; dropped before, as by a timeout or
/// a caller that went away, it is cut off, because nobody knows what the server still does on it.
pub(super) struct Held(Option<PoolConnection<Postgres>>);

const STILL_HELD: &str = "the connection is there until it is settled";

impl Held {
    /// Ends a call: the connection is good for another one where the call came to an end that PostgreSQL told.
    pub(super) fn settle<T>(mut self, outcome: Result<T, StorageError>) -> Result<T, StorageError> {
        if !matches!(outcome, Err(StorageError::Transient(_) | StorageError::Corrupt(_))) {
            drop(self.0.take());
        }
        outcome
    }
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_ref().expect(STILL_HELD)
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect(STILL_HELD)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}
