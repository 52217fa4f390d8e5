//! `castellan node`: owns some of the shards, and serves gateways.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use castellan_cluster::membership::PERIOD;
use castellan_game::Game;
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::background;
use super::health;
use super::hints;
use super::membership::{self, Heartbeat, Shares};
use super::parts::Parts;
use super::peers;
use super::report::reporter;
use super::rules::Rules;
use super::running::{Running, StopSignals};
use super::start::{self, Bound, Patience};
use super::{LAST_RECORDS, observe, open_files, purge, supervisor};
use crate::config::{AdminListen, Config};
use crate::flush::{Signals, spool};
use crate::http;
use crate::link::{self, Secret};
use crate::node::{Moves, Renewed};
use crate::socket::{self, AcceptedLink, Registry, RequestHandler, Workers, serve_link};
use crate::storage::{Link, Node, NodeKind, Storage, WITH_BOOKS};
use crate::telemetry;

/// Pause between two tries to tell the others that this node stops.
const PAUSE: Duration = Duration::from_millis(500);

/// When all other nodes know that this one stops: they read twice in this time.
const KNOWN: Duration = PERIOD.saturating_mul(2);

/// Runs a node until it is told to stop.
///
/// # Errors
///
/// Why it could not start, or that something could not be brought to the database at the end.
pub async fn node<G: Game>(mut config: Config) -> anyhow::Result<()> {
    let name = config.node.name.clone().context("a node needs a name: --name")?;
    let metrics = observe(&config)?;
    telemetry::role("node");
    let workers_count = start::worker_count(&config.socket);
    let room = open_files::share_out(&config, workers_count)?;
    let (tls, trust) = (start::read_certificate(&config.listen)?, start::read_link_ca(&config.node)?);
    if tls.is_some() != trust.is_some() {
        anyhow::bail!(
            "nodes open links to each other, with TLS in both directions or in none: set --tls-cert, --tls-key and \
             --link-ca, or none of them"
        );
    }
    // Everything of a node is for gateways and operators.
    config.listen.admin_listen = AdminListen::Players;
    // Another node on this machine has a folder of its own.
    config.flush.spool = config.flush.spool.join(&name);
    let Bound { players: listener, address, .. } = start::bind(&config.listen)?;
    let advertised = advertised(&config, address)?;
    if tls.is_none() && !address.ip().is_loopback() {
        tracing::warn!(
            "links to this node are not encrypted; use --tls-cert, --tls-key and --link-ca, or run them in a private network"
        );
    }
    let mut patience = Patience::new(&config.database);
    // Its gateways may be open to strangers, so nothing is allowed unless a setting allows it.
    let parts = Parts::<G>::make(&config, true, &mut patience).await?;
    if parts.storage.membership().is_none() {
        anyhow::bail!("only one server at a time can use an SQLite database; nodes need PostgreSQL (--database-url)")
    }
    let signals = Arc::new(Signals::default());
    let shards = parts.shards(&config, &signals);
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
    let stopped = stop.subscribe();
    let rules = Arc::new(Rules::new(&config, &name, &storage, &shards, &policy, &published, &audit));
    patience.with(|| rules.begin()).await?;
    let secret_bytes = rand::random::<[u8; 32]>();
    let secret = Secret::new(&secret_bytes).context("a secret of 32 bytes")?;
    let this = Node {
        process: uuid::Builder::from_random_bytes(rand::random()).into_uuid(),
        kind: NodeKind::Node,
        name,
        address: advertised.to_string(),
        link: Some(Link { secret: secret_bytes.to_vec(), oldest: link::VERSIONS.0, newest: link::VERSIONS.1 }),
        weight: config.node.weight,
        draining: false,
        rules: rules.in_use(),
        schema_version: G::SCHEMA_VERSION + WITH_BOOKS,
    };
    let (renewed, renewals) = watch::channel(None::<Renewed>);
    let (stop_moves, moves_stopped) = watch::channel(false);
    let dial = peers::dialler(this.process, trust.clone(), &entropy);
    let (links, moves) =
        Moves::new(this.process, Arc::clone(&shards), Arc::clone(&storage), renewals.clone(), moves_stopped, dial);
    let follows = renewals.clone();
    let registry = Arc::new(Registry::new(start::socket_limits(&config.socket, usize::MAX)));
    let sockets = Arc::new(socket::Context {
        shards: Arc::clone(&shards),
        auth: Arc::clone(&auth),
        policy: Arc::clone(&policy),
        audit: audit.clone(),
        settings: start::socket_settings(&config),
        clock: Arc::clone(&clock),
    });
    let stop_signals = StopSignals::listen()?;
    let routes = Arc::new(http::Context {
        auth: Arc::clone(&auth),
        issuers: Arc::clone(&issuers),
        policy,
        exposure,
        audit: audit.clone(),
        shards: Arc::clone(&shards),
        registry: Arc::clone(&registry),
        hand_over: Box::new(|_| false),
        forward: None,
        catalogue: Box::new({
            let published = Arc::clone(&published);
            move || Arc::clone(&published.read())
        }),
        health: Box::new(health::of_node(&signals, renewals, leaving.subscribe())),
        metrics: Box::new(move || metrics.render()),
        rates: http::Rates::new(&config.listen, &config.socket),
        settings: config.listen.clone(),
        durable_timeout: config.flush.durable_timeout,
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
    });
    let requests: RequestHandler = Arc::new({
        let routes = http::for_gateways(&routes);
        let background = Handle::current();
        // It may wait for the database.
        move |request| {
            let answering = background.spawn(http::answer_forwarded(&routes, &request));
            async move { answering.await.ok().flatten() }.boxed()
        }
    });
    let workers = {
        let in_real_time = config.socket.scheduling == crate::config::Scheduling::Realtime;
        let serve = || {
            let (links, sockets, registry, requests) =
                (links.clone(), Arc::clone(&sockets), Arc::clone(&registry), Arc::clone(&requests));
            move |accepted: AcceptedLink| {
                serve_link(accepted, links.clone(), Arc::clone(&sockets), Arc::clone(&registry), Arc::clone(&requests))
            }
        };
        Workers::start(workers_count, in_real_time, serve).context("cannot start the threads for links")?
    };
    spool::bring_in(&config.flush.spool, &storage, clock()).await?;
    patience.with(|| membership::register(&storage, &this)).await?;
    patience.with(|| rules.agree_on_schema(this.process)).await?;
    let (name, process) = (this.name.clone(), this.process);
    let in_use = {
        let rules = Arc::clone(&rules);
        move || rules.in_use()
    };
    let report = reporter(in_use, &shards, &registry, &clock);
    let shares = Shares {
        renewed,
        database: Arc::clone(links.database()),
        entropy: Some(Arc::clone(&entropy)),
        trust: trust.clone(),
    };
    let heartbeat = Heartbeat::start(&config.database, &storage, this.clone(), report, Some(shares))?;
    let moves = on_a_thread_of_its_own("moves", moves.run())?;

    // Nothing below can fail.
    let flusher = background::start_flusher(&config, &shards, &storage, &signals, &clock, stopped.clone());
    let housekeeping = background::start_housekeeping(&shards, &signals, None, stopped.clone());
    background::start(&auth, &registry);
    background::watch_replicas(&storage);
    hints::follow(&storage, &auth, None, {
        let shards = Arc::clone(&shards);
        move |looks| shards.hear_of_books(looks)
    });
    background::start_deals(&shards, stopped);
    purge::start(&config.keep, &shards, &storage, &auth, &audit, &clock);
    tokio::spawn({
        let rules = Arc::clone(&rules);
        async move { rules.stay(follows).await }
    });
    let (stop_accepting, accepting) = watch::channel(false);
    let limits = http::Limits {
        connections_max: room.http,
        connections_per_address: room.http,
        numbers_below: room.players_below,
        ..http::Limits::from(&config.listen)
    };
    let mut listeners = JoinSet::new();
    let linking = http::Linking::new(process, secret, entropy, move |line, leftover| {
        workers.hand_over(AcceptedLink { line, leftover })
    });
    listeners.spawn(http::serve(listener, tls.clone(), http::for_nodes(&routes, linking), limits, accepting));
    let scheme = if tls.is_some() { "https" } else { "http" };
    telemetry::print(&format!("castellan node {name} is listening on {scheme}://{address} (process {process})"));
    supervisor::ready();

    let mut running = Running {
        config,
        storage: Arc::clone(&storage),
        shards,
        registry,
        published,
        issuers,
        tls,
        trust,
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
        rules: Some(rules),
    };
    running.until_told_to_stop(stop_signals).await?;
    give_everything_away(&storage, &name, &stop_moves, moves, running.config.listen.shutdown_timeout).await;
    let outcome = running.drain().await;
    if tokio::time::timeout(LAST_RECORDS, recording).await.is_err() {
        tracing::error!("the last rows of the audit are not stored; the log has them");
    }
    outcome
}

