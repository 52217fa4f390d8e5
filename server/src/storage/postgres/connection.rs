//! The connection pool for PostgreSQL, with time limits.
//!
//! Our own pool instead of sqlx's. It cuts a connection off when its call was abandoned, needs no extra round trip
//! between successful calls, reports a refused connection at once instead of waiting, and runs nothing in the
//! background on a connection that may be dead.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::commits::cancel_abandoned;
use crate::storage::error::at_start;
use crate::storage::{StorageError, StorageOptions};

/// A connection idle for longer is pinged before it is used.
///
/// A ping before every call would cost every flush a round trip. Without pings, one call per connection would fail
/// after a restart of the database.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// Time limit for all migrations together.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The connections and their time limits.
pub(super) struct Connections {
    /// For calls: PostgreSQL itself ends statements that take too long.
    options: PgConnectOptions,
    /// For migrations, which may take long.
    patient: PgConnectOptions,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Idle>>>,
    acquire_timeout: Duration,
    call_timeout: Duration,
    /// True while abandoned commits are being cancelled.
    is_cancelling: Arc<AtomicBool>,
}

struct Idle {
    connection: PgConnection,
    since: Instant,
}

impl Connections {
    /// Prepares connections to `url`; opens none.
    pub(super) fn new(url: &str, storage: &StorageOptions) -> Result<Self, StorageError> {
        let options = PgConnectOptions::from_str(url).map_err(at_start)?.application_name(&own_name());
        let limit_ms = storage.call_timeout.as_millis().max(1);
        let patient = options.clone().options([("lock_timeout", limit_ms)]);
        let options = options.options([
            ("statement_timeout", limit_ms),
            // Half, so that a takeover outlives a frozen holder's transaction within its own first call.
            ("idle_in_transaction_session_timeout", limit_ms.div_ceil(2)),
            ("tcp_user_timeout", limit_ms),
        ]);
        // Leases rely on read committed, which reads a row again after waiting for its lock. Set here, so that no
        // default of the database changes it.
        let options = options
            .options([("default_transaction_isolation", "read committed"), ("default_transaction_read_only", "off")]);
        // One plan per statement is good for all parameters. PostgreSQL does not know the length of our arrays and
        // would make a new plan for most flushes.
        let options = options.options([("plan_cache_mode", "force_generic_plan")]);
        Ok(Self {
            options,
            patient,
            places: Arc::new(Semaphore::new(storage.connections_max.max(1) as usize)),
            idle: Arc::default(),
            acquire_timeout: storage.acquire_timeout,
            call_timeout: storage.call_timeout,
            is_cancelling: Arc::default(),
        })
    }

    /// A connection for one call: the most recently used one, or a new one.
    pub(super) async fn acquire(&self) -> Result<Held, StorageError> {
        timeout(self.acquire_timeout, self.find()).await.unwrap_or_else(|_| {
            Err(StorageError::Transient(format!("no free connection to PostgreSQL within {:?}", self.acquire_timeout)))
        })
    }

    async fn find(&self) -> Result<Held, StorageError> {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        loop {
            let idle = self.idle.lock().pop();
            let connection = match idle {
                Some(idle) if idle.since.elapsed() <= TRUSTED_IDLE => idle.connection,
                Some(Idle { mut connection, .. }) => match connection.ping().await {
                    Ok(()) => connection,
                    Err(_) => continue,
                },
                None => connect(&self.options).await?,
            };
            return Ok(Held { connection: Some(connection), idle: Arc::clone(&self.idle), _place: place });
        }
    }

    /// Runs a call within its time limit.
    pub(super) async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        timeout(self.call_timeout, call).await.unwrap_or_else(|_| {
            self.cancel_abandoned();
            Err(StorageError::Transient(format!("no answer from PostgreSQL within {:?}", self.call_timeout)))
        })
    }

    /// Cancels commits that were given up, on a connection and in a task of its own.
    ///
    /// PostgreSQL does not notice that nobody waits for them any more, and no time limit of its own ends their wait for a
    /// standby.
    fn cancel_abandoned(&self) {
        if self.is_cancelling.swap(true, Ordering::SeqCst) {
            return;
        }
        let (options, limit) = (self.options.clone(), self.call_timeout);
        let is_cancelling = Arc::clone(&self.is_cancelling);
        tokio::spawn(async move {
            let cancel = async {
                let mut connection = connect(&options).await?;
                cancel_abandoned(&mut connection, limit / 2).await?;
                connection.close().await.map_err(StorageError::from)
            };
            if let Ok(Err(error)) = timeout(limit, cancel).await {
                tracing::debug!(%error, "abandoned commits could not be cancelled");
            }
            is_cancelling.store(false, Ordering::SeqCst);
        });
    }

    /// Runs the migrations on their own connection, without the time limit of calls: a new index on a large table may
    /// take long. Waiting for a lock stays bounded, because a waiting migration blocks everyone queued behind it.
    pub(super) async fn migrate(&self) -> Result<(), StorageError> {
        let mut connection = timeout(self.acquire_timeout, PgConnection::connect_with(&self.patient))
            .await
            .map_err(|_| {
                StorageError::Transient("PostgreSQL does not answer; check database.url and that it runs".to_owned())
            })?
            .map_err(at_start)?;
        let migrator = super::migrations::migrator();
        timeout(MIGRATION_TIMEOUT, migrator.run_direct(None, &mut connection, false))
            .await
            .map_err(|_| StorageError::Transient(format!("the migrations took longer than {MIGRATION_TIMEOUT:?}")))??;
        connection.close().await?;
        Ok(())
    }
}

/// The name of these connections in `pg_stat_activity`, by which they are told from those of other processes.
fn own_name() -> String {
    format!("castellan {:08x}", rand::random::<u32>())
}

/// Opens a connection on which a commit is on disk, even if the database's default differs.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StorageError> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::query(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
    )
    .execute(&mut connection)
    .await?;
    Ok(connection)
}

pub(super) async fn ping(connection: &mut PgConnection) -> Result<(), StorageError> {
    sqlx::query("SELECT 1").execute(connection).await?;
    Ok(())
}

/// A connection during a call. [`Held::hand_back`] returns it to the pool. A connection dropped before that, by a timeout
/// or a cancelled caller, is cut off, because the server may still be working on it.
pub(super) struct Held {
    connection: Option<PgConnection>,
    idle: Arc<Mutex<Vec<Idle>>>,
    /// Dropped last, so that the next caller finds the connection in the pool.
    _place: OwnedSemaphorePermit,
}

const STILL_HELD: &str = "a held connection exists until it is handed back";

impl Held {
    /// Ends a call. The connection may be used again if PostgreSQL itself reported the outcome.
    pub(super) async fn hand_back<T>(
        mut self,
        connections: &Connections,
        outcome: Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let usable = match &outcome {
            Ok(_) => true,
            Err(StorageError::Transient(_) | StorageError::Corrupt(_)) => false,
            // The transaction is still open; the ping also sends its rollback.
            Err(_) => matches!(timeout(connections.call_timeout, self.ping()).await, Ok(Ok(()))),
        };
        if let Some(connection) = self.connection.take().filter(|_| usable) {
            self.idle.lock().push(Idle { connection, since: Instant::now() });
        }
        outcome
    }
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect(STILL_HELD)
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect(STILL_HELD)
    }
}
