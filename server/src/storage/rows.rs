//! The rows of the database, as plain data.

use std::fmt;

use castellan_protocol::{CharacterId, SessionId, UserId};

use super::StorageError;

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

/// The right to write one shard's characters, as taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The shard.
    pub shard: ShardId,
    /// Counts takeovers. A holder that finds a different epoch in the database has lost the shard.
    pub epoch: i64,
    /// Counts takeovers from a holder that had not released: each may have lost changes in memory.
    pub recoveries: i64,
}

/// How far a version jumps for each takeover at which memory may have been lost.
///
/// Larger than the number of intents that a character may have unflushed, so that no lost version is ever used again.
pub const VERSION_JUMP: u64 = 1 << 20;

impl Lease {
    /// Takeovers at which memory may have been lost since a row was written with so many `recoveries`.
    pub fn crashes_since(&self, recoveries: i64) -> u64 {
        self.recoveries.saturating_sub(recoveries).max(0).unsigned_abs()
    }
}

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
    /// The schema version of `state`.
    pub schema_version: i32,
    /// JSON: the character of `docs/protocol.md` without `derived`, and what the rules keep beside it.
    pub state: String,
    /// The last request ids applied, oldest first, at most 64.
    pub request_ids: Vec<u64>,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub updated_at_ms: i64,
    /// Milliseconds since the Unix epoch; set if the character was deleted.
    pub deleted_at_ms: Option<i64>,
}

/// A row that the database refused, kept for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The refused row.
    pub row: CharacterRow,
    /// The epoch of the refused write.
    pub epoch: i64,
    /// The database's error.
    pub error: String,
    /// Number of attempts.
    pub attempts: i32,
    /// Milliseconds since the Unix epoch.
    pub failed_at_ms: i64,
    /// The operator's decision, until the server has applied it.
    pub verdict: Option<Verdict>,
}

/// An operator's decision about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Write it again.
    Retry,
    /// Drop it: the character continues from the state in the database.
    Discard,
}

impl Verdict {
    /// The name in the column.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
        }
    }

    /// The verdict with this name.
    pub(super) fn named(name: &str) -> Result<Self, StorageError> {
        match name {
            "retry" => Ok(Self::Retry),
            "discard" => Ok(Self::Discard),
            _ => Err(StorageError::Corrupt(format!("no such verdict: {name}"))),
        }
    }
}

/// An account as a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// The user.
    pub user: UserId,
    /// The login name, unique regardless of case.
    pub username: String,
    /// Argon2id, in PHC string format.
    pub password_hash: String,
    /// `player`, `game` or `operator`.
    pub role: String,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

/// A session as a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Its user.
    pub user: UserId,
    /// Counts refreshes, from 0. Refresh tokens of older generations are invalid.
    pub generation: i64,
    /// Start of this generation, in milliseconds since the Unix epoch.
    pub rotated_at_ms: i64,
    /// Expiry of the refresh token, in milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
    /// Time of the revocation, in milliseconds since the Unix epoch.
    pub revoked_at_ms: Option<i64>,
}

/// A key as a row: created by the first server of a database and read by all.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The key's id: `kid` in tokens.
    pub id: String,
    /// Its purpose: `es256` (PKCS #8), `refresh` (HMAC) or `dice` (the seed of all dice).
    pub purpose: String,
    /// The secret itself.
    pub secret: Vec<u8>,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

impl fmt::Debug for KeyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRow").field("id", &self.id).field("purpose", &self.purpose).finish_non_exhaustive()
    }
}
