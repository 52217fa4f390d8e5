//! Loads a user's characters into memory, and evicts them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use castellan_authority::{Effects, LoadPermit, Refusal, shard_of};
use castellan_game::Game;
use castellan_protocol::UserId;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument;

use super::store::{Load, Shards};
use crate::storage::{ShardId, StorageError};
use crate::telemetry;

impl<G: Game> Shards<G> {
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
        let permit = {
            let shard = self.lock(shard_of(user));
            if shard.core.has(user) {
                return Ok(None);
            }
            shard.core.load_permit().ok_or_else(Refusal::shard_lost)?
        };
        if let Some(load) = loads.get(&user) {
            return Ok(Some(load.clone()));
        }
        if !self.make_room(permit.lease.shard) {
            return Err(Refusal::memory_full());
        }
        let (done, load) = watch::channel(None);
        loads.insert(user, load.clone());
        let shards = Arc::clone(self);
        let loading = async move {
            let result = AssertUnwindSafe(shards.load_rows(user, permit)).catch_unwind().await;
            let result = result.unwrap_or_else(|_| {
                tracing::error!(%user, "loading a user's characters panicked");
                Err(Refusal::unreadable())
            });
            shards.loads.lock().remove(&user);
            done.send_replace(Some(result));
        };
        self.background.spawn(loading.instrument(telemetry::load_span()));
        Ok(Some(load))
    }

    async fn load_rows(&self, user: UserId, permit: LoadPermit) -> Result<(), Refusal> {
        let lease = permit.lease;
        let began = Instant::now();
        let loaded = tokio::time::timeout(self.capacity.load_timeout, self.storage.load_user(lease, user)).await;
        let rows = match loaded {
            Ok(Ok(rows)) => rows,
            Ok(Err(StorageError::Fenced(_))) => {
                self.lose(lease);
                return Err(Refusal::shard_lost());
            }
            Ok(Err(error)) => {
                tracing::warn!(%user, %error, "cannot load a user's characters");
                return Err(Refusal::database_away());
            }
            Err(_) => {
                tracing::warn!(%user, "cannot load a user's characters in time");
                return Err(Refusal::database_away());
            }
        };
        let mut characters = Vec::with_capacity(rows.len());
        for row in rows {
            match G::restore(row.schema_version, &row.state) {
                Ok(state) => characters.push((row, state)),
                Err(error) => {
                    tracing::error!(character = %row.id, %error, "a stored character cannot be read");
                    return Err(Refusal::unreadable());
                }
            }
        }
        let mut effects = Effects::default();
        let mut shard = self.lock(lease.shard);
        shard.core.install(user, permit, characters, (self.clock)(), &mut effects);
        self.perform(shard, effects);
        telemetry::loaded(began.elapsed());
        Ok(())
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
