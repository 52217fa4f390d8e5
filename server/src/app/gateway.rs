//! `castellan gateway`: holds players' connections, and passes everything about characters to nodes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use castellan_game::Game;
use castellan_protocol::CloseCode;
use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::parts::Parts;
use super::replacing::{self, Hosts, Work};
use super::rules::Rules;
use super::running::{GOODBYE, StopSignals, linger, reload};
use super::start::{self, Patience};
use super::{LAST_RECORDS, background, health, hints, observe, open_files, supervisor};
use crate::clock::Entropy;
use crate::config::{Config, Scheduling};
use crate::flush::Signals;
use crate::gateway::{self, Dial, Hub, Listeners, NodeAddress, Owners};
use crate::http;
use crate::link::{self, Secret, Trust};
use crate::shard::CloseOrder;
use crate::socket::{Registry, Workers};
use crate::telemetry;

/// Runs a gateway until it is told to stop, or is replaced. Replaces the gateway that waits at the Unix socket `replace`,
/// if one does, and then waits there itself.
///
/// # Errors
///
/// Why it could not start.
pub async fn gateway<G: Game>(config: Config, replace: Option<PathBuf>) -> anyhow::Result<()> {
    let metrics = observe(&config)?;
    telemetry::role("gateway");
    let workers_count = start::worker_count(&config.socket);
    let room = open_files::share_out(&config, workers_count)?;
    let tls = start::read_certificate(&config.listen)?;
    let trust = start::read_link_ca(&config.node)?;
    // A gateway that is to be replaced has the addresses.
    let bound = if replace.is_none() { Some(start::bind(&config.listen)?) } else { None };
    let mut patience = Patience::new(&config.database);
    let parts = Parts::<G>::make(&config, config.listen.is_exposed(), &mut patience).await?;
    if parts.storage.membership().is_none() {
        anyhow::bail!("a gateway needs nodes, and nodes need PostgreSQL (--database-url)")
    }
    // Without leases: a gateway asks nodes.
    let shards = parts.shards(&config, &Arc::new(Signals::default()));
    let Parts {
        clock,
        entropy,
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
    let owners = Owners::start(Arc::clone(&storage));
    let rules = Rules::new(&config, "gateway", &storage, &shards, &policy, &published, &audit);
    patience.with(async || Ok(rules.follow().await?)).await?;
    let workers =
        Arc::new(start_workers::<G>(&config, workers_count, &owners, trust.clone(), Arc::clone(&entropy), || {
            gateway::Context {
                auth: Arc::clone(&auth),
                settings: start::socket_settings(&config),
                clock: Arc::clone(&clock),
            }
        })?);
    let registry = Arc::new(Registry::new(start::socket_limits(&config.socket, room.sockets)));
    let routes = Arc::new(http::Context {
        auth: Arc::clone(&auth),
        issuers: Arc::clone(&issuers),
        policy,
        exposure,
        audit,
        shards: Arc::clone(&shards),
        registry: Arc::clone(&registry),
        hand_over: Box::new({
            let workers = Arc::clone(&workers);
            move |accepted| workers.hand_over(Work::Socket(Box::new(accepted)))
        }),
        forward: Some(http::Forward::new({
            let workers = Arc::clone(&workers);
            move |shard, request| {
                let (reply, answer) = oneshot::channel();
                let is_taken = workers.hand_over(Work::Request(shard, request, reply));
                async move { if is_taken { answer.await.ok() } else { None } }.boxed()
            }
        })),
        catalogue: Box::new({
            let published = Arc::clone(&published);
            move || Arc::clone(&published.read())
        }),
        health: Box::new(health::of_gateway(owners.snapshots(), leaving.subscribe())),
        metrics: Box::new(move || metrics.render()),
        rates: http::Rates::new(&config.listen, &config.socket),
        settings: config.listen.clone(),
        durable_timeout: config.flush.durable_timeout,
        clock: Arc::clone(&clock),
        entropy,
    });
    let mut signals = StopSignals::listen()?;
    background::start(&auth, &registry);
    hints::follow(&storage, &auth, Some(owners.clone()), |_| {});
    tokio::spawn(async move { rules.look_again_and_again().await });
    let limits = http::Limits {
        connections_max: room.http,
        numbers_below: room.players_below,
        ..http::Limits::from(&config.listen)
    };
    let serve = |listeners: &Listeners| -> io::Result<Serving> {
        let (stop_accepting, accepting) = watch::channel(false);
        let mut tasks = JoinSet::new();
        if let Some(listener) = &listeners.operators {
            let listener = TcpListener::from_std(listener.try_clone()?)?;
            let limits = start::limits_of_operators(&room, &limits);
            tasks.spawn(http::serve(listener, None, http::for_operators(&routes), limits, accepting.clone()));
        }
        let players = TcpListener::from_std(listeners.players.try_clone()?)?;
        tasks.spawn(http::serve(players, tls.clone(), http::for_players(&routes), limits.clone(), accepting));
        Ok(Serving { stop_accepting, tasks })
    };
    let predecessor = match &replace {
        Some(socket) => replacing::ask(socket.clone(), &owners).await?,
        None => None,
    };
    let (arrival, listeners) = match (predecessor, bound) {
        (Some((arrival, listeners)), _) => (Some(arrival), listeners),
        (None, Some(bound)) => (None, replacing::listeners_of(bound)?),
        (None, None) => (None, replacing::listeners_of(start::bind(&config.listen)?)?),
    };
    let mut serving = serve(&listeners)?;
    if let Some(arrival) = &arrival {
        arrival.got_it()?;
    }
    let address = listeners.players.local_addr()?;
    let operators = listeners.operators.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    telemetry::print(&format!("castellan gateway is listening on {scheme}://{address}"));
    telemetry::print(&start::what_is_open(&config, &auth, operators));
    supervisor::ready();
    let hosts = Hosts { auth, registry: Arc::clone(&registry), workers, sockets_max: room.sockets };
    let (sender, mut successors) = mpsc::channel(1);
    if let Some(socket) = replace {
        tokio::spawn(replacing::wait_for_successor(arrival, socket, hosts.clone(), sender));
    }
    let listeners = Arc::new(listeners);
    loop {
        let successor = tokio::select! {
            must_reload = signals.next() => {
                if !must_reload {
                    leaving.send_replace(true);
                    supervisor::stopping();
                    let reload = || reload(tls.as_deref(), trust.as_deref(), &issuers);
                    linger(config.listen.shutdown_delay, &mut signals, reload).await;
                    break;
                }
                reload(tls.as_deref(), trust.as_deref(), &issuers);
                continue;
            }
            Some(successor) = successors.recv() => Arc::new(successor),
        };
        tracing::info!("another process replaces this gateway");
        let (offer, offered) = (Arc::clone(&successor), Arc::clone(&listeners));
        if let Err(error) = tokio::task::spawn_blocking(move || offer.listeners(&offered)).await? {
            tracing::error!(%error, "this gateway is not replaced");
            continue;
        }
        serving.stop_accepting.send_replace(true);
        replacing::finish_requests(&mut serving.tasks).await;
        match hosts.give_away(successor).await {
            Ok(()) => break,
            Err(error) => tracing::error!(%error, "this gateway is not replaced; it goes on"),
        }
        serving = serve(&listeners)?;
    }
    // Nobody waits in a queue that is never served.
    drop(listeners);
    let Serving { stop_accepting, mut tasks } = serving;
    const GOING_AWAY: CloseOrder = CloseOrder::new(CloseCode::GoingAway, "the gateway is stopping; reconnect");
    tracing::info!("stopping");
    leaving.send_replace(true);
    stop.send_replace(true);
    stop_accepting.send_replace(true);
    let goodbye = Instant::now() + GOODBYE.min(config.listen.shutdown_timeout);
    while !registry.is_empty() && Instant::now() < goodbye {
        // Those that were in the middle of their upgrade are told now.
        registry.close_all(&GOING_AWAY);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let requests = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout_at(goodbye, requests).await.is_err() {
        tracing::warn!("requests were cut off: they took too long");
    }
    if tokio::time::timeout(LAST_RECORDS, recording).await.is_err() {
        tracing::error!("the last rows of the audit are not stored; the log has them");
    }
    Ok(())
}

/// Listeners that are served.
struct Serving {
    stop_accepting: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Starts the socket threads, each with a hub of its own.
fn start_workers<G: Game>(
    config: &Config,
    count: usize,
    owners: &Owners,
    trust: Option<Arc<Trust>>,
    entropy: Entropy,
    context: impl Fn() -> gateway::Context,
) -> anyhow::Result<Workers<Work>> {
    let me = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let dial: Dial = Arc::new(move |NodeAddress { process, address, secret, .. }| {
        let (trust, entropy) = (trust.clone(), Arc::clone(&entropy));
        async move {
            let secret = Secret::new(&secret).ok_or_else(|| io::Error::other("the node's secret is too short"))?;
            link::dial(&address, process, me, &secret, trust.as_deref(), &entropy).await
        }
        .boxed()
    });
    let context = Arc::new(context());
    let serve = || {
        let hub = Hub::new(owners.clone(), Arc::clone(&dial));
        let context = Arc::clone(&context);
        move |work| {
            let (hub, context) = (hub.clone(), Arc::clone(&context));
            async move {
                match work {
                    Work::Socket(accepted) => gateway::serve::<G>(*accepted, hub, context).await,
                    Work::Carried(carried) => {
                        let (carried, seat) = *carried;
                        gateway::resume::<G>(carried, seat, hub, context).await;
                    }
                    Work::Leave(given, within, leaving) => {
                        hub.leave(given, within).await;
                        drop(leaving);
                    }
                    Work::Stay => hub.stay(),
                    Work::Request(shard, request, mut reply) => {
                        let answer = tokio::select! {
                            answer = hub.request(shard, request) => answer,
                            () = reply.closed() => None,
                        };
                        if let Some(answer) = answer {
                            // Nobody may wait for it any more.
                            let _ = reply.send(answer);
                        }
                    }
                }
            }
        }
    };
    let in_real_time = config.socket.scheduling == Scheduling::Realtime;
    Ok(Workers::start(count, in_real_time, serve)?)
}
