//! The flusher: wakes, collects, writes, tells.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::Instrument;

use super::{Batch, Entries, Queue, Signals};
use crate::clock::Clock;
use crate::crash;
use crate::planted::{self, Bug};
use crate::storage::{DeadLetter, SHARDS, ShardId, Storage, StorageError};
use crate::telemetry;

/// A sweep writes this part of what is dirty at a time, so that it goes on evenly.
const STEPS: usize = 32;

/// Rows that are worth a transaction: fewer than these are not written in steps.
const STEP_ROWS_MIN: usize = 32;

/// How the flusher works.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The time of a sweep, which comes by every shard once. While the database keeps up, a change waits about so long at
    /// most until its transaction begins, and never twice as long: that is where many follow on few.
    pub interval: Duration,
    /// Rows in one transaction at the most.
    pub batch_rows: usize,
    /// How long others may join after somebody began to wait for a commit, at the longest.
    pub gather: Duration,
    /// First wait after a failure; doubles, with jitter, up to `backoff_max`.
    pub backoff_min: Duration,
    /// Longest wait between two tries.
    pub backoff_max: Duration,
}

/// Brings what is dirty to the database, for as long as it runs.
pub struct Flusher<E> {
    entries: Arc<E>,
    storage: Arc<dyn Storage>,
    signals: Arc<Signals>,
    settings: Settings,
    clock: Clock,
    rng: StdRng,
    /// How many waited for the last commit that anybody waited for.
    waited: usize,
    /// Failures in a row.
    failures: u32,
}

/// The database is not to be had: what was collected is back in line.
#[derive(Debug)]
struct Away;

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
        Self { entries, storage, signals, settings, clock, rng, waited: 0, failures: 0 }
    }

    /// Flushes until `stop` says so, then gives itself back to be drained.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Self {
        let signals = Arc::clone(&self.signals);
        let mut next_step = Instant::now();
        while !*stop.borrow() {
            let result = tokio::select! {
                _ = stop.changed() => continue,
                () = sleep_until(next_step) => self.step(&mut next_step).await,
                () = signals.waiting.notified() => self.hurry().await,
            };
            if let Err(Away) = result {
                tokio::select! {
                    _ = stop.changed() => {}
                    () = tokio::time::sleep(self.backoff()) => {}
                }
            }
        }
        self
    }

    /// Leaves others time to join, as many as waited for the last commit: in steady traffic as many come again, and
    /// once they have there is nothing to wait for. A single client does not wait at all.
    async fn gather(&self) {
        // When the time is over, whoever is there sets out.
        let _ = timeout(self.settings.gather, self.signals.gathered(self.waited)).await;
    }

    /// Flushes until nothing is left to collect; false if the database could not take it until the deadline.
    ///
    /// A character that waits for an operator is collected too if it changed since, so its dead letter gets the newest
    /// state.
    pub async fn drain(&mut self, deadline: Instant) -> bool {
        loop {
            let (batch, _) = self.entries.collect(Queue::Dirty, self.rows_max());
            if batch.rows.is_empty() {
                return self.entries.dirty() == 0;
            }
            let written = batch.written(|_| true);
            if Instant::now() >= deadline {
                self.entries.put_back(&written);
                return false;
            }
            match tokio::time::timeout_at(deadline, self.write(batch)).await {
                Ok(Ok(())) => {}
                Ok(Err(Away)) => tokio::time::sleep_until(deadline.min(Instant::now() + self.backoff())).await,
                // Cut off in the middle of it: whoever comes next finds these in line.
                Err(_) => self.entries.put_back(&written),
            }
        }
    }

    /// Goes a step on in the sweep and sets the time of the next one: the share of a sweep's time that the shards are of
    /// all shards. A step that comes late does not make the next ones come sooner.
    async fn step(&mut self, next: &mut Instant) -> Result<(), Away> {
        let began = Instant::now();
        let rows = (self.entries.dirty() / STEPS).max(STEP_ROWS_MIN).min(self.rows_max());
        let (batch, passed) = self.entries.collect(Queue::Dirty, rows);
        let pause = self.settings.interval.mul_f64(passed as f64 / f64::from(SHARDS));
        *next = (*next + pause).max(began);
        self.write(batch).await
    }

    /// Writes what somebody waits for, once around the shards: what is hurried meanwhile waits for the next time, so that
    /// none goes on for ever.
    async fn hurry(&mut self) -> Result<(), Away> {
        self.gather().await;
        let waited = self.signals.set_out();
        if waited > 0 {
            self.waited = waited;
        }
        let mut passed = 0;
        while passed < usize::from(SHARDS) {
            let (batch, shards) = self.entries.collect(Queue::Hurried, self.rows_max());
            passed += shards;
            self.write(batch).await?;
        }
        Ok(())
    }

    /// Rows of the next batch at the most.
    ///
    /// Fewer after each failure: a batch that is too large for the time it may take would fail for ever.
    fn rows_max(&self) -> usize {
        (self.settings.batch_rows >> self.failures.min(usize::BITS - 1)).max(1)
    }

    /// Writes a batch; halves it while it is too large, and while the database refuses it, until the row at fault is
    /// found.
    async fn write(&mut self, batch: Batch) -> Result<(), Away> {
        let mut open = vec![batch];
        while let Some(batch) = open.pop() {
            if batch.rows.is_empty() {
                continue;
            }
            if batch.rows.len() > self.rows_max() {
                open.extend(batch.halves());
                continue;
            }
            let began = Instant::now();
            crash::point("before_transaction");
            if planted::is(Bug::DurableBeforeCommit) {
                self.settle(&batch, &[]);
            }
            let saving = self.storage.save(&batch.leases, &batch.rows);
            let result = saving.instrument(telemetry::flush_span(batch.rows.len())).await;
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
                return Err(self.give_back(&open, &error));
            }
            self.succeeded();
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

    /// Nothing is known to be written: all of it goes back in line.
    fn give_back(&mut self, open: &[Batch], error: &StorageError) -> Away {
        for batch in open {
            self.entries.put_back(&batch.written(|_| true));
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            tracing::warn!(%error, "the database takes no writes; they are kept and tried again");
        }
        self.signals.set_database_away(true);
        Away
    }

    fn succeeded(&mut self) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "the database takes writes again");
            self.failures = 0;
            self.signals.set_database_away(false);
        }
    }

    /// The next wait: doubles with each failure, then anything from half of it to all of it.
    fn backoff(&mut self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let longest = self.settings.backoff_min.saturating_mul(1 << doublings).min(self.settings.backoff_max);
        longest.mul_f64(self.rng.random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests;
