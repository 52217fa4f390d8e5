//! The processes, and the shards that they own.

use castellan_cluster::membership::EXPIRY;
use tokio::time::Instant;
use uuid::Uuid;

use super::{HeldLease, Tables};
use crate::storage::membership::schema_beside;
use crate::storage::{
    Agreed, Lease, Load, Node, NodeKind, Owned, Present, Published, Renewal, Report, Seen, ShardId, StorageError,
    Wanted,
};

/// A registered process.
#[derive(Clone)]
pub(super) struct Registered {
    node: Node,
    load: Load,
    heartbeat: i64,
    started_at: Instant,
    seen_at: Instant,
}

impl Registered {
    fn seen(&self) -> Seen {
        Seen { process: self.node.process, heartbeat: self.heartbeat }
    }
}

impl Tables {
    /// The process of a registered server. A server that is not registered cannot take shards beside nodes.
    pub(super) fn server(&self, name: &str) -> Result<Option<Uuid>, StorageError> {
        let is_it = |one: &&Registered| one.node.kind == NodeKind::Serve && one.node.name == name;
        let server = self.processes.values().find(is_it).map(|one| one.node.process);
        if server.is_none() && self.processes.values().any(|one| one.node.kind == NodeKind::Node) {
            let error = format!("{name} is not registered, and this database is used by nodes");
            return Err(StorageError::Refused(error));
        }
        Ok(server)
    }

    pub(in crate::storage::faulty) fn register(
        &mut self,
        node: &Node,
        still: &[Seen],
        now: Instant,
    ) -> Result<Vec<Uuid>, StorageError> {
        let is_in_the_way = |other: &&Registered| {
            (other.node.kind != node.kind || other.node.name == node.name)
                && other.node.process != node.process
                && !still.contains(&other.seen())
        };
        let others: Vec<Uuid> = self.processes.values().filter(is_in_the_way).map(|one| one.node.process).collect();
        if others.is_empty() {
            self.stored_schema = schema_beside(self.stored_schema, node)?;
            i32::try_from(node.weight)
                .map_err(|_| StorageError::Refused(format!("no such weight: {}", node.weight)))?;
            let registered =
                Registered { node: node.clone(), load: Load::default(), heartbeat: 1, started_at: now, seen_at: now };
            self.processes.entry(node.process).or_insert(registered);
        }
        Ok(others)
    }

    pub(in crate::storage::faulty) fn renew(
        &mut self,
        process: Uuid,
        report: &Report,
        now: Instant,
    ) -> Option<Renewal> {
        let registered = self.processes.get_mut(&process)?;
        registered.heartbeat += 1;
        registered.seen_at = now;
        registered.node.rules.clone_from(&report.rules);
        registered.load = report.load;
        let mine = self.leases.iter().filter(|row| row.process == Some(process) && !row.released);
        Some(Renewal { leases: mine.map(|row| row.lease).collect(), agreed: self.agreed(now) })
    }

    pub(in crate::storage::faulty) fn agreed(&self, now: Instant) -> Agreed {
        let published = self.published.as_ref().map(|(published, at)| (published.revision, millis(*at, now)));
        let (revision, age_ms) = published.unwrap_or_default();
        Agreed { revision, age_ms, stored_schema: self.stored_schema }
    }

    pub(in crate::storage::faulty) fn publish(&mut self, rules: &str, by: &str, first: bool, now: Instant) -> i64 {
        let revision = match &self.published {
            Some((present, _)) if first || present.rules == rules => return present.revision,
            Some((present, _)) => present.revision + 1,
            None => 1,
        };
        let published = Published { revision, rules: rules.to_owned(), by: by.to_owned() };
        self.published = Some((published, now));
        revision
    }

    pub(in crate::storage::faulty) fn raise_schema(&mut self, to: i32, alive_within_ms: i64, now: Instant) -> i32 {
        let mut nodes = self.processes.values().filter(|one| one.node.kind == NodeKind::Node);
        let is_behind = |one: &Registered| one.node.schema_version < to && millis(one.seen_at, now) < alive_within_ms;
        if !nodes.any(is_behind) {
            self.stored_schema = self.stored_schema.max(to);
        }
        self.stored_schema
    }

