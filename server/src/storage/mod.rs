//! The database: the only room that knows sqlx.
//!
//! [`Storage`] is the interface for the rest of the server. PostgreSQL and SQLite implement it and pass the same tests.
//! Every read and write of characters proves the lease of its shard inside its own transaction: the first statement
//! locks the lease row, so no takeover can happen between the proof and the write.

mod backup;
mod columns;
mod connect;
mod error;
#[cfg(any(test, feature = "faults"))]
pub mod faulty;
mod membership;
mod origin;
mod postgres;
mod rows;
mod sqlite;

use async_trait::async_trait;
use castellan_protocol::{CharacterId, SessionId, UserId};
use std::time::Duration;

pub use backup::{Copied, backup};
pub use castellan_authority::{CharacterRow, Lease, SHARDS, ShardId, VERSION_JUMP, WITH_BOOKS};
pub use connect::{StorageOptions, check_url, connect};
pub use error::StorageError;
pub use membership::{
    Agreed, InUse, Link, Load, Membership, Node, NodeKind, Owned, Present, Published, Renewal, Report, Seen, Wanted,
    reads, schema_name,
};
pub use origin::{Change, Origin};
pub use rows::{AccountChange, AccountRow, AuditRow, BooksRow, Claim, DeadLetter, KeyRow, SessionRow, Verdict};

/// The log target of PostgreSQL's notices, such as that a table is already there.
pub const NOTICES: &str = "sqlx::postgres::notice";

/// A character, and another one whose row it should look at.
pub type Look = (CharacterId, CharacterId);

/// A description of the database for an operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examination {
    /// Its product, version and name.
    pub what: String,
    /// Other facts, each a sentence.
    pub facts: Vec<String>,
    /// What should be mended, each a sentence.
    pub warnings: Vec<String>,
    /// Its clock, in milliseconds since the Unix epoch; `None` if it has none of its own.
    pub clock_ms: Option<i64>,
    /// The migrations that have been applied.
    pub migrations: Vec<i64>,
}

/// What has changed in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// The books of characters: these should look at those.
    Books(Vec<Look>),
    /// A shard has another owner, or none.
    Leases,
    /// A session has ended.
    Sessions,
}

