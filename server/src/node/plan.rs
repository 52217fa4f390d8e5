//! Plans which shards this node takes and gives: it takes those of the dead, and gives away those that others should
//! have. Every node plans for itself, from the same rows.

use std::collections::HashMap;

use castellan_cluster::membership::EXPIRY;
use castellan_cluster::targets::{Member, targets};
use uuid::Uuid;

use crate::storage::{Agreed, NodeKind, Owned, Present, SHARDS, Seen, ShardId, Wanted, reads};

/// The processes, as one read of the database showed them.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// All registered processes.
    pub nodes: Vec<Present>,
    /// Those of them whose heartbeat has stood still for too long.
    pub dead: Vec<Seen>,
    /// What all nodes should follow.
    pub agreed: Agreed,
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
    ///
    /// A node that lags behind the published rules does not count, unless all lag. `anyway` counts even so. A node that
    /// cannot read what the others store never counts.
    fn targets(&self, leaving: Option<Uuid>, anyway: Option<Uuid>) -> Option<Vec<Uuid>> {
        let is_dead = |present: &Present| self.dead.iter().any(|dead| dead.process == present.node.process);
        let may = |present: &&Present| {
            let node = &present.node;
            let reads = reads(node.schema_version, self.agreed.stored_schema);
            reads && node.kind == NodeKind::Node && !node.draining && Some(node.process) != leaving && !is_dead(present)
        };
        let mut candidates: Vec<&Present> = self.nodes.iter().filter(may).collect();
        if !candidates.iter().all(|present| self.lags(present)) {
            candidates.retain(|present| !self.lags(present) || Some(present.node.process) == anyway);
        }
        let is_old = |present: &&&Present| has_passed(present.age_ms);
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

    /// Returns true if a node uses other rules than those that were published so long ago that it would have followed
    /// them if it could.
    fn lags(&self, present: &Present) -> bool {
        present.node.rules.revision != self.agreed.revision && has_passed(self.agreed.age_ms)
    }

    /// The plan of `me`. It owns the shards for which `owns` returns true; if it is `leaving`, it should own none.
    ///
    /// A node gives no shard away because it lags itself: it gives as if it counted, and takes as if it did not.
    pub(super) fn plan(&self, me: Uuid, leaving: bool, owners: &[Owned], owns: impl Fn(ShardId) -> bool) -> Plan {
        let leaving = leaving.then_some(me);
        let (targets, keeps) = (self.targets(leaving, None), self.targets(leaving, Some(me)));
        let of = |targets: &Option<Vec<Uuid>>, shard: ShardId| {
            targets.as_ref().map(|targets| targets[usize::from(shard.number())])
        };
        let dead_heartbeat =
            |owner: Uuid| self.dead.iter().find(|dead| dead.process == owner).map(|dead| dead.heartbeat);
        let mut plan = Plan::default();
        for owned in owners {
            let shard = owned.lease.shard;
            let target = of(&targets, shard);
            if owns(shard) {
                if of(&keeps, shard) != Some(me) {
                    plan.give.push((shard, target));
                }
            } else if target == Some(me) {
                let wanted = |heartbeat| Wanted { shard, epoch: owned.lease.epoch, heartbeat };
                match owned.owner {
                    None => plan.take.push(wanted(None)),
                    Some(owner) => plan.take.extend(dead_heartbeat(owner).map(|heartbeat| wanted(Some(heartbeat)))),
                }
            }
        }
        plan
    }
}

