//! The steps that start and end a server's right to the character.

use crate::protocol::Protocol;
use crate::server::{Entry, Server};
use crate::system::System;

impl System {
    /// A process with empty memory takes the lease over, in one statement (invariant 4).
    pub(crate) fn take_over(&mut self, server: usize, protocol: &Protocol) {
        if self.holds_lease(1 - server) {
            self.faults.zombies -= 1;
        }
        self.servers[server].taking = Some(self.database.lease);
        if protocol.rules.take_over_in_one_statement {
            self.finish_take_over(server);
        }
    }

    /// The takeover writes the lease that follows from the one it read.
    pub(crate) fn finish_take_over(&mut self, server: usize) {
        let Some(found) = self.servers[server].taking else { return };
        let held = self.database.take_over(found);
        self.servers[server] = Server { held: Some(held), ..Server::NOTHING };
    }

    /// A server loads the character and proves its lease in the same transaction (invariant 3).
    pub(crate) fn load(&mut self, server: usize, protocol: &Protocol) {
        let Some(held) = self.servers[server].held else { return };
        if protocol.rules.load_proves_lease && !self.database.proves(held) {
            return self.fence(server, protocol);
        }
        let entry = Entry::load(self.database.row, held, &protocol.rules, &protocol.scenario);
        self.name(entry.version, entry.state);
        self.servers[server].entry = Some(entry);
    }

    /// A server has lost its lease: it drops its memory and closes its sockets (invariants 4 and 6).
    pub(crate) fn fence(&mut self, server: usize, protocol: &Protocol) {
        self.servers[server] = Server::NOTHING;
        if protocol.rules.close_on_fall_back {
            self.close_links(server);
        }
    }

    /// `kill -9`: memory, sockets and uncommitted changes are gone.
    pub(crate) fn kill(&mut self, server: usize) {
        self.faults.kills -= 1;
        self.servers[server] = Server::NOTHING;
        self.close_links(server);
    }

    /// Invariant 8: a server is told to stop. It closes its sockets first, then flushes.
    pub(crate) fn stop(&mut self, server: usize) {
        self.faults.stops -= 1;
        self.servers[server].stopping = true;
        self.close_links(server);
    }

    /// It gives the lease back, unless another server has it by now (invariant 4: a release is fenced too).
    pub(crate) fn release(&mut self, server: usize, protocol: &Protocol) {
        if self.holds_lease(server) || !protocol.rules.fenced_release {
            self.database.lease.released = true;
        }
        self.servers[server] = Server::NOTHING;
    }

    /// The character leaves memory until somebody needs it again.
    pub(crate) fn evict(&mut self, server: usize) {
        self.faults.evictions -= 1;
        self.servers[server].entry = None;
    }
}