    pub(in crate::storage::faulty) fn published(&self) -> Option<Published> {
        self.published.as_ref().map(|(published, _)| published.clone())
    }

    /// All processes by name.
    pub(in crate::storage::faulty) fn nodes(&self, now: Instant) -> Vec<Present> {
        let present = |one: &Registered| Present {
            node: one.node.clone(),
            load: one.load,
            heartbeat: one.heartbeat,
            started_at_ms: millis(self.origin, one.started_at),
            age_ms: millis(one.started_at, now),
            seen_ago_ms: millis(one.seen_at, now),
        };
        let mut nodes: Vec<Present> = self.processes.values().map(present).collect();
        nodes.sort_by(|one, other| (&one.node.name, one.node.process).cmp(&(&other.node.name, other.node.process)));
        nodes
    }

    fn owns_any(&self, process: Uuid) -> bool {
        self.leases.iter().any(|row| row.process == Some(process))
    }

    pub(in crate::storage::faulty) fn leave(&mut self, process: Uuid) -> bool {
        if !self.owns_any(process) {
            self.processes.remove(&process);
        }
        !self.processes.contains_key(&process)
    }

    pub(in crate::storage::faulty) fn set_draining(&mut self, name: &str, draining: bool) -> bool {
        let is_meant = |one: &&mut Registered| one.node.kind == NodeKind::Node && one.node.name == name;
        let meant = self.processes.values_mut().filter(is_meant);
        meant.map(|one| one.node.draining = draining).count() > 0
    }

    pub(in crate::storage::faulty) fn forget_dead(&mut self, still: &[Seen]) -> u64 {
        let is_dead = |one: &&Registered| still.contains(&one.seen()) && !self.owns_any(one.node.process);
        let dead: Vec<Uuid> = self.processes.values().filter(is_dead).map(|one| one.node.process).collect();
        dead.iter().for_each(|process| drop(self.processes.remove(process)));
        dead.len() as u64
    }

    pub(in crate::storage::faulty) fn owners(&self) -> Vec<Owned> {
        self.leases.iter().map(owned).collect()
    }

    /// The owner of a shard.
    pub(in crate::storage::faulty) fn owner(&self, shard: ShardId) -> Option<Uuid> {
        self.leases[usize::from(shard.number())].process
    }

    pub(in crate::storage::faulty) fn take(&mut self, process: Uuid, wanted: &[Wanted], now: Instant) -> Vec<Lease> {
        let Some(name) = self.processes.get(&process).map(|taker| taker.node.name.clone()) else { return Vec::new() };
        let mut taken = Vec::new();
        for Wanted { shard, epoch, heartbeat } in wanted {
            let row = &mut self.leases[usize::from(shard.number())];
            let is_free = match row.process.and_then(|owner| self.processes.get(&owner)) {
                Some(owner) => Some(owner.heartbeat) == *heartbeat,
                None => true,
            };
            if row.lease.epoch == *epoch && is_free {
                let owner = row.process.and_then(|owner| self.processes.get(&owner));
                self.taken_alive += u64::from(owner.is_some_and(|owner| now < owner.seen_at + EXPIRY));
                taken.push(row.take(&name, Some(process)));
            }
        }
        taken.sort_unstable_by_key(|lease: &Lease| lease.shard);
        taken
    }

    pub(in crate::storage::faulty) fn transfer(&mut self, from: Uuid, to: Uuid, lease: Lease) -> Owned {
        let row = &mut self.leases[usize::from(lease.shard.number())];
        if let Some(receiver) = self.processes.get(&to)
            && row.lease.epoch == lease.epoch
            && row.process == Some(from)
            && !row.released
        {
            row.pass_to(&receiver.node.name, Some(to));
        }
        owned(row)
    }
}

fn millis(from: Instant, to: Instant) -> i64 {
    i64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(i64::MAX)
}

fn owned(row: &HeldLease) -> Owned {
    Owned { lease: row.lease, released: row.released, owner: row.process }
}