/// Returns true if two expiries have passed: by then every node that lives has noticed.
fn has_passed(age_ms: i64) -> bool {
    u128::try_from(age_ms).is_ok_and(|age| age >= 2 * EXPIRY.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{InUse, Lease, Load, Node};

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
            rules: InUse::default(),
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
        let view = View { nodes: vec![node(1, "a", 0)], ..View::default() };
        let plan = plan(&view, 1, &owners(|_| None));
        assert_eq!((plan.take.len(), plan.give.len()), (256, 0));
        assert!(plan.take.iter().all(|wanted| wanted.heartbeat.is_none() && wanted.epoch == 3));
    }

    #[test]
    fn a_newcomer_gets_its_share_once_all_others_know_of_it() {
        let young = View { nodes: vec![node(1, "a", OLD), node(2, "b", 9_999)], ..View::default() };
        assert_eq!(plan(&young, 1, &owners(|_| Some(1))), Plan::default());
        let old = View { nodes: vec![node(1, "a", OLD), node(2, "b", 10_000)], ..View::default() };
        let owners = owners(|_| Some(1));
        let given = plan(&old, 1, &owners).give;
        assert_eq!(given.len(), 128);
        assert!(given.iter().all(|(_, to)| *to == Some(id(2))));
        assert_eq!(plan(&old, 2, &owners), Plan::default(), "it takes nothing from a living node");
    }

    #[test]
    fn the_shards_of_the_dead_are_shared_among_the_living() {
        let dead = vec![Seen { process: id(1), heartbeat: 7 }];
        let view =
            View { nodes: vec![node(1, "a", OLD), node(2, "b", OLD), node(3, "c", OLD)], dead, ..View::default() };
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
        let view = View { nodes: vec![draining, node(2, "b", OLD)], ..View::default() };
        assert_eq!(plan(&view, 1, &owners(|_| Some(1))).give.len(), 256);
        let alone = View { nodes: vec![node(1, "a", OLD)], ..View::default() };
        let give = alone.plan(id(1), true, &owners(|_| Some(1)), |_| true).give;
        assert!(give.len() == 256 && give.iter().all(|(_, to)| to.is_none()));
    }

    #[test]
    fn a_node_that_starts_again_replaces_its_predecessor() {
        let view = View { nodes: vec![node(1, "a", OLD), node(2, "a", OLD / 2)], ..View::default() };
        let owners = owners(|_| Some(1));
        assert_eq!(plan(&view, 1, &owners).give.len(), 256, "the older one has no place any more");
        assert_eq!(plan(&view, 2, &owners).take, [], "but it is still alive");
    }

    /// Nodes `a`, `b`, … that use these revisions, while the database has had revision 2 for some time.
    fn following(revisions: &[i64], age_ms: i64) -> View {
        let nodes = (1..).zip(["a", "b", "c"]).zip(revisions).map(|((number, name), revision)| {
            let mut present = node(number, name, OLD);
            present.node.rules.revision = *revision;
            present
        });
        View { nodes: nodes.collect(), agreed: Agreed { revision: 2, age_ms, stored_schema: 1 }, ..View::default() }
    }

    #[test]
    fn a_catalogue_that_was_just_published_moves_no_shard() {
        let settled = following(&[2, 2, 2], OLD).targets(None, None).expect("targets");
        let owners = owners(|shard| Some(settled[usize::from(shard)].as_u128()));
        for revisions in [[1, 1, 1], [2, 1, 1], [1, 2, 1], [1, 2, 2], [2, 2, 2]] {
            for me in 1..=3 {
                assert_eq!(plan(&following(&revisions, 9_999), me, &owners), Plan::default(), "{revisions:?}");
            }
        }
    }

    #[test]
    fn a_node_that_cannot_follow_gets_no_shards_and_gives_none_away_for_that() {
        let view = following(&[1, 2, 2], OLD);
        let free = owners(|_| None);
        let takes = [1, 2, 3].map(|me| plan(&view, me, &free).take.len());
        assert_eq!(takes, [0, 128, 128]);
        let settled = following(&[2, 2, 2], OLD).targets(None, None).expect("targets");
        let shared = owners(|shard| Some(settled[usize::from(shard)].as_u128()));
        assert_eq!(plan(&view, 1, &shared).give, [], "it keeps what it has");
        let all_its = owners(|_| Some(1));
        let given = plan(&view, 1, &all_its).give;
        assert!((160..180).contains(&given.len()), "it shares them like any other: {}", given.len());
        assert!(given.iter().all(|(_, to)| [Some(id(2)), Some(id(3))].contains(to)));
        assert_eq!(plan(&view, 2, &owners(|_| Some(2))).give.iter().find(|(_, to)| *to == Some(id(1))), None);
        let mut draining = view;
        draining.nodes[0].node.draining = true;
        assert_eq!(plan(&draining, 1, &all_its).give.len(), 256, "a drain goes on");
    }

    #[test]
    fn if_no_node_can_follow_all_go_on_as_before() {
        for revisions in [[1, 1, 1], [0, 1, 1]] {
            let lagging = following(&revisions, OLD);
            let settled = following(&[2, 2, 2], OLD).targets(None, None);
            assert_eq!(lagging.targets(None, None), settled);
            let owners = owners(|shard| settled.as_ref().map(|targets| targets[usize::from(shard)].as_u128()));
            for me in 1..=3 {
                assert_eq!(plan(&lagging, me, &owners), Plan::default(), "{revisions:?}");
            }
        }
    }

    /// Every mixture of nodes that follow, lag, drain or are dead, from every kind of start, until nothing moves.
    #[test]
    fn no_shard_is_left_without_an_owner_while_a_node_could_own_it() {
        for states in 0..64_u32 {
            for start in 0..4_u128 {
                let mut view = following(&[1, 1, 1], OLD);
                let mut lagging = Vec::new();
                for (at, present) in view.nodes.iter_mut().enumerate() {
                    match states >> (2 * at) & 3 {
                        0 => present.node.rules.revision = 2,
                        1 => lagging.push(id(at as u128 + 1)),
                        2 => present.node.draining = true,
                        _ => view.dead.push(present.seen()),
                    }
                }
                let may = |present: &&Present| !present.node.draining && !view.dead.contains(&present.seen());
                let able = view.nodes.iter().filter(may).count();
                let mut owned = owners(|shard| match start {
                    0 => None,
                    3 => Some(u128::from(shard) % 3 + 1),
                    one => Some(one),
                });
                let mut rounds = 0;
                loop {
                    let mut moved = false;
                    for me in 1..=3 {
                        if view.dead.iter().any(|dead| dead.process == id(me)) {
                            continue;
                        }
                        let plan = plan(&view, me, &owned);
                        moved |= plan != Plan::default();
                        for wanted in &plan.take {
                            owned[usize::from(wanted.shard.number())].owner = Some(id(me));
                        }
                        for (shard, to) in &plan.give {
                            assert!(to.is_some() || able == 0, "nobody gets it: {states:b}");
                            let is_worse = to.is_some_and(|to| lagging.contains(&to)) && lagging.len() < able;
                            assert!(!is_worse, "a node that lags gets it: {states:b}");
                            owned[usize::from(shard.number())].owner = *to;
                        }
                    }
                    if !moved {
                        break;
                    }
                    rounds += 1;
                    assert!(rounds < 10, "shards move for ever: {states:b} from {start}");
                }
                let alive = |owner: Uuid| view.nodes.iter().filter(may).any(|present| present.node.process == owner);
                let all_owned = owned.iter().all(|owned| owned.owner.is_some_and(alive));
                assert!(all_owned || able == 0, "a shard has no owner: {states:b} from {start}");
            }
        }
    }
}
