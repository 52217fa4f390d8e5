//! PostgreSQL: the database for more than one server.

mod accounts;
mod agreed;
mod audit;
mod books;
mod characters;
mod checks;
mod commits;
mod connection;
mod dead_letters;
mod guests;
mod hints;
mod hosts;
mod identities;
mod leases;
mod migrations;
mod nodes;
mod origin;
mod owners;
mod url;

use std::time::Duration;

use async_trait::async_trait;
use castellan_protocol::{CharacterId, SessionId, UserId};

use self::connection::Connections;
use super::{
    AccountChange, AccountRow, AuditRow, BooksRow, CharacterRow, Claim, DeadLetter, Examination, Hint, KeyRow, Lease,
    Look, Membership, Origin, SessionRow, ShardId, Storage, StorageError, StorageOptions, Verdict,
};

pub(super) use self::url::check as check_url;

/// The PostgreSQL implementation of [`Storage`].
pub(super) struct PostgresStorage {
    connections: Connections,
}

impl PostgresStorage {
    /// Prepares connections to `url`; opens none.
    pub(super) fn open(url: &str, options: &StorageOptions) -> Result<Self, StorageError> {
        Ok(Self { connections: Connections::new(url, options)? })
    }
}

/// Runs one call on its own connection within the time limit, then hands the connection back.
///
/// For calls that write or lock on every success. If PostgreSQL warned of their commit, it is confirmed.
macro_rules! on_connection {
    ($self:ident, $room:ident :: $call:ident ($($argument:expr),*)) => {
        on_connection!(false, $self, $room::$call($($argument),*))
    };
    ($looks:literal, $self:ident, $room:ident :: $call:ident ($($argument:expr),*)) => {{
        let mut connection = $self.connections.acquire().await?;
        let call = async {
            let (outcome, warned) = commits::listen($room::$call(&mut connection $(, $argument)*)).await;
            // A primary that was replaced knows only older leases, so a lost lease is confirmed too.
            let is_unsure = match &outcome {
                Ok(_) => $looks || warned,
                Err(error) => matches!(error, StorageError::Fenced(_)),
            };
            if is_unsure {
                commits::confirm(&mut connection).await?;
            }
            outcome
        };
        let outcome = $self.connections.bounded(call).await;
        connection.hand_back(&$self.connections, outcome).await
    }};
}

/// Runs a call that may have found everything as it should be without writing: what it saw is confirmed.
macro_rules! look_up {
    ($self:ident, $($call:tt)*) => {
        on_connection!(true, $self, $($call)*)
    };
}

// Below the macros, which it uses.
mod membership;

#[async_trait]
impl Storage for PostgresStorage {
    fn membership(&self) -> Option<&dyn Membership> {
        Some(self)
    }

    async fn replica_lag(&self) -> Result<Option<Duration>, StorageError> {
        on_connection!(self, checks::replica_lag())
    }

    async fn examine(&self) -> Result<Examination, StorageError> {
        on_connection!(self, checks::examine())
    }

    fn migrations(&self) -> Vec<i64> {
        migrations::migrator().iter().map(|migration| migration.version).collect()
    }

    async fn hints(&self, hear: &(dyn Fn(Hint) + Send + Sync)) {
        hints::follow(self.connections.hosts(), hear).await;
    }

    async fn migrate(&self) -> Result<(), StorageError> {
        self.connections.migrate().await
    }

    async fn ping(&self) -> Result<(), StorageError> {
        on_connection!(self, connection::ping())
    }

