//! Everything at one moment, and what it takes to say afterwards that a promise was broken.

use crate::client::Client;
use crate::database::{Database, Held};
use crate::history::History;
use crate::protocol::Protocol;
use crate::scenario::Faults;
use crate::server::Server;

/// Versions that a search may reach, with some to spare: the largest scenario reaches 16.
pub const VERSIONS_MAX: usize = 20;

/// Promises that can be seen broken only in the step that breaks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Breaches {
    /// The row was written under an epoch that had been taken over.
    pub old_epoch_wrote: bool,
    /// The row's version fell.
    pub version_fell: bool,
    /// A version named two different states.
    pub version_reused: bool,
}

/// What an onlooker remembers who sees all that is shown to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Onlooker {
    /// The state that each version has named. Versions that no server can name any more are forgotten.
    pub names: [Option<History>; VERSIONS_MAX],
    /// The breaches so far.
    pub breaches: Breaches,
}

/// A state of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct System {
    /// What survives.
    pub database: Database,
    /// Two processes.
    pub servers: [Server; 2],
    /// Two clients of the one character.
    pub clients: [Client; 2],
    /// What may still go wrong.
    pub faults: Faults,
    /// What was seen.
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

    /// Whether a server believes to hold the lease and does.
    pub fn holds_lease(&self, server: usize) -> bool {
        self.servers[server].held.is_some_and(|held| self.database.proves(held))
    }

    /// Whether a server believes to hold a lease that has been taken over.
    pub fn is_zombie(&self, server: usize) -> bool {
        self.servers[server].held.is_some_and(|held| !self.database.proves(held))
    }

    /// Everybody knows what became of all intents.
    pub fn is_finished(&self, protocol: &Protocol) -> bool {
        self.clients.iter().all(|client| client.is_finished(&protocol.scenario))
    }

    /// Notes that a version names a state.
    pub fn name(&mut self, version: u8, state: History) {
        let name = &mut self.onlooker.names[usize::from(version)];
        if name.is_some_and(|known| known != state) {
            self.onlooker.breaches.version_reused = true;
        } else {
            *name = Some(state);
        }
    }

    /// Ends every connection to a server. Answers under way may still arrive.
    pub fn close_links(&mut self, server: usize) {
        for link in self.clients.iter_mut().filter_map(|client| client.link.as_mut()) {
            if link.server() == server {
                link.open = false;
                link.waiting = Default::default();
            }
        }
    }

    /// Does what makes no difference to anybody at once, so that fewer states have to be told apart.
    pub fn settle(&mut self, protocol: &Protocol) {
        let Protocol { rules, scenario, .. } = protocol;
        for client in &mut self.clients {
            if client.is_finished(scenario) {
                // It leaves, and what it was shown last is of no use to it.
                *client = Client { intents: client.intents, ..Client::new(client.number) };
            } else if client.link.is_some_and(|link| !link.open && !link.has_mail()) {
                client.disconnect(rules, scenario);
            }
        }
        // A version below all of these is never given to a state again.
        let memories = self.servers.iter().filter_map(|server| server.entry).map(|entry| entry.version);
        let lowest = memories.chain([self.database.row.version]).min().unwrap_or_default();
        self.onlooker.names[..usize::from(lowest)].fill(None);
    }

    /// Whether the database keeps a takeover waiting: a flush has locked the lease's row.
    pub fn lease_is_locked(&self, protocol: &Protocol) -> bool {
        protocol.rules.lock_in_flush && self.servers.iter().any(|server| server.flush.is_open())
    }
}
