//! Leases, as the database and as the lives of shards have them.

use castellan_cluster::lease::{Held, Lease};
use uuid::Uuid;

use crate::storage::{self, Owned, ShardId};

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
