//! The promises, checked in every state.

use crate::client::Status;
use crate::history::{History, INTENTS_MAX};
use crate::system::{Condition, System};

/// Rule 9: an intent that a client was told is durable is in the database from then on, exactly once.
pub const COVERED_IS_STORED: &str = "a covered intent is in the database exactly once";
/// Invariant 2.
pub const NOTHING_TWICE: &str = "nothing is applied twice";
/// Invariant 3.
pub const VERSIONS_NEVER_FALL: &str = "versions never fall in the database";
/// Rule 1.
pub const VERSIONS_NAME_ONE_STATE: &str = "a version never names two states";
/// Invariant 5.
pub const DURABLE_IS_STORED: &str = "a version that a server calls durable is in the database";
/// Invariant 4.
pub const ONE_WRITER: &str = "nothing is written under an epoch that was taken over";
/// Invariant 6.
pub const SHOWN_HAS_COVERED: &str = "a client is never connected to a state older than one it was told is durable";
/// Rule 9.
pub const REFUSALS_ARE_JUSTIFIED: &str = "an intent is refused only for the reasons of rule 9";
/// Rules 6 to 9: nothing stays open forever.
pub const REST_IS_SETTLED: &str = "once everything is quiet every client knows the outcome of its intents";

/// All promises.
pub const ALL: &[(&str, Condition)] = &[
    (COVERED_IS_STORED, |_, system| covered(system).all(|id| system.database.row.state.count(id) == 1)),
    (NOTHING_TWICE, |_, system| states(system).all(|state| state.iter().all(|id| state.count(id) == 1))),
    (VERSIONS_NEVER_FALL, |_, system| !system.onlooker.breaches.version_fell),
    (VERSIONS_NAME_ONE_STATE, |_, system| !system.onlooker.breaches.version_reused),
    (DURABLE_IS_STORED, |_, system| {
        let entries = system.servers.iter().filter_map(|server| server.entry);
        entries.map(|entry| entry.durable_state()).all(|state| state.leads_to(system.database.row.state))
    }),
    (ONE_WRITER, |_, system| !system.onlooker.breaches.old_epoch_wrote),
    (SHOWN_HAS_COVERED, |_, system| shown_has_covered(system)),
    (REFUSALS_ARE_JUSTIFIED, |_, system| {
        let mut intents = system.clients.iter().flat_map(|client| &client.intents);
        intents.all(|intent| intent.status != Status::Refused { justified: false })
    }),
    (REST_IS_SETTLED, |protocol, system| {
        let mut steps = Vec::new();
        system.is_finished(protocol) || {
            protocol.progress(system, &mut steps);
            !steps.is_empty()
        }
    }),
];

fn covered(system: &System) -> impl Iterator<Item = crate::history::IntentId> {
    system.clients.iter().flat_map(|client| {
        let covered = (0..INTENTS_MAX).filter(|intent| client.intents[*intent].status == Status::Covered);
        covered.map(|intent| client.id(intent))
    })
}

fn states(system: &System) -> impl Iterator<Item = History> {
    let memories = system.servers.iter().filter_map(|server| server.entry).map(|entry| entry.state);
    memories.chain([system.database.row.state])
}

fn shown_has_covered(system: &System) -> bool {
    system.clients.iter().all(|client| {
        let entry = client.link.filter(|link| link.open).and_then(|link| system.servers[link.server()].entry);
        let covered = |intent: &usize| client.intents[*intent].status == Status::Covered;
        entry.is_none_or(|entry| (0..INTENTS_MAX).filter(covered).all(|intent| entry.state.contains(client.id(intent))))
    })
}
