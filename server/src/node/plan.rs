//! Plans which shards this node takes and gives: it takes those of the dead, and gives away those that others should
//! have. Every node plans for itself, from the same rows.

use std::collections::HashMap;

use castellan_cluster::membership::EXPIRY;
use castellan_cluster::targets::{Member, targets};
use uuid::Uuid;

use crate::storage::{NodeKind, Owned, Present, SHARDS, Seen, ShardId, Wanted};

/// The processes, as one read of the database showed them.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// All registered processes.
    pub nodes: Vec<Present>,
    /// Those of them whose heartbeat has stood still for too long.
    pub dead: Vec<Seen>,
}

/// The shards to take and to give.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Shards of nobody, and of the dead, that this node should have.
    pub(super) take: Vec<Wanted>,
    /// Shards of this node that others should have; `None`: nobody is left who could.
    pub(super) give: Vec<(ShardId, Option<Uuid>)>,
}

impl View {
    /// The process that should own each shard; `None` if no node may own any.
    ///
    /// A node counts once it is older than two expiries: by then all others know of it. If there is none so old, all
    /// count. `leaving` counts no more, whatever the database says.
    fn targets(&self, leaving: Option<Uuid>) -> Option<Vec<Uuid>> {
        let is_dead = |present: &Present| self.dead.iter().any(|dead| dead.process == present.node.process);
        let may = |present: &&Present| {
            let node = &present.node;
            node.kind == NodeKind::Node && !node.draining && Some(node.process) != leaving && !is_dead(present)
        };
        let candidates: Vec<&Present> = self.nodes.iter().filter(may).collect();
        let is_old =
            |present: &&&Present| u128::try_from(present.age_ms).is_ok_and(|age| age >= 2 * EXPIRY.as_millis());
        let any_old = candidates.iter().any(|present| is_old(&present));
        // A node that starts again has the name of its predecessor.
        let mut newest: HashMap<&str, &Present> = HashMap::new();
        for present in candidates.iter().filter(|present| !any_old || is_old(present)) {
            let other = newest.entry(&present.node.name).or_insert(present);
            if present.started_at_ms > other.started_at_ms {
                *other = present;
            }
        }
        let (members, processes): (Vec<Member<'_>>, Vec<Uuid>) = newest
            .into_values()
            .map(|present| (Member { name: &present.node.name, weight: present.node.weight }, present.node.process))
            .unzip();
        Some(targets(&members, SHARDS)?.into_iter().map(|member| processes[member]).collect())
    }

    /// The plan of `me`. It owns the shards for which `owns` returns true; if it is `leaving`, it should own none.
    pub(super) fn plan(&self, me: Uuid, leaving: bool, owners: &[Owned], owns: impl Fn(ShardId) -> bool) -> Plan {
        let targets = self.targets(leaving.then_some(me));
        let target = |shard: ShardId| targets.as_ref().map(|targets| targets[usize::from(shard.number())]);
        let dead_heartbeat =
            |owner: Uuid| self.dead.iter().find(|dead| dead.process == owner).map(|dead| dead.heartbeat);
        let mut plan = Plan::default();
        for owned in owners {
            let shard = owned.lease.shard;
            let is_mine = owns(shard);
            match target(shard) {
                Some(process) if process == me => {
                    if is_mine {
                        continue;
                    }
                    let wanted = |heartbeat| Wanted { shard, epoch: owned.lease.epoch, heartbeat };
                    match owned.owner {
                        None => plan.take.push(wanted(None)),
                        Some(owner) => plan.take.extend(dead_heartbeat(owner).map(|heartbeat| wanted(Some(heartbeat)))),
                    }
                }
                Some(process) if is_mine => plan.give.push((shard, Some(process))),
                None if is_mine => plan.give.push((shard, None)),
                _ => {}
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Lease, Load, Node};

    const OLD: i64 = 60_000;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn node(number: u128, name: &str, age_ms: i64) -> Present {
        let node = Node {
            process: id(number),
            kind: NodeKind::Node,
            name: name.to_owned(),
            address: String::new(),
            link: None,
            weight: 100,
            draining: false,
            catalogue: String::new(),
            schema_version: 1,
        };
        Present { node, load: Load::default(), heartbeat: 7, started_at_ms: -age_ms, age_ms, seen_ago_ms: 0 }
    }

    fn owners(owner: impl Fn(u16) -> Option<u128>) -> Vec<Owned> {
        let owned = |shard: ShardId| Owned {
            lease: Lease { shard, epoch: 3, recoveries: 0 },
            released: false,
            owner: owner(shard.number()).map(id),
        };
        ShardId::all().map(owned).collect()
    }

    fn plan(view: &View, me: u128, owners: &[Owned]) -> Plan {
        let mine = |shard: ShardId| owners[usize::from(shard.number())].owner == Some(id(me));
        view.plan(id(me), false, owners, mine)
    }

    #[test]
    fn the_first_node_takes_everything_at_once() {
        let view = View { nodes: vec![node(1, "a", 0)], dead: Vec::new() };
        let plan = plan(&view, 1, &owners(|_| None));
        assert_eq!((plan.take.len(), plan.give.len()), (256, 0));
        assert!(plan.take.iter().all(|wanted| wanted.heartbeat.is_none() && wanted.epoch == 3));
    }

    #[test]
    fn a_newcomer_gets_its_share_once_all_others_know_of_it() {
        let young = View { nodes: vec![node(1, "a", OLD), node(2, "b", 9_999)], dead: Vec::new() };
        assert_eq!(plan(&young, 1, &owners(|_| Some(1))), Plan::default());
        let old = View { nodes: vec![node(1, "a", OLD), node(2, "b", 10_000)], dead: Vec::new() };
        let owners = owners(|_| Some(1));
        let given = plan(&old, 1, &owners).give;
        assert_eq!(given.len(), 128);
        assert!(given.iter().all(|(_, to)| *to == Some(id(2))));
        assert_eq!(plan(&old, 2, &owners), Plan::default(), "it takes nothing from a living node");
    }

    #[test]
    fn the_shards_of_the_dead_are_shared_among_the_living() {
        let dead = vec![Seen { process: id(1), heartbeat: 7 }];
        let view = View { nodes: vec![node(1, "a", OLD), node(2, "b", OLD), node(3, "c", OLD)], dead };
        let owners = owners(|_| Some(1));
        let (second, third) = (plan(&view, 2, &owners).take, plan(&view, 3, &owners).take);
        assert_eq!((second.len(), third.len()), (128, 128));
        assert!(second.iter().all(|wanted| wanted.heartbeat == Some(7)));
        assert!(second.iter().all(|wanted| !third.contains(wanted)));
    }

    #[test]
    fn a_node_that_drains_or_stops_gives_everything_away_and_the_last_one_releases() {
        let mut draining = node(1, "a", OLD);
        draining.node.draining = true;
        let view = View { nodes: vec![draining, node(2, "b", OLD)], dead: Vec::new() };
        assert_eq!(plan(&view, 1, &owners(|_| Some(1))).give.len(), 256);
        let alone = View { nodes: vec![node(1, "a", OLD)], dead: Vec::new() };
        let give = alone.plan(id(1), true, &owners(|_| Some(1)), |_| true).give;
        assert!(give.len() == 256 && give.iter().all(|(_, to)| to.is_none()));
    }

    #[test]
    fn a_node_that_starts_again_replaces_its_predecessor() {
        let view = View { nodes: vec![node(1, "a", OLD), node(2, "a", OLD / 2)], dead: Vec::new() };
        let owners = owners(|_| Some(1));
        assert_eq!(plan(&view, 1, &owners).give.len(), 256, "the older one has no place any more");
        assert_eq!(plan(&view, 2, &owners).take, [], "but it is still alive");
    }
}
