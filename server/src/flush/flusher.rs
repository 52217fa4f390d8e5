//! The flusher: wakes, collects, writes, tells.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Batch, Entries, Signals};
use crate::clock::Clock;
use crate::crash;
use crate::planted::{self, Bug};
use crate::storage::{DeadLetter, ShardId, Storage, StorageError};
use crate::telemetry;

/// How the flusher works.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Longest time that a change waits for its transaction to begin while the database keeps up.
    pub interval: Duration,
    /// Rows in one transaction at the most.
    pub batch_rows: usize,
    /// How long others may join after somebody began to wait for a commit.
    pub gather: Duration,
    /// First wait after a failure; doubles, with jitter, up to `backoff_max`.
    pub backoff_min: Duration,
    /// Longest wait between two tries.
    pub backoff_max: Duration,
}

/// Brings what is dirty to the database, for as long as it runs.
pub struct Flusher<E> {
    writer: Arc<Writer<E>>,
    signals: Arc<Signals>,
    settings: Settings,
    rng: StdRng,
    /// Failures in a row.
    failures: u32,
}

/// Writes one batch; the flusher has several under way where the database writes several at once.
struct Writer<E> {
    entries: Arc<E>,
    storage: Arc<dyn Storage>,
    clock: Clock,
}

/// The database is not to be had: what was collected is back in line.
#[derive(Debug)]
struct Away(StorageError);

impl<E: Entries> Flusher<E> {
    /// A flusher that has not begun; `rng` spreads its tries when the database is away.
    pub fn new(
        entries: Arc<E>,
        storage: Arc<dyn Storage>,
        signals: Arc<Signals>,
        settings: Settings,
        clock: Clock,
        rng: StdRng,
    ) -> Self {
        Self { writer: Arc::new(Writer { entries, storage, clock }), signals, settings, rng, failures: 0 }
    }

    /// Flushes until `stop` says so, then gives itself back to be drained.
    ///
    /// While one batch is being written the next ones are, on connections of their own, as many as the database takes
    /// at once; a character is in one of them at the most.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Self {
        let mut ticks = tokio::time::interval(self.settings.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let signals = Arc::clone(&self.signals);
        let writer = Arc::clone(&self.writer);
        let mut open = FuturesUnordered::new();
        // Rows to collect before the next wake-up: what becomes dirty meanwhile waits for that.
        let mut due = 0;
        // Until when others may join somebody who waits for a commit; until when a database that is away is left alone.
        let (mut joining, mut away) = (None, None);
        while !*stop.borrow() {
            while open.len() < writer.storage.writes_at_once() && due > 0 && away.is_none() {
                let batch = writer.entries.collect(self.rows_max().min(due));
                due = if batch.rows.is_empty() { 0 } else { due - batch.rows.len() };
                if !batch.rows.is_empty() {
                    open.push(writer.write(batch));
                }
            }
            tokio::select! {
                _ = stop.changed() => {}
                Some(outcome) = open.next() => if self.heed(outcome) { away = Some(Instant::now() + self.backoff()) },
                () = until(away) => (away, due) = (None, writer.entries.dirty()),
                () = until(joining) => (joining, due) = (None, writer.entries.dirty()),
                () = signals.waiting.notified(), if joining.is_none() => {
                    joining = Some(Instant::now() + self.settings.gather);
                }
                () = signals.full.notified() => due = writer.entries.dirty(),
                _ = ticks.tick() => due = writer.entries.dirty(),
            }
        }
        while let Some(outcome) = open.next().await {
            self.heed(outcome);
        }
        drop(open);
        self
    }

    /// Flushes until nothing is dirty; false where the database could not take it until the deadline.
    pub async fn drain(&mut self, deadline: Instant) -> bool {
        let writer = Arc::clone(&self.writer);
        while writer.entries.dirty() > 0 && Instant::now() < deadline {
            let batch = writer.entries.collect(self.rows_max());
            if batch.rows.is_empty() {
                break;
            }
            let written = batch.written(|_| true);
            match tokio::time::timeout_at(deadline, writer.write(batch)).await {
                Ok(outcome) => {
                    if self.heed(outcome) {
                        tokio::time::sleep_until(deadline.min(Instant::now() + self.backoff())).await;
                    }
                }
                // Cut off in the middle of it: whoever comes next finds these in line.
                Err(_) => writer.entries.put_back(&written),
            }
        }
        writer.entries.dirty() == 0
    }

