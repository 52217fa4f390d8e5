//! A database in memory that behaves like the real ones. For simulations; it keeps nothing.

mod controls;
mod membership;
mod transactions;

use std::sync::Arc;

use async_trait::async_trait;
use castellan_protocol::{CharacterId, SessionId, UserId};
use parking_lot::Mutex;
use tokio::sync::watch;

use self::transactions::proven;
use super::replication::{Lock, Primary, Purpose};
use super::tables::Tables;
use crate::storage::{
    AccountChange, AccountRow, AuditRow, BooksRow, CharacterRow, Claim, DeadLetter, KeyRow, Lease, Membership, Origin,
    SessionRow, ShardId, Storage, StorageError, Verdict,
};

/// The database. Its clones share the same data, like several servers on one database.
///
/// While its standby is there, every call is one step without threads or randomness, and its only clock is tokio's, so a
/// run over it can be repeated exactly. While the standby is away, commits wait for it.
#[derive(Clone, Default)]
pub struct MemoryStorage(Arc<Database>);

#[derive(Default)]
struct Database {
    primary: Mutex<Primary>,
    /// Wakes the calls that wait for a lock or for the standby.
    changes: watch::Sender<()>,
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn migrate(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn membership(&self) -> Option<&dyn Membership> {
        Some(self)
    }

    async fn ping(&self) -> Result<(), StorageError> {
        Ok(())
    }

    async fn take_over(&self, node: &str) -> Result<Vec<Lease>, StorageError> {
        let (node, locks) = (node.to_owned(), |_: &Tables| ShardId::all().map(Lock::Takes).collect());
        self.transact(Purpose::TakeOver, locks, move |tables| tables.take_over(&node)).await
    }

    async fn take_again(&self, node: &str, shards: &[ShardId]) -> Result<Vec<Lease>, StorageError> {
        let locks = |_: &Tables| shards.iter().copied().map(Lock::Takes).collect();
        let (node, shards) = (node.to_owned(), shards.to_vec());
        self.transact(Purpose::TakeOver, locks, move |tables| tables.take_again(&node, &shards)).await
    }

    async fn lost(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
        let leases = leases.to_vec();
        self.look_up(move |tables| tables.gone(&leases)).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StorageError> {
        let locks = |_: &Tables| leases.iter().map(|lease| Lock::Takes(lease.shard)).collect();
        let leases = leases.to_vec();
        self.write(locks, move |tables| {
            tables.release(&leases);
            Ok(())
        })
        .await
    }

    async fn prove(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
        let proven = leases.to_vec();
        self.transact(Purpose::Read, |tables| Lock::held(tables, leases), move |tables| Ok(tables.gone(&proven))).await
    }

    async fn recognise(&self, _now_ms: i64) -> Result<Origin, StorageError> {
        Ok(Origin::default())
    }

    async fn restored(&self, now_ms: i64) -> Result<u64, StorageError> {
        let locks = |_: &Tables| ShardId::all().map(Lock::Takes).collect();
        self.transact(Purpose::TakeOver, locks, move |tables| Ok(tables.restored(now_ms))).await
    }

    async fn load(&self, lease: Lease, users: &[UserId]) -> Result<Vec<CharacterRow>, StorageError> {
        let users = users.to_vec();
        self.transact(Purpose::Read, |tables| Lock::held(tables, &[lease]), move |tables| tables.load(lease, &users))
            .await
    }

    async fn save(&self, leases: &[Lease], rows: &[CharacterRow]) -> Result<Vec<ShardId>, StorageError> {
        let locks = |tables: &Tables| {
            let gone = tables.gone(leases);
            let written = rows.iter().filter(|row| !gone.contains(&row.shard)).map(|row| Lock::Character(row.id));
            Lock::held(tables, leases).into_iter().chain(written).collect()
        };
        let (leases, rows) = (leases.to_vec(), rows.to_vec());
        self.write(locks, move |tables| tables.save(&leases, &rows)).await
    }

    async fn books(&self, characters: &[CharacterId]) -> Result<Vec<BooksRow>, StorageError> {
        let characters = characters.to_vec();
        self.look_up(move |tables| tables.books(&characters)).await
    }

    async fn traders(
        &self,
        shards: &[ShardId],
        after: Option<CharacterId>,
        max: u32,
    ) -> Result<Vec<BooksRow>, StorageError> {
        let shards = shards.to_vec();
        self.look_up(move |tables| tables.traders(&shards, after, max)).await
    }

    async fn purge_characters(&self, leases: &[Lease], before_ms: i64, max: u32) -> Result<u64, StorageError> {
        let locks = |tables: &Tables| {
            let purged = tables.purgeable(leases, before_ms, max).into_iter().map(Lock::Character);
            Lock::held(tables, leases).into_iter().chain(purged).collect()
        };
        let leases = leases.to_vec();
        self.write(locks, move |tables| Ok(tables.purge_characters(&leases, before_ms, max))).await
    }

    async fn add_dead_letter(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        let (character, letter) = (letter.row.id, letter.clone());
        self.write(
            |tables| proven(tables, lease, &[Lock::Letter(character)]),
            move |tables| tables.add_dead_letter(lease, &letter),
        )
        .await
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StorageError> {
        self.look_up(Tables::dead_letters).await
    }

    async fn decide_dead_letter(&self, character: CharacterId, verdict: Verdict) -> Result<bool, StorageError> {
        let locks = |tables: &Tables| {
            tables.dead_letters.contains_key(&character).then_some(Lock::Letter(character)).into_iter().collect()
        };
        self.transact(Purpose::LookUp, locks, move |tables| Ok(tables.decide_dead_letter(character, verdict))).await
    }

    async fn reject_decision(&self, lease: Lease, letter: &DeadLetter, error: &str) -> Result<(), StorageError> {
        let (letter, error) = (letter.clone(), error.to_owned());
        self.write(|tables| proven(tables, lease, &[Lock::Letter(letter.row.id)]), {
            let letter = letter.clone();
            move |tables| tables.reject_decision(lease, &letter, &error)
        })
        .await
    }

    async fn retry_dead_letter(&self, lease: Lease, row: &CharacterRow, version: u64) -> Result<(), StorageError> {
        let row = row.clone();
        let written = [Lock::Character(row.id), Lock::Letter(row.id)];
        self.write(
            |tables| proven(tables, lease, &written),
            move |tables| tables.retry_dead_letter(lease, &row, version),
        )
        .await
    }

    async fn discard_dead_letter(
        &self,
        lease: Lease,
        user: UserId,
        character: CharacterId,
        letter: Option<u64>,
        version: u64,
    ) -> Result<(), StorageError> {
        self.write(
            |tables| proven(tables, lease, &[Lock::Character(character), Lock::Letter(character)]),
            move |tables| tables.discard_dead_letter(lease, user, character, letter, version),
        )
        .await
    }

    async fn forget_dead_letter(&self, lease: Lease, character: CharacterId, version: u64) -> Result<(), StorageError> {
        self.write(
            |tables| proven(tables, lease, &[Lock::Letter(character)]),
            move |tables| tables.forget_dead_letter(lease, character, version),
        )
        .await
    }

    async fn create_account(&self, account: &AccountRow) -> Result<(), StorageError> {
        let account = account.clone();
        self.book(move |tables| tables.create_account(&account)).await
    }

    async fn account(&self, folded: &str) -> Result<Option<AccountRow>, StorageError> {
        let folded = folded.to_owned();
        self.look_up(move |tables| tables.accounts.values().find(|account| account.folded == folded).cloned()).await
    }

    async fn account_of(&self, user: UserId) -> Result<Option<AccountRow>, StorageError> {
        self.look_up(move |tables| tables.accounts.get(&user).cloned()).await
    }

    async fn accounts(&self, after: &str, max: u32) -> Result<Vec<AccountRow>, StorageError> {
        let after = after.to_owned();
        self.look_up(move |tables| tables.accounts_after(&after, max)).await
    }

    async fn change_account(&self, user: UserId, change: &AccountChange, now_ms: i64) -> Result<bool, StorageError> {
        let change = change.clone();
        self.book(move |tables| Ok(tables.change_account(user, &change, now_ms))).await
    }

    async fn departed_users(&self, before_ms: i64, max: u32) -> Result<Vec<UserId>, StorageError> {
        self.look_up(move |tables| {
            let departed = tables.departed.iter().filter(|(_, at_ms)| **at_ms < before_ms);
            departed.map(|(user, _)| *user).take(max as usize).collect()
        })
        .await
    }

    async fn forget_departed(&self, user: UserId) -> Result<bool, StorageError> {
        self.book(move |tables| {
            let lives = |row: &CharacterRow| row.user == user && row.deleted_at_ms.is_none();
            Ok(!tables.characters.values().any(lives) && tables.departed.remove(&user).is_some())
        })
        .await
    }

    async fn replace_password_hash(&self, user: UserId, old: &str, new: &str) -> Result<bool, StorageError> {
        let (old, new) = (old.to_owned(), new.to_owned());
        self.book(move |tables| {
            let account = tables.accounts.get_mut(&user).filter(|account| account.password_hash == old);
            Ok(account.map(|account| account.password_hash.clone_from(&new)).is_some())
        })
        .await
    }

    async fn some_password_hash(&self, from: UserId) -> Result<Option<String>, StorageError> {
        self.look_up(move |tables| {
            let found = tables.accounts.range(from..).chain(&tables.accounts).next();
            found.map(|(_, account)| account.password_hash.clone())
        })
        .await
    }

    async fn change_password(
        &self,
        user: UserId,
        password_hash: &str,
        kept: Option<SessionId>,
        now_ms: i64,
    ) -> Result<Option<Vec<SessionId>>, StorageError> {
        let password_hash = password_hash.to_owned();
        self.book(move |tables| {
            let Some(account) = tables.accounts.get_mut(&user) else { return Ok(None) };
            account.password_hash.clone_from(&password_hash);
            Ok(Some(tables.revoke_sessions_of(user, kept, now_ms)))
        })
        .await
    }

    async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<UserId>, StorageError> {
        let identity = (issuer.to_owned(), subject.to_owned());
        self.look_up(move |tables| tables.identities.get(&identity).copied()).await
    }

    async fn identity_of(&self, user: UserId) -> Result<Option<(String, String)>, StorageError> {
        self.look_up(move |tables| {
            let mut identities = tables.identities.iter();
            identities.find(|(_, bound)| **bound == user).map(|(identity, _)| identity.clone())
        })
        .await
    }

    async fn bind_account(&self, account: &AccountRow, issuer: &str, subject: &str) -> Result<bool, StorageError> {
        let (account, identity) = (account.clone(), (issuer.to_owned(), subject.to_owned()));
        self.book(move |tables| {
            if tables.identities.contains_key(&identity) {
                return Ok(false);
            }
            tables.create_account(&account)?;
            tables.identities.insert(identity.clone(), account.user);
            Ok(true)
        })
        .await
    }

    async fn claim_account(
        &self,
        user: UserId,
        claim: &Claim,
        kept: SessionId,
        now_ms: i64,
    ) -> Result<Option<Vec<SessionId>>, StorageError> {
        let claim = claim.clone();
        self.book(move |tables| tables.claim_account(user, &claim, kept, now_ms)).await
    }

    async fn purge_guests(
        &self,
        before_ms: i64,
        with_characters_before_ms: i64,
        max: u32,
    ) -> Result<Vec<UserId>, StorageError> {
        self.book(move |tables| Ok(tables.purge_guests(before_ms, with_characters_before_ms, max))).await
    }

    async fn create_session(&self, session: &SessionRow, password_hash: &str) -> Result<bool, StorageError> {
        let (session, password_hash) = (session.clone(), password_hash.to_owned());
        self.book(move |tables| Ok(tables.create_session(&session, &password_hash))).await
    }

    async fn sessions_of(&self, user: UserId, now_ms: i64, max: u32) -> Result<Vec<SessionRow>, StorageError> {
        self.look_up(move |tables| {
            let lives =
                |row: &&SessionRow| row.user == user && row.expires_at_ms > now_ms && row.revoked_at_ms.is_none();
            let mut rows: Vec<_> = tables.sessions.values().filter(lives).cloned().collect();
            rows.sort_by_key(|row| (std::cmp::Reverse(row.rotated_at_ms), row.id));
            rows.truncate(max as usize);
            rows
        })
        .await
    }

    async fn has_logged_in_from(&self, user: UserId, network: &str) -> Result<bool, StorageError> {
        let network = network.to_owned();
        self.look_up(move |tables| {
            tables.sessions.values().any(|row| row.user == user && row.network.as_deref() == Some(&network))
        })
        .await
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StorageError> {
        self.look_up(move |tables| tables.sessions.get(&id).cloned()).await
    }

    async fn rotate_session(
        &self,
        id: SessionId,
        generation: i64,
        rotated_at_ms: i64,
        expires_at_ms: i64,
    ) -> Result<bool, StorageError> {
        self.book(move |tables| Ok(tables.rotate_session(id, generation, rotated_at_ms, expires_at_ms))).await
    }

    async fn revoke_session(&self, id: SessionId, revoked_at_ms: i64) -> Result<(), StorageError> {
        self.book(move |tables| {
            if let Some(session) = tables.sessions.get_mut(&id) {
                session.revoked_at_ms.get_or_insert(revoked_at_ms);
            }
            Ok(())
        })
        .await
    }

    async fn revoke_sessions_of(&self, user: UserId, revoked_at_ms: i64) -> Result<u64, StorageError> {
        self.book(move |tables| Ok(tables.revoke_sessions_of(user, None, revoked_at_ms).len() as u64)).await
    }

    async fn revoke_oldest_sessions(
        &self,
        newest: &SessionRow,
        others_max: u32,
        revoked_at_ms: i64,
    ) -> Result<Vec<SessionId>, StorageError> {
        let newest = newest.clone();
        self.book(move |tables| Ok(tables.revoke_oldest_sessions(&newest, others_max, revoked_at_ms))).await
    }

    async fn revoked_sessions(&self, since_ms: i64) -> Result<Vec<(SessionId, UserId)>, StorageError> {
        self.look_up(move |tables| {
            let revoked =
                tables.sessions.values().filter(|row| row.revoked_at_ms.is_some_and(|at_ms| at_ms >= since_ms));
            revoked.map(|session| (session.id, session.user)).collect()
        })
        .await
    }

    async fn expired_sessions(&self, before_ms: i64, max: u32) -> Result<Vec<SessionId>, StorageError> {
        self.look_up(move |tables| {
            let is_over =
                |row: &&SessionRow| row.expires_at_ms < before_ms || row.revoked_at_ms.is_some_and(|ms| ms < before_ms);
            let expired = tables.sessions.values().filter(is_over);
            expired.map(|session| session.id).take(max as usize).collect()
        })
        .await
    }

    async fn forget_sessions(&self, sessions: &[SessionId]) -> Result<(), StorageError> {
        let forgotten = sessions.to_vec();
        self.book(move |tables| {
            tables.forget_sessions(&forgotten);
            Ok(())
        })
        .await
    }

    async fn keys(&self) -> Result<Vec<KeyRow>, StorageError> {
        self.look_up(Tables::keys).await
    }

    async fn replace_keys(&self, before: &[KeyRow], after: &[KeyRow]) -> Result<bool, StorageError> {
        let (before, after) = (before.to_vec(), after.to_vec());
        self.book(move |tables| Ok(tables.replace_keys(&before, &after))).await
    }

    async fn add_audit(&self, rows: &[AuditRow]) -> Result<(), StorageError> {
        let rows = rows.to_vec();
        self.book(move |tables| {
            tables.audit.extend(rows.iter().map(|row| ((row.at_ms, row.id), row.clone())));
            Ok(())
        })
        .await
    }

    async fn audit(&self, max: u32) -> Result<Vec<AuditRow>, StorageError> {
        self.look_up(move |tables| tables.audit.values().rev().take(max as usize).cloned().collect()).await
    }

    async fn forget_audit(&self, before_ms: i64, max: u32) -> Result<u64, StorageError> {
        self.book(move |tables| {
            let old = tables.audit.keys().copied().take_while(|(at_ms, _)| *at_ms < before_ms).take(max as usize);
            let old: Vec<_> = old.collect();
            old.iter().for_each(|key| drop(tables.audit.remove(key)));
            Ok(old.len() as u64)
        })
        .await
    }
}

#[cfg(test)]
mod tests;
