//! Shards, the right to write them, and a character as a row.

use std::fmt;

use castellan_protocol::{CharacterId, UserId};

/// Number of shards that the users are spread over. Stored data depends on it: never change it.
pub const SHARDS: u16 = 256;

/// One of the [`SHARDS`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(u16);

impl ShardId {
    /// The shard with this number modulo [`SHARDS`].
    pub const fn new(number: u16) -> Self {
        Self(number % SHARDS)
    }

    /// Its number, below [`SHARDS`].
    pub const fn number(self) -> u16 {
        self.0
    }

    /// All shards, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardId({})", self.0)
    }
}

/// The right to write one shard's characters, as it was acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The shard.
    pub shard: ShardId,
    /// Counts takeovers. A holder that finds a different epoch in the database has lost the shard.
    pub epoch: i64,
    /// Counts takeovers from a holder that had not released the shard; each may have lost changes in memory.
    pub recoveries: i64,
}

/// How far a version jumps for each takeover that may have lost memory.
///
/// Larger than the number of intents that a character may have unflushed, so that no lost version is ever used again.
pub const VERSION_JUMP: u64 = 1 << 20;

impl Lease {
    /// Number of takeovers that may have lost memory since a row with this many `recoveries` was written.
    pub fn crashes_since(&self, recoveries: i64) -> u64 {
        self.recoveries.saturating_sub(recoveries).max(0).unsigned_abs()
    }
}

/// Added to the schema version of a state that has books ([`BooksOf`](crate::BooksOf)). Servers that know no books refuse to
/// read it, and the database finds such rows by an index.
pub const WITH_BOOKS: i32 = 1_000_000;

/// A character as a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CharacterRow {
    /// Its id.
    pub id: CharacterId,
    /// Its owner.
    pub user: UserId,
    /// The owner's shard.
    pub shard: ShardId,
    /// Its name, as in the state.
    pub name: String,
    /// Its version, at least 1.
    pub version: u64,
    /// The lease's `recoveries` when this row was written.
    pub recoveries: i64,
    /// The schema version of `state`; above [`WITH_BOOKS`] if it has books.
    pub schema_version: i32,
    /// JSON: the envelope and the game's stored fields.
    pub state: String,
    /// The last request ids applied, oldest first, at most 64.
    pub request_ids: Vec<u64>,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub updated_at_ms: i64,
    /// Milliseconds since the Unix epoch; set only if the character was deleted.
    pub deleted_at_ms: Option<i64>,
}
