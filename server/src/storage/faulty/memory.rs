//! A database in memory that behaves like the real ones. For simulations; it keeps nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use castellan_protocol::{CharacterId, SessionId, UserId};
use parking_lot::Mutex;
use serde::de::IgnoredAny;

use crate::storage::columns::{covered, not_overtaken, signed};
use crate::storage::{
    AccountRow, CharacterRow, DeadLetter, KeyRow, Lease, SessionRow, ShardId, Storage, StorageError, VERSION_JUMP,
    Verdict,
};

/// The database. Its clones share the same data, like several servers on one database.
///
/// Every call is one step without threads, clocks or randomness, so a run over it can be repeated exactly.
#[derive(Clone, Default)]
pub struct MemoryStorage(Arc<Mutex<Tables>>);

struct Tables {
    leases: Vec<HeldLease>,
    characters: BTreeMap<CharacterId, CharacterRow>,
    dead_letters: BTreeMap<CharacterId, DeadLetter>,
    accounts: BTreeMap<UserId, AccountRow>,
    sessions: BTreeMap<SessionId, SessionRow>,
    keys: Vec<KeyRow>,
}

struct HeldLease {
    lease: Lease,
    released: bool,
    node: String,
}

impl HeldLease {
    fn take(&mut self, node: &str) -> Lease {
        self.lease.epoch += 1;
        self.lease.recoveries += i64::from(!self.released);
        self.released = false;
        self.node = node.to_owned();
        self.lease
    }
}

impl Default for Tables {
    fn default() -> Self {
        let born =
            |shard| HeldLease { lease: Lease { shard, epoch: 0, recoveries: 0 }, released: true, node: String::new() };
        Self {
            leases: ShardId::all().map(born).collect(),
            characters: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            accounts: BTreeMap::new(),
            sessions: BTreeMap::new(),
            keys: Vec::new(),
        }
    }
}

impl Tables {
    fn holds(&self, lease: &Lease) -> bool {
        let row = &self.leases[usize::from(lease.shard.number())];
        row.lease.epoch == lease.epoch && !row.released
    }

    fn check(&self, lease: &Lease) -> Result<(), StorageError> {
        if self.holds(lease) { Ok(()) } else { Err(StorageError::Fenced(lease.shard)) }
    }

    fn gone(&self, leases: &[Lease]) -> Vec<ShardId> {
        leases.iter().filter(|lease| !self.holds(lease)).map(|lease| lease.shard).collect()
    }

    fn write(&mut self, row: &CharacterRow) {
        match self.characters.get_mut(&row.id) {
            Some(stored) if stored.version >= row.version => {}
            Some(stored) => {
                let (user, shard, created_at_ms) = (stored.user, stored.shard, stored.created_at_ms);
                *stored = CharacterRow { user, shard, created_at_ms, ..row.clone() };
            }
            None => drop(self.characters.insert(row.id, row.clone())),
        }
    }

    /// The version of a character's row.
    fn stored(&self, id: CharacterId) -> Option<u64> {
        self.characters.get(&id).map(|row| row.version)
    }

    fn forget(&mut self, id: CharacterId, version: u64) {
        if self.dead_letters.get(&id).is_some_and(|letter| letter.row.version == version) {
            self.dead_letters.remove(&id);
        }
    }

    fn raise(&mut self, lease: Lease, user: UserId, id: CharacterId, version: u64) {
        if let Some(row) = self.characters.get_mut(&id) {
            let shown = row.version + lease.crashes_since(row.recoveries) * VERSION_JUMP;
            (row.version, row.recoveries) = (version.max(shown + VERSION_JUMP), lease.recoveries);
            return;
        }
        let deleted = CharacterRow {
            id,
            user,
            shard: lease.shard,
            name: String::new(),
            version,
            recoveries: lease.recoveries,
            schema_version: 1,
            state: "{}".to_owned(),
            request_ids: Vec::new(),
            created_at_ms: 0,
            updated_at_ms: 0,
            deleted_at_ms: Some(0),
        };
        self.characters.insert(id, deleted);
    }
}

/// Refuses rows that the real databases would refuse.
fn acceptable(row: &CharacterRow) -> Result<(), StorageError> {
    for number in row.request_ids.iter().chain([&row.version]) {
        signed(*number)?;
    }
    if row.version == 0 {
        return Err(StorageError::Refused("version is 0; it must be at least 1".to_owned()));
    }
    serde_json::from_str::<IgnoredAny>(&row.state)
        .map_err(|error| StorageError::Refused(format!("the state is not JSON: {error}")))?;
    Ok(())
}

