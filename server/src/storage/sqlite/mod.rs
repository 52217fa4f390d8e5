//! SQLite: a database in the server's own process, so that the first run needs nothing else.

mod accounts;
mod audit;
mod backup;
mod books;
mod characters;
mod columns;
mod connection;
mod dead_letters;
mod file;
mod guests;
mod identities;
mod leases;
mod migrations;
mod origin;

use std::path::Path;

use async_trait::async_trait;
use castellan_protocol::{CharacterId, SessionId, UserId};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Sqlite, Transaction};

pub(super) use self::backup::backup;
use self::connection::Connections;
use super::{
    AccountChange, AccountRow, AuditRow, BooksRow, CharacterRow, Claim, DeadLetter, Examination, KeyRow, Lease, Origin,
    SessionRow, ShardId, Storage, StorageError, StorageOptions, Verdict,
};

/// Begins a writing transaction. It has the file's write lock from the start, so everything it reads stays true.
const BEGIN_IMMEDIATE: &str = "BEGIN IMMEDIATE";

async fn transaction<'c>(
    connection: &'c mut SqliteConnection,
    begin: &'static str,
) -> Result<Transaction<'c, Sqlite>, StorageError> {
    Ok(connection.begin_with(begin).await?)
}

/// The SQLite implementation of [`Storage`].
pub(super) struct SqliteStorage {
    connections: Connections,
}

impl SqliteStorage {
    /// Opens the file and creates a missing one.
    pub(super) async fn open(path: &Path, options: &StorageOptions) -> Result<Self, StorageError> {
        Ok(Self { connections: Connections::open(path, options).await? })
    }
}

/// Runs one call on its own connection, then hands the connection back.
macro_rules! on_connection {
    ($self:ident . $which:ident (), $room:ident :: $call:ident ($($argument:expr),*)) => {{
        let mut connection = $self.connections.$which().await?;
        let outcome = $room::$call(&mut connection $(, $argument)*).await;
        connection.hand_back(outcome).await
    }};
}

#[async_trait]
impl Storage for SqliteStorage {
    async fn migrate(&self) -> Result<(), StorageError> {
        on_connection!(self.writer(), connection::migrate())
    }

    async fn examine(&self) -> Result<Examination, StorageError> {
        on_connection!(self.reader(), connection::examine())
    }

    fn migrations(&self) -> Vec<i64> {
        migrations::migrator().iter().map(|migration| migration.version).collect()
    }

    async fn ping(&self) -> Result<(), StorageError> {
        on_connection!(self.reader(), connection::ping())
    }