/// A database, as the server uses it.
#[async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Migrates the tables to the current schema. Repeatable, and safe beside other servers.
    async fn migrate(&self) -> Result<(), StorageError>;

    /// How far the slowest standby that is connected to the database is behind, as far as this process may see them.
    /// `None` if there is none.
    async fn replica_lag(&self) -> Result<Option<Duration>, StorageError> {
        Ok(None)
    }

    /// Looks at the database, and changes nothing.
    async fn examine(&self) -> Result<Examination, StorageError> {
        Ok(Examination::default())
    }

    /// The migrations that `migrate` applies.
    fn migrations(&self) -> Vec<i64> {
        Vec::new()
    }

    /// The processes on this database and the shards that they own; `None` if only one process at a time can use it.
    fn membership(&self) -> Option<&dyn Membership> {
        None
    }

    /// Calls `hear` soon after somebody has changed one of these, as long as it is polled. A hint may be missing, so the
    /// caller also reads from time to time.
    async fn hints(&self, _hear: &(dyn Fn(Hint) + Send + Sync)) {
        std::future::pending().await
    }

    /// Checks that the database answers.
    async fn ping(&self) -> Result<(), StorageError>;

    /// Takes over all shards in one statement: `epoch + 1`, and `recoveries + 1` if the holder had not released.
    ///
    /// `node` is the name of the new holder, which no other process has. If a server has registered under it, the leases
    /// name its process. Returns the leases in shard order.
    async fn take_over(&self, node: &str) -> Result<Vec<Lease>, StorageError>;

    /// Gives leases back, so that the next holder need not assume lost memory.
    ///
    /// Call it only after everything is flushed. Ignores lost leases.
    async fn release(&self, leases: &[Lease]) -> Result<(), StorageError>;

    /// Takes those of these shards that nobody has: they were released, or are this node's own because the answer to an
    /// earlier takeover was lost. Leaves the others alone. `node` must name this process and no other.
    async fn take_again(&self, node: &str, shards: &[ShardId]) -> Result<Vec<Lease>, StorageError>;

    /// Looks which of these leases are lost. Locks nothing, so the others may be lost at the next moment; cheap enough to
    /// be asked every second.
    async fn lost(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError>;

    /// Checks leases against the database and returns the lost ones.
    async fn prove(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError>;

    /// Finds out if the database was restored or copied since the last start on it, and does what follows from that, in
    /// one transaction: see [`Change`].
    ///
    /// Call it at a start, before anything else is read.
    async fn recognise(&self, now_ms: i64) -> Result<Origin, StorageError>;

    /// Treats the database as restored from a backup: all shards jump, all sessions and the keys of their tokens are
    /// deleted. Returns the number of sessions.
    ///
    /// Epochs jump as well: leases taken before, even ones that this database does not know of, are lost.
    async fn restored(&self, now_ms: i64) -> Result<u64, StorageError>;

    /// All characters of these users, those of each user together and oldest first. The users belong to the shard of the
    /// lease. Of the deleted ones only those that have books.
    ///
    /// # Errors
    ///
    /// `Fenced` if the lease is lost; nothing was read.
    async fn load(&self, lease: Lease, users: &[UserId]) -> Result<Vec<CharacterRow>, StorageError>;

    /// Writes rows in one transaction and returns the shards with a lost lease. Nothing was written for those.
    ///
    /// `leases` contains the lease of every row's shard, `rows` at most one row per character. A row is written if the
    /// database has none or an older version. To learn the outcome of a call whose answer was lost, repeat it: after a
    /// success the database holds each row's version or a newer one.
    ///
    /// # Errors
    ///
    /// `Refused`: nothing was written. At least one row is at fault or has no lease.
    async fn save(&self, leases: &[Lease], rows: &[CharacterRow]) -> Result<Vec<ShardId>, StorageError>;

    /// The books of these characters, also of deleted ones. A character that has no row is left out.
    ///
    /// What it returns would survive a failover of the database.
    async fn books(&self, characters: &[CharacterId]) -> Result<Vec<BooksRow>, StorageError>;

    /// Up to `max` characters of these shards whose rows have books, in the order of their ids, those after `after`.
    async fn traders(
        &self,
        shards: &[ShardId],
        after: Option<CharacterId>,
        max: u32,
    ) -> Result<Vec<BooksRow>, StorageError>;

    /// Sends [`Hint::Books`] to the other servers on this database, if there can be any.
    async fn hint_books(&self, _looks: &[Look]) -> Result<(), StorageError> {
        Ok(())
    }

    /// Deletes the rows of up to `max` characters that were deleted before a time, in the shards of these leases. Proves
    /// the leases, and leaves shards alone whose lease is lost. Returns the number of rows.
    ///
    /// A character that has books is left alone: others may still have to read them. So is one with a dead letter: without its row the letter could bring it back to life. So could a
    /// write that is still on its way, so `before_ms` must lie further back than any write lasts.
    async fn purge_characters(&self, leases: &[Lease], before_ms: i64, max: u32) -> Result<u64, StorageError>;

    /// Stores a dead letter: a row that the database refused. Proves the lease.
    ///
    /// A character has one letter at most, that of its newest version. A newer letter keeps an operator's decision about
    /// the one that it replaces, unless the database has overtaken that one. An older letter changes nothing.
    async fn add_dead_letter(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError>;

    /// All dead letters, oldest first. One that cannot be read says so in its `error`.
    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StorageError>;

    /// Records an operator's decision. Returns false if the character has no dead letter.
    async fn decide_dead_letter(&self, character: CharacterId, verdict: Verdict) -> Result<bool, StorageError>;

    /// Takes an operator's decision back, because it cannot be carried out. Proves the lease.
    ///
    /// The letter waits for another decision, with this error and one more attempt. Nothing happens if the letter or the
    /// decision about it has changed meanwhile.
    async fn reject_decision(&self, lease: Lease, letter: &DeadLetter, error: &str) -> Result<(), StorageError>;

    /// Carries out a retry: proves the lease, writes the row as [`Storage::save`] does, raises its version to `version`,
    /// forgets the dead letter.
    ///
    /// The version is raised to `version` and by [`VERSION_JUMP`] at least, counted from the one that a load under this
    /// lease would show. `version` must lie above every version that this process has shown or may still be writing: a
    /// write of an earlier state that arrives later then changes nothing.
    ///
    /// # Errors
    ///
    /// `Refused` also if the database has a newer version than the row's. Nothing changes then, and the letter stays.
    async fn retry_dead_letter(&self, lease: Lease, row: &CharacterRow, version: u64) -> Result<(), StorageError>;

    /// Carries out a discard: proves the lease, raises the row's version to `version` (as for a retry), forgets the dead
    /// letter of version `letter` if there is one.
    ///
    /// A character that has no row gets one that is deleted, so that a late write cannot bring it to life.
    async fn discard_dead_letter(
        &self,
        lease: Lease,
        user: UserId,
        character: CharacterId,
        letter: Option<u64>,
        version: u64,
    ) -> Result<(), StorageError>;

    /// Forgets a dead letter of this version that changes nothing any more. Proves the lease; nothing happens if there
    /// is no such letter.
    async fn forget_dead_letter(&self, lease: Lease, character: CharacterId, version: u64) -> Result<(), StorageError>;

    /// Creates an account.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the folded name is taken.
    async fn create_account(&self, account: &AccountRow) -> Result<(), StorageError>;

    /// The account with a folded name.
    async fn account(&self, folded: &str) -> Result<Option<AccountRow>, StorageError>;

    /// The account of a user.
    async fn account_of(&self, user: UserId) -> Result<Option<AccountRow>, StorageError>;

    /// Up to `max` accounts in the order of their folded names, those after `after`.
    async fn accounts(&self, after: &str, max: u32) -> Result<Vec<AccountRow>, StorageError>;

    /// Changes an account. Returns false if there is none.
    ///
    /// Triggers end the sessions, so the same happens if somebody changes the row with other means.
    async fn change_account(&self, user: UserId, change: &AccountChange, now_ms: i64) -> Result<bool, StorageError>;

    /// Up to `max` users whose account was deleted before a time, and whose characters may not be deleted yet.
    async fn departed_users(&self, before_ms: i64, max: u32) -> Result<Vec<UserId>, StorageError>;

    /// Forgets a user whose account was deleted, if all characters are deleted too. Returns false otherwise.
    async fn forget_departed(&self, user: UserId) -> Result<bool, StorageError>;

    /// Replaces an account's password hash. Returns false if it is not `old` any more.
    async fn replace_password_hash(&self, user: UserId, old: &str, new: &str) -> Result<bool, StorageError>;

    /// The password hash of the first account from this user on, in the order of users and in a circle; `None` if there
    /// is no account.
    async fn some_password_hash(&self, from: UserId) -> Result<Option<String>, StorageError>;

    /// Replaces an account's password hash and revokes the user's sessions, all but `kept`, in one transaction. Returns
    /// the revoked ones; `None` if there is no account.
    async fn change_password(
        &self,
        user: UserId,
        password_hash: &str,
        kept: Option<SessionId>,
        now_ms: i64,
    ) -> Result<Option<Vec<SessionId>>, StorageError>;

    /// The user of an outside issuer, even if the account has been deleted since.
    async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<UserId>, StorageError>;

    /// The outside issuer and the subject that an account belongs to.
    async fn identity_of(&self, user: UserId) -> Result<Option<(String, String)>, StorageError>;

    /// Creates the account of a user of an outside issuer. Returns false, and changes nothing, if the user has one or had
    /// one.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the folded name is taken.
    async fn bind_account(&self, account: &AccountRow, issuer: &str, subject: &str) -> Result<bool, StorageError>;

    /// Gives a guest's account a name and a password, and revokes the user's sessions, all but `kept`, in one transaction.
    /// Returns the revoked ones; `None`, and changes nothing, if the account is not a guest's or is gone.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the folded name is taken.
    async fn claim_account(
        &self,
        user: UserId,
        claim: &Claim,
        kept: SessionId,
        now_ms: i64,
    ) -> Result<Option<Vec<SessionId>>, StorageError>;

    /// Deletes up to `max` guests' accounts that nobody has used since `before_ms` and that have no characters, or that
    /// nobody has used since `with_characters_before_ms`. Returns their users.
    ///
    /// A server deletes the characters later. No access token may live as long as from these times until now.
    async fn purge_guests(
        &self,
        before_ms: i64,
        with_characters_before_ms: i64,
        max: u32,
    ) -> Result<Vec<UserId>, StorageError>;

    /// Stores a session, if the account still has this password hash and is not disabled. Repeating it changes nothing.
    ///
    /// Locks the account meanwhile: a session either exists before a change of the account, and ends with it, or is
    /// refused.
    async fn create_session(&self, session: &SessionRow, password_hash: &str) -> Result<bool, StorageError>;

    /// Up to `max` sessions of a user that have neither expired nor been revoked, the last refreshed ones first.
    async fn sessions_of(&self, user: UserId, now_ms: i64, max: u32) -> Result<Vec<SessionRow>, StorageError>;

    /// Returns true if a user has logged in from this network: if a session says so, even one that has ended.
    async fn has_logged_in_from(&self, user: UserId, network: &str) -> Result<bool, StorageError>;

    /// A session.
    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StorageError>;

    /// Starts the next generation of a session. Returns false if it is not in `generation` or was revoked.
    async fn rotate_session(
        &self,
        id: SessionId,
        generation: i64,
        rotated_at_ms: i64,
        expires_at_ms: i64,
    ) -> Result<bool, StorageError>;

    /// Revokes a session; repeating it changes nothing.
    async fn revoke_session(&self, id: SessionId, revoked_at_ms: i64) -> Result<(), StorageError>;

    /// Revokes all sessions of a user. Returns their number.
    async fn revoke_sessions_of(&self, user: UserId, revoked_at_ms: i64) -> Result<u64, StorageError>;

    /// Revokes a user's live sessions other than `newest`, all but the `others_max` that were refreshed last. Returns
    /// those that it has revoked.
    async fn revoke_oldest_sessions(
        &self,
        newest: &SessionRow,
        others_max: u32,
        revoked_at_ms: i64,
    ) -> Result<Vec<SessionId>, StorageError>;

    /// Sessions that were revoked at `since_ms` or later, with their users.
    ///
    /// Asked every second. Older revocations do not matter, because their access tokens have expired.
    async fn revoked_sessions(&self, since_ms: i64) -> Result<Vec<(SessionId, UserId)>, StorageError>;

    /// Up to `max` sessions that expired or were revoked before a time. Reads the whole table, so do not call it every second.
    async fn expired_sessions(&self, before_ms: i64, max: u32) -> Result<Vec<SessionId>, StorageError>;

    /// Deletes sessions; ignores unknown ones.
    async fn forget_sessions(&self, sessions: &[SessionId]) -> Result<(), StorageError>;

    /// All keys, oldest first.
    async fn keys(&self) -> Result<Vec<KeyRow>, StorageError>;

    /// Replaces all keys with `after` if they are exactly `before`. Returns false, and changes nothing, if they are not.
    ///
    /// So of two that change the keys at once one wins, and the other must read them again. A repetition of a call whose
    /// answer was lost returns false.
    async fn replace_keys(&self, before: &[KeyRow], after: &[KeyRow]) -> Result<bool, StorageError>;

    /// Adds rows to the audit; ignores those that are there already, so that it may be repeated.
    async fn add_audit(&self, rows: &[AuditRow]) -> Result<(), StorageError>;

    /// The newest rows of the audit, newest first.
    async fn audit(&self, max: u32) -> Result<Vec<AuditRow>, StorageError>;

    /// Deletes up to `max` rows of the audit that are older than a time, oldest first. Returns their number.
    async fn forget_audit(&self, before_ms: i64, max: u32) -> Result<u64, StorageError>;
}
