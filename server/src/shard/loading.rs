//! Loads users' characters into memory, and evicts them.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use castellan_authority::{Effects, LoadPermit, Loaded, Refusal, restore, shard_of};
use castellan_game::Game;
use castellan_protocol::{CharacterId, UserId};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::receivers::Missing;
use super::store::{Load, Shards};
use crate::storage::{CharacterRow, ShardId, StorageError};
use crate::telemetry;

/// Most loading statements of a shard at the same time. Whoever comes meanwhile joins the next one: so a thousand
/// players who come at once cost a few statements, and a single one waits for nobody.
const STATEMENTS_MAX: usize = 2;

/// Most users that one statement loads.
const USERS_MAX: usize = 128;

impl<G: Game> Shards<G> {
    /// Names the data without which an action could not be decided just now.
    pub fn missing(&self, owner: UserId, action: &G::Action) -> Missing {
        let receiver = G::deal(action).and_then(|deal| deal.other());
        match receiver.filter(|_| self.lock(shard_of(owner)).core.has(owner)) {
            Some(receiver) => Missing::Receiver(receiver),
            None => Missing::Characters(owner),
        }
    }

    /// Reads what is missing.
    ///
    /// # Errors
    ///
    /// The refusal to answer the request with.
    pub async fn fetch(self: &Arc<Self>, missing: Missing) -> Result<(), Refusal> {
        match missing {
            Missing::Characters(user) => self.load(user).await,
            Missing::Receiver(character) => self.look_up(character).await,
        }
    }

    /// Looks if a character is in the database.
    pub(super) async fn look_up(&self, character: CharacterId) -> Result<(), Refusal> {
        match tokio::time::timeout(self.capacity.load_timeout, self.storage.books(&[character])).await {
            Ok(Ok(rows)) => {
                self.receivers.remember(&[character], &rows);
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::debug!(%character, %error, "cannot look for the receiver of goods");
                Err(Refusal::database_away())
            }
            Err(_) => Err(Refusal::database_away()),
        }
    }

    /// Loads a user's characters into memory. Concurrent callers share one load.
    ///
    /// # Errors
    ///
    /// The refusal to answer the request with.
    pub async fn load(self: &Arc<Self>, user: UserId) -> Result<(), Refusal> {
        let Some(mut load) = self.begin_load(user)? else { return Ok(()) };
        match load.wait_for(Option::is_some).await {
            Ok(done) => done.clone().expect("waited for it"),
            Err(_) => Err(Refusal::database_away()),
        }
    }

    /// Joins the load in progress or begins one. Returns `None` if the characters are in memory.
    fn begin_load(self: &Arc<Self>, user: UserId) -> Result<Option<Load>, Refusal> {
        let mut loads = self.loads.lock();
        let shard = shard_of(user);
        {
            let shard = self.lock(shard);
            if shard.core.has(user) {
                return Ok(None);
            }
            shard.core.load_permit().ok_or_else(Refusal::shard_lost)?;
        }
        if let Some(load) = loads.get(&user) {
            return Ok(Some(load.clone()));
        }
        if !self.make_room(shard) {
            return Err(Refusal::memory_full());
        }
        let (done, load) = watch::channel(None);
        loads.insert(user, load.clone());
        let mut waiting = self.waiting[usize::from(shard.number())].lock();
        waiting.users.push((user, done, Span::current()));
        if waiting.running < STATEMENTS_MAX {
            waiting.running += 1;
            let shards = Arc::clone(self);
            self.background.spawn(async move { shards.load_waiting(shard).await });
        }
        Ok(Some(load))
    }

    /// Loads the users of a shard who wait, all at once, until nobody waits any more.
    async fn load_waiting(self: Arc<Self>, shard: ShardId) {
        loop {
            let users = {
                let mut waiting = self.waiting[usize::from(shard.number())].lock();
                if waiting.users.is_empty() {
                    waiting.running -= 1;
                    return;
                }
                let next = waiting.users.len().min(USERS_MAX);
                waiting.users.drain(..next).collect::<Vec<_>>()
            };
            let all: Vec<UserId> = users.iter().map(|(user, ..)| *user).collect();
            let span = telemetry::load_span(users.iter().map(|(.., span)| span));
            let load = AssertUnwindSafe(self.load_users(shard, &all)).catch_unwind().instrument(span);
            let mut results = load.await.unwrap_or_else(|_| {
                tracing::error!(%shard, users = all.len(), "loading users' characters panicked");
                vec![Err(Refusal::unreadable()); all.len()]
            });
            let mut loads = self.loads.lock();
            for ((user, done, _), result) in users.into_iter().zip(results.drain(..)) {
                loads.remove(&user);
                done.send_replace(Some(result));
            }
        }
    }

