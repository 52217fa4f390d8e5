//! [`Membership`] in memory.

use async_trait::async_trait;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::replication::{Lock, Purpose};
use super::super::tables::Tables;
use super::MemoryStorage;
use crate::storage::{
    Agreed, Lease, Membership, Node, Owned, Present, Published, Renewal, Report, Seen, StorageError, Wanted,
};

#[async_trait]
impl Membership for MemoryStorage {
    async fn register(&self, node: &Node, still: &[Seen]) -> Result<Vec<Present>, StorageError> {
        let now = Instant::now();
        let (node, still) = (node.clone(), still.to_vec());
        self.write(
            |_| vec![Lock::Registration],
            move |tables| {
                let others = tables.register(&node, &still, now)?;
                let mut present = tables.nodes(now);
                present.retain(|present| others.contains(&present.node.process));
                Ok(present)
            },
        )
        .await
    }

    async fn renew(&self, process: Uuid, report: &Report) -> Result<Option<Renewal>, StorageError> {
        let (now, report) = (Instant::now(), report.clone());
        self.write(|_| vec![Lock::Process(process)], move |tables| Ok(tables.renew(process, &report, now))).await
    }

    async fn agreed(&self) -> Result<Agreed, StorageError> {
        let now = Instant::now();
        self.look_up(move |tables| tables.agreed(now)).await
    }

    async fn publish(&self, rules: &str, by: &str, first: bool) -> Result<i64, StorageError> {
        let (now, rules, by) = (Instant::now(), rules.to_owned(), by.to_owned());
        self.write(|_| vec![Lock::Registration], move |tables| Ok(tables.publish(&rules, &by, first, now))).await
    }

    async fn raise_schema(&self, to: i32, alive_within_ms: i64) -> Result<i32, StorageError> {
        let now = Instant::now();
        self.write(|_| vec![Lock::Registration], move |tables| Ok(tables.raise_schema(to, alive_within_ms, now))).await
    }

    async fn published(&self) -> Result<Option<Published>, StorageError> {
        self.look_up(Tables::published).await
    }

    async fn nodes(&self) -> Result<Vec<Present>, StorageError> {
        let now = Instant::now();
        self.look_up(move |tables| tables.nodes(now)).await
    }

    async fn leave(&self, process: Uuid) -> Result<bool, StorageError> {
        self.write(|_| vec![Lock::Process(process)], move |tables| Ok(tables.leave(process))).await
    }

    async fn set_draining(&self, name: &str, draining: bool) -> Result<bool, StorageError> {
        let name = name.to_owned();
        self.write(|_| vec![Lock::Registration], move |tables| Ok(tables.set_draining(&name, draining))).await
    }

    async fn forget(&self, still: &[Seen]) -> Result<u64, StorageError> {
        let locks = |_: &Tables| still.iter().map(|seen| Lock::Process(seen.process)).collect();
        let still = still.to_vec();
        self.write(locks, move |tables| Ok(tables.forget_dead(&still))).await
    }

    async fn owners(&self) -> Result<Vec<Owned>, StorageError> {
        self.look_up(Tables::owners).await
    }

    async fn take(&self, process: Uuid, wanted: &[Wanted]) -> Result<Vec<Lease>, StorageError> {
        let locks = |tables: &Tables| {
            let owners = wanted.iter().filter_map(|wanted| tables.owner(wanted.shard)).map(Lock::Process);
            owners.chain(wanted.iter().map(|wanted| Lock::Takes(wanted.shard))).collect()
        };
        let now = Instant::now();
        let wanted = wanted.to_vec();
        self.transact(Purpose::TakeOver, locks, move |tables| Ok(tables.take(process, &wanted, now))).await
    }

    async fn transfer(&self, from: Uuid, to: Uuid, lease: Lease) -> Result<Owned, StorageError> {
        self.write(|_| vec![Lock::Takes(lease.shard)], move |tables| Ok(tables.transfer(from, to, lease))).await
    }
}
