//! The shards as the flusher sees them.

use std::sync::atomic::Ordering;

use super::flushing::Snapshot;
use super::mailbox::wake_all;
use super::store::Shards;
use crate::flush::{Batch, Entries, Written};
use crate::storage::{Lease, ShardId};
use crate::telemetry;

impl Entries for Shards {
    fn collect(&self, rows_max: usize) -> Batch {
        // Begins at another shard each time, so that none has to wait for the others for ever.
        let mut snapshots: Vec<Snapshot> = Vec::new();
        let mut leases = Vec::new();
        for _ in ShardId::all() {
            if snapshots.len() >= rows_max {
                break;
            }
            let shard = ShardId::new(self.next_shard.fetch_add(1, Ordering::Relaxed) as u16);
            leases.extend(self.lock(shard).core.collect(rows_max - snapshots.len(), &mut snapshots));
        }
        Batch { leases, rows: snapshots.into_iter().map(Snapshot::into_row).collect() }
    }

    fn dirty(&self) -> usize {
        Self::dirty(self)
    }

    fn saved(&self, written: &[Written]) {
        let now_ms = (self.clock)();
        let mut wake = Vec::new();
        for row in written {
            let mut shard = self.lock(row.lease.shard);
            if shard.core.lease != Some(row.lease) {
                continue;
            }
            let saved = shard.core.saved(row.user, row.character, row.version, now_ms, &mut wake);
            let left = shard.core.try_leave(row.user);
            drop(shard);
            self.freed(left);
            let Some(saved) = saved else { continue };
            telemetry::persisted(saved.waited_ms);
            self.dirty.fetch_sub(usize::from(saved.cleaned), Ordering::Relaxed);
            self.occupied.fetch_sub(usize::from(saved.left), Ordering::Relaxed);
        }
        wake_all(wake);
    }

    fn put_back(&self, written: &[Written]) {
        for row in written {
            let mut shard = self.lock(row.lease.shard);
            if shard.core.lease == Some(row.lease) {
                shard.core.put_back(row.user, row.character);
            }
        }
    }

    fn buried(&self, written: Written) {
        let mut shard = self.lock(written.lease.shard);
        if shard.core.lease == Some(written.lease) && shard.core.bury(written.user, written.character) {
            self.dirty.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn fenced(&self, lease: Lease) {
        self.lose(lease);
    }
}
