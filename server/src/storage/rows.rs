//! The rows of the database, as plain data.

use std::fmt;

use castellan_protocol::{CharacterId, SessionId, UserId};
use uuid::Uuid;

use super::StorageError;
use castellan_authority::{CharacterRow, ShardId};

/// The part of a character's row that others read to trade with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BooksRow {
    /// The character.
    pub id: CharacterId,
    /// Its owner.
    pub user: UserId,
    /// It was deleted.
    pub is_deleted: bool,
    /// Its books in JSON, if there is anything in them; `null` if there should be books, and they cannot be found.
    pub books: Option<String>,
}

/// A row that the database refused, kept for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The refused row.
    ///
    /// If the letter itself cannot be read, `error` says why, and only ids, shard, version and verdict are known. The
    /// state is then empty, and the database refuses it again.
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
    /// The version of the character's row, if it has one. Known only of a letter that was read from the database.
    pub stored: Option<u64>,
}

impl DeadLetter {
    /// True if the database has neither this state nor a newer one: the character must wait for the operator.
    pub fn is_open(&self) -> bool {
        self.stored < Some(self.row.version)
    }

    /// True if the database has a newer state of the character, which a retry cannot replace.
    pub fn is_overtaken(&self) -> bool {
        self.stored > Some(self.row.version)
    }

    /// A letter that cannot be read, with the little that is known of it.
    pub(super) fn damaged(
        character: CharacterId,
        user: UserId,
        shard: ShardId,
        version: u64,
        verdict: Option<Verdict>,
        stored: Option<u64>,
        error: &StorageError,
    ) -> Self {
        let row = CharacterRow {
            id: character,
            user,
            shard,
            name: String::new(),
            version,
            recoveries: 0,
            schema_version: 0,
            state: String::new(),
            request_ids: Vec::new(),
            created_at_ms: 0,
            updated_at_ms: 0,
            deleted_at_ms: None,
        };
        let error = format!("this dead letter cannot be read; it can only be discarded: {error}");
        Self { row, epoch: 0, error, attempts: 0, failed_at_ms: 0, verdict, stored }
    }
}

/// Leaves out a letter if even its character cannot be read.
pub(super) fn known(letter: Result<DeadLetter, StorageError>) -> Option<DeadLetter> {
    letter.inspect_err(|error| tracing::error!(%error, "a row of dead_letters cannot be read at all")).ok()
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
    /// The login name, as people see it.
    pub username: String,
    /// The login name as it is compared. Unique.
    pub folded: String,
    /// Argon2id, in PHC string format.
    pub password_hash: String,
    /// `player`, `game` or `operator`.
    pub role: String,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Since when nobody can log in, in milliseconds since the Unix epoch.
    pub disabled_at_ms: Option<i64>,
    /// If it is a guest's: when the guest was seen last, in milliseconds since the Unix epoch. Sessions may know better.
    pub guest_seen_at_ms: Option<i64>,
}

/// A name and a password that a guest chooses.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// The login name, as people see it.
    pub username: String,
    /// The login name as it is compared.
    pub folded: String,
    /// Argon2id, in PHC string format.
    pub password_hash: String,
}

/// A change of an account by an operator. All but `Enable` end its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountChange {
    /// Gives it another role. Nothing happens to an account that has this role.
    Role(String),
    /// Lets nobody log in from now on.
    Disable,
    /// Lets its user log in again.
    Enable,
    /// Deletes it. A server deletes its characters later.
    Delete,
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
    /// The login, in milliseconds since the Unix epoch; `None` if an older server wrote the row.
    pub started_at_ms: Option<i64>,
    /// Start of this generation, in milliseconds since the Unix epoch.
    pub rotated_at_ms: i64,
    /// Expiry of the refresh token, in milliseconds since the Unix epoch.
    pub expires_at_ms: i64,
    /// Time of the revocation, in milliseconds since the Unix epoch.
    pub revoked_at_ms: Option<i64>,
    /// The network that the login came from; `None` if an older server wrote the row.
    pub network: Option<String>,
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

/// Something that somebody did, as a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Names the row, so that it is added once.
    pub id: Uuid,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The user's id, or `operator`, `stranger` or `server`.
    pub actor: String,
    /// The client's address.
    pub address: Option<String>,
    /// The thing that was acted on; empty if there is none.
    pub target: String,
    /// The act.
    pub action: String,
    /// How it ended.
    pub outcome: String,
}
