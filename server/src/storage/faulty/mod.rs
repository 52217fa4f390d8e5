//! A storage that fails on purpose, for tests: seeded, so that a run can be repeated exactly.

mod memory;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use castellan_protocol::{CharacterId, SessionId, UserId};
use parking_lot::Mutex;

use super::{AccountRow, CharacterRow, DeadLetter, KeyRow, Lease, SessionRow, ShardId, Storage, StorageError, Verdict};

pub use memory::MemoryStorage;

/// How often what goes wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Of 1,000 calls, how many fail before anything is done.
    pub refused_per_mille: u32,
    /// Of 1,000 calls, how many are carried out and then answered with an error, as where a commit's answer is lost.
    pub lost_per_mille: u32,
    /// Each call waits for a random time up to this before it begins, on tokio's clock.
    pub delay_max: Duration,
}

/// A storage in front of another one that adds [`Faults`].
pub struct FaultyStorage {
    inner: Arc<dyn Storage>,
    state: Mutex<State>,
}

struct State {
    faults: Faults,
    chance: Chance,
    away: bool,
    refused: BTreeSet<CharacterId>,
}

impl FaultyStorage {
    /// Adds `faults` to `inner`; the same seed and the same calls in the same order fail in the same way.
    pub fn new(inner: Arc<dyn Storage>, seed: u64, faults: Faults) -> Self {
        let state = State { faults, chance: Chance(seed), away: false, refused: BTreeSet::new() };
        Self { inner, state: Mutex::new(state) }
    }

    /// Changes how often what goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Whether the database is away: all calls fail and do nothing.
    pub fn set_away(&self, away: bool) {
        self.state.lock().away = away;
    }

    /// From now on rows of this character are refused.
    pub fn refuse(&self, character: CharacterId) {
        self.state.lock().refused.insert(character);
    }

    /// From now on rows of this character are taken again.
    pub fn accept(&self, character: CharacterId) {
        self.state.lock().refused.remove(&character);
    }

    /// What chance has for the next call. Always draws three times, so that faults do not change each other's order.
    fn draw(&self) -> Fault {
        let mut state = self.state.lock();
        let faults = state.faults;
        let [refused, lost] = [faults.refused_per_mille, faults.lost_per_mille]
            .map(|per_mille| state.chance.next() % 1_000 < u64::from(per_mille));
        let nanos = u64::try_from(faults.delay_max.as_nanos()).unwrap_or(u64::MAX);
        let delay = Duration::from_nanos(state.chance.next() % nanos.saturating_add(1).max(1));
        Fault { refused, lost, delay }
    }

    async fn run<T>(&self, call: impl Future<Output = Result<T, StorageError>>) -> Result<T, StorageError> {
        let fault = self.draw();
        if !fault.delay.is_zero() {
            tokio::time::sleep(fault.delay).await;
        }
        if self.state.lock().away {
            return Err(StorageError::Transient("the database is away".to_owned()));
        }
        if fault.refused {
            return Err(StorageError::Transient("the call was lost".to_owned()));
        }
        let answer = call.await;
        if fault.lost { Err(StorageError::Transient("the answer was lost".to_owned())) } else { answer }
    }

    /// Refuses where a row under a lease that still holds is on the list; others are not written anyway.
    async fn check(&self, leases: &[Lease], rows: &[CharacterRow]) -> Result<(), StorageError> {
        let gone = self.inner.prove(leases).await?;
        let state = self.state.lock();
        match rows.iter().find(|row| state.refused.contains(&row.id) && !gone.contains(&row.shard)) {
            Some(row) => Err(StorageError::Refused(format!("character {} is on the list", row.id))),
            None => Ok(()),
        }
    }
}

struct Fault {
    refused: bool,
    lost: bool,
    delay: Duration,
}

/// Numbers that look random and are the same for the same seed, on every machine and with every version of a library.
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
        self.run(self.inner.migrate()).await
    }

    async fn ping(&self) -> Result<(), StorageError> {
        self.run(self.inner.ping()).await
    }

    async fn take_over(&self, node: &str) -> Result<Vec<Lease>, StorageError> {
        self.run(self.inner.take_over(node)).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StorageError> {
        self.run(self.inner.release(leases)).await
    }

    async fn prove(&self, leases: &[Lease]) -> Result<Vec<ShardId>, StorageError> {
        self.run(self.inner.prove(leases)).await
    }

    async fn load_user(&self, lease: Lease, user: UserId) -> Result<Vec<CharacterRow>, StorageError> {
        self.run(self.inner.load_user(lease, user)).await
    }

    async fn save(&self, leases: &[Lease], rows: &[CharacterRow]) -> Result<Vec<ShardId>, StorageError> {
        self.run(async {
            self.check(leases, rows).await?;
            self.inner.save(leases, rows).await
        })
        .await
    }

    async fn add_dead_letter(&self, lease: Lease, letter: &DeadLetter) -> Result<(), StorageError> {
        self.run(self.inner.add_dead_letter(lease, letter)).await
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StorageError> {
        self.run(self.inner.dead_letters()).await
    }

    async fn decide_dead_letter(&self, character: CharacterId, verdict: Verdict) -> Result<bool, StorageError> {
        self.run(self.inner.decide_dead_letter(character, verdict)).await
    }

    async fn retry_dead_letter(&self, lease: Lease, row: &CharacterRow) -> Result<(), StorageError> {
        self.run(async {
            self.check(&[lease], std::slice::from_ref(row)).await?;
            self.inner.retry_dead_letter(lease, row).await
        })
        .await
    }

    async fn discard_dead_letter(
        &self,
        lease: Lease,
        character: CharacterId,
        version: u64,
    ) -> Result<(), StorageError> {
        self.run(self.inner.discard_dead_letter(lease, character, version)).await
    }

    async fn create_account(&self, account: &AccountRow) -> Result<(), StorageError> {
        self.run(self.inner.create_account(account)).await
    }

    async fn account(&self, username: &str) -> Result<Option<AccountRow>, StorageError> {
        self.run(self.inner.account(username)).await
    }

    async fn account_of(&self, user: UserId) -> Result<Option<AccountRow>, StorageError> {
        self.run(self.inner.account_of(user)).await
    }

    async fn create_session(&self, session: &SessionRow) -> Result<(), StorageError> {
        self.run(self.inner.create_session(session)).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, StorageError> {
        self.run(self.inner.session(id)).await
    }

    async fn rotate_session(
        &self,
        id: SessionId,
        generation: i64,
        rotated_at_ms: i64,
        expires_at_ms: i64,
    ) -> Result<bool, StorageError> {
        self.run(self.inner.rotate_session(id, generation, rotated_at_ms, expires_at_ms)).await
    }

    async fn revoke_session(&self, id: SessionId, revoked_at_ms: i64) -> Result<(), StorageError> {
        self.run(self.inner.revoke_session(id, revoked_at_ms)).await
    }

    async fn revoked_sessions(&self, now_ms: i64) -> Result<Vec<SessionId>, StorageError> {
        self.run(self.inner.revoked_sessions(now_ms)).await
    }

    async fn keys(&self) -> Result<Vec<KeyRow>, StorageError> {
        self.run(self.inner.keys()).await
    }

    async fn add_first_key(&self, key: &KeyRow) -> Result<(), StorageError> {
        self.run(self.inner.add_first_key(key)).await
    }
}
