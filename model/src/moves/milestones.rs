//! Situations that the searches must reach: a search without a hand-back says nothing about hand-backs.

use castellan_cluster::gateway;
use castellan_cluster::node::State;

use super::cluster::Gateway;
use super::promises::Condition;

/// Frames wait at a gateway while a shard moves.
pub const KEPT: &str = "a gateway keeps two frames";
/// The shard has moved there and back.
pub const RETURNED: &str = "the first process owns the shard under a later epoch";
/// The former owner does not know yet that its transfer was done, and the new one serves.
pub const UNKNOWN_TRANSFER: &str = "a gateway is attached to the next owner, and the last one waits for its transfer";
/// A node serves that was replaced.
pub const TWO_OWNERS: &str = "two processes have unflushed intents";
/// A restarted node hears what was meant for its predecessor.
pub const OLD_NEWS: &str = "a message for a dead process arrives";
/// The next owner died before anybody reached it.
pub const DEAD_TARGET: &str = "the database names a dead process, and the last owner is alive";

/// All milestones.
pub const ALL: &[(&str, Condition)] = &[
    (KEPT, |_, cluster| cluster.gateways.iter().any(|gateway| gateway.routing.waiting() == 2)),
    (RETURNED, |_, cluster| cluster.lease.held.epoch > 2 && cluster.lease.owner == Some(0)),
    (UNKNOWN_TRANSFER, |_, cluster| {
        let attached = |gateway: &Gateway| match gateway.routing.state() {
            gateway::State::Attached(to) => Some(to) == cluster.lease.owner,
            _ => false,
        };
        let mut nodes = cluster.nodes.iter().flatten();
        nodes.any(|node| matches!(node.life.state(), State::Transferring { .. }))
            && cluster.gateways.iter().any(attached)
    }),
    (TWO_OWNERS, |_, cluster| cluster.nodes.iter().flatten().filter(|node| node.is_dirty()).count() == 2),
    (OLD_NEWS, |_, cluster| {
        cluster
            .news
            .iter()
            .any(|news| cluster.nodes[usize::from(news.to % 2)].as_ref().is_some_and(|node| node.process != news.to))
    }),
    (DEAD_TARGET, |_, cluster| !cluster.owner_lives() && cluster.nodes[0].is_some()),
];
