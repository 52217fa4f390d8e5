//! A storage that fails on purpose, for tests. Seeded, so that a run can be repeated exactly.

mod membership;
mod memory;
mod replication;
mod tables;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use castellan_protocol::{CharacterId, SessionId, UserId};
use parking_lot::Mutex;

use super::{
    AccountChange, AccountRow, AuditRow, BooksRow, CharacterRow, Claim, DeadLetter, Examination, KeyRow, Lease, Look,
    Membership, Origin, SessionRow, ShardId, Storage, StorageError, Verdict,
};

pub use memory::MemoryStorage;
pub use replication::Rules;

/// How often each fault happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Calls in 1,000 that fail before they do anything.
    pub refused_per_mille: u32,
    /// Calls in 1,000 that succeed but return an error, as when the answer to a commit is lost.
    pub lost_per_mille: u32,
    /// Longest random delay before each call, on tokio's clock.
    pub delay_max: Duration,
    /// Calls in 1,000 that wait twenty times as long, so that later calls overtake them.
    pub slow_per_mille: u32,
    /// Calls in 1,000 that reach the zombie, if there is one.
    pub stray_per_mille: u32,
}

/// How many times as long a slow call waits.
const SLOWER: u32 = 20;

/// A storage in front of another one that adds [`Faults`].
///
/// A call goes on although its caller has given up or died, as a statement does that has reached the database.
pub struct FaultyStorage {
    inner: Arc<dyn Storage>,
    state: Arc<Mutex<State>>,
}

struct State {
    faults: Faults,
    chance: Chance,
    away: bool,
    calls: u64,
    /// The primary from before the last failover, if it can still be reached.
    zombie: Option<Arc<dyn Storage>>,
}

impl FaultyStorage {
    /// Adds `faults` to `inner`. The same seed with the same calls in the same order fails in the same way.
    pub fn new(inner: Arc<dyn Storage>, seed: u64, faults: Faults) -> Self {
        let state = State { faults, chance: Chance(seed), away: false, calls: 0, zombie: None };
        Self { inner, state: Arc::new(Mutex::new(state)) }
    }

