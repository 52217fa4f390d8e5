//! Leases, as the database and as the lives of shards have them.

use castellan_cluster::lease::Held;

use super::*;
use crate::storage::Owned;

impl<G: Game> Moves<G> {
    /// These are the leases of these shards, as the database had them. Before this node serves a new one, it reads the dead
    /// letters of that shard.
    pub(super) fn learn(&mut self, leases: Vec<(ShardId, Lease<Uuid>)>) {
        let mut new = Vec::new();
        for (shard, lease) in leases {
            let me = self.me;
            let life = self.life(shard);
            let newest = life.held().map_or(life.gone(), |held| held.epoch);
            if lease.owner != Some(me) || lease.held.epoch <= newest {
                self.tell(shard, lease);
                continue;
            }
            // The memory of an earlier time here goes first, because the dead letters that are read now would go with it:
            // the shard was lost and has come back, or it is back before all links have said their last words.
            if life.held().is_some() {
                self.tell(shard, Lease { owner: None, ..lease });
            }
            if let Some((lease, _)) = self.telling.remove(&shard) {
                self.shards.hand_over(lease);
            }
            new.push((shard, lease));
        }
        if new.is_empty() {
            return;
        }
        let shards = Arc::clone(&self.shards);
        self.statement(async move {
            let recalled = shards.recall_dead_letters_of(|shard| new.iter().any(|(new, _)| *new == shard)).await;
            Done::Recalled(new, recalled)
        });
    }

    /// Tells the life of a shard its lease, and performs the effects.
    pub(super) fn tell(&mut self, shard: ShardId, lease: Lease<Uuid>) {
        let mut effects = Effects::new();
        let mut gift = self.gift(shard, lease);
        match &gift {
            // Only what made this process the owner may be installed.
            Some(Gift { to, held, .. }) => {
                let is_new = self.life(shard).moved(*to, *held, &mut effects);
                gift = gift.filter(|_| is_new);
            }
            None => self.life(shard).lease(lease, &mut effects),
        }
        self.perform_with(shard, effects, gift);
    }
}

pub(super) fn lease_of(shard: ShardId, held: Held) -> storage::Lease {
    storage::Lease { shard, epoch: held.epoch.cast_signed(), recoveries: held.recoveries.cast_signed() }
}

pub(super) fn lease_as_taken(lease: &storage::Lease, me: Uuid) -> Lease<Uuid> {
    Lease { held: held(lease), owner: Some(me) }
}

pub(super) fn lease_as_read(owned: &Owned) -> Lease<Uuid> {
    Lease { held: held(&owned.lease), owner: owned.owner.filter(|_| !owned.released) }
}

fn held(lease: &storage::Lease) -> Held {
    Held { epoch: unsigned(lease.epoch), recoveries: unsigned(lease.recoveries) }
}

fn unsigned(number: i64) -> u64 {
    number.max(0).unsigned_abs()
}
