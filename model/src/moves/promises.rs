//! The promises, checked in every state.

use castellan_cluster::gateway;
use castellan_cluster::node::State;

use super::cluster::Cluster;
use super::plan::Plan;
use crate::client::Status;
use crate::history::{History, INTENTS_MAX, IntentId};
use crate::server::Entry;

/// A condition on a state.
pub type Condition = fn(&Plan, &Cluster) -> bool;

/// Rule 9: an intent that a client was told is durable is in the database from then on, exactly once.
pub const COVERED_IS_STORED: &str = "a covered intent is in the database exactly once";
/// Invariant 2.
pub const NOTHING_TWICE: &str = "nothing is applied twice";
/// Invariant 3.
pub const VERSIONS_NEVER_FALL: &str = "versions never fall in the database";
/// Rule 1.
pub const VERSIONS_NAME_ONE_STATE: &str = "a version never names two states";
/// Invariant 5.
pub const DURABLE_IS_STORED: &str = "a version that a node calls durable is in the database";
/// Invariant 4.
pub const ONE_WRITER: &str = "a row is written only by the process that owns its shard";
/// Invariant 6.
pub const SHOWN_HAS_COVERED: &str = "a client is never attached to a state older than one it was told is durable";
/// Rule 9.
pub const REFUSALS_ARE_JUSTIFIED: &str = "an intent is refused only for the reasons of rule 9";
/// A move neither loses nor reorders a frame.
pub const FRAMES_IN_ORDER: &str = "frames of a connection are decided in order, without a gap";
/// A planned move closes nothing, and so makes no client send anything again.
pub const NO_CLOSE_IN_PEACE: &str = "no socket closes without a fault";
/// A death closes the sockets attached to the dead.
pub const ONLY_ATTACHED_CLOSE: &str = "a socket closes only because of the process that it is attached to";
/// A move does not close the sockets of other shards.
pub const ONLY_LOSS_CUTS: &str = "a link with nothing in transit is cut only if a word on it was lost";
/// A move ends, and nobody waits for ever.
pub const REST_IS_SERVED: &str = "once everything is quiet the owner serves, and all clients know all outcomes";

/// All promises.
pub const ALL: &[(&str, Condition)] = &[
    (COVERED_IS_STORED, |_, cluster| covered(cluster).all(|id| cluster.row.state.count(id) == 1)),
    (NOTHING_TWICE, |_, cluster| states(cluster).all(|state| state.iter().all(|id| state.count(id) == 1))),
    (VERSIONS_NEVER_FALL, |_, cluster| !cluster.breaches.version_fell),
    (VERSIONS_NAME_ONE_STATE, |_, cluster| !cluster.breaches.version_reused),
    (DURABLE_IS_STORED, |_, cluster| {
        let entries = cluster.nodes.iter().flatten().filter_map(|node| node.entry);
        let stored = |entry: Entry| entry.durable_state().leads_to(cluster.row.state);
        entries.into_iter().all(|entry| entry.durable <= entry.version && stored(entry))
    }),
    (ONE_WRITER, |_, cluster| !cluster.breaches.stranger_wrote),
    (SHOWN_HAS_COVERED, |_, cluster| shown_has_covered(cluster)),
    (REFUSALS_ARE_JUSTIFIED, |_, cluster| {
        let mut intents = cluster.clients.iter().flat_map(|client| &client.intents);
        intents.all(|intent| intent.status != Status::Refused { justified: false })
    }),
    (FRAMES_IN_ORDER, |_, cluster| !cluster.breaches.out_of_order),
    (NO_CLOSE_IN_PEACE, |_, cluster| !cluster.breaches.closed_in_peace),
    (ONLY_ATTACHED_CLOSE, |_, cluster| !cluster.breaches.closed_for_others),
    (ONLY_LOSS_CUTS, |_, cluster| !cluster.breaches.cut_without_loss),
    (REST_IS_SERVED, |plan, cluster| {
        let mut steps = Vec::new();
        cluster.is_served(plan) || {
            cluster.progress(plan, &mut steps);
            !steps.is_empty()
        }
    }),
];

impl Cluster {
    /// Returns true at rest: all clients have gone with all outcomes, one node owns the shard, no move is under way.
    pub fn is_served(&self, plan: &Plan) -> bool {
        let owns = self.nodes.iter().flatten().find(|node| Some(node.process) == self.lease.owner);
        let owner = owns.filter(|node| node.life.state() == State::Owned(self.lease.held));
        let alone = self.nodes.iter().flatten().filter(|node| node.life.held().is_some()).count() == 1;
        let routed = self.gateways.iter().all(|gateway| match gateway.routing.state() {
            gateway::State::Idle => true,
            gateway::State::Attached(to) => Some(to) == self.lease.owner && gateway.routing.waiting() == 0,
            _ => false,
        }) && self.gateways.iter().all(|gateway| !gateway.leaving);
        self.is_finished(plan) && owner.is_some() && alone && routed
    }
}

fn covered(cluster: &Cluster) -> impl Iterator<Item = IntentId> {
    cluster.clients.iter().flat_map(|client| {
        let covered = (0..INTENTS_MAX).filter(|intent| client.intents[*intent].status == Status::Covered);
        covered.map(|intent| client.id(intent))
    })
}

fn states(cluster: &Cluster) -> impl Iterator<Item = History> {
    let memories = cluster.nodes.iter().flatten().filter_map(|node| node.entry).map(|entry| entry.state);
    memories.chain([cluster.row.state])
}

fn shown_has_covered(cluster: &Cluster) -> bool {
    cluster.clients.iter().zip(&cluster.sockets).all(|(client, socket)| {
        let home = cluster.nodes.iter().flatten().find(|node| Some(node.process) == socket.home);
        let entry = home.filter(|_| client.link.is_some()).and_then(|node| node.entry);
        let covered = |intent: &usize| client.intents[*intent].status == Status::Covered;
        entry.is_none_or(|entry| (0..INTENTS_MAX).filter(covered).all(|intent| entry.state.contains(client.id(intent))))
    })
}
