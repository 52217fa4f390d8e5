//! [`Membership`] with faults.

use async_trait::async_trait;
use uuid::Uuid;

use super::FaultyStorage;
use crate::storage::{
    Agreed, Lease, Membership, Node, Owned, Present, Published, Renewal, Report, Seen, Storage, StorageError, Wanted,
};

/// The processes on a database that has them: there is no other way to come here.
fn of(storage: &dyn Storage) -> Result<&dyn Membership, StorageError> {
    storage.membership().ok_or_else(|| StorageError::Unusable("only one process can use this database".to_owned()))
}

#[async_trait]
impl Membership for FaultyStorage {
    async fn register(&self, node: &Node, still: &[Seen]) -> Result<Vec<Present>, StorageError> {
        let (node, still) = (node.clone(), still.to_vec());
        self.run(move |storage| async move { of(&*storage)?.register(&node, &still).await }).await
    }

    async fn renew(&self, process: Uuid, report: &Report) -> Result<Option<Renewal>, StorageError> {
        let report = report.clone();
        self.run(move |storage| async move { of(&*storage)?.renew(process, &report).await }).await
    }

    async fn agreed(&self) -> Result<Agreed, StorageError> {
        self.run(move |storage| async move { of(&*storage)?.agreed().await }).await
    }

    async fn publish(&self, rules: &str, by: &str, first: bool) -> Result<i64, StorageError> {
        let (rules, by) = (rules.to_owned(), by.to_owned());
        self.run(move |storage| async move { of(&*storage)?.publish(&rules, &by, first).await }).await
    }

    async fn raise_schema(&self, to: i32, alive_within_ms: i64) -> Result<i32, StorageError> {
        self.run(move |storage| async move { of(&*storage)?.raise_schema(to, alive_within_ms).await }).await
    }

    async fn published(&self) -> Result<Option<Published>, StorageError> {
        self.run(move |storage| async move { of(&*storage)?.published().await }).await
    }

    async fn nodes(&self) -> Result<Vec<Present>, StorageError> {
        self.run(move |storage| async move { of(&*storage)?.nodes().await }).await
    }

    async fn leave(&self, process: Uuid) -> Result<bool, StorageError> {
        self.run(move |storage| async move { of(&*storage)?.leave(process).await }).await
    }

    async fn set_draining(&self, name: &str, draining: bool) -> Result<bool, StorageError> {
        let name = name.to_owned();
        self.run(move |storage| async move { of(&*storage)?.set_draining(&name, draining).await }).await
    }

    async fn forget(&self, still: &[Seen]) -> Result<u64, StorageError> {
        let still = still.to_vec();
        self.run(move |storage| async move { of(&*storage)?.forget(&still).await }).await
    }

    async fn owners(&self) -> Result<Vec<Owned>, StorageError> {
        self.run(move |storage| async move { of(&*storage)?.owners().await }).await
    }

    async fn take(&self, process: Uuid, wanted: &[Wanted]) -> Result<Vec<Lease>, StorageError> {
        let wanted = wanted.to_vec();
        self.run(move |storage| async move { of(&*storage)?.take(process, &wanted).await }).await
    }

    async fn transfer(&self, from: Uuid, to: Uuid, lease: Lease) -> Result<Owned, StorageError> {
        self.run(move |storage| async move { of(&*storage)?.transfer(from, to, lease).await }).await
    }
}