    /// Changes how often each fault happens.
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Takes the database away or brings it back. While it is away all calls fail and do nothing.
    pub fn set_away(&self, away: bool) {
        self.state.lock().away = away;
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Sets an old primary that still answers some of the calls; `None` takes it away.
    pub fn set_zombie(&self, zombie: Option<Arc<dyn Storage>>) {
        self.state.lock().zombie = zombie;
    }

    /// Draws the faults of the next call. It always draws five numbers, so that one fault does not change the others.
    fn draw(&self) -> Fault {
        let mut state = self.state.lock();
        state.calls += 1;
        let faults = state.faults;
        let [refused, lost] = [faults.refused_per_mille, faults.lost_per_mille]
            .map(|per_mille| state.chance.next() % 1_000 < u64::from(per_mille));
        let nanos = u64::try_from(faults.delay_max.as_nanos()).unwrap_or(u64::MAX);
        let delay = Duration::from_nanos(state.chance.next() % nanos.saturating_add(1).max(1));
        let slow = state.chance.next() % 1_000 < u64::from(faults.slow_per_mille);
        let delay = if slow { delay * SLOWER } else { delay };
        let strays = state.chance.next() % 1_000 < u64::from(faults.stray_per_mille);
        Fault { refused, lost, delay, strays }
    }

    async fn run<T, C>(&self, call: impl FnOnce(Arc<dyn Storage>) -> C + Send + 'static) -> Result<T, StorageError>
    where
        T: Send + 'static,
        C: Future<Output = Result<T, StorageError>> + Send,
    {
        let (fault, state, inner) = (self.draw(), Arc::clone(&self.state), Arc::clone(&self.inner));
        let calling = tokio::spawn(async move {
            if !fault.delay.is_zero() {
                tokio::time::sleep(fault.delay).await;
            }
            let (away, zombie) = {
                let state = state.lock();
                (state.away, state.zombie.clone().filter(|_| fault.strays))
            };
            if away {
                return Err(StorageError::Transient("the database is away".to_owned()));
            }
            if fault.refused {
                return Err(StorageError::Transient("the call was lost".to_owned()));
            }
            let answer = call(zombie.unwrap_or(inner)).await;
            if fault.lost { Err(StorageError::Transient("the answer was lost".to_owned())) } else { answer }
        });
        calling.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

struct Fault {
    refused: bool,
    lost: bool,
    delay: Duration,
    strays: bool,
}

/// Pseudorandom numbers that are the same for a seed on every machine and with every library version.
///
/// Source: SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[async_trait]
impl Storage for FaultyStorage {
    async fn migrate(&self) -> Result<(), StorageError> {
        self.run(move |storage| async move { storage.migrate().await }).await
    }

    fn membership(&self) -> Option<&dyn Membership> {
        self.inner.membership().map(|_| self as _)
    }

    async fn examine(&self) -> Result<Examination, StorageError> {
        self.run(move |storage| async move { storage.examine().await }).await
    }

    async fn ping(&self) -> Result<(), StorageError> {
        self.run(move |storage| async move { storage.ping().await }).await
    }

    async fn take_over(&self, node: &str) -> Result<Vec<Lease>, StorageError> {
        let node = node.to_owned();
        self.run(move |storage| async move { storage.take_over(&node).await }).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StorageError> {
        let leases = leases.to_vec();
        self.run(move |storage| async move { storage.release(&leases).await }).await
    }

    async fn take_again(&self, node: &str, shards: &[ShardId]) -> Result<Vec<Lease>, StorageError> {
        let (node, shards) = (node.to_owned(), shards.to_vec());
        self.run(move |storage| async move { storage.take_again(&node, &shards).await }).await
    }

    async fn lost(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
        let leases = leases.to_vec();
        self.run(move |storage| async move { storage.lost(&leases).await }).await
    }

    async fn prove(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
        let leases = leases.to_vec();
        self.run(move |storage| async move { storage.prove(&leases).await }).await
    }

    async fn recognise(&self, now_ms: i64) -> Result<Origin, StorageError> {
        self.run(move |storage| async move { storage.recognise(now_ms).await }).await
    }

    async fn restored(&self, now_ms: i64) -> Result<u64, StorageError> {
        self.run(move |storage| async move { storage.restored(now_ms).await }).await
    }

    async fn load(&self, lease: Lease, users: &[UserId]) -> Result<Vec<CharacterRow>, StorageError> {
        let users = users.to_vec();
        self.run(move |storage| async move { storage.load(lease, &users).await }).await
    }

    async fn save(&self, leases: &[Lease], rows: &[CharacterRow]) -> Result<Vec<ShardId>, StorageError> {
        let (leases, rows) = (leases.to_vec(), rows.to_vec());
        self.run(move |storage| async move { storage.save(&leases, &rows).await }).await
    }

    async fn books(&self, characters: &[CharacterId]) -> Result<Vec<BooksRow>, StorageError> {
        let characters = characters.to_vec();
        self.run(move |storage| async move { storage.books(&characters).await }).await
    }

    async fn traders(
        &self,
        shards: &[ShardId],
        after: Option<CharacterId>,
        max: u32,
    ) -> Result<Vec<BooksRow>, StorageError> {
        let shards = shards.to_vec();
        self.run(move |storage| async move { storage.traders(&shards, after, max).await }).await
    }

    async fn hint_books(&self, looks: &[Look]) -> Result<(), StorageError> {
        let looks = looks.to_vec();
        self.run(move |storage| async move { storage.hint_books(&looks).await }).await
    }

    async fn purge_characters(&self, leases: &[Lease], before_ms: i64, max: u32) -> Result<u64, StorageError> {
        let leases = leases.to_vec();
        self.run(move |storage| async move { storage.purge_characters(&leases, before_ms, max).await }).await
    }

    async fn add_dead_letter(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        let letter = letter.clone();
        self.run(move |storage| async move { storage.add_dead_letter(lease, &letter).await }).await
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StorageError> {
        self.run(move |storage| async move { storage.dead_letters().await }).await
    }

    async fn decide_dead_letter(&self, character: CharacterId, verdict: Verdict) -> Result<bool, StorageError> {
        self.run(move |storage| async move { storage.decide_dead_letter(character, verdict).await }).await
    }

    async fn reject_decision(&self, lease: Lease, letter: &DeadLetter, error: &str) -> Result<(), StorageError> {
        let (letter, error) = (letter.clone(), error.to_owned());
        self.run(move |storage| async move { storage.reject_decision(lease, &letter, &error).await }).await
    }

    async fn retry_dead_letter(&self, lease: Lease, row: &CharacterRow, version: u64) -> Result<(), StorageError> {
        let row = row.clone();
        self.run(move |storage| async move { storage.retry_dead_letter(lease, &row, version).await }).await
    }

    async fn discard_dead_letter(
        &self,
        lease: Lease,
        user: UserId,
        character: CharacterId,
        letter: Option<u64>,
        version: u64,
    ) -> Result<(), StorageError> {
        self.run(
            move |storage| async move { storage.discard_dead_letter(lease, user, character, letter, version).await },
        )
        .await
    }

    async fn forget_dead_letter(&self, lease: Lease, character: CharacterId, version: u64) -> Result<(), StorageError> {
        self.run(move |storage| async move { storage.forget_dead_letter(lease, character, version).await }).await
    }

    async fn create_account(&self, account: &AccountRow) -> Result<(), StorageError> {
        let account = account.clone();
        self.run(move |storage| async move { storage.create_account(&account).await }).await
    }

    async fn account(&self, folded: &str) -> Result<Option<AccountRow>, StorageError> {
        let folded = folded.to_owned();
        self.run(move |storage| async move { storage.account(&folded).await }).await
    }

    async fn account_of(&self, user: UserId) -> Result<Option<AccountRow>, StorageError> {
        self.run(move |storage| async move { storage.account_of(user).await }).await
    }

    async fn accounts(&self, after: &str, max: u32) -> Result<Vec<AccountRow>, StorageError> {
        let after = after.to_owned();
        self.run(move |storage| async move { storage.accounts(&after, max).await }).await
    }

    async fn change_account(&self, user: UserId, change: &AccountChange, now_ms: i64) -> Result<bool, StorageError> {
        let change = change.clone();
        self.run(move |storage| async move { storage.change_account(user, &change, now_ms).await }).await
    }

    async fn departed_users(&self, before_ms: i64, max: u32) -> Result<Vec<UserId>, StorageError> {
        self.run(move |storage| async move { storage.departed_users(before_ms, max).await }).await
    }

    async fn forget_departed(&self, user: UserId) -> Result<bool, StorageError> {
        self.run(move |storage| async move { storage.forget_departed(user).await }).await
    }

    async fn replace_password_hash(&self, user: UserId, old: &str, new: &str) -> Result<bool, StorageError> {
        let (old, new) = (old.to_owned(), new.to_owned());
        self.run(move |storage| async move { storage.replace_password_hash(user, &old, &new).await }).await
    }

    async fn some_password_hash(&self, from: UserId) -> Result<Option<String>, StorageError> {
        self.run(move |storage| async move { storage.some_password_hash(from).await }).await
    }

    async fn change_password(
        &self,
        user: UserId,
        password_hash: &str,
        kept: Option<SessionId>,
        now_ms: i64,
    ) -> Result<Option<Vec<SessionId>>, StorageError> {
        let password_hash = password_hash.to_owned();
        self.run(move |storage| async move { storage.change_password(user, &password_hash, kept, now_ms).await }).await
    }

    async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<UserId>, StorageError> {
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        self.run(move |storage| async move { storage.identity(&issuer, &subject).await }).await
    }

    async fn identity_of(&self, user: UserId) -> Result<Option<(String, String)>, StorageError> {
        self.run(move |storage| async move { storage.identity_of(user).await }).await
    }

    async fn bind_account(&self, account: &AccountRow, issuer: &str, subject: &str) -> Result<bool, StorageError> {
        let (account, issuer, subject) = (account.clone(), issuer.to_owned(), subject.to_owned());
        self.run(move |storage| async move { storage.bind_account(&account, &issuer, &subject).await }).await
    }

    async fn claim_account(
        &self,
        user: UserId,
        claim: &Claim,
        kept: SessionId,
        now_ms: i64,
    ) -> Result<Option<Vec<SessionId>>, StorageError> {
        let claim = claim.clone();
        self.run(move |storage| async move { storage.claim_account(user, &claim, kept, now_ms).await }).await
    }

    async fn purge_guests(
        &self,
        before_ms: i64,
        with_characters_before_ms: i64,
        max: u32,
    ) -> Result<Vec<UserId>, StorageError> {
        self.run(move |storage| async move { storage.purge_guests(before_ms, with_characters_before_ms, max).await })
            .await
    }

    async fn create_session(&self, session: &SessionRow, password_hash: &str) -> Result<bool, StorageError> {
        let (session, password_hash) = (session.clone(), password_hash.to_owned());
        self.run(move |storage| async move { storage.create_session(&session, &password_hash).await }).await
    }

    async fn sessions_of(&self, user: UserId, now_ms: i64, max: u32) -> Result<Vec<SessionRow>, StorageError> {
        self.run(move |storage| async move { storage.sessions_of(user, now_ms, max).await }).await
    }

    async fn has_logged_in_from(&self, user: UserId, network: &str) -> Result<bool, StorageError> {
        let network = network.to_owned();
        self.run(move |storage| async move { storage.has_logged_in_from(user, &network).await }).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StorageError> {
        self.run(move |storage| async move { storage.session(id).await }).await
    }

    async fn rotate_session(
        &self,
        id: SessionId,
        generation: i64,
        rotated_at_ms: i64,
        expires_at_ms: i64,
    ) -> Result<bool, StorageError> {
        self.run(
            move |storage| async move { storage.rotate_session(id, generation, rotated_at_ms, expires_at_ms).await },
        )
        .await
    }

    async fn revoke_session(&self, id: SessionId, revoked_at_ms: i64) -> Result<(), StorageError> {
        self.run(move |storage| async move { storage.revoke_session(id, revoked_at_ms).await }).await
    }

    async fn revoke_sessions_of(&self, user: UserId, revoked_at_ms: i64) -> Result<u64, StorageError> {
        self.run(move |storage| async move { storage.revoke_sessions_of(user, revoked_at_ms).await }).await
    }

    async fn revoke_oldest_sessions(
        &self,
        newest: &SessionRow,
        others_max: u32,
        revoked_at_ms: i64,
    ) -> Result<Vec<SessionId>, StorageError> {
        let newest = newest.clone();
        self.run(move |storage| async move { storage.revoke_oldest_sessions(&newest, others_max, revoked_at_ms).await })
            .await
    }

    async fn revoked_sessions(&self, since_ms: i64) -> Result<Vec<(SessionId, UserId)>, StorageError> {
        self.run(move |storage| async move { storage.revoked_sessions(since_ms).await }).await
    }

    async fn expired_sessions(&self, before_ms: i64, max: u32) -> Result<Vec<SessionId>, StorageError> {
        self.run(move |storage| async move { storage.expired_sessions(before_ms, max).await }).await
    }

    async fn forget_sessions(&self, sessions: &[SessionId]) -> Result<(), StorageError> {
        let sessions = sessions.to_vec();
        self.run(move |storage| async move { storage.forget_sessions(&sessions).await }).await
    }

    async fn keys(&self) -> Result<Vec<KeyRow>, StorageError> {
        self.run(move |storage| async move { storage.keys().await }).await
    }

    async fn replace_keys(&self, before: &[KeyRow], after: &[KeyRow]) -> Result<bool, StorageError> {
        let (before, after) = (before.to_vec(), after.to_vec());
        self.run(move |storage| async move { storage.replace_keys(&before, &after).await }).await
    }

    async fn add_audit(&self, rows: &[AuditRow]) -> Result<(), StorageError> {
        let rows = rows.to_vec();
        self.run(move |storage| async move { storage.add_audit(&rows).await }).await
    }

    async fn audit(&self, max: u32) -> Result<Vec<AuditRow>, StorageError> {
        self.run(move |storage| async move { storage.audit(max).await }).await
    }

    async fn forget_audit(&self, before_ms: i64, max: u32) -> Result<u64, StorageError> {
        self.run(move |storage| async move { storage.forget_audit(before_ms, max).await }).await
    }
}

#[cfg(test)]
mod tests;
