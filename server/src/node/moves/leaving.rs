//! Watches a shard that leaves: is it stored, and does it take too long?

use super::*;

impl<G: Game> Moves<G> {
    pub(super) fn look_at_leaving(&mut self, shard: ShardId, quiet: bool, undo: bool) {
        let mut effects = Effects::new();
        let now = self.now();
        if self.shards.held(shard).is_none() {
            return self.read();
        }
        if !quiet && self.shards.is_stored(shard) {
            self.life(shard).quiet(&mut effects);
        } else if !quiet && !undo && self.left_at.get(&shard).is_some_and(|left_at| left_at.elapsed() > PATIENCE) {
            tracing::warn!(%shard, "a shard could not be stored in time, so it stays here; the move is tried again later");
            self.rest_until = Instant::now() + REST;
            self.queue.clear();
            self.life(shard).undo(&mut effects);
        }
        if self.life(shard).deadline().is_some_and(|deadline| deadline <= now) {
            self.life(shard).markers_are_late(&mut effects);
        }
        self.perform(shard, effects);
    }
}
