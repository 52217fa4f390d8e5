//! The shards as the flusher sees them.

use std::sync::atomic::Ordering;

use castellan_authority::{Effects, Snapshot};
use castellan_game::Game;

use super::mailbox::wake_all;
use super::store::Shards;
use crate::flush::{Batch, Entries, Queue, Written};
use crate::storage::{Lease, SHARDS, ShardId};

impl<G: Game> Entries for Shards<G> {
    fn collect(&self, queue: Queue, rows: usize) -> (Batch, usize) {
        let next = match queue {
            Queue::Dirty => &self.next_dirty,
            Queue::Hurried => &self.next_hurried,
        };
        let mut snapshots: Vec<Snapshot<G>> = Vec::new();
        let mut leases = Vec::new();
        let mut passed = 0;
        while passed < usize::from(SHARDS) {
            let mut shard = self.lock(ShardId::new(next.load(Ordering::Relaxed)));
            if !snapshots.is_empty() && snapshots.len() + shard.core.queued(queue) > rows {
                break;
            }
            leases.extend(shard.core.collect(queue, &mut snapshots));
            next.fetch_add(1, Ordering::Relaxed);
            passed += 1;
        }
        if matches!(queue, Queue::Hurried) && !snapshots.is_empty() {
            self.news.notify_one();
        }
        (Batch { leases, rows: snapshots.into_iter().map(Snapshot::into_row).collect() }, passed)
    }

    fn dirty(&self) -> usize {
        Self::dirty(self)
    }

    fn saved(&self, written: &[Written]) {
        let now_ms = (self.clock)();
        let mut wake = Vec::new();
        for row in written {
            let mut shard = self.lock(row.lease.shard);
            if shard.core.held() == Some(row.lease) {
                let mut effects = Effects::default();
                shard.core.saved(row.user, row.character, row.version, now_ms, &mut effects);
                self.deliver(effects, &mut wake);
            }
        }
        wake_all(wake);
        self.news.notify_one();
    }

    fn put_back(&self, written: &[Written]) {
        for row in written {
            let mut shard = self.lock(row.lease.shard);
            if shard.core.held() == Some(row.lease) {
                shard.core.put_back(row.user, row.character, row.version);
            }
        }
    }

    fn buried(&self, written: Written) {
        let mut shard = self.lock(written.lease.shard);
        if shard.core.held() == Some(written.lease) {
            let mut effects = Effects::default();
            shard.core.bury(written.user, written.character, written.version, &mut effects);
            self.perform(shard, effects);
        }
        self.news.notify_one();
    }

    fn fenced(&self, lease: Lease) {
        self.lose(lease);
    }
}

#[cfg(test)]
mod tests;
