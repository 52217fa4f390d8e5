//! The database: the only room that knows sqlx.
//!
//! [`Storage`] is what the rest of the server asks of a database. PostgreSQL and SQLite stand behind it and pass the
//! same tests. Every read and write of characters proves the lease of its shard inside its own transaction: the first
//! statement locks the lease row, so a takeover cannot slip between the proof and the write.

use std::fmt;

use async_trait::async_trait;
use castellan_protocol::{CharacterId, SessionId, UserId};

/// Shards that the users of a database are spread over. Part of what is stored: never change it.
pub const SHARDS: u16 = 256;

/// One of the [`SHARDS`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(u16);

impl ShardId {
    /// The shard with this number, taken modulo [`SHARDS`].
    pub const fn new(number: u16) -> Self {
        Self(number % SHARDS)
    }

    /// Its number, below [`SHARDS`].
    pub const fn number(self) -> u16 {
        self.0
    }

    /// All of them, in order.
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

/// The right to write one shard's characters, as it was when it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The shard.
    pub shard: ShardId,
    /// Counts takeovers; whoever finds another one in the database has lost the shard.
    pub epoch: i64,
    /// Counts takeovers from a holder that had not released: times at which memory may have been lost.
    pub recoveries: i64,
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
    /// The shape of `state`.
    pub schema_version: i32,
    /// JSON: section 3 of the wire without `derived`, and what the rules keep beside it.
    pub state: String,
    /// The last request ids applied, oldest first, at most 64.
    pub request_ids: Vec<u64>,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub updated_at_ms: i64,
    /// Milliseconds since the Unix epoch; set where the character was deleted.
    pub deleted_at_ms: Option<i64>,
}

/// A row that the database refused, kept for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// What was refused.
    pub row: CharacterRow,
    /// The epoch under which it was to be written.
    pub epoch: i64,
    /// What the database said.
    pub error: String,
    /// How often it was tried.
    pub attempts: i32,
    /// Milliseconds since the Unix epoch.
    pub failed_at_ms: i64,
    /// What an operator decided, until the server has carried it out.
    pub verdict: Option<Verdict>,
}

/// What an operator decides about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try to write it again.
    Retry,
    /// Give it up: the character goes on from what the database has.
    Discard,
}

/// An account as a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// The user.
    pub user: UserId,
    /// The name to log in with, unique without regard to case.
    pub username: String,
    /// Argon2id, in PHC string format.
    pub password_hash: String,
    /// `player`, `game` or `operator`.
    pub role: String,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
}

/// A login as a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// Counts refreshes, from 0: the refresh token of another generation is no longer good.
    pub generation: i64,
    /// When this generation began, in milliseconds since the Unix epoch.
    pub rotated_at_ms: i64,
    /// When the refresh token ends, in milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
    /// When the session was revoked, in milliseconds since the Unix epoch.
    pub revoked_at_ms: Option<i64>,
}

/// A key as a row: made once, by the first server on a database, and read by all.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The key's id: `kid` in tokens.
    pub id: String,
    /// What it is for: `es256` (PKCS #8), `refresh` (HMAC) or `dice` (the seed of all dice).
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

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// It could not be reached, or broke off. Whether a write came through is not known; every call here may be
    /// repeated, and only a repetition that succeeds proves anything.
    #[error("the database is not to be had: {0}")]
    Transient(String),
    /// Another process has taken over this shard: drop what is in memory, never retry.
    #[error("the lease of shard {0} is gone")]
    Fenced(ShardId),
    /// The database refuses what was to be written and would refuse it again.
    #[error("the database refuses it: {0}")]
    Refused(String),
    /// What the database holds cannot be understood.
    #[error("the database holds something else than expected: {0}")]
    Corrupt(String),
    /// The name is taken.
    #[error("already there")]
    AlreadyExists,
}