    async fn take_over(&self, node: &str) -> Result<Vec<Lease>, StorageError> {
        on_connection!(self, leases::take_over(node))
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StorageError> {
        on_connection!(self, leases::release(leases))
    }

    async fn take_again(&self, node: &str, shards: &[ShardId]) -> Result<Vec<Lease>, StorageError> {
        look_up!(self, leases::take_again(node, shards))
    }

    async fn lost(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
        look_up!(self, leases::lost(leases))
    }

    async fn prove(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
        on_connection!(self, leases::prove(leases))
    }

    async fn recognise(&self, now_ms: i64) -> Result<Origin, StorageError> {
        look_up!(self, origin::recognise(now_ms))
    }

    async fn restored(&self, now_ms: i64) -> Result<u64, StorageError> {
        on_connection!(self, origin::restored(now_ms))
    }

    async fn load(&self, lease: Lease, users: &[UserId]) -> Result<Vec<CharacterRow>, StorageError> {
        on_connection!(self, characters::load(lease, users))
    }

    async fn save(&self, leases: &[Lease], rows: &[CharacterRow]) -> Result<Vec<ShardId>, StorageError> {
        on_connection!(self, characters::save(leases, rows))
    }

    async fn books(&self, characters: &[CharacterId]) -> Result<Vec<BooksRow>, StorageError> {
        look_up!(self, books::books(characters))
    }

    async fn traders(
        &self,
        shards: &[ShardId],
        after: Option<CharacterId>,
        max: u32,
    ) -> Result<Vec<BooksRow>, StorageError> {
        look_up!(self, books::traders(shards, after, max))
    }

    async fn hint_books(&self, looks: &[Look]) -> Result<(), StorageError> {
        on_connection!(self, books::hint(looks))
    }

    async fn purge_characters(&self, leases: &[Lease], before_ms: i64, max: u32) -> Result<u64, StorageError> {
        on_connection!(self, characters::purge(leases, before_ms, max))
    }

    async fn add_dead_letter(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        on_connection!(self, dead_letters::add(lease, letter))
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StorageError> {
        look_up!(self, dead_letters::all())
    }

    async fn decide_dead_letter(&self, character: CharacterId, verdict: Verdict) -> Result<bool, StorageError> {
        look_up!(self, dead_letters::decide(character, verdict))
    }

    async fn reject_decision(&self, lease: Lease, letter: &DeadLetter, error: &str) -> Result<(), StorageError> {
        on_connection!(self, dead_letters::reject(lease, letter, error))
    }

    async fn retry_dead_letter(&self, lease: Lease, row: &CharacterRow, version: u64) -> Result<(), StorageError> {
        on_connection!(self, dead_letters::retry(lease, row, version))
    }

    async fn discard_dead_letter(
        &self,
        lease: Lease,
        user: UserId,
        character: CharacterId,
        letter: Option<u64>,
        version: u64,
    ) -> Result<(), StorageError> {
        on_connection!(self, dead_letters::discard(lease, user, character, letter, version))
    }

    async fn forget_dead_letter(&self, lease: Lease, character: CharacterId, version: u64) -> Result<(), StorageError> {
        on_connection!(self, dead_letters::forget_one(lease, character, version))
    }

    async fn create_account(&self, account: &AccountRow) -> Result<(), StorageError> {
        look_up!(self, accounts::create_account(account))
    }

    async fn account(&self, folded: &str) -> Result<Option<AccountRow>, StorageError> {
        look_up!(self, accounts::account(folded))
    }

    async fn account_of(&self, user: UserId) -> Result<Option<AccountRow>, StorageError> {
        look_up!(self, accounts::account_of(user))
    }

    async fn accounts(&self, after: &str, max: u32) -> Result<Vec<AccountRow>, StorageError> {
        look_up!(self, accounts::accounts(after, max))
    }

    async fn change_account(&self, user: UserId, change: &AccountChange, now_ms: i64) -> Result<bool, StorageError> {
        look_up!(self, accounts::change_account(user, change, now_ms))
    }

    async fn departed_users(&self, before_ms: i64, max: u32) -> Result<Vec<UserId>, StorageError> {
        look_up!(self, accounts::departed_users(before_ms, max))
    }

    async fn forget_departed(&self, user: UserId) -> Result<bool, StorageError> {
        look_up!(self, accounts::forget_departed(user))
    }

    async fn replace_password_hash(&self, user: UserId, old: &str, new: &str) -> Result<bool, StorageError> {
        look_up!(self, accounts::replace_password_hash(user, old, new))
    }

    async fn some_password_hash(&self, from: UserId) -> Result<Option<String>, StorageError> {
        on_connection!(self, accounts::some_password_hash(from))
    }

    async fn change_password(
        &self,
        user: UserId,
        password_hash: &str,
        kept: Option<SessionId>,
        now_ms: i64,
    ) -> Result<Option<Vec<SessionId>>, StorageError> {
        look_up!(self, accounts::change_password(user, password_hash, kept, now_ms))
    }

    async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<UserId>, StorageError> {
        look_up!(self, identities::identity(issuer, subject))
    }

    async fn identity_of(&self, user: UserId) -> Result<Option<(String, String)>, StorageError> {
        look_up!(self, identities::identity_of(user))
    }

    async fn bind_account(&self, account: &AccountRow, issuer: &str, subject: &str) -> Result<bool, StorageError> {
        look_up!(self, identities::bind_account(account, issuer, subject))
    }

    async fn claim_account(
        &self,
        user: UserId,
        claim: &Claim,
        kept: SessionId,
        now_ms: i64,
    ) -> Result<Option<Vec<SessionId>>, StorageError> {
        look_up!(self, guests::claim_account(user, claim, kept, now_ms))
    }

    async fn purge_guests(
        &self,
        before_ms: i64,
        with_characters_before_ms: i64,
        max: u32,
    ) -> Result<Vec<UserId>, StorageError> {
        look_up!(self, guests::purge_guests(before_ms, with_characters_before_ms, max))
    }

    async fn create_session(&self, session: &SessionRow, password_hash: &str) -> Result<bool, StorageError> {
        look_up!(self, accounts::create_session(session, password_hash))
    }

    async fn sessions_of(&self, user: UserId, now_ms: i64, max: u32) -> Result<Vec<SessionRow>, StorageError> {
        look_up!(self, accounts::sessions_of(user, now_ms, max))
    }

    async fn has_logged_in_from(&self, user: UserId, network: &str) -> Result<bool, StorageError> {
        on_connection!(self, accounts::has_logged_in_from(user, network))
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StorageError> {
        look_up!(self, accounts::session(id))
    }

    async fn rotate_session(
        &self,
        id: SessionId,
        generation: i64,
        rotated_at_ms: i64,
        expires_at_ms: i64,
    ) -> Result<bool, StorageError> {
        look_up!(self, accounts::rotate_session(id, generation, rotated_at_ms, expires_at_ms))
    }

    async fn revoke_session(&self, id: SessionId, revoked_at_ms: i64) -> Result<(), StorageError> {
        look_up!(self, accounts::revoke_session(id, revoked_at_ms))
    }

    async fn revoke_sessions_of(&self, user: UserId, revoked_at_ms: i64) -> Result<u64, StorageError> {
        look_up!(self, accounts::revoke_sessions_of(user, revoked_at_ms))
    }

    async fn revoke_oldest_sessions(
        &self,
        newest: &SessionRow,
        others_max: u32,
        revoked_at_ms: i64,
    ) -> Result<Vec<SessionId>, StorageError> {
        look_up!(self, accounts::revoke_oldest_sessions(newest, others_max, revoked_at_ms))
    }

    async fn revoked_sessions(&self, since_ms: i64) -> Result<Vec<(SessionId, UserId)>, StorageError> {
        look_up!(self, accounts::revoked_sessions(since_ms))
    }

    async fn expired_sessions(&self, before_ms: i64, max: u32) -> Result<Vec<SessionId>, StorageError> {
        look_up!(self, accounts::expired_sessions(before_ms, max))
    }

    async fn forget_sessions(&self, sessions: &[SessionId]) -> Result<(), StorageError> {
        look_up!(self, accounts::forget_sessions(sessions))
    }

    async fn keys(&self) -> Result<Vec<KeyRow>, StorageError> {
        look_up!(self, accounts::keys())
    }

    async fn replace_keys(&self, before: &[KeyRow], after: &[KeyRow]) -> Result<bool, StorageError> {
        look_up!(self, accounts::replace_keys(before, after))
    }

    async fn add_audit(&self, rows: &[AuditRow]) -> Result<(), StorageError> {
        look_up!(self, audit::add(rows))
    }

    async fn audit(&self, max: u32) -> Result<Vec<AuditRow>, StorageError> {
        look_up!(self, audit::newest(max))
    }

    async fn forget_audit(&self, before_ms: i64, max: u32) -> Result<u64, StorageError> {
        look_up!(self, audit::forget(before_ms, max))
    }
}
