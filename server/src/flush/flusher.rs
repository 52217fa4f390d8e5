//! The flusher: wakes, collects, writes, reports.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Batch, Entries, Queue, Signals};
use crate::clock::Clock;
use crate::storage::{DeadLetter, SHARDS, ShardId, Storage, StorageError};

/// A step of a sweep writes one part in this many of the dirty rows, so that the load is even.
const STEPS: usize = 32;

/// Fewest rows worth a transaction of their own: fewer are not split into steps.
const STEP_ROWS_MIN: usize = 32;

/// Most transactions at the same time. There are several only for a shard that has more rows than one may have.
const TRANSACTIONS_MAX: usize = 4;

/// The flusher's settings.
#[derive(Debug, Clone, Copy)]
pub struct FlushSettings {
    /// The time of a sweep, which visits every shard once. While the database keeps up, a change waits about this long
    /// at most until its transaction begins. A burst after a quiet time may take longer, but never twice as long.
    pub interval: Duration,
    /// Most rows in one transaction.
    pub batch_rows: usize,
    /// Longest time in which others may join after someone began to wait for a commit.
    pub gather: Duration,
    /// First wait after a failure. Doubles, with jitter, up to `backoff_max`.
    pub backoff_min: Duration,
    /// Longest wait between two tries.
    pub backoff_max: Duration,
}

/// Writes dirty characters to the database while it runs.
pub struct Flusher<E> {
    entries: Arc<E>,
    pub(super) storage: Arc<dyn Storage>,
    signals: Arc<Signals>,
    settings: FlushSettings,
    clock: Clock,
    rng: StdRng,
    /// How many waited for the last commit that had any waiters.
    waited: usize,
    /// Consecutive failures.
    failures: u32,
}

/// The database cannot be reached; the collected rows are queued again.
#[derive(Debug)]
struct Away;

impl<E: Entries> Flusher<E> {
    /// Creates a flusher that is not running yet. `rng` spreads its retries while the database cannot be reached.
    pub fn new(
        entries: Arc<E>,
        storage: Arc<dyn Storage>,
        signals: Arc<Signals>,
        settings: FlushSettings,
        clock: Clock,
        rng: StdRng,
    ) -> Self {
        Self { entries, storage, signals, settings, clock, rng, waited: 0, failures: 0 }
    }

    /// Flushes until `stop` is true or its sender is dropped, then returns itself for [`Self::drain`].
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Self {
        let signals = Arc::clone(&self.signals);
        let mut next_step = Instant::now();
        while !*stop.borrow() {
            let result = tokio::select! {
                changed = stop.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => break,
                },
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

    /// Gives others time to join, until as many wait as for the last commit. In steady traffic the same number comes
    /// again, and then there is nothing more to wait for. A single client does not wait at all.
    async fn gather(&self) {
        // After this time the commit starts with those who joined.
        let _ = timeout(self.settings.gather, self.signals.gathered(self.waited)).await;
    }

    /// Flushes until nothing is left to collect. Returns false if the database did not store everything by `deadline`.
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
                // If the deadline cuts this off, the next caller finds these rows queued.
                Err(_) => self.entries.put_back(&written),
            }
        }
    }

    /// Does one step of the sweep and sets the time of the next one, in proportion to the number of shards that this
    /// step went through. A late step does not make the next ones earlier.
    async fn step(&mut self, next: &mut Instant) -> Result<(), Away> {
        let began = Instant::now();
        let rows = (self.entries.dirty() / STEPS).max(STEP_ROWS_MIN).min(self.rows_max());
        let (batch, passed) = self.entries.collect(Queue::Dirty, rows);
        let pause = self.settings.interval.mul_f64(passed as f64 / f64::from(SHARDS));
        *next = (*next + pause).max(began);
        self.write(batch).await
    }

    /// Writes the rows that someone waits for, once through all shards. Rows that are hurried meanwhile wait for the
    /// next round, so that a round always ends.
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

    /// Most rows in the next batch.
    ///
    /// Fewer after each failure, because a batch too large for its timeout would fail forever.
    fn rows_max(&self) -> usize {
        (self.settings.batch_rows >> self.failures.min(usize::BITS - 1)).max(1)
    }

    /// Writes a batch: one transaction, or several at the same time if a crowded shard has more rows than one may have.
    /// Halves a batch that the database refuses, until it finds the row at fault.
    async fn write(&mut self, batch: Batch) -> Result<(), Away> {
        let mut open = batch.parts(self.rows_max());
        while !open.is_empty() {
            let some = open.split_off(open.len().saturating_sub(TRANSACTIONS_MAX));
            let saved = join_all(some.iter().map(|batch| self.save(batch))).await;
            let mut failed = None;
            for (batch, saved) in some.into_iter().zip(saved) {
                match saved {
                    Ok(fenced) => self.report(&batch, &fenced),
                    Err(StorageError::Fenced(shard)) => self.report_fence(&batch, shard),
                    Err(StorageError::Refused(error)) if batch.rows.len() == 1 => {
                        if let Err(error) = self.bury(&batch, &error).await {
                            failed = Some(error);
                            open.push(batch);
                        }
                    }
                    Err(StorageError::Refused(_)) => open.extend(batch.halves()),
                    Err(error) => {
                        failed = Some(error);
                        open.push(batch);
                    }
                }
            }
            if let Some(error) = failed {
                return Err(self.give_back(&open, &error));
            }
            self.succeeded();
        }
        Ok(())
    }

    /// The commit succeeded, except for the rows of shards that are no longer ours.
    pub(super) fn report(&self, batch: &Batch, fenced: &[ShardId]) {
        for shard in fenced {
            self.entries.fenced(batch.lease_of(*shard));
        }
        self.entries.saved(&batch.written(|shard| !fenced.contains(&shard)));
    }

    fn report_fence(&self, batch: &Batch, fenced: ShardId) {
        self.entries.fenced(batch.lease_of(fenced));
        self.entries.put_back(&batch.written(|shard| shard != fenced));
    }

    /// Turns the only row of a batch into a dead letter.
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
            stored: None,
        };
        match self.storage.add_dead_letter(lease, &letter).await {
            Ok(()) => {
                tracing::error!(
                    character = %row.id,
                    error,
                    "the database refused a character; it is a dead letter now (castellan dead-letters show {})",
                    row.id
                );
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

    /// Nothing is known to be written: queues all rows again.
    fn give_back(&mut self, open: &[Batch], error: &StorageError) -> Away {
        for batch in open {
            self.entries.put_back(&batch.written(|_| true));
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            tracing::warn!(%error, "cannot write to the database; changes stay in memory, trying again");
        }
        self.signals.set_database_away(true);
        Away
    }

    fn succeeded(&mut self) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "the database accepts writes again");
            self.failures = 0;
            self.signals.set_database_away(false);
        }
    }

    /// The next wait: doubles with each failure, then a random time from half of it to all of it.
    fn backoff(&mut self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let longest = self.settings.backoff_min.saturating_mul(1 << doublings).min(self.settings.backoff_max);
        longest.mul_f64(self.rng.random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests;
