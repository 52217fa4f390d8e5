//! Situations that the searches must reach: a search without a zombie says nothing about zombies.

use crate::client::Status;
use crate::server::{Flush, Server};
use crate::system::{Condition, System};

/// A zombie has answered intents that it can never write, while the new holder serves.
pub const ZOMBIE_AND_HOLDER_SERVE: &str = "a zombie and the holder both have unflushed intents";
/// An intent was lost with a server's memory, sent again, and is durable now.
pub const LOST_AND_FOUND: &str = "an intent is covered after a jump";
/// Both clients have intents in the database.
pub const BOTH_STORED: &str = "both clients have covered intents";
/// Rule 9 (a) to (c).
pub const REFUSED_AND_ABSENT: &str = "an intent is refused that is not in the database";
/// Rule 9 (d).
pub const REFUSED_AND_STORED: &str = "an intent is refused that is in the database";
/// Rule 8: `rejected` with `retry_after_ms`.
pub const OVERLOADED: &str = "an intent waits to be sent again";
/// Rule 7: answers of a dead server may still arrive.
pub const LATE_ANSWER: &str = "an answer arrives from a server that is dead";
/// Invariant 5.
pub const UNKNOWN_COMMIT: &str = "the database has more than its writer knows of";
/// Invariant 8.
pub const RELEASED: &str = "a lease was given back";

/// All milestones.
pub const ALL: &[(&str, Condition)] = &[
    (ZOMBIE_AND_HOLDER_SERVE, |_, system| {
        let both_dirty = system.servers.iter().all(Server::is_dirty);
        both_dirty && (0..2).any(|server| system.is_zombie(server))
    }),
    (LOST_AND_FOUND, |_, system| {
        let row = system.database.row;
        row.recoveries > 0
            && usize::from(row.version) > row.state.len() + 1
            && has(system, |status| *status == Status::Covered)
    }),
    (BOTH_STORED, |_, system| {
        system.clients.iter().all(|client| client.intents.iter().any(|intent| intent.status == Status::Covered))
    }),
    (REFUSED_AND_ABSENT, |protocol, system| system.is_finished(protocol) && refused(system, false)),
    (REFUSED_AND_STORED, |protocol, system| system.is_finished(protocol) && refused(system, true)),
    (OVERLOADED, |_, system| has(system, |status| *status == Status::Again)),
    (LATE_ANSWER, |_, system| {
        let mut links = system.clients.iter().filter_map(|client| client.link.as_ref());
        links.any(|link| link.inbox[0].is_some() && system.servers[link.server()] == Server::NOTHING)
    }),
    (UNKNOWN_COMMIT, |_, system| {
        let mut servers = system.servers.iter();
        servers.any(|server| {
            let known = server.entry.map_or(u8::MAX, |entry| entry.durable);
            server.flush == Flush::Idle && known < system.database.row.version
        })
    }),
    (RELEASED, |_, system| system.database.lease.released),
];

fn has(system: &System, wanted: impl Fn(&Status) -> bool) -> bool {
    system.clients.iter().flat_map(|client| &client.intents).any(|intent| wanted(&intent.status))
}

fn refused(system: &System, stored: bool) -> bool {
    system.clients.iter().any(|client| {
        let mut intents = client.intents.iter().enumerate();
        intents.any(|(number, intent)| {
            matches!(intent.status, Status::Refused { .. })
                && system.database.row.state.contains(client.id(number)) == stored
        })
    })
}
