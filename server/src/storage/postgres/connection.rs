//! The connection pool for PostgreSQL, with time limits.
//!
//! Our own pool instead of sqlx's. It cuts a connection off when its call was abandoned, needs no extra round trip
//! between successful calls, reports a refused connection at once instead of waiting, and runs nothing in the
//! background on a connection that may be dead.

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::checks;
use super::commits::cancel_abandoned;
use super::hosts::{Failure, Hosts, takes_writes};
use crate::storage::{StorageError, StorageOptions};

/// A connection idle for longer is asked if it still takes writes before it is used.
///
/// Asking before every call would cost every flush a round trip. Without asking, one call per connection would fail
/// after a restart of the database.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// Time limit for all migrations together.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The connections and their time limits.
pub(super) struct Connections {
    hosts: Arc<Hosts>,
    /// Run on each new connection for calls: PostgreSQL itself ends statements that take too long.
    setup: Arc<str>,
    places: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Idle>>>,
    acquire_timeout: Duration,
    call_timeout: Duration,
    /// True while abandoned commits are being cancelled.
    is_cancelling: Arc<AtomicBool>,
}

struct Idle {
    connection: PgConnection,
    /// Its place in the URL.
    host: usize,
    /// When it last worked; `None` if another connection to its host has failed since then.
    since: Option<Instant>,
}

impl Connections {
    /// Prepares connections to `url`; opens none.
    pub(super) fn new(url: &str, storage: &StorageOptions) -> Result<Self, StorageError> {
        let limit_ms = storage.call_timeout.as_millis().max(1);
        let settings = [
            ("statement_timeout", limit_ms.to_string()),
            // Half, so that a takeover outlives a frozen holder's transaction within its own first call.
            ("idle_in_transaction_session_timeout", limit_ms.div_ceil(2).to_string()),
            ("tcp_user_timeout", limit_ms.to_string()),
            // Leases rely on read committed, which reads a row again after waiting for its lock. Set here, so that no
            // default of the database changes it.
            ("default_transaction_isolation", "'read committed'".to_owned()),
            // One plan per statement is good for all parameters. PostgreSQL does not know the length of our arrays and
            // would make a new plan for most flushes.
            ("plan_cache_mode", "force_generic_plan".to_owned()),
        ];
        // As statements, because poolers refuse most settings in the login. All of them take one round trip.
        let settings = settings.map(|(name, value)| format!("SET {name} = {value}; ")).concat();
        Ok(Self {
            hosts: Arc::new(Hosts::new(url, &own_name())?),
            setup: (settings + COMMITS_WAIT).into(),
            places: Arc::new(Semaphore::new(storage.connections_max.max(1) as usize)),
            idle: Arc::default(),
            acquire_timeout: storage.acquire_timeout,
            call_timeout: storage.call_timeout,
            is_cancelling: Arc::default(),
        })
    }

    /// The servers that the URL names.
    pub(super) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// A connection for one call: the most recently used one, or a new one.
    pub(super) async fn acquire(&self) -> Result<Held, StorageError> {
        let deadline = Instant::now() + self.acquire_timeout;
        timeout_at(deadline, self.find(deadline)).await.unwrap_or_else(|_| {
            Err(StorageError::Transient(format!("no free connection to PostgreSQL within {:?}", self.acquire_timeout)))
        })
    }

    async fn find(&self, deadline: Instant) -> Result<Held, StorageError> {
        let place = Arc::clone(&self.places).acquire_owned().await.expect("the semaphore is never closed");
        let (connection, host) = match self.find_idle().await {
            Some(idle) => (idle.connection, idle.host),
            None => self.hosts.open(&self.setup, deadline).await?,
        };
        Ok(Held { connection: Some(connection), host, idle: Arc::clone(&self.idle), _place: place })
    }

    /// An idle connection that still takes writes. If one does not, all others to its host are dropped too.
    async fn find_idle(&self) -> Option<Idle> {
        // A host that has gone silent leaves time for the others.
        let patience = self.acquire_timeout / (self.hosts.count() + 1);
        loop {
            let mut idle = self.idle.lock().pop()?;
            if idle.host != self.hosts.current() {
                continue;
            }
            if idle.since.is_some_and(|since| since.elapsed() <= TRUSTED_IDLE) {
                return Some(idle);
            }
            if matches!(timeout(patience, takes_writes(&mut idle.connection, "")).await, Ok(Ok(true))) {
                return Some(idle);
            }
            self.idle.lock().retain(|other| other.host != idle.host);
        }
    }