    async fn take_over(&self, node: &str) -> Result<Vec<Lease>, StorageError> {
        on_connection!(self.writer(), leases::take_over(node))
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StorageError> {
        on_connection!(self.writer(), leases::release(leases))
    }

    async fn take_again(&self, node: &str, shards: &[ShardId]) -> Result<Vec<Lease>, StorageError> {
        on_connection!(self.writer(), leases::take_again(node, shards))
    }

    async fn lost(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
        self.prove(leases).await
    }

    async fn prove(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
        on_connection!(self.reader(), leases::prove(leases))
    }

    async fn recognise(&self, now_ms: i64) -> Result<Origin, StorageError> {
        on_connection!(self.writer(), origin::recognise(now_ms))
    }

    async fn restored(&self, now_ms: i64) -> Result<u64, StorageError> {
        on_connection!(self.writer(), origin::restored(now_ms))
    }

    async fn load(&self, lease: Lease, users: &[UserId]) -> Result<Vec<CharacterRow>, StorageError> {
        on_connection!(self.reader(), characters::load(lease, users))
    }

    async fn save(&self, leases: &[Lease], rows: &[CharacterRow]) -> Result<Vec<ShardId>, StorageError> {
        on_connection!(self.writer(), characters::save(leases, rows))
    }

    async fn books(&self, characters: &[CharacterId]) -> Result<Vec<BooksRow>, StorageError> {
        on_connection!(self.reader(), books::books(characters))
    }

    async fn traders(
        &self,
        shards: &[ShardId],
        after: Option<CharacterId>,
        max: u32,
    ) -> Result<Vec<BooksRow>, StorageError> {
        on_connection!(self.reader(), books::traders(shards, after, max))
    }

    async fn purge_characters(&self, leases: &[Lease], before_ms: i64, max: u32) -> Result<u64, StorageError> {
        on_connection!(self.writer(), characters::purge(leases, before_ms, max))
    }

    async fn add_dead_letter(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        on_connection!(self.writer(), dead_letters::add(lease, letter))
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StorageError> {
        on_connection!(self.reader(), dead_letters::all())
    }

    async fn decide_dead_letter(&self, character: CharacterId, verdict: Verdict) -> Result<bool, StorageError> {
        on_connection!(self.writer(), dead_letters::decide(character, verdict))
    }

    async fn reject_decision(&self, lease: Lease, letter: &DeadLetter, error: &str) -> Result<(), StorageError> {
        on_connection!(self.writer(), dead_letters::reject(lease, letter, error))
    }

    async fn retry_dead_letter(&self, lease: Lease, row: &CharacterRow, version: u64) -> Result<(), StorageError> {
        on_connection!(self.writer(), dead_letters::retry(lease, row, version))
    }

    async fn discard_dead_letter(
        &self,
        lease: Lease,
        user: UserId,
        character: CharacterId,
        letter: Option<u64>,
        version: u64,
    ) -> Result<(), StorageError> {
        on_connection!(self.writer(), dead_letters::discard(lease, user, character, letter, version))
    }

    async fn forget_dead_letter(&self, lease: Lease, character: CharacterId, version: u64) -> Result<(), StorageError> {
        on_connection!(self.writer(), dead_letters::forget_one(lease, character, version))
    }

    async fn create_account(&self, account: &AccountRow) -> Result<(), StorageError> {
        on_connection!(self.writer(), accounts::create_account(account))
    }

    async fn account(&self, folded: &str) -> Result<Option<AccountRow>, StorageError> {
        on_connection!(self.reader(), accounts::account(folded))
    }

    async fn account_of(&self, user: UserId) -> Result<Option<AccountRow>, StorageError> {
        on_connection!(self.reader(), accounts::account_of(user))
    }

    async fn accounts(&self, after: &str, max: u32) -> Result<Vec<AccountRow>, StorageError> {
        on_connection!(self.reader(), accounts::accounts(after, max))
    }

    async fn change_account(&self, user: UserId, change: &AccountChange, now_ms: i64) -> Result<bool, StorageError> {
        on_connection!(self.writer(), accounts::change_account(user, change, now_ms))
    }

    async fn departed_users(&self, before_ms: i64, max: u32) -> Result<Vec<UserId>, StorageError> {
        on_connection!(self.reader(), accounts::departed_users(before_ms, max))
    }

    async fn forget_departed(&self, user: UserId) -> Result<bool, StorageError> {
        on_connection!(self.writer(), accounts::forget_departed(user))
    }

    async fn replace_password_hash(&self, user: UserId, old: &str, new: &str) -> Result<bool, StorageError> {
        on_connection!(self.writer(), accounts::replace_password_hash(user, old, new))
    }

    async fn some_password_hash(&self, from: UserId) -> Result<Option<String>, StorageError> {
        on_connection!(self.reader(), accounts::some_password_hash(from))
    }

    async fn change_password(
        &self,
        user: UserId,
        password_hash: &str,
        kept: Option<SessionId>,
        now_ms: i64,
    ) -> Result<Option<Vec<SessionId>>, StorageError> {
        on_connection!(self.writer(), accounts::change_password(user, password_hash, kept, now_ms))
    }

    async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<UserId>, StorageError> {
        on_connection!(self.reader(), identities::identity(issuer, subject))
    }

    async fn identity_of(&self, user: UserId) -> Result<Option<(String, String)>, StorageError> {
        on_connection!(self.reader(), identities::identity_of(user))
    }

    async fn bind_account(&self, account: &AccountRow, issuer: &str, subject: &str) -> Result<bool, StorageError> {
        on_connection!(self.writer(), identities::bind_account(account, issuer, subject))
    }

    async fn claim_account(
        &self,
        user: UserId,
        claim: &Claim,
        kept: SessionId,
        now_ms: i64,
    ) -> Result<Option<Vec<SessionId>>, StorageError> {
        on_connection!(self.writer(), guests::claim_account(user, claim, kept, now_ms))
    }

    async fn purge_guests(
        &self,
        before_ms: i64,
        with_characters_before_ms: i64,
        max: u32,
    ) -> Result<Vec<UserId>, StorageError> {
        on_connection!(self.writer(), guests::purge_guests(before_ms, with_characters_before_ms, max))
    }

    async fn create_session(&self, session: &SessionRow, password_hash: &str) -> Result<bool, StorageError> {
        on_connection!(self.writer(), accounts::create_session(session, password_hash))
    }

    async fn sessions_of(&self, user: UserId, now_ms: i64, max: u32) -> Result<Vec<SessionRow>, StorageError> {
        on_connection!(self.reader(), accounts::sessions_of(user, now_ms, max))
    }

    async fn has_logged_in_from(&self, user: UserId, network: &str) -> Result<bool, StorageError> {
        on_connection!(self.reader(), accounts::has_logged_in_from(user, network))
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StorageError> {
        on_connection!(self.reader(), accounts::session(id))
    }

    async fn rotate_session(
        &self,
        id: SessionId,
        generation: i64,
        rotated_at_ms: i64,
        expires_at_ms: i64,
    ) -> Result<bool, StorageError> {
        on_connection!(self.writer(), accounts::rotate_session(id, generation, rotated_at_ms, expires_at_ms))
    }

    async fn revoke_session(&self, id: SessionId, revoked_at_ms: i64) -> Result<(), StorageError> {
        on_connection!(self.writer(), accounts::revoke_session(id, revoked_at_ms))
    }

    async fn revoke_sessions_of(&self, user: UserId, revoked_at_ms: i64) -> Result<u64, StorageError> {
        on_connection!(self.writer(), accounts::revoke_sessions_of(user, revoked_at_ms))
    }

    async fn revoke_oldest_sessions(
        &self,
        newest: &SessionRow,
        others_max: u32,
        revoked_at_ms: i64,
    ) -> Result<Vec<SessionId>, StorageError> {
        on_connection!(self.writer(), accounts::revoke_oldest_sessions(newest, others_max, revoked_at_ms))
    }

    async fn revoked_sessions(&self, since_ms: i64) -> Result<Vec<(SessionId, UserId)>, StorageError> {
        on_connection!(self.reader(), accounts::revoked_sessions(since_ms))
    }

    async fn expired_sessions(&self, before_ms: i64, max: u32) -> Result<Vec<SessionId>, StorageError> {
        on_connection!(self.reader(), accounts::expired_sessions(before_ms, max))
    }

    async fn forget_sessions(&self, sessions: &[SessionId]) -> Result<(), StorageError> {
        on_connection!(self.writer(), accounts::forget_sessions(sessions))
    }

    async fn keys(&self) -> Result<Vec<KeyRow>, StorageError> {
        on_connection!(self.reader(), accounts::keys())
    }

    async fn replace_keys(&self, before: &[KeyRow], after: &[KeyRow]) -> Result<bool, StorageError> {
        on_connection!(self.writer(), accounts::replace_keys(before, after))
    }

    async fn add_audit(&self, rows: &[AuditRow]) -> Result<(), StorageError> {
        on_connection!(self.writer(), audit::add(rows))
    }

    async fn audit(&self, max: u32) -> Result<Vec<AuditRow>, StorageError> {
        on_connection!(self.reader(), audit::newest(max))
    }

    async fn forget_audit(&self, before_ms: i64, max: u32) -> Result<u64, StorageError> {
        on_connection!(self.writer(), audit::forget(before_ms, max))
    }
}

#[cfg(test)]
mod tests {
    use castellan_protocol::{CharacterId, UserId};
    use uuid::Uuid;

    use super::*;

    /// SQLite ends the transaction by itself when the disk is full; the next save must not inherit what sqlx thinks.
    #[tokio::test]
    async fn a_full_disk_passes() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = StorageOptions::default();
        let storage = SqliteStorage::open(&folder.path().join("full.db"), &options).await.expect("opens");
        storage.migrate().await.expect("the tables");
        let lease = storage.take_over("test").await.expect("the shards")[0];
        let row = CharacterRow {
            id: CharacterId::from_uuid(Uuid::from_u128(1)),
            user: UserId::from_uuid(Uuid::from_u128(2)),
            shard: lease.shard,
            name: "Brannor".to_owned(),
            version: 1,
            recoveries: 0,
            schema_version: 1,
            state: format!("\"{}\"", "x".repeat(10_000_000)),
            request_ids: Vec::new(),
            created_at_ms: 0,
            updated_at_ms: 0,
            deleted_at_ms: None,
        };

        let mut writer = storage.connections.writer().await.expect("the writer");
        sqlx::query("PRAGMA max_page_count = 300").execute(&mut *writer).await.expect("a bound");
        writer.hand_back(Ok(())).await.expect("back to the pool");
        let full = storage.save(&[lease], std::slice::from_ref(&row)).await;
        assert!(matches!(full, Err(StorageError::Transient(_))), "{full:?}");
        // The bound was the connection's, and is gone with it.
        assert_eq!(storage.save(&[lease], &[row]).await.expect("saved"), []);
    }
}