    /// Rows of the next batch at the most.
    ///
    /// Fewer after each failure: a batch that is too large for the time it may take would fail for ever.
    fn rows_max(&self) -> usize {
        (self.settings.batch_rows >> self.failures.min(usize::BITS - 1)).max(1)
    }

    /// Notes what became of a batch; says whether the database is away.
    fn heed(&mut self, outcome: Result<(), Away>) -> bool {
        match outcome {
            Ok(()) if self.failures == 0 => {}
            Ok(()) => {
                tracing::info!(failures = self.failures, "the database takes writes again");
                self.failures = 0;
                self.signals.set_database_away(false);
            }
            Err(Away(error)) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures == 1 {
                    tracing::warn!(%error, "the database takes no writes; they are kept and tried again");
                }
                self.signals.set_database_away(true);
                return true;
            }
        }
        false
    }

    /// The next wait: doubles with each failure, then anything from half of it to all of it.
    fn backoff(&mut self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let longest = self.settings.backoff_min.saturating_mul(1 << doublings).min(self.settings.backoff_max);
        longest.mul_f64(self.rng.random_range(0.5..=1.0))
    }
}

/// Waits until then, or for ever.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then).await,
        None => std::future::pending().await,
    }
}

impl<E: Entries> Writer<E> {
    /// Writes a batch; halves it while the database refuses it, until the row at fault is found.
    async fn write(&self, batch: Batch) -> Result<(), Away> {
        let mut open = vec![batch];
        while let Some(batch) = open.pop() {
            let began = Instant::now();
            crash::point("before_transaction");
            if planted::is(Bug::DurableBeforeCommit) {
                self.settle(&batch, &[]);
            }
            let result = self.storage.save(&batch.leases, &batch.rows).await;
            telemetry::flushed(batch.rows.len(), began.elapsed(), result.is_ok());
            let failed = match result {
                Ok(fenced) => {
                    self.settle(&batch, &fenced);
                    None
                }
                Err(StorageError::Fenced(shard)) => {
                    self.settle_fence(&batch, shard);
                    None
                }
                Err(StorageError::Refused(error)) if batch.rows.len() == 1 => {
                    self.bury(&batch, &error).await.err().map(|error| (error, batch))
                }
                Err(StorageError::Refused(_)) => {
                    open.extend(batch.halves());
                    None
                }
                Err(_) if planted::is(Bug::LostCommitAssumed) => {
                    self.settle(&batch, &[]);
                    None
                }
                Err(error) => Some((error, batch)),
            };
            if let Some((error, batch)) = failed {
                open.push(batch);
                // Nothing is known to be written: all of it goes back in line.
                for batch in open {
                    self.entries.put_back(&batch.written(|_| true));
                }
                return Err(Away(error));
            }
        }
        Ok(())
    }

    /// The commit came through, but for the rows of shards that are no longer ours.
    fn settle(&self, batch: &Batch, fenced: &[ShardId]) {
        for shard in fenced {
            self.entries.fenced(batch.lease_of(*shard));
        }
        self.entries.saved(&batch.written(|shard| !fenced.contains(&shard)));
    }

    fn settle_fence(&self, batch: &Batch, fenced: ShardId) {
        self.entries.fenced(batch.lease_of(fenced));
        self.entries.put_back(&batch.written(|shard| shard != fenced));
    }

    /// Puts the only row of a batch away for an operator.
    async fn bury(&self, batch: &Batch, error: &str) -> Result<(), StorageError> {
        let row = &batch.rows[0];
        let lease = batch.lease_of(row.shard);
        let letter = DeadLetter {
            row: row.clone(),
            epoch: lease.epoch,
            error: error.to_owned(),
            attempts: 1,
            failed_at_ms: (self.clock)(),
            verdict: None,
        };
        match self.storage.add_dead_letter(lease, &letter).await {
            Ok(()) => {
                tracing::error!(character = %row.id, error, "the database refuses a character: it is a dead letter now");
                self.entries.buried(super::written(lease, row));
                Ok(())
            }
            Err(StorageError::Fenced(_)) => {
                self.entries.fenced(lease);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
