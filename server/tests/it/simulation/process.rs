//! A server without sockets: its memory, its flusher, its housekeeper.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use castellan::clock::Clock;
use castellan::flush::{FlushSettings, Flusher, Signals};
use castellan::shard::{Capacity, Shards};
use castellan::storage::Storage;
use castellan::storage::faulty::FaultyStorage;
use castellan_srd::{Catalogue, Srd};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::pass;

/// How often a server looks for operators' decisions and after its leases, in milliseconds.
const HOUSEKEEPING_MS: u64 = 70;

static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(|| Arc::new(Catalogue::embedded()));

/// A server: its memory and its flusher.
pub(super) struct Process {
    pub(super) shards: Arc<Shards<Srd>>,
    stop: watch::Sender<bool>,
    flusher: JoinHandle<Flusher<Shards<Srd>>>,
    /// Carries out what operators decide, and looks after the leases.
    housekeeper: JoinHandle<()>,
}

impl Process {
    /// Takes over; `None` where the database does not let it.
    pub(super) async fn start(storage: &Arc<FaultyStorage>, seed: u64) -> Option<Self> {
        let storage: Arc<dyn Storage> = Arc::clone(storage) as _;
        static STARTS: AtomicU64 = AtomicU64::new(0);
        let node = format!("server {}", STARTS.fetch_add(1, Ordering::Relaxed));
        let leases = storage.take_over(&node).await.ok()?;
        let signals = Arc::new(Signals::default());
        let capacity = Capacity {
            characters_max: 100,
            dirty_max: 100,
            deals_per_minute: 100,
            load_timeout: Duration::from_secs(2),
        };
        let origin = Instant::now();
        let clock: Clock = Arc::new(move || i64::try_from(origin.elapsed().as_millis()).expect("a short run"));
        let secret: Arc<[u8]> = Arc::from([7; 32]);
        let (handle, signalled) = (Handle::current(), Arc::clone(&signals));
        let shards =
            Shards::new(Arc::clone(&storage), &CATALOGUE, &secret, capacity, signalled, handle, Arc::clone(&clock));
        shards.recall_dead_letters().await.ok()?;
        shards.take(&leases);
        let shards = Arc::new(shards);
        let settings = FlushSettings {
            interval: Duration::from_millis(500),
            batch_rows: 10,
            gather: Duration::from_millis(2),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
        };
        let rng = StdRng::seed_from_u64(seed);
        let flusher = Flusher::new(Arc::clone(&shards), storage, signals, settings, clock, rng);
        let (stop, stopped) = watch::channel(false);
        let housekeeper = tokio::spawn({
            let shards = Arc::clone(&shards);
            async move {
                loop {
                    pass(HOUSEKEEPING_MS).await;
                    // What could not be done is done the next time.
                    let _ = shards.carry_out_decisions().await;
                    let _ = shards.look_after_leases(&node).await;
                }
            }
        });
        Some(Self { shards, stop, flusher: tokio::spawn(flusher.run(stopped)), housekeeper })
    }

    pub(super) fn kill(self) {
        self.flusher.abort();
        self.housekeeper.abort();
    }

    pub(super) fn stop(self) {
        self.stop.send_replace(true);
    }
}