impl MemoryStorage {
    /// An empty database with its tables.
    pub fn new() -> Self {
        Self::default()
    }

    /// A stored character, even a deleted one, no matter who holds its lease.
    pub fn character(&self, id: CharacterId) -> Option<CharacterRow> {
        self.0.lock().characters.get(&id).cloned()
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn migrate(&self) -> Result<(), StorageError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), StorageError> {
        Ok(())
    }

    async fn take_over(&self, node: &str) -> Result<Vec<Lease>, StorageError> {
        Ok(self.0.lock().leases.iter_mut().map(|row| row.take(node)).collect())
    }

    async fn take_again(&self, node: &str, shards: &[ShardId]) -> Result<Vec<Lease>, StorageError> {
        let mut tables = self.0.lock();
        let free = |row: &&mut HeldLease| shards.contains(&row.lease.shard) && (row.released || row.node == node);
        Ok(tables.leases.iter_mut().filter(free).map(|row| row.take(node)).collect())
    }

    async fn lost(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
        self.prove(leases).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StorageError> {
        let mut tables = self.0.lock();
        for lease in leases {
            if tables.holds(lease) {
                tables.leases[usize::from(lease.shard.number())].released = true;
            }
        }
        Ok(())
    }

    async fn prove(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
        Ok(self.0.lock().gone(leases))
    }

    async fn load_user(&self, lease: Lease, user: UserId) -> Result<Vec<CharacterRow>, StorageError> {
        let tables = self.0.lock();
        tables.check(&lease)?;
        let mine = |row: &&CharacterRow| row.user == user && row.deleted_at_ms.is_none();
        let mut rows: Vec<CharacterRow> = tables.characters.values().filter(mine).cloned().collect();
        rows.sort_by_key(|row| (row.created_at_ms, row.id));
        Ok(rows)
    }

    async fn save(&self, leases: &[Lease], rows: &[CharacterRow]) -> Result<Vec<ShardId>, StorageError> {
        covered(leases, rows)?;
        let mut tables = self.0.lock();
        let held: Vec<ShardId> = leases.iter().filter(|lease| tables.holds(lease)).map(|lease| lease.shard).collect();
        let rows: Vec<&CharacterRow> = rows.iter().filter(|row| held.contains(&row.shard)).collect();
        rows.iter().try_for_each(|row| acceptable(row))?;
        rows.into_iter().for_each(|row| tables.write(row));
        Ok(tables.gone(leases))
    }

    async fn add_dead_letter(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        let mut tables = self.0.lock();
        tables.check(&lease)?;
        let id = letter.row.id;
        let mut letter = DeadLetter { stored: None, ..letter.clone() };
        if let Some(before) = tables.dead_letters.get(&id) {
            if before.row.version > letter.row.version {
                return Ok(());
            }
            if tables.stored(id) < Some(before.row.version) {
                letter.verdict = before.verdict;
            }
        }
        tables.dead_letters.insert(id, letter);
        Ok(())
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StorageError> {
        let tables = self.0.lock();
        let found = |letter: &DeadLetter| DeadLetter { stored: tables.stored(letter.row.id), ..letter.clone() };
        let mut letters: Vec<DeadLetter> = tables.dead_letters.values().map(found).collect();
        letters.sort_by_key(|letter| (letter.failed_at_ms, letter.row.id));
        Ok(letters)
    }

    async fn decide_dead_letter(&self, character: CharacterId, verdict: Verdict) -> Result<bool, StorageError> {
        let mut tables = self.0.lock();
        let letter = tables.dead_letters.get_mut(&character);
        Ok(letter.map(|letter| letter.verdict = Some(verdict)).is_some())
    }

    async fn reject_decision(&self, lease: Lease, letter: &DeadLetter, error: &str) -> Result<(), StorageError> {
        let mut tables = self.0.lock();
        tables.check(&lease)?;
        let same = |kept: &&mut DeadLetter| kept.row.version == letter.row.version && kept.verdict == letter.verdict;
        if let Some(kept) = tables.dead_letters.get_mut(&letter.row.id).filter(same) {
            (kept.verdict, kept.error, kept.attempts) = (None, error.to_owned(), kept.attempts + 1);
        }
        Ok(())
    }

    async fn retry_dead_letter(&self, lease: Lease, row: &CharacterRow, version: u64) -> Result<(), StorageError> {
        let mut tables = self.0.lock();
        tables.check(&lease)?;
        acceptable(row)?;
        not_overtaken(row, tables.stored(row.id))?;
        tables.write(row);
        tables.raise(lease, row.user, row.id, version);
        tables.forget(row.id, row.version);
        Ok(())
    }

    async fn discard_dead_letter(
        &self,
        lease: Lease,
        user: UserId,
        character: CharacterId,
        letter: Option<u64>,
        version: u64,
    ) -> Result<(), StorageError> {
        let mut tables = self.0.lock();
        tables.check(&lease)?;
        tables.raise(lease, user, character, version);
        if let Some(letter) = letter {
            tables.forget(character, letter);
        }
        Ok(())
    }

    async fn forget_dead_letter(&self, lease: Lease, character: CharacterId, version: u64) -> Result<(), StorageError> {
        let mut tables = self.0.lock();
        tables.check(&lease)?;
        tables.forget(character, version);
        Ok(())
    }

    async fn create_account(&self, account: &AccountRow) -> Result<(), StorageError> {
        let mut tables = self.0.lock();
        let name = account.username.to_lowercase();
        let taken = |other: &AccountRow| other.user != account.user && other.username.to_lowercase() == name;
        if tables.accounts.values().any(taken) {
            return Err(StorageError::AlreadyExists);
        }
        tables.accounts.entry(account.user).or_insert_with(|| account.clone());
        Ok(())
    }

    async fn account(&self, username: &str) -> Result<Option<AccountRow>, StorageError> {
        let name = username.to_lowercase();
        Ok(self.0.lock().accounts.values().find(|account| account.username.to_lowercase() == name).cloned())
    }

    async fn account_of(&self, user: UserId) -> Result<Option<AccountRow>, StorageError> {
        Ok(self.0.lock().accounts.get(&user).cloned())
    }

    async fn create_session(&self, session: &SessionRow) -> Result<(), StorageError> {
        self.0.lock().sessions.entry(session.id).or_insert_with(|| session.clone());
        Ok(())
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StorageError> {
        Ok(self.0.lock().sessions.get(&id).cloned())
    }

    async fn rotate_session(
        &self,
        id: SessionId,
        generation: i64,
        rotated_at_ms: i64,
        expires_at_ms: i64,
    ) -> Result<bool, StorageError> {
        let mut tables = self.0.lock();
        let current = |session: &&mut SessionRow| session.generation == generation && session.revoked_at_ms.is_none();
        let session = tables.sessions.get_mut(&id).filter(current);
        Ok(session
            .map(|session| {
                *session = SessionRow { generation: generation + 1, rotated_at_ms, expires_at_ms, ..session.clone() };
            })
            .is_some())
    }

    async fn revoke_session(&self, id: SessionId, revoked_at_ms: i64) -> Result<(), StorageError> {
        if let Some(session) = self.0.lock().sessions.get_mut(&id) {
            session.revoked_at_ms.get_or_insert(revoked_at_ms);
        }
        Ok(())
    }

    async fn revoked_sessions(&self, since_ms: i64) -> Result<Vec<SessionId>, StorageError> {
        let tables = self.0.lock();
        let revoked = tables.sessions.values().filter(|row| row.revoked_at_ms.is_some_and(|at_ms| at_ms >= since_ms));
        Ok(revoked.map(|session| session.id).collect())
    }

    async fn expired_sessions(&self, before_ms: i64, max: u32) -> Result<Vec<SessionId>, StorageError> {
        let tables = self.0.lock();
        let expired = tables.sessions.values().filter(|row| row.expires_at_ms < before_ms);
        Ok(expired.map(|session| session.id).take(max as usize).collect())
    }

    async fn forget_sessions(&self, sessions: &[SessionId]) -> Result<(), StorageError> {
        self.0.lock().sessions.retain(|id, _| !sessions.contains(id));
        Ok(())
    }

    async fn keys(&self) -> Result<Vec<KeyRow>, StorageError> {
        let mut keys = self.0.lock().keys.clone();
        keys.sort_by(|one, other| (one.created_at_ms, &one.id).cmp(&(other.created_at_ms, &other.id)));
        Ok(keys)
    }

    async fn add_first_key(&self, key: &KeyRow) -> Result<(), StorageError> {
        let mut tables = self.0.lock();
        if tables.keys.iter().all(|other| other.purpose != key.purpose) {
            tables.keys.push(key.clone());
        }
        Ok(())
    }
}
