//! What runs beside the connections: the flusher, housekeeping, and what ends sessions.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use castellan_game::Game;
use castellan_protocol::CloseCode;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

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

/// How often PostgreSQL's standbys are looked at.
const REPLICAS: Duration = Duration::from_secs(10);

/// Starts everything but the flusher and the housekeeping.
pub(super) fn start(auth: &Arc<Auth>, registry: &Arc<Registry>) {
    tokio::spawn(close_revoked(Arc::clone(auth), Arc::clone(registry)));
    tokio::spawn({
        let auth = Arc::clone(auth);
        async move { auth.follow_revocations().await }
    });
    tokio::spawn({
        let auth = Arc::clone(auth);
        async move { auth.follow_keys().await }
    });
    tokio::spawn(close_cut_off(auth.cut_off(), Arc::clone(registry)));
}

/// Looks after PostgreSQL's standbys as long as the process runs.
pub(super) fn watch_replicas(storage: &Arc<dyn Storage>) {
    let storage = Arc::clone(storage);
    tokio::spawn(async move {
        loop {
            // Others say that the database is away. Then nothing is known.
            telemetry::replica_lag(storage.replica_lag().await.unwrap_or_default());
            tokio::time::sleep(REPLICAS).await;
        }
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

/// Starts the housekeeping, each second; it ends when `stopped` says so. `taker` names this process in the leases, if it
/// should take back shards that nobody has.
pub(super) fn start_housekeeping<G: Game>(
    shards: &Arc<Shards<G>>,
    signals: &Arc<Signals>,
    taker: Option<String>,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let (shards, signals) = (Arc::clone(shards), Arc::clone(signals));
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(HOUSEKEEPING);
        let (mut leases, mut decisions, mut departed) = (Guarded::default(), Guarded::default(), Guarded::default());
        let keep_house = async {
            loop {
                ticks.tick().await;
                telemetry::observe(shards.occupied(), shards.dirty());
                telemetry::log_refusals();
                if let Some(taker) = &taker {
                    leases.run(look_after_leases(&shards, &signals, taker)).await;
                }
                decisions.run(carry_out_decisions(&shards)).await;
                departed.run(delete_departed(&shards)).await;
            }
        };
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => {}
            () = keep_house => {}
        }
    })
}

/// Starts the task that carries out gifts and trades; it ends when `stopped` says so. A panic ends only a round.
pub(super) fn start_deals<G: Game>(shards: &Arc<Shards<G>>, mut stopped: watch::Receiver<bool>) {
    let shards = Arc::clone(shards);
    tokio::spawn(async move {
        let carry_out = async {
            loop {
                if AssertUnwindSafe(shards.carry_out_deals()).catch_unwind().await.is_err() {
                    tracing::error!(
                        "the task that carries out gifts and trades panicked; it begins again in {HOUSEKEEPING:?}"
                    );
                }
                tokio::time::sleep(HOUSEKEEPING).await;
            }
        };
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => {}
            () = carry_out => {}
        }
    });
}

async fn look_after_leases<G: Game>(shards: &Arc<Shards<G>>, signals: &Signals, node: &str) {
    let leases = shards.look_after_leases(node).await;
    if signals.set_database_unreachable(leases.is_err()) {
        match &leases {
            Ok(()) => tracing::info!("the database answers again"),
            Err(error) => tracing::warn!(%error, "the database does not answer"),
        }
    }
}

async fn carry_out_decisions<G: Game>(shards: &Shards<G>) {
    if let Err(error) = shards.carry_out_decisions().await {
        tracing::debug!(%error, "cannot look for dead letters");
    }
}

async fn delete_departed<G: Game>(shards: &Arc<Shards<G>>) {
    if let Err(error) = shards.delete_departed().await {
        tracing::debug!(%error, "characters of deleted accounts could not be looked for");
    }
}

/// Runs steps of the housekeeping. A panic ends only its step; the next one waits, longer after each panic.
#[derive(Default)]
struct Guarded {
    panics: u32,
    next: Option<Instant>,
}

impl Guarded {
    async fn run(&mut self, step: impl Future<Output = ()>) {
        if self.next.is_some_and(|next| Instant::now() < next) {
            return;
        }
        if AssertUnwindSafe(step).catch_unwind().await.is_ok() {
            *self = Self::default();
            return;
        }
        self.panics += 1;
        let pause = HOUSEKEEPING * 2_u32.pow(self.panics.min(6));
        self.next = Some(Instant::now() + pause);
        tracing::error!("housekeeping panicked; trying again in {pause:?}");
    }
}

/// Ends the sockets of sessions that were ended.
async fn close_revoked(auth: Arc<Auth>, registry: Arc<Registry>) {
    const REVOKED: CloseOrder = CloseOrder::new(CloseCode::SessionRevoked, "the session was ended");
    let mut revocations = auth.revocations();
    loop {
        match revocations.recv().await {
            Ok((session, user)) => registry.close_session(user, session, &REVOKED),
            Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {
                registry.close_sessions_where(|session| auth.is_revoked(session), &REVOKED);
            }
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Ends all sockets when a key was removed before its tokens had expired: nothing tells which of them it opened. Clients
/// refresh their sessions and come back.
async fn close_cut_off(mut cut_off: watch::Receiver<()>, registry: Arc<Registry>) {
    const EXPIRED: CloseOrder = CloseOrder::new(CloseCode::TokenExpired, "the token's key was removed");
    while cut_off.changed().await.is_ok() {
        registry.close_all(&EXPIRED);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panic_does_not_end_the_housekeeping() {
        let mut guarded = Guarded::default();
        let steps = AtomicU32::new(0);
        for (pause_seconds, expected) in [(0, 1), (1, 1), (1, 2), (3, 2), (1, 3), (1, 4)] {
            tokio::time::advance(Duration::from_secs(pause_seconds)).await;
            let step = async { assert!(steps.fetch_add(1, Ordering::Relaxed) >= 2, "it panics twice") };
            guarded.run(step).await;
            assert_eq!(steps.load(Ordering::Relaxed), expected);
        }
    }
}
