//! The rows of a database in memory, and what each call does to them.

mod books;
mod members;

use std::collections::{BTreeMap, BTreeSet};

use castellan_protocol::{CharacterId, SessionId, UserId};
use serde::de::IgnoredAny;
use tokio::time::Instant;
use uuid::Uuid;

use self::members::Registered;
use crate::storage::columns::{covered, not_overtaken, signed};
use crate::storage::origin::jumped;
use crate::storage::{
    AccountChange, AccountRow, AuditRow, CharacterRow, Claim, DeadLetter, KeyRow, Lease, Published, SessionRow,
    ShardId, StorageError, VERSION_JUMP, Verdict, WITH_BOOKS,
};

/// All rows. A call that returns an error has changed none of them.
#[derive(Clone)]
pub(super) struct Tables {
    /// The database's clock counts from here.
    origin: Instant,
    leases: Vec<HeldLease>,
    processes: BTreeMap<Uuid, Registered>,
    /// What all nodes follow, and when it was published.
    published: Option<(Published, Instant)>,
    stored_schema: i32,
    /// How many shards were taken from a process that had renewed so recently that nobody may call it dead.
    pub(super) taken_alive: u64,
    pub(super) characters: BTreeMap<CharacterId, CharacterRow>,
    pub(super) dead_letters: BTreeMap<CharacterId, DeadLetter>,
    pub(super) accounts: BTreeMap<UserId, AccountRow>,
    /// Users of outside issuers, by issuer and subject.
    pub(super) identities: BTreeMap<(String, String), UserId>,
    /// Users whose account was deleted, and when.
    pub(super) departed: BTreeMap<UserId, i64>,
    pub(super) sessions: BTreeMap<SessionId, SessionRow>,
    keys: Vec<KeyRow>,
    /// By time and id.
    pub(super) audit: BTreeMap<(i64, Uuid), AuditRow>,
    /// Characters that a constraint keeps out.
    pub(super) refused: BTreeSet<CharacterId>,
}

#[derive(Clone)]
struct HeldLease {
    lease: Lease,
    released: bool,
    node: String,
    /// The owner; `None` if nobody owns the shard, or a server that is not registered.
    process: Option<Uuid>,
}

impl HeldLease {
    fn take(&mut self, node: &str, process: Option<Uuid>) -> Lease {
        self.lease.recoveries += i64::from(!self.released);
        self.pass_to(node, process)
    }

    /// Gives the shard another owner that loses nothing.
    fn pass_to(&mut self, node: &str, process: Option<Uuid>) -> Lease {
        self.lease.epoch += 1;
        self.released = false;
        node.clone_into(&mut self.node);
        self.process = process;
        self.lease
    }
}

impl Default for Tables {
    fn default() -> Self {
        let born = |shard| {
            let lease = Lease { shard, epoch: 0, recoveries: 0 };
            HeldLease { lease, released: true, node: String::new(), process: None }
        };
        Self {
            origin: Instant::now(),
            leases: ShardId::all().map(born).collect(),
            processes: BTreeMap::new(),
            published: None,
            stored_schema: 0,
            taken_alive: 0,
            characters: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            accounts: BTreeMap::new(),
            identities: BTreeMap::new(),
            departed: BTreeMap::new(),
            sessions: BTreeMap::new(),
            keys: Vec::new(),
            audit: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }
}

impl Tables {
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        let row = &self.leases[usize::from(lease.shard.number())];
        row.lease.epoch == lease.epoch && !row.released
    }

    fn check(&self, lease: &Lease) -> Result<(), StorageError> {
        if self.holds(lease) { Ok(()) } else { Err(StorageError::Fenced(lease.shard)) }
    }

    pub(super) fn gone(&self, leases: &[Lease]) -> Vec<ShardId> {
        leases.iter().filter(|lease| !self.holds(lease)).map(|lease| lease.shard).collect()
    }

    pub(super) fn take_over(&mut self, node: &str) -> Result<Vec<Lease>, StorageError> {
        let server = self.server(node)?;
        Ok(self.leases.iter_mut().map(|row| row.take(node, server)).collect())
    }

    pub(super) fn take_again(&mut self, node: &str, shards: &[ShardId]) -> Result<Vec<Lease>, StorageError> {
        let free = |row: &HeldLease| shards.contains(&row.lease.shard) && (row.released || row.node == node);
        if !self.leases.iter().any(free) {
            return Ok(Vec::new());
        }
        let server = self.server(node)?;
        let free = self.leases.iter_mut().filter(|row| free(row));
        Ok(free.map(|row| row.take(node, server)).collect())
    }

