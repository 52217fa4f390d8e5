//! The shards that this server holds: it checks its leases once a second, and gives a shard up when another server has
//! taken it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use castellan_authority::Effects;
use castellan_game::Game;

use super::store::Shards;
use crate::storage::{Lease, ShardId, StorageError};
use crate::telemetry;

impl<G: Game> Shards<G> {
    /// Gives up shards that another server has taken, even if nobody uses them, and takes back those that nobody has any
    /// more. `node` names this process.
    ///
    /// # Errors
    ///
    /// If the database cannot be reached. The next call does the rest.
    pub async fn look_after_leases(self: &Arc<Self>, node: &str) -> Result<(), StorageError> {
        let held = self.leases();
        let lost = self.storage.lost(&held).await?;
        for lease in held.iter().filter(|lease| lost.contains(&lease.shard)) {
            self.lose(*lease);
        }
        if !lost.is_empty() {
            tracing::warn!(
                shards = lost.len(),
                "another server has taken over some of this server's shards; the sockets of the players in them were \
                 closed"
            );
        }
        let missing: Vec<ShardId> = ShardId::all().filter(|shard| self.lock(*shard).core.lease().is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let taken = self.storage.take_again(node, &missing).await?;
        if taken.is_empty() {
            return Ok(());
        }
        // Before anything is loaded. If this fails, the next call takes them once more.
        self.recall_dead_letters_of(|shard| taken.iter().any(|lease| lease.shard == shard)).await?;
        self.take(&taken);
        tracing::info!(shards = taken.len(), "took back shards that no other server holds any more");
        Ok(())
    }

    /// Forgets a shard that another process has taken over, and ends the connections that were told of it.
    pub fn lose(&self, lease: Lease) {
        let mut shard = self.lock(lease.shard);
        if shard.core.held() != Some(lease) {
            return;
        }
        let mut effects = Effects::default();
        let (places, dropped) = shard.core.lose(&mut effects);
        self.perform(shard, effects);
        self.dropped.fetch_add(dropped, Ordering::Relaxed);
        self.news.notify_one();
        telemetry::shard_lost(dropped);
        if dropped > 0 {
            tracing::error!(
                shard = %lease.shard,
                dropped,
                "another server has taken over a shard; dropped its unsaved changes"
            );
        } else {
            tracing::debug!(shard = %lease.shard, places, "another server has taken over a shard; nothing was unsaved");
        }
    }
}
