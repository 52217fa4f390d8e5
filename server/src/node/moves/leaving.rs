//! Watches a shard that leaves: is it stored, and does it take too long?

use tokio::sync::oneshot;

use super::ahead::is_over;
use super::*;
use crate::shard::Unstored;

/// A shard that leaves.
pub(super) struct Departure {
    at: Instant,
    /// Characters that were not stored when it began.
    unstored: usize,
    /// Open as long as the last copies are on their way; `None` before they are ordered.
    copied: Option<oneshot::Receiver<()>>,
    /// How long it took until everything was stored.
    stored_after: Option<Duration>,
    /// How long it took until the transfer was sent.
    sent_after: Option<Duration>,
}

impl Departure {
    pub(super) fn new(unstored: usize) -> Self {
        Self { at: Instant::now(), unstored, copied: None, stored_after: None, sent_after: None }
    }

    /// The transfer was sent, perhaps not for the first time.
    pub(super) fn sent(&mut self) {
        self.sent_after.get_or_insert(self.at.elapsed());
    }

    /// The shard has another owner.
    pub(super) fn ended(self, shard: ShardId) {
        let Self { at, unstored, stored_after, sent_after, .. } = self;
        let pause = at.elapsed();
        tracing::debug!(%shard, unstored, ?stored_after, ?sent_after, ?pause, "a shard was handed over");
        telemetry::shard_moved(telemetry::Move::Done, Some(pause));
    }
}

impl<G: Game> Moves<G> {
    pub(super) fn look_at_leaving(&mut self, shard: ShardId, quiet: bool, undo: bool) {
        let mut effects = Effects::new();
        let now = self.now();
        if self.shards.held(shard).is_none() {
            return self.read();
        }
        self.copy_the_rest(shard);
        if !quiet && self.shards.is_stored(shard) && self.is_copied(shard) {
            self.life(shard).quiet(&mut effects);
        } else if !quiet && !undo && self.leaving.get(&shard).is_some_and(|departure| departure.at.elapsed() > PATIENCE)
        {
            tracing::warn!(%shard, "a shard could not be stored and copied in time, so it stays here; the move is tried again later");
            self.rest_until = Instant::now() + REST;
            self.queue.clear();
            self.life(shard).undo(&mut effects);
        }
        if self.life(shard).deadline().is_some_and(|deadline| deadline <= now) {
            self.life(shard).markers_are_late(&mut effects);
        }
        self.perform(shard, effects);
    }

    /// Orders the last copies once the flusher has collected the last rows: the copies can be made while the database is
    /// busy, and the flusher need not wait for a core.
    fn copy_the_rest(&mut self, shard: ShardId) {
        let Unstored { hurried, .. } = self.shards.unstored(shard);
        let Some(departure) = self.leaving.get_mut(&shard).filter(|departure| departure.copied.is_none()) else {
            return;
        };
        if hurried > 0 {
            return;
        }
        let (sender, copied) = oneshot::channel();
        departure.copied = Some(copied);
        if let State::Leaving { to: Some(to), .. } = self.life(shard).state() {
            self.order(to, Order::Left { shard, copied: sender });
        }
    }

    /// Everything is stored. Returns true once everything is copied, too: if the new owner is asked for a character before
    /// it has the copies, it loads it.
    fn is_copied(&mut self, shard: ShardId) -> bool {
        let Some(departure) = self.leaving.get_mut(&shard) else { return true };
        departure.stored_after.get_or_insert(departure.at.elapsed());
        departure.copied.as_mut().is_none_or(is_over)
    }
}