    pub(super) fn restored(&mut self, now_ms: i64) -> u64 {
        for row in &mut self.leases {
            let Lease { shard, epoch, recoveries } = row.lease;
            let lease = Lease { shard, epoch: jumped(epoch, now_ms), recoveries: jumped(recoveries, now_ms) };
            *row = HeldLease { lease, released: false, node: String::new(), process: None };
        }
        self.keys.retain(|key| key.purpose == "dice");
        let sessions: Vec<_> = self.sessions.keys().copied().collect();
        self.forget_sessions(&sessions);
        sessions.len() as u64
    }

    pub(super) fn release(&mut self, leases: &[Lease]) {
        for lease in leases {
            if self.holds(lease) {
                let row = &mut self.leases[usize::from(lease.shard.number())];
                (row.released, row.process) = (true, None);
            }
        }
    }

    pub(super) fn load(&self, lease: Lease, users: &[UserId]) -> Result<Vec<CharacterRow>, StorageError> {
        self.check(&lease)?;
        let theirs = |row: &&CharacterRow| {
            users.contains(&row.user) && (row.deleted_at_ms.is_none() || row.schema_version >= WITH_BOOKS)
        };
        let mut rows: Vec<CharacterRow> = self.characters.values().filter(theirs).cloned().collect();
        rows.sort_by_key(|row| (row.user, row.created_at_ms, row.id));
        Ok(rows)
    }

    pub(super) fn save(&mut self, leases: &[Lease], rows: &[CharacterRow]) -> Result<Vec<ShardId>, StorageError> {
        covered(leases, rows)?;
        let gone = self.gone(leases);
        let rows: Vec<&CharacterRow> = rows.iter().filter(|row| !gone.contains(&row.shard)).collect();
        rows.iter().try_for_each(|row| self.acceptable(row))?;
        rows.into_iter().for_each(|row| self.write(row));
        Ok(gone)
    }

    /// The characters that a purge would delete.
    pub(super) fn purgeable(&self, leases: &[Lease], before_ms: i64, max: u32) -> Vec<CharacterId> {
        let is_held = |row: &CharacterRow| leases.iter().any(|lease| lease.shard == row.shard && self.holds(lease));
        let mut old: Vec<_> = self
            .characters
            .values()
            .filter(|row| is_held(row) && !self.dead_letters.contains_key(&row.id) && row.schema_version < WITH_BOOKS)
            .filter_map(|row| Some((row.deleted_at_ms.filter(|at_ms| *at_ms < before_ms)?, row.id)))
            .collect();
        old.sort_unstable();
        old.into_iter().map(|(_, id)| id).take(max as usize).collect()
    }

    pub(super) fn purge_characters(&mut self, leases: &[Lease], before_ms: i64, max: u32) -> u64 {
        let old = self.purgeable(leases, before_ms, max);
        self.characters.retain(|id, _| !old.contains(id));
        old.len() as u64
    }

    pub(super) fn add_dead_letter(&mut self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        self.check(&lease)?;
        let id = letter.row.id;
        let mut letter = DeadLetter { stored: None, ..letter.clone() };
        if let Some(before) = self.dead_letters.get(&id) {
            if before.row.version > letter.row.version {
                return Ok(());
            }
            if self.stored(id) < Some(before.row.version) {
                letter.verdict = before.verdict;
            }
        }
        self.dead_letters.insert(id, letter);
        Ok(())
    }

    pub(super) fn reject_decision(
        &mut self,
        lease: Lease,
        letter: &DeadLetter,
        error: &str,
    ) -> Result<(), StorageError> {
        self.check(&lease)?;
        let same = |kept: &&mut DeadLetter| kept.row.version == letter.row.version && kept.verdict == letter.verdict;
        if let Some(kept) = self.dead_letters.get_mut(&letter.row.id).filter(same) {
            (kept.verdict, kept.error, kept.attempts) = (None, error.to_owned(), kept.attempts + 1);
        }
        Ok(())
    }

    pub(super) fn dead_letters(&self) -> Vec<DeadLetter> {
        let found = |letter: &DeadLetter| DeadLetter { stored: self.stored(letter.row.id), ..letter.clone() };
        let mut letters: Vec<DeadLetter> = self.dead_letters.values().map(found).collect();
        letters.sort_by_key(|letter| (letter.failed_at_ms, letter.row.id));
        letters
    }