/// The address that gateways use.
fn advertised(config: &Config, bound: SocketAddr) -> anyhow::Result<SocketAddr> {
    let address = config.node.advertise.unwrap_or(bound);
    if address.ip().is_unspecified() {
        anyhow::bail!(
            "--listen {bound} tells gateways no address; name the one under which they reach this node with --advertise"
        );
    }
    Ok(address)
}

/// Runs a future on a runtime and a thread of its own, at normal priority: neither busy sockets nor batches delay it.
/// Nothing waits for the thread when the program ends; the receiver hears when the future has ended.
fn on_a_thread_of_its_own(
    name: &str,
    work: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<oneshot::Receiver<()>> {
    let (has_ended, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            runtime.block_on(work);
            // Nobody listens if the start has failed.
            let _ = has_ended.send(());
        })
        .with_context(|| format!("cannot start the thread {name}"))?;
    Ok(ended)
}

/// Tells the others that this node stops, and gives them its shards. What is left after the time limit is stored and
/// released like that of a server.
async fn give_everything_away(
    storage: &Arc<dyn Storage>,
    name: &str,
    stop: &watch::Sender<bool>,
    moves: oneshot::Receiver<()>,
    limit: Duration,
) {
    tracing::info!("giving all shards away");
    let deadline = Instant::now() + limit / 2;
    let Some(membership) = storage.membership() else { return };
    while let Err(error) = membership.set_draining(name, true).await {
        tracing::warn!(%error, "cannot tell the other nodes that this one stops");
        if Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    // By then every node has read that this one takes nothing more; until then it could be given a shard.
    tokio::time::sleep(KNOWN).await;
    stop.send_replace(true);
    match tokio::time::timeout(limit / 2, moves).await {
        Ok(Ok(())) => tracing::info!("all shards have other owners, or none"),
        Ok(_) => tracing::error!("the task that moves shards has panicked"),
        Err(_) => tracing::warn!("some shards could not be given away in time"),
    }
}
