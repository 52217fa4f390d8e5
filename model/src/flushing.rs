//! The steps of a flush. The server may be killed between any two of them.

use crate::protocol::Protocol;
use crate::server::Flush;
use crate::system::System;

impl System {
    /// First locks the lease's row if it still has the server's epoch (invariant 4).
    ///
    /// A server whose epoch is gone drops its memory. The same step also looks up a lost commit (invariant 5), by
    /// saving the character again.
    pub(crate) fn begin_flush(&mut self, server: usize, protocol: &Protocol) {
        if !self.holds_lease(server) {
            return self.fence(server, protocol);
        }
        let Some((entry, held)) = self.servers[server].entry.zip(self.servers[server].held) else { return };
        self.servers[server].flush = Flush::Proven(entry.row(held, &protocol.rules));
    }

    /// The row is written, but not visible to others yet.
    pub(crate) fn write(&mut self, server: usize, protocol: &Protocol) {
        let Flush::Proven(row) = self.servers[server].flush else { return };
        self.servers[server].flush = Flush::Written(row);
        if !protocol.rules.durable_after_commit {
            self.note_durable(server, row.version);
        }
    }

    /// The database commits.
    pub(crate) fn commit(&mut self, server: usize, protocol: &Protocol) {
        let Flush::Written(row) = self.servers[server].flush else { return };
        let before = self.database.row;
        if self.database.upsert(row, &protocol.rules) {
            if !self.holds_lease(server) {
                self.onlooker.breaches.old_epoch_wrote = true;
            }
            if row.version < before.version {
                self.onlooker.breaches.version_fell = true;
            }
        }
        self.servers[server].flush = Flush::Committed(row);
    }

    /// The server learns of the commit.
    pub(crate) fn learn_commit(&mut self, server: usize) {
        let Flush::Committed(row) = self.servers[server].flush else { return };
        self.servers[server].flush = Flush::Idle;
        self.note_durable(server, row.version);
    }

    /// The transaction breaks, and the server does not learn if it was committed (invariant 5).
    ///
    /// The character stays dirty.
    pub(crate) fn lose_commit(&mut self, server: usize, protocol: &Protocol) {
        self.faults.lost_answers -= 1;
        let (Flush::Written(row) | Flush::Committed(row)) = self.servers[server].flush else { return };
        self.servers[server].flush = Flush::Idle;
        if !protocol.rules.look_up_lost_commit {
            self.note_durable(server, row.version);
        }
    }

    fn note_durable(&mut self, server: usize, version: u8) {
        if let Some(entry) = &mut self.servers[server].entry {
            entry.durable = entry.durable.max(version);
        }
        self.tell_durable(server);
    }
}