    pub(super) fn decide_dead_letter(&mut self, character: CharacterId, verdict: Verdict) -> bool {
        let letter = self.dead_letters.get_mut(&character);
        letter.map(|letter| letter.verdict = Some(verdict)).is_some()
    }

    pub(super) fn retry_dead_letter(
        &mut self,
        lease: Lease,
        row: &CharacterRow,
        version: u64,
    ) -> Result<(), StorageError> {
        self.check(&lease)?;
        self.acceptable(row)?;
        not_overtaken(row, self.stored(row.id))?;
        self.write(row);
        self.raise(lease, row.user, row.id, version);
        self.forget(row.id, row.version);
        Ok(())
    }

    pub(super) fn discard_dead_letter(
        &mut self,
        lease: Lease,
        user: UserId,
        character: CharacterId,
        letter: Option<u64>,
        version: u64,
    ) -> Result<(), StorageError> {
        self.check(&lease)?;
        self.raise(lease, user, character, version);
        if let Some(letter) = letter {
            self.forget(character, letter);
        }
        Ok(())
    }

    pub(super) fn forget_dead_letter(
        &mut self,
        lease: Lease,
        character: CharacterId,
        version: u64,
    ) -> Result<(), StorageError> {
        self.check(&lease)?;
        self.forget(character, version);
        Ok(())
    }

    pub(super) fn create_account(&mut self, account: &AccountRow) -> Result<(), StorageError> {
        let taken = |other: &AccountRow| other.user != account.user && other.folded == account.folded;
        if self.accounts.values().any(taken) {
            return Err(StorageError::AlreadyExists);
        }
        self.accounts.entry(account.user).or_insert_with(|| account.clone());
        Ok(())
    }

    pub(super) fn accounts_after(&self, after: &str, max: u32) -> Vec<AccountRow> {
        let mut accounts: Vec<_> = self.accounts.values().filter(|row| row.folded.as_str() > after).cloned().collect();
        accounts.sort_by(|one, other| one.folded.cmp(&other.folded));
        accounts.truncate(max as usize);
        accounts
    }

    /// The real databases end the sessions by triggers, at their own time.
    pub(super) fn change_account(&mut self, user: UserId, change: &AccountChange, now_ms: i64) -> bool {
        let Some(account) = self.accounts.get_mut(&user) else { return false };
        let ends = match change {
            AccountChange::Role(role) => std::mem::replace(&mut account.role, role.clone()) != *role,
            AccountChange::Disable => {
                account.disabled_at_ms.get_or_insert(now_ms);
                true
            }
            AccountChange::Enable => {
                account.disabled_at_ms = None;
                false
            }
            AccountChange::Delete => {
                self.accounts.remove(&user);
                self.departed.insert(user, now_ms);
                true
            }
        };
        if ends {
            self.revoke_sessions_of(user, None, now_ms);
        }
        true
    }

    pub(super) fn claim_account(
        &mut self,
        user: UserId,
        claim: &Claim,
        kept: SessionId,
        now_ms: i64,
    ) -> Result<Option<Vec<SessionId>>, StorageError> {
        let is_taken = self.accounts.values().any(|other| other.user != user && other.folded == claim.folded);
        let guest = self.accounts.get_mut(&user).filter(|account| account.guest_seen_at_ms.is_some());
        let Some(account) = guest else { return Ok(None) };
        if is_taken {
            return Err(StorageError::AlreadyExists);
        }
        let Claim { username, folded, password_hash } = claim.clone();
        *account = AccountRow { username, folded, password_hash, guest_seen_at_ms: None, ..account.clone() };
        Ok(Some(self.revoke_sessions_of(user, Some(kept), now_ms)))
    }

    pub(super) fn purge_guests(&mut self, before_ms: i64, with_characters_before_ms: i64, max: u32) -> Vec<UserId> {
        let is_unused = |account: &AccountRow, before_ms: i64| {
            let is_use = |row: &SessionRow| row.user == account.user && row.rotated_at_ms >= before_ms;
            account.guest_seen_at_ms.is_some_and(|seen_at_ms| seen_at_ms < before_ms)
                && !self.sessions.values().any(is_use)
        };
        let plays = |user: UserId| self.characters.values().any(|row| row.user == user && row.deleted_at_ms.is_none());
        let is_over = |account: &&AccountRow| {
            is_unused(account, with_characters_before_ms) || (is_unused(account, before_ms) && !plays(account.user))
        };
        let over: Vec<_> =
            self.accounts.values().filter(is_over).map(|account| account.user).take(max as usize).collect();
        for user in &over {
            self.change_account(*user, &AccountChange::Delete, with_characters_before_ms.max(before_ms));
        }
        over
    }

