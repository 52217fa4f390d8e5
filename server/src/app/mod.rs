//! Puts the rooms together, and takes them apart again without losing anything.
//!
//! A start binds its addresses first, then waits for the database, builds everything, and takes the shards last: a
//! start that cannot succeed must not take them from a healthy server.

mod background;
mod doctor;
mod files;
mod gateway;
mod health;
mod hints;
mod membership;
mod node;
mod open_files;
mod origin;
mod parts;
mod peers;
mod purge;
mod replacing;
mod report;
mod rules;
mod running;
mod start;
mod supervisor;
mod warnings;

use std::sync::Arc;
use std::time::Duration;

use castellan_game::Game;
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::membership::Heartbeat;
use self::parts::Parts;
use self::report::reporter;
use self::running::{Running, StopSignals};
use self::start::{Bound, Patience};
use crate::config::Config;
use crate::flush::Signals;
use crate::http;
use crate::socket::{self, Registry};
use crate::storage::InUse;
use crate::telemetry;

pub use self::doctor::doctor;
pub use self::files::problems_of_files;
pub use self::gateway::gateway;
pub use self::membership::{Shares, beat, register};
pub use self::node::node;

/// How long the last rows of the audit may take at a stop.
const LAST_RECORDS: Duration = Duration::from_secs(2);

/// Runs the server until it is told to stop.
///
/// # Errors
///
/// Why it could not start, or that something could not be brought to the database at the end.
pub async fn serve<G: Game>(config: Config) -> anyhow::Result<()> {
    let metrics = observe(&config)?;
    telemetry::role("serve");
    let room = open_files::share_out(&config, start::worker_count(&config.socket))?;
    let tls = start::read_certificate(&config.listen)?;
    let Bound { players, operators, address } = start::bind(&config.listen)?;
    let mut patience = Patience::new(&config.database);
    let parts = Parts::<G>::make(&config, config.listen.is_exposed(), &mut patience).await?;
    let signals = Arc::new(Signals::default());
    let shards = parts.shards(&config, &signals);
    let Parts {
        clock,
        entropy,
        rules,
        published,
        exposure,
        policy,
        storage,
        issuers,
        auth,
        leaving,
        stop,
        audit,
        recording,
        ..
    } = parts;
    let stopped = stop.subscribe();
    let context = Arc::new(socket::Context {
        shards: Arc::clone(&shards),
        auth: Arc::clone(&auth),
        policy: Arc::clone(&policy),
        audit: audit.clone(),
        settings: start::socket_settings(&config),
        clock: Arc::clone(&clock),
    });
    let workers = start::socket_threads(&config.socket, &context)?;
    let registry = Arc::new(Registry::new(start::socket_limits(&config.socket, room.sockets)));
    let routes = Arc::new(http::Context {
        auth: Arc::clone(&auth),
        issuers: Arc::clone(&issuers),
        policy,
        exposure,
        audit: audit.clone(),
        shards: Arc::clone(&shards),
        registry: Arc::clone(&registry),
        hand_over: Box::new(move |accepted| workers.hand_over(accepted)),
        forward: None,
        catalogue: Box::new({
            let published = Arc::clone(&published);
            move || Arc::clone(&published.read())
        }),
        health: Box::new(health::health(&shards, &signals, leaving.subscribe())),
        metrics: Box::new(move || metrics.render()),
        rates: http::Rates::new(&config.listen, &config.socket),
        settings: config.listen.clone(),
        durable_timeout: config.flush.durable_timeout,
        clock: Arc::clone(&clock),
        entropy,
    });
    let stop_signals = StopSignals::listen()?;
    let node = start::this_server::<G>(address, &rules);
    patience.with(|| membership::register(&storage, &node)).await?;
    let (name, process) = (node.name.clone(), node.process);
    let in_use = {
        let published = Arc::clone(&published);
        move || InUse::own(&published.read().revision)
    };
    let report = reporter(in_use, &shards, &registry, &clock);
    let heartbeat = Heartbeat::start(&config.database, &storage, node, report, None)?;
    if let Err(error) = patience.with(|| start::take_shards(&config, &name, &storage, &shards, &clock)).await {
        membership::end(heartbeat, &storage, process).await;
        return Err(error);
    }

    // Nothing below can fail: from here on the shards are given back only by a clean stop.
    let flusher = background::start_flusher(&config, &shards, &storage, &signals, &clock, stopped.clone());
    let housekeeping = background::start_housekeeping(&shards, &signals, Some(name), stopped.clone());
    background::start(&auth, &registry);
    background::watch_replicas(&storage);
    hints::follow(&storage, &auth, None, {
        let shards = Arc::clone(&shards);
        move |looks| shards.hear_of_books(looks)
    });
    background::start_deals(&shards, stopped);
    purge::start(&config.keep, &shards, &storage, &auth, &audit, &clock);
    let (stop_accepting, accepting) = watch::channel(false);
    let limits = http::Limits {
        connections_max: room.http,
        numbers_below: room.players_below,
        ..http::Limits::from(&config.listen)
    };
    let open = start::what_is_open(&config, &auth, operators.as_ref().map(|(_, address)| *address));
    let mut listeners = JoinSet::new();
    if let Some((listener, _)) = operators {
        let limits = start::limits_of_operators(&room, &limits);
        listeners.spawn(http::serve(listener, None, http::for_operators(&routes), limits, accepting.clone()));
    }
    listeners.spawn(http::serve(players, tls.clone(), http::for_players(&routes), limits, accepting));
    let scheme = if tls.is_some() { "https" } else { "http" };
    telemetry::print(&format!("castellan is listening on {scheme}://{address}"));
    telemetry::print(&open);
    supervisor::ready();
    telemetry::print(&format!(
        "play from another terminal:  cargo run --release -p client-sim -- play --server {scheme}://{address}"
    ));

    let mut running = Running {
        config,
        storage,
        shards,
        registry,
        published,
        issuers,
        tls,
        trust: None,
        leaving,
        stop_accepting,
        listeners,
        stop,
        flusher,
        housekeeping,
        heartbeat,
        process,
        clock,
        audit,
        rules: None,
    };
    running.until_told_to_stop(stop_signals).await?;
    let outcome = running.drain().await;
    if tokio::time::timeout(LAST_RECORDS, recording).await.is_err() {
        tracing::error!("the last rows of the audit are not stored; the log has them");
    }
    outcome
}

/// Sets up logs, traces and metrics.
fn observe(config: &Config) -> anyhow::Result<telemetry::Metrics> {
    let metrics = telemetry::install(&config.telemetry)?;
    config.unknown.iter().for_each(|sentence| tracing::warn!("{sentence}"));
    Ok(metrics)
}