/// What the server asks of a database.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Brings the tables to the present shape. Repeatable, and safe beside other servers.
    async fn migrate(&self) -> Result<(), StorageError>;

    /// Asks the database for a sign of life.
    async fn ping(&self) -> Result<(), StorageError>;

    /// Takes over all shards in one statement: `epoch + 1`, `recoveries + 1` where the holder had not released.
    ///
    /// `node` names the new holder for people. Returns the leases in shard order.
    async fn take_over(&self, node: &str) -> Result<Vec<Lease>, StorageError>;

    /// Gives leases back: the next holder need not assume that memory was lost.
    ///
    /// Only after everything is flushed. A lease that is gone is passed over.
    async fn release(&self, leases: &[Lease]) -> Result<(), StorageError>;

    /// Proves leases against the database and returns those that are gone.
    async fn prove(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError>;

    /// All characters of a user that are not deleted, oldest first.
    ///
    /// # Errors
    ///
    /// `Fenced` where the lease is gone; then nothing was read.
    async fn load_user(&self, lease: Lease, user: UserId) -> Result<Vec<CharacterRow>, StorageError>;

    /// Writes rows in one transaction and returns the shards whose lease is gone; of those nothing was written.
    ///
    /// `leases` has the lease of every row's shard, `rows` at most one row a character. A row is written where the
    /// database has none or one with a lower version, so repeating a call whose answer was lost is how its outcome
    /// is looked up: after a success the database has, under these leases, each row's version or a higher one.
    ///
    /// # Errors
    ///
    /// `Refused`: nothing was written, at least one row is at fault.
    async fn save(&self, leases: &[Lease], rows: &[CharacterRow]) -> Result<Vec<ShardId>, StorageError>;

    /// Puts away a row that the database refused. Proves the lease; one dead letter a character.
    async fn add_dead_letter(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError>;

    /// All dead letters, oldest first.
    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StorageError>;

    /// Notes what an operator decided. False where the character has no dead letter.
    async fn decide_dead_letter(&self, character: CharacterId, verdict: Verdict) -> Result<bool, StorageError>;

    /// Carries out a retry: proves the lease, writes the row as [`Storage::save`] does, forgets the dead letter.
    async fn retry_dead_letter(&self, lease: Lease, row: &CharacterRow) -> Result<(), StorageError>;

    /// Carries out a discard: proves the lease, sets the row's version to `version` (one above the discarded one),
    /// forgets the dead letter.
    async fn discard_dead_letter(&self, lease: Lease, character: CharacterId, version: u64)
    -> Result<(), StorageError>;

    /// Makes an account.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where the name is taken, without regard to case.
    async fn create_account(&self, account: &AccountRow) -> Result<(), StorageError>;

    /// The account of a name, without regard to case.
    async fn account(&self, username: &str) -> Result<Option<AccountRow>, StorageError>;

    /// The account of a user.
    async fn account_of(&self, user: UserId) -> Result<Option<AccountRow>, StorageError>;

    /// Notes a login.
    async fn create_session(&self, session: &SessionRow) -> Result<(), StorageError>;

    /// A session.
    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StorageError>;

    /// Begins the next generation of a session where it still is in `generation` and not revoked; false where not.
    async fn rotate_session(
        &self,
        id: SessionId,
        generation: i64,
        rotated_at_ms: i64,
        expires_at_ms: i64,
    ) -> Result<bool, StorageError>;

    /// Revokes a session; repeating it changes nothing.
    async fn revoke_session(&self, id: SessionId, revoked_at_ms: i64) -> Result<(), StorageError>;

    /// Sessions that were revoked and whose tokens have not expired of themselves by `now_ms`.
    async fn revoked_sessions(&self, now_ms: i64) -> Result<Vec<SessionId>, StorageError>;

    /// All keys, oldest first.
    async fn keys(&self) -> Result<Vec<KeyRow>, StorageError>;

    /// Adds a key where its purpose has none yet; of two servers that start at once one wins, and both read the
    /// winner's with [`Storage::keys`].
    async fn add_first_key(&self, key: &KeyRow) -> Result<(), StorageError>;
}
