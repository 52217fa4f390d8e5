//! From memory to the database: writes batches of the newest states in transactions that prove their leases.
//!
//! The flusher asks [`Entries`] for what is dirty and reports the results; it knows neither shards nor rules.

mod batch;
mod flusher;
mod saving;
mod signals;
pub mod spool;

pub use self::batch::Batch;
pub use self::flusher::{FlushSettings, Flusher};
pub use self::signals::Signals;
pub use castellan_authority::Queue;

use castellan_protocol::{CharacterId, UserId, Version};

use crate::storage::{CharacterRow, Lease};

/// A row that the flusher tried to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The lease under which it was written.
    pub lease: Lease,
    /// The owner.
    pub user: UserId,
    /// The character.
    pub character: CharacterId,
    /// The version in the row.
    pub version: Version,
}

/// The flusher's source of work and receiver of results: the shards, or a model of them in tests.
pub trait Entries: Send + Sync + 'static {
    /// Takes the characters of a queue in their newest states, shard by shard, from the shard where it stopped last.
    ///
    /// Stops after all shards, or before a shard that would make the batch larger than `rows`. Only a single shard may
    /// exceed `rows`. Also returns how many shards it went through, at least one.
    fn collect(&self, queue: Queue, rows: usize) -> (Batch, usize);

    /// The number of dirty characters, including those being written.
    fn dirty(&self) -> usize;

    /// These rows are committed.
    fn saved(&self, written: &[Written]);

    /// These rows are not known to be committed and must be collected again.
    fn put_back(&self, written: &[Written]);

    /// The database refuses this row, which is now a dead letter.
    fn buried(&self, written: Written);

    /// This lease is lost: drop everything under it.
    fn fenced(&self, lease: Lease);
}

/// The key facts of a row under its lease.
fn written(lease: Lease, row: &CharacterRow) -> Written {
    Written { lease, user: row.user, character: row.id, version: Version::new(row.version) }
}
