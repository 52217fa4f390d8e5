//! Shards that come and go while the server runs. `crate::node` decides when.

use castellan_authority::Effects;
use castellan_game::Game;

use super::store::Shards;
use crate::planted::{self, Bug};
use crate::storage::{Lease, ShardId};

impl<G: Game> Shards<G> {
    /// Serves nobody in a shard from now on, and stores everything as soon as possible.
    pub fn set_aside(&self, shard: ShardId) {
        let mut effects = Effects::default();
        let mut shard = self.lock(shard);
        shard.core.set_aside(&mut effects);
        self.perform(shard, effects);
    }

    /// Serves a shard again that was set aside.
    pub fn resume(&self, shard: ShardId) {
        self.lock(shard).core.resume();
    }

    /// Hurries everything dirty in a shard into the database, while it is served.
    pub fn hurry_shard(&self, shard: ShardId) {
        let mut effects = Effects::default();
        let mut shard = self.lock(shard);
        shard.core.hurry_all(&mut effects);
        self.perform(shard, effects);
    }

    /// Returns true if nothing in a shard is left to store, and nothing is being stored.
    pub fn is_stored(&self, shard: ShardId) -> bool {
        self.lock(shard).core.is_stored() || planted::is(Bug::TransferBeforeStored)
    }

    /// The lease of a shard, while it is served or still written.
    pub fn held(&self, shard: ShardId) -> Option<Lease> {
        self.lock(shard).core.held()
    }

    /// Forgets a shard that was set aside and stored, and has another owner now. Nobody's connection ends.
    pub fn hand_over(&self, lease: Lease) {
        let mut effects = Effects::default();
        let mut shard = self.lock(lease.shard);
        if shard.core.held() == Some(lease) {
            shard.core.hand_over(&mut effects);
            self.perform(shard, effects);
        }
    }

    /// Waits until something was stored or a shard was lost since the last call. Only one task calls it.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}
