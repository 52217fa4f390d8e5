//! Everything at one moment, and the memory that is needed to notice broken promises.

use crate::client::Client;
use crate::database::{Database, Held};
use crate::history::History;
use crate::protocol::Protocol;
use crate::scenario::Faults;
use crate::server::Server;

/// Most versions of a search, with some to spare: the largest scenario reaches 16.
pub const VERSIONS_MAX: usize = 20;

/// A condition on a state; the rules and bounds are those of the search.
pub type Condition = fn(&Protocol, &System) -> bool;

/// Broken promises that are visible only in the step that breaks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Breaches {
    /// The row was written under an epoch that had been taken over.
    pub old_epoch_wrote: bool,
    /// The row's version fell.
    pub version_fell: bool,
    /// A version named two different states.
    pub version_reused: bool,
}

/// The memory of an onlooker that sees everything that is shown to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Onlooker {
    /// The state of each version. Versions that no server can use any more are forgotten.
    pub names: [Option<History>; VERSIONS_MAX],
    /// The breaches so far.
    pub breaches: Breaches,
}

/// A state of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct System {
    /// The database.
    pub database: Database,
    /// The two servers.
    pub servers: [Server; 2],
    /// The two clients of the character.
    pub clients: [Client; 2],
    /// The remaining faults.
    pub faults: Faults,
    /// The onlooker.
    pub onlooker: Onlooker,
}

impl System {
    /// The first server has just taken the lease; nobody has connected.
    pub fn new(faults: Faults) -> Self {
        let holder = Server { held: Some(Held { epoch: 1, recoveries: 0 }), ..Server::NOTHING };
        Self {
            database: Database::new(),
            servers: [holder, Server::NOTHING],
            clients: [Client::new(0), Client::new(1)],
            faults,
            onlooker: Onlooker { names: [None; VERSIONS_MAX], breaches: Breaches::default() },
        }
    }

    /// Returns true if a server has the lease.
    pub fn holds_lease(&self, server: usize) -> bool {
        self.servers[server].held.is_some_and(|held| self.database.proves(held))
    }

    /// Returns true if a server believes it has the lease, but another has taken it over.
    pub fn is_zombie(&self, server: usize) -> bool {
        self.servers[server].held.is_some_and(|held| !self.database.proves(held))
    }

    /// Returns true once all clients know the outcome of all intents.
    pub fn is_finished(&self, protocol: &Protocol) -> bool {
        self.clients.iter().all(|client| client.is_finished(&protocol.scenario))
    }

    /// Records that a version names a state.
    pub fn name(&mut self, version: u8, state: History) {
        let name = &mut self.onlooker.names[usize::from(version)];
        if name.is_some_and(|known| known != state) {
            self.onlooker.breaches.version_reused = true;
        } else {
            *name = Some(state);
        }
    }

    /// Ends every connection to a server. Answers in transit may still arrive.
    pub fn close_links(&mut self, server: usize) {
        for link in self.clients.iter_mut().filter_map(|client| client.link.as_mut()) {
            if link.server() == server {
                link.open = false;
                link.waiting = Default::default();
            }
        }
    }

    /// Performs steps without visible effect at once, which reduces the number of states.
    pub fn settle(&mut self, protocol: &Protocol) {
        let Protocol { rules, scenario, .. } = protocol;
        for client in &mut self.clients {
            if client.is_finished(scenario) {
                // It leaves; the last shown state no longer matters.
                *client = Client { intents: client.intents, ..Client::new(client.number) };
            } else if client.link.is_some_and(|link| !link.open && !link.has_mail()) {
                client.disconnect(rules, scenario);
            }
        }
        // Versions below all of these are never used again.
        let memories = self.servers.iter().filter_map(|server| server.entry).map(|entry| entry.version);
        let lowest = memories.chain([self.database.row.version]).min().unwrap_or_default();
        self.onlooker.names[..usize::from(lowest)].fill(None);
    }

    /// Returns true if a takeover must wait, because a flush has locked the lease's row.
    pub fn lease_is_locked(&self, protocol: &Protocol) -> bool {
        protocol.rules.lock_in_flush && self.servers.iter().any(|server| server.flush.is_open())
    }
}
