//! What runs beside the connections: the flusher, housekeeping, and what ends sessions.

use std::sync::Arc;
use std::time::Duration;

use castellan_game::Game;
use castellan_protocol::CloseCode;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::auth::Auth;
use crate::clock::Clock;
use crate::config::Config;
use crate::flush::{FlushSettings, Flusher, Signals};
use crate::shard::{CloseOrder, Shards};
use crate::socket::Registry;
use crate::storage::Storage;
use crate::telemetry;

/// How long somebody who waits for a commit leaves others to join.
const GATHER: Duration = Duration::from_millis(2);

/// First and longest wait between two tries of the flusher.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How often gauges are read, and lost leases and operators' decisions looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// Starts everything but the flusher and the housekeeping.
pub(super) fn start(auth: &Arc<Auth>, registry: &Arc<Registry>) {
    tokio::spawn(close_revoked(Arc::clone(auth), Arc::clone(registry)));
    tokio::spawn({
        let auth = Arc::clone(auth);
        async move { auth.follow_revocations().await }
    });
    tokio::spawn({
        let auth = Arc::clone(auth);
        async move { auth.forget_sessions().await }
    });
}

/// Starts the flusher; it ends when `stopped` says so.
pub(super) fn start_flusher<G: Game>(
    config: &Config,
    shards: &Arc<Shards<G>>,
    storage: &Arc<dyn Storage>,
    signals: &Arc<Signals>,
    clock: &Clock,
    stopped: watch::Receiver<bool>,
) -> JoinHandle<Flusher<Shards<G>>> {
    let settings = FlushSettings {
        interval: config.flush.interval,
        batch_rows: config.flush.batch_rows,
        gather: GATHER,
        backoff_min: BACKOFF_MIN,
        backoff_max: BACKOFF_MAX,
    };
    let flusher = Flusher::new(
        Arc::clone(shards),
        Arc::clone(storage),
        Arc::clone(signals),
        settings,
        Arc::clone(clock),
        rand::make_rng(),
    );
    tokio::spawn(flusher.run(stopped))
}

/// Starts the housekeeping, each second; it ends when `stopped` says so. `node` names this process in the leases.
pub(super) fn start_housekeeping<G: Game>(
    shards: &Arc<Shards<G>>,
    signals: &Arc<Signals>,
    node: String,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let (shards, signals) = (Arc::clone(shards), Arc::clone(signals));
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(HOUSEKEEPING);
        let keep_house = async {
            loop {
                ticks.tick().await;
                keep_house(&shards, &signals, &node).await;
            }
        };
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => {}
            () = keep_house => {}
        }
    })
}

/// Reads gauges, looks after the leases, and carries out operators' decisions.
async fn keep_house<G: Game>(shards: &Arc<Shards<G>>, signals: &Signals, node: &str) {
    telemetry::observe(shards.occupied(), shards.dirty());
    let leases = shards.look_after_leases(node).await;
    if signals.set_database_unreachable(leases.is_err()) {
        match &leases {
            Ok(()) => tracing::info!("the database answers again"),
            Err(error) => tracing::warn!(%error, "the database does not answer"),
        }
    }
    if let Err(error) = shards.carry_out_decisions().await {
        tracing::debug!(%error, "dead letters could not be looked for");
    }
}

/// Ends the sockets of sessions that were ended.
async fn close_revoked(auth: Arc<Auth>, registry: Arc<Registry>) {
    const REVOKED: CloseOrder = CloseOrder { code: CloseCode::SessionRevoked, reason: "the session was ended" };
    let mut revocations = auth.revocations();
    loop {
        match revocations.recv().await {
            Ok(session) => registry.close_session(session, &REVOKED),
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {
                registry.close_sessions_where(|session| auth.is_revoked(session), &REVOKED);
            }
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
        }
    }
}