    /// Loads users of one shard. Returns a result for each.
    async fn load_users(&self, shard: ShardId, users: &[UserId]) -> Vec<Result<(), Refusal>> {
        let all = |refusal: Refusal| vec![Err(refusal); users.len()];
        let Some(permit) = self.lock(shard).core.load_permit() else { return all(Refusal::shard_lost()) };
        let began = Instant::now();
        let loaded = tokio::time::timeout(self.capacity.load_timeout, self.storage.load(permit.lease, users)).await;
        let rows = match loaded {
            Ok(Ok(rows)) => rows,
            Ok(Err(StorageError::Fenced(_))) => {
                self.lose(permit.lease);
                return all(Refusal::shard_lost());
            }
            // One of them has an unreadable row.
            Ok(Err(StorageError::Corrupt(_))) if users.len() > 1 => {
                let mut results = Vec::with_capacity(users.len());
                for user in users {
                    results.extend(Box::pin(self.load_users(shard, std::slice::from_ref(user))).await);
                }
                return results;
            }
            Ok(Err(error)) => {
                tracing::warn!(users = users.len(), first = %users[0], %error, "cannot load users' characters");
                return all(Refusal::database_away());
            }
            Err(_) => {
                tracing::warn!(users = users.len(), first = %users[0], "cannot load users' characters in time");
                return all(Refusal::database_away());
            }
        };
        let mut of_user: HashMap<UserId, Vec<CharacterRow>> = HashMap::new();
        for row in rows {
            of_user.entry(row.user).or_default().push(row);
        }
        let results = users.iter().map(|user| {
            let characters = restore_all::<G>(of_user.remove(user).unwrap_or_default())?;
            self.install(*user, permit, characters);
            Ok(())
        });
        let results = results.collect();
        telemetry::loaded(began.elapsed());
        results
    }

    /// Brings the characters of a user into memory. Returns false if the permit has ended, or they are there already.
    pub(super) fn install(&self, user: UserId, permit: LoadPermit, characters: Vec<(CharacterRow, Loaded<G>)>) -> bool {
        let mut effects = Effects::default();
        let mut shard = self.lock(permit.lease.shard);
        let is_installed = shard.core.install(user, permit, characters, (self.clock)(), &mut effects);
        self.perform(shard, effects);
        is_installed
    }

    /// Proves the lease of a shard against the database.
    pub(super) async fn prove(self: &Arc<Self>, shard: ShardId) -> Result<(), Refusal> {
        let lease = self.lock(shard).core.lease().ok_or_else(Refusal::shard_lost)?;
        let storage = Arc::clone(&self.storage);
        let proof = self.background.spawn(async move { storage.prove(&[lease]).await });
        match tokio::time::timeout(self.capacity.load_timeout, proof).await {
            Ok(Ok(Ok(lost))) if lost.is_empty() => Ok(()),
            Ok(Ok(Ok(_))) => {
                self.lose(lease);
                Err(Refusal::shard_lost())
            }
            _ => Err(Refusal::database_away()),
        }
    }

    /// Makes room in memory, if it is full, for another user or another character. Returns false if there is none.
    ///
    /// Evicts from this shard first, then from the others in turn.
    pub(super) fn make_room(&self, shard: ShardId) -> bool {
        if self.occupied() < self.capacity.characters_max {
            return true;
        }
        ShardId::all().any(|offset| {
            let mut effects = Effects::default();
            let mut shard = self.lock(ShardId::new(shard.number() + offset.number()));
            let evicted = shard.core.evict(&mut effects);
            self.perform(shard, effects);
            telemetry::evicted(evicted.unwrap_or_default());
            evicted.is_some() && self.occupied() < self.capacity.characters_max
        })
    }
}

/// Reads the states of rows.
fn restore_all<G: Game>(rows: Vec<CharacterRow>) -> Result<Vec<(CharacterRow, Loaded<G>)>, Refusal> {
    let restore = |row: CharacterRow| match restore::<G>(row.schema_version, &row.state) {
        Ok(loaded) => Ok((row, loaded)),
        Err(error) => {
            tracing::error!(character = %row.id, %error, "a stored character cannot be read");
            Err(Refusal::unreadable())
        }
    };
    rows.into_iter().map(restore).collect()
}
