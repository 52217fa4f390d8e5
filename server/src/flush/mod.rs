//! From memory to the database: batches of the newest states, written in transactions that prove their leases.
//!
//! The flusher asks [`Entries`] for what is dirty and tells it what became of it; it knows neither shards nor rules.

mod batch;
mod flusher;
mod signals;
pub mod spool;

pub use self::batch::Batch;
pub use self::flusher::{Flusher, Settings};
pub use self::signals::Signals;

use castellan_protocol::{CharacterId, UserId, Version};

use crate::storage::{CharacterRow, Lease};

/// A row that was written, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The lease it was written under.
    pub lease: Lease,
    /// The owner.
    pub user: UserId,
    /// The character.
    pub character: CharacterId,
    /// The version in the row.
    pub version: Version,
}

/// Which characters with something to flush are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// All of them.
    Dirty,
    /// Those whose commit somebody waits for.
    Hurried,
}

/// Where the flusher gets its work and leaves its news: the shards, or a model of them in tests.
pub trait Entries: Send + Sync + 'static {
    /// Takes the characters of a queue, each in its newest state, shard by shard, on from the shard where it ended last.
    ///
    /// Ends after all shards, or before one that would make it more than `rows`; more than that it takes only of a
    /// single shard. Returns also how many shards it went through, at least one.
    fn collect(&self, queue: Queue, rows: usize) -> (Batch, usize);

    /// Characters with something to flush, those being written included.
    fn dirty(&self) -> usize;

    /// These are committed.
    fn saved(&self, written: &[Written]);

    /// These are not known to be committed: they are to be collected again.
    fn put_back(&self, written: &[Written]);

    /// The database refuses this one, which is now a dead letter.
    fn buried(&self, written: Written);

    /// This lease is gone: whatever is under it is to be dropped.
    fn fenced(&self, lease: Lease);
}

/// The key facts of a row under its lease.
fn written(lease: Lease, row: &CharacterRow) -> Written {
    Written { lease, user: row.user, character: row.id, version: Version::new(row.version) }
}
