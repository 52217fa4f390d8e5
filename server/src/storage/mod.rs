//! The database: the only room that knows sqlx.
//!
//! [`Storage`] is what the rest of the server asks of a database. PostgreSQL and SQLite stand behind it and pass the
//! same tests. Every read and write of characters proves the lease of its shard inside its own transaction: the first
//! statement locks the lease row, so a takeover cannot slip between the proof and the write.

mod columns;
mod connect;
mod error;
#[cfg(any(test, feature = "faults"))]
pub mod faulty;
mod postgres;
mod rows;
mod sqlite;

use async_trait::async_trait;
use castellan_protocol::{CharacterId, SessionId, UserId};

pub use connect::{StorageOptions, connect};
pub use error::StorageError;
pub use rows::{
    AccountRow, CharacterRow, DeadLetter, KeyRow, Lease, SHARDS, SessionRow, ShardId, VERSION_JUMP, Verdict,
};

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
    /// `Refused`: nothing was written, at least one row is at fault, or came without a lease.
    async fn save(&self, leases: &[Lease], rows: &[CharacterRow]) -> Result<Vec<ShardId>, StorageError>;

    /// Puts away a row that the database refused. Proves the lease; one dead letter a character.
    async fn add_dead_letter(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError>;

    /// All dead letters, oldest first.
    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StorageError>;

    /// Notes what an operator decided. False where the character has no dead letter.
    async fn decide_dead_letter(&self, character: CharacterId, verdict: Verdict) -> Result<bool, StorageError>;

    /// Carries out a retry: proves the lease, writes the row as [`Storage::save`] does, raises its version to `version`,
    /// forgets the dead letter.
    ///
    /// The version is raised to `version` and by [`VERSION_JUMP`] at least, counted from the one that a load under this
    /// lease would show. `version` must lie above every version that this process has shown or may still be writing: a
    /// write of an earlier state that arrives later then changes nothing.
    async fn retry_dead_letter(&self, lease: Lease, row: &CharacterRow, version: u64) -> Result<(), StorageError>;

    /// Carries out a discard: proves the lease, raises the row's version to `version` (as for a retry), forgets the dead
    /// letter if there is one.
    ///
    /// A character that has no row gets one that is deleted, so that a late write cannot bring it to life.
    async fn discard_dead_letter(
        &self,
        lease: Lease,
        user: UserId,
        character: CharacterId,
        version: u64,
    ) -> Result<(), StorageError>;

    /// Forgets an undecided dead letter of this version, which the row or a later decision has overtaken. Proves the
    /// lease; nothing happens if there is no such letter.
    async fn forget_dead_letter(&self, lease: Lease, character: CharacterId, version: u64) -> Result<(), StorageError>;

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

    /// Sessions that were revoked at `since_ms` or later.
    ///
    /// Asked each second: what was revoked longer ago than an access token lives is not worth reading any more.
    async fn revoked_sessions(&self, since_ms: i64) -> Result<Vec<SessionId>, StorageError>;

    /// Up to `max` sessions that expired before a time. Reads the whole table: not for every second.
    async fn expired_sessions(&self, before_ms: i64, max: u32) -> Result<Vec<SessionId>, StorageError>;

    /// Forgets sessions; those that are not there are passed over.
    async fn forget_sessions(&self, sessions: &[SessionId]) -> Result<(), StorageError>;

    /// All keys, oldest first.
    async fn keys(&self) -> Result<Vec<KeyRow>, StorageError>;

    /// Adds a key where its purpose has none yet; of two servers that start at once one wins, and both read the
    /// winner's with [`Storage::keys`].
    async fn add_first_key(&self, key: &KeyRow) -> Result<(), StorageError>;
}
