//! Transactions: they wait for their locks, take their step, commit, and wait for the standby.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::super::replication::{Fate, Lock, Purpose, Step};
use super::super::tables::Tables;
use super::MemoryStorage;
use crate::storage::{Lease, StorageError};

/// How long a call waits for a lock or for the standby.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);

impl MemoryStorage {
    /// A query without locks.
    pub(super) async fn look_up<T>(
        &self,
        query: impl Fn(&Tables) -> T + Send + Sync + 'static,
    ) -> Result<T, StorageError> {
        self.transact(Purpose::LookUp, |_| Vec::new(), move |tables| Ok(query(tables))).await
    }

    /// A transaction: waits for its locks, takes its step, commits, waits for the standby.
    pub(super) async fn transact<T>(
        &self,
        purpose: Purpose,
        locks: impl Fn(&Tables) -> Vec<Lock> + Send,
        step: impl Fn(&mut Tables) -> Result<T, StorageError> + Send + Sync + 'static,
    ) -> Result<T, StorageError> {
        let mut changes = self.0.changes.subscribe();
        let (cuts, mut step) = (self.0.primary.lock().cuts, Some(step));
        let mut deadline = None;
        let (number, result) = loop {
            {
                let mut primary = self.0.primary.lock();
                if primary.cuts != cuts {
                    return Err(broken());
                }
                let locks = locks(&primary.visible);
                if !primary.is_locked(&locks) {
                    match primary.commit(purpose, locks, step.take().expect("this is the only step"))? {
                        Step::Done(result) => return Ok(result),
                        Step::Waits(number, result) => break (number, result),
                    }
                }
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + CALL_TIMEOUT);
            if timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(StorageError::Transient("the call waited too long for a lock".to_owned()));
            }
        };
        let deadline = deadline.unwrap_or_else(|| Instant::now() + CALL_TIMEOUT);
        loop {
            let (fate, rules) = {
                let primary = self.0.primary.lock();
                (primary.fate(number, cuts), primary.rules)
            };
            match fate {
                Fate::Replicated => return Ok(result),
                Fate::Cancelled if !rules.warnings_count => return Ok(result),
                Fate::Cancelled => {
                    return Err(StorageError::Transient("the wait for the standby was cancelled".to_owned()));
                }
                Fate::Unknown => return Err(broken()),
                Fate::Waits => {}
            }
            if timeout_at(deadline, changes.changed()).await.is_err() {
                if rules.cancels {
                    self.change(|primary| primary.cancel(|waiting| waiting == number));
                }
                return Err(StorageError::Transient("the call waited too long for the standby".to_owned()));
            }
        }
    }

    /// A transaction that writes.
    pub(super) async fn write<T>(
        &self,
        locks: impl Fn(&Tables) -> Vec<Lock> + Send,
        step: impl Fn(&mut Tables) -> Result<T, StorageError> + Send + Sync + 'static,
    ) -> Result<T, StorageError> {
        self.transact(Purpose::Write, locks, step).await
    }

    /// A write to accounts, sessions or keys.
    pub(super) async fn book<T>(
        &self,
        step: impl Fn(&mut Tables) -> Result<T, StorageError> + Send + Sync + 'static,
    ) -> Result<T, StorageError> {
        self.write(|_| vec![Lock::Accounts], step).await
    }
}

fn broken() -> StorageError {
    StorageError::Transient("the connection broke".to_owned())
}

/// The locks of a transaction that proves a lease and then writes these rows. If the lease is lost it locks nothing.
pub(super) fn proven(tables: &Tables, lease: Lease, rows: &[Lock]) -> Vec<Lock> {
    let mut locks = Lock::held(tables, &[lease]);
    if !locks.is_empty() {
        locks.extend(rows);
    }
    locks
}
