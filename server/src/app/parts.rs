//! The parts that `serve`, nodes and gateways have in common.

use std::sync::Arc;

use castellan_game::Game;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::origin;
use super::start::{self, Patience};
use crate::audit::Audit;
use crate::auth::{Auth, Exposure, Issuers, Policy};
use crate::clock::{Clock, Entropy, system_clock, system_entropy};
use crate::config::Config;
use crate::flush::Signals;
use crate::http;
use crate::shard::{Capacity, Shards};
use crate::storage::Storage;

/// The parts that all have.
pub(super) struct Parts<G: Game> {
    pub(super) clock: Clock,
    pub(super) entropy: Entropy,
    pub(super) rules: Arc<G::Rules>,
    pub(super) published: Arc<RwLock<Arc<http::Published>>>,
    pub(super) exposure: Arc<Exposure>,
    pub(super) policy: Arc<Policy>,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) issuers: Arc<Issuers>,
    pub(super) auth: Arc<Auth>,
    pub(super) dice_secret: Arc<[u8]>,
    /// Becomes true when the process was told to stop: it is not ready any more.
    pub(super) leaving: watch::Sender<bool>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) audit: Audit,
    /// Ends when the last rows of the audit are written.
    pub(super) recording: JoinHandle<()>,
}

impl<G: Game> Parts<G> {
    /// Waits for the database, and makes everything that only needs it and the settings. `is_exposed`: strangers may reach
    /// this server.
    pub(super) async fn make(config: &Config, is_exposed: bool, patience: &mut Patience<'_>) -> anyhow::Result<Self> {
        let issuers = Arc::new(Issuers::open(&config.auth.issuers).map_err(anyhow::Error::msg)?);
        let (clock, entropy) = (system_clock(), system_entropy());
        let rules = Arc::new(start::read_rules::<G>(config).map_err(anyhow::Error::msg)?);
        let exposure = Arc::new(Exposure::new(is_exposed));
        let policy = Arc::new(Policy::from_choice::<G>(&config.rules.policy, &exposure)?);
        let storage = patience.with(|| start::open_database(&config.database)).await?;
        patience.with(|| start::check_keys(config, &storage, &entropy)).await?;
        patience.with(|| origin::recognise(&storage, &clock)).await?;
        let auth = patience.with(|| start::open_accounts(config, &storage, &exposure, &clock, &entropy)).await?;
        let dice_secret = patience.with(|| start::dice_secret(config, &storage, &clock, &entropy)).await?;
        let (stop, stopped) = watch::channel(false);
        let (audit, recording) = Audit::start(Arc::clone(&storage), Arc::clone(&clock), Arc::clone(&entropy), stopped);
        let published = Arc::new(RwLock::new(start::publish::<G>(&rules)));
        Ok(Self {
            clock,
            entropy,
            rules,
            published,
            exposure,
            policy,
            storage,
            issuers,
            auth: Arc::new(auth),
            dice_secret,
            leaving: watch::Sender::new(false),
            stop,
            audit,
            recording,
        })
    }

    /// Shards without leases.
    pub(super) fn shards(&self, config: &Config, signals: &Arc<Signals>) -> Arc<Shards<G>> {
        let capacity = Capacity {
            characters_max: config.cache.characters_max,
            dirty_max: config.flush.dirty_max,
            deals_per_minute: config.rules.deals_per_minute,
            load_timeout: config.database.timeout,
        };
        Arc::new(Shards::new(
            Arc::clone(&self.storage),
            &self.rules,
            &self.dice_secret,
            capacity,
            Arc::clone(signals),
            Handle::current(),
            Arc::clone(&self.clock),
        ))
    }
}
