//! [`Membership`] on PostgreSQL.

use async_trait::async_trait;
use uuid::Uuid;

use super::{PostgresStorage, commits, nodes, owners};
use crate::storage::{Lease, Membership, Node, Owned, Present, Report, Seen, StorageError, Wanted};

#[async_trait]
impl Membership for PostgresStorage {
    async fn register(&self, node: &Node, still: &[Seen]) -> Result<Vec<Present>, StorageError> {
        look_up!(self, nodes::register(node, still))
    }

    async fn renew(&self, process: Uuid, report: &Report) -> Result<Option<Vec<Lease>>, StorageError> {
        on_connection!(self, nodes::renew(process, report))
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
