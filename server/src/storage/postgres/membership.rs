//! [`Membership`] on PostgreSQL.

use async_trait::async_trait;
use uuid::Uuid;

use super::{PostgresStorage, agreed, commits, nodes, owners};
use crate::storage::{
    Agreed, Lease, Membership, Node, Owned, Present, Published, Renewal, Report, Seen, StorageError, Wanted,
};

#[async_trait]
impl Membership for PostgresStorage {
    async fn register(&self, node: &Node, still: &[Seen]) -> Result<Vec<Present>, StorageError> {
        look_up!(self, nodes::register(node, still))
    }

    async fn renew(&self, process: Uuid, report: &Report) -> Result<Option<Renewal>, StorageError> {
        on_connection!(self, nodes::renew(process, report))
    }

    async fn agreed(&self) -> Result<Agreed, StorageError> {
        look_up!(self, agreed::agreed())
    }

    async fn publish(&self, rules: &str, by: &str, first: bool) -> Result<i64, StorageError> {
        look_up!(self, agreed::publish(rules, by, first))
    }

    async fn raise_schema(&self, to: i32, alive_within_ms: i64) -> Result<i32, StorageError> {
        look_up!(self, agreed::raise_schema(to, alive_within_ms))
    }

    async fn published(&self) -> Result<Option<Published>, StorageError> {
        look_up!(self, agreed::published())
    }

    async fn nodes(&self) -> Result<Vec<Present>, StorageError> {
        look_up!(self, nodes::nodes())
    }

    async fn leave(&self, process: Uuid) -> Result<bool, StorageError> {
        look_up!(self, nodes::leave(process))
    }

    async fn set_draining(&self, name: &str, draining: bool) -> Result<bool, StorageError> {
        look_up!(self, nodes::set_draining(name, draining))
    }

    async fn forget(&self, still: &[Seen]) -> Result<u64, StorageError> {
        look_up!(self, nodes::forget(still))
    }

    async fn owners(&self) -> Result<Vec<Owned>, StorageError> {
        look_up!(self, owners::owners())
    }

    async fn take(&self, process: Uuid, wanted: &[Wanted]) -> Result<Vec<Lease>, StorageError> {
        look_up!(self, owners::take(process, wanted))
    }

    async fn transfer(&self, from: Uuid, to: Uuid, lease: Lease) -> Result<Owned, StorageError> {
        on_connection!(self, owners::transfer(from, to, lease))
    }
}