    /// Runs a call within its time limit.
    pub(super) async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        timeout(self.call_timeout, call).await.unwrap_or_else(|_| {
            self.cancel_abandoned();
            Err(StorageError::Transient(format!(
                "no answer from PostgreSQL within {:?}; its synchronous standby, if it has one, may be down",
                self.call_timeout
            )))
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
        let (hosts, setup, limit) = (Arc::clone(&self.hosts), Arc::clone(&self.setup), self.call_timeout);
        let is_cancelling = Arc::clone(&self.is_cancelling);
        tokio::spawn(async move {
            let cancel = async {
                let (mut connection, _) = hosts.open(&setup, Instant::now() + limit).await?;
                cancel_abandoned(&mut connection, limit / 2).await?;
                connection.close().await.map_err(StorageError::from)
            };
            if let Ok(Err(error)) = timeout(limit, cancel).await {
                tracing::debug!(%error, "cannot cancel abandoned commits");
            }
            is_cancelling.store(false, Ordering::SeqCst);
        });
    }

    /// Looks at the database, then runs the migrations on their own connection, without the time limit of calls: a new
    /// index on a large table may take long. Waiting for a lock stays bounded, because a waiting migration blocks
    /// everyone queued behind it.
    pub(super) async fn migrate(&self) -> Result<(), StorageError> {
        let mut connection = timeout(self.acquire_timeout, self.look()).await.unwrap_or_else(|_| {
            let message = "PostgreSQL does not answer; check that it is running and that database.url is right";
            Err(StorageError::Transient(message.to_owned()))
        })?;
        let migrator = super::migrations::migrator();
        timeout(MIGRATION_TIMEOUT, migrator.run_direct(None, &mut connection, false))
            .await
            .map_err(|_| StorageError::Transient(format!("the migrations took longer than {MIGRATION_TIMEOUT:?}")))??;
        connection.close().await?;
        Ok(())
    }

    /// Opens a connection to a database that is fit to be used, and warns if its settings break promises.
    async fn look(&self) -> Result<PgConnection, StorageError> {
        let deadline = Instant::now() + self.acquire_timeout;
        let open = || async { self.hosts.open("", deadline).await.map_err(Failure::at_start) };
        let (mut connection, mut other) = (open().await?.0, open().await?.0);
        // Before anything is set, because it would be set for other programs too.
        checks::refuse_pooler(&mut connection, &mut other).await?;
        other.close().await?;
        for warning in checks::check(&mut connection).await? {
            tracing::warn!("{warning}");
        }
        let limit = format!("SET lock_timeout = {}", self.call_timeout.as_millis().max(1));
        sqlx::raw_sql(AssertSqlSafe(limit)).execute(&mut connection).await?;
        Ok(connection)
    }
}

/// The name of these connections in `pg_stat_activity`, by which they are told from those of other processes.
fn own_name() -> String {
    format!("castellan {:08x}", rand::random::<u32>())
}

/// Makes a commit wait for the disk even if the database's default does not.
const COMMITS_WAIT: &str =
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'; ";

pub(super) async fn ping(connection: &mut PgConnection) -> Result<(), StorageError> {
    sqlx::query("SELECT 1").execute(connection).await?;
    Ok(())
}

/// A connection during a call. [`Held::hand_back`] returns it to the pool. A connection dropped before that, by a timeout
/// or a cancelled caller, is cut off, because the server may still be working on it.
pub(super) struct Held {
    connection: Option<PgConnection>,
    /// Its place in the URL.
    host: usize,
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
        let mut idle = self.idle.lock();
        if let Some(connection) = self.connection.take().filter(|_| usable) {
            idle.push(Idle { connection, host: self.host, since: Some(Instant::now()) });
        } else {
            // The server may have stopped or turned read-only.
            idle.iter_mut().filter(|idle| idle.host == self.host).for_each(|idle| idle.since = None);
        }
        drop(idle);
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
