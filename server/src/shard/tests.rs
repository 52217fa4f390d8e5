//! Users and characters for the tests of the shards, and shards in memory for those of other rooms.

use std::sync::Arc;
use std::time::Duration;

use castellan_srd::wire::{Ability, CharacterId, NewCharacter, UserId};
use castellan_srd::{Catalogue, Srd};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::runtime::Handle;
use tokio::sync::watch;
use uuid::Uuid;

use super::*;
use crate::clock::Clock;
use crate::flush::{FlushSettings, Flusher, Signals};
use crate::storage::Storage;
use crate::storage::faulty::MemoryStorage;

/// Shards over a database, which they flush to until this is dropped.
pub(crate) struct InMemory {
    pub(crate) shards: Arc<Shards<Srd>>,
    pub(crate) storage: Arc<dyn Storage>,
    _flushing: watch::Sender<bool>,
}

/// Shards with one fighter, made durable. They do the same whenever the same is asked of them.
pub(crate) async fn in_memory(
    catalogue: &Arc<Catalogue>,
    owner: UserId,
    character: CharacterId,
    clock: &Clock,
) -> InMemory {
    let server = over(Arc::new(MemoryStorage::new()), Handle::current(), catalogue, clock).await;
    server.create(owner, character).await;
    server
}

/// Shards without characters that load them on the runtime `background`.
pub(crate) async fn over(
    storage: Arc<dyn Storage>,
    background: Handle,
    catalogue: &Arc<Catalogue>,
    clock: &Clock,
) -> InMemory {
    const MOMENT: Duration = Duration::from_millis(5);
    let signals = Arc::new(Signals::default());
    let capacity =
        Capacity { characters_max: 1_000, dirty_max: 1_000, deals_per_minute: 100, load_timeout: 1_000 * MOMENT };
    let shards = Arc::new(Shards::new(
        Arc::clone(&storage),
        catalogue,
        &Arc::from([7; 32].as_slice()),
        capacity,
        Arc::clone(&signals),
        background,
        Arc::clone(clock),
    ));
    shards.take(&storage.take_over("test").await.expect("no other process has them"));
    let settings = FlushSettings {
        interval: 50 * MOMENT,
        batch_rows: 100,
        gather: MOMENT,
        backoff_min: MOMENT,
        backoff_max: MOMENT,
    };
    let (stop, stopped) = watch::channel(false);
    let rng = StdRng::seed_from_u64(7);
    let flusher = Flusher::new(Arc::clone(&shards), Arc::clone(&storage), signals, settings, Arc::clone(clock), rng);
    tokio::spawn(flusher.run(stopped));
    InMemory { shards, storage, _flushing: stop }
}

impl InMemory {
    /// Makes a fighter.
    pub(crate) async fn create(&self, owner: UserId, character: CharacterId) {
        let creation = Creation { owner, character, id: None, wanted: &fighter(), wait: None };
        assert!(matches!(self.shards.create(&creation, &mut Vec::new()).await, Answered::Applied { .. }));
    }
}

pub(crate) fn user(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn character(number: u128) -> CharacterId {
    CharacterId::from_uuid(Uuid::from_u128(number))
}

pub(crate) fn fighter() -> NewCharacter {
    NewCharacter {
        name: "Brannor".to_owned(),
        race: "human".to_owned(),
        subrace: None,
        class: "fighter".to_owned(),
        abilities: Ability::ALL.iter().map(|ability| (*ability, 12)).collect(),
        skills: None,
    }
}