    /// The real databases remember the guest by a trigger.
    pub(super) fn forget_sessions(&mut self, sessions: &[SessionId]) {
        for id in sessions {
            let Some(session) = self.sessions.remove(id) else { continue };
            let guest = self.accounts.get_mut(&session.user).and_then(|account| account.guest_seen_at_ms.as_mut());
            if let Some(seen_at_ms) = guest {
                *seen_at_ms = session.rotated_at_ms.max(*seen_at_ms);
            }
        }
    }

    pub(super) fn create_session(&mut self, session: &SessionRow, password_hash: &str) -> bool {
        let lets_in = self
            .accounts
            .get(&session.user)
            .is_some_and(|account| account.password_hash == password_hash && account.disabled_at_ms.is_none());
        if lets_in {
            self.sessions.entry(session.id).or_insert_with(|| session.clone());
        }
        lets_in
    }

    pub(super) fn revoke_sessions_of(&mut self, user: UserId, kept: Option<SessionId>, at_ms: i64) -> Vec<SessionId> {
        let lives = |row: &&mut SessionRow| row.user == user && Some(row.id) != kept && row.revoked_at_ms.is_none();
        let revoked = self.sessions.values_mut().filter(lives).map(|row| {
            row.revoked_at_ms = Some(at_ms);
            row.id
        });
        revoked.collect()
    }

    pub(super) fn revoke_oldest_sessions(
        &mut self,
        newest: &SessionRow,
        others_max: u32,
        revoked_at_ms: i64,
    ) -> Vec<SessionId> {
        let is_live = |row: &&mut SessionRow| row.revoked_at_ms.is_none() && row.expires_at_ms > revoked_at_ms;
        let theirs = self.sessions.values_mut().filter(|row| row.user == newest.user && row.id != newest.id);
        let mut live: Vec<_> = theirs.filter(is_live).collect();
        live.sort_by_key(|row| std::cmp::Reverse((row.rotated_at_ms, row.id)));
        let oldest = live.into_iter().skip(others_max as usize);
        oldest
            .map(|row| {
                row.revoked_at_ms = Some(revoked_at_ms);
                row.id
            })
            .collect()
    }

    pub(super) fn rotate_session(
        &mut self,
        id: SessionId,
        generation: i64,
        rotated_at_ms: i64,
        expires_at_ms: i64,
    ) -> bool {
        let current = |session: &&mut SessionRow| session.generation == generation && session.revoked_at_ms.is_none();
        let session = self.sessions.get_mut(&id).filter(current);
        session
            .map(|session| {
                *session = SessionRow { generation: generation + 1, rotated_at_ms, expires_at_ms, ..session.clone() };
            })
            .is_some()
    }

    pub(super) fn keys(&self) -> Vec<KeyRow> {
        let mut keys = self.keys.clone();
        keys.sort_by(|one, other| (one.created_at_ms, &one.id).cmp(&(other.created_at_ms, &other.id)));
        keys
    }

    pub(super) fn replace_keys(&mut self, before: &[KeyRow], after: &[KeyRow]) -> bool {
        let is_as_expected = self.keys() == before;
        if is_as_expected {
            self.keys = after.to_vec();
        }
        is_as_expected
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

    /// Refuses rows that the real databases would refuse.
    fn acceptable(&self, row: &CharacterRow) -> Result<(), StorageError> {
        for number in row.request_ids.iter().chain([&row.version]) {
            signed(*number)?;
        }
        if row.version == 0 {
            return Err(StorageError::Refused("version is 0; it must be at least 1".to_owned()));
        }
        if self.refused.contains(&row.id) {
            return Err(StorageError::Refused(format!("character {} is on the list of refused characters", row.id)));
        }
        serde_json::from_str::<IgnoredAny>(&row.state)
            .map_err(|error| StorageError::Refused(format!("the state is not JSON: {error}")))?;
        Ok(())
    }
}
