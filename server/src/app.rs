//! Puts the rooms together, and takes them apart again without losing anything.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use castellan_protocol::CloseCode;
use castellan_protocol::limits::SLOW_CONSUMER_SECONDS;
use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::auth::{self, Auth, Policy};
use crate::clock::{Clock, system_clock, system_entropy};
use crate::config::{Config, Encumbrance, Scheduling};
use crate::flush::{Entries, Flusher, Queue, Settings, Signals, spool};
use crate::http;
use crate::planted::{self, Bug};
use crate::rules::{self, Catalogue, CatalogueErrors};
use crate::shard::{Capacity, CloseOrder, Shards};
use crate::socket::{self, Registry, Workers};
use crate::storage::{self, SHARDS, Storage};
use crate::telemetry;

/// How long somebody who waits for a commit leaves others to join.
const GATHER: Duration = Duration::from_millis(2);

/// First and longest wait between two tries of the flusher.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// How long a client may leave its answers unread.
const SLOW_CONSUMER: Duration = Duration::from_secs(SLOW_CONSUMER_SECONDS);

/// How often gauges are read, and operators' decisions looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How long connections may take to say goodbye at a stop.
const GOODBYE: Duration = Duration::from_secs(3);

/// Runs the server until it is told to stop.
///
/// # Errors
///
/// What kept it from starting, or that something could not be brought to the database at the end.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let metrics = telemetry::install(&config.telemetry)?;
    let (clock, entropy) = (system_clock(), system_entropy());
    let storage = tokio::spawn({
        // On a thread that stands back, as those do that a connection starts.
        let (url, options) = (config.database.url.expose().to_owned(), config.database.options());
        async move { storage::connect(&url, &options).await }
    })
    .await??;
    storage.migrate().await.context("the database could not be brought to the present shape")?;
    let catalogue = Arc::new(read_catalogue(&config)?);
    let policy = Arc::new(Policy::from_choice(&config.rules.policy)?);
    let registration_open = config.registration_is_open();
    let auth =
        Auth::open(Arc::clone(&storage), &config.auth, registration_open, Arc::clone(&clock), Arc::clone(&entropy));
    let auth = Arc::new(auth.await?);
    let dice_secret: Arc<[u8]> = auth::secret(&storage, "dice", &entropy, clock()).await?.into();

    let signals = Arc::new(Signals::default());
    let capacity = Capacity {
        characters_max: config.cache.characters_max,
        dirty_max: config.flush.dirty_max,
        load_timeout: config.database.timeout,
    };
    let shards = Arc::new(Shards::new(
        Arc::clone(&storage),
        &catalogue,
        &dice_secret,
        capacity,
        Arc::clone(&signals),
        Handle::current(),
        Arc::clone(&clock),
    ));
    take_over(&config, &storage, &shards, &clock).await?;

    let registry = Arc::new(Registry::default());
    let context = Arc::new(socket::Context {
        shards: Arc::clone(&shards),
        auth: Arc::clone(&auth),
        policy: Arc::clone(&policy),
        settings: socket_settings(&config),
        clock: Arc::clone(&clock),
    });
    let workers = config.socket.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let in_real_time = config.socket.scheduling == Scheduling::Realtime;
    let workers = Workers::start(workers, in_real_time, &context).context("the socket threads could not be started")?;
    let (stop, stopped) = watch::channel(false);
    let flusher = start_flusher(&config, &shards, &storage, &signals, &clock, stopped.clone());
    tokio::spawn(housekeeping(Arc::clone(&shards), stopped.clone()));
    tokio::spawn(close_revoked(Arc::clone(&auth), Arc::clone(&registry)));
    tokio::spawn({
        let auth = Arc::clone(&auth);
        async move { auth.follow_revocations().await }
    });
    tokio::spawn({
        let auth = Arc::clone(&auth);
        async move { auth.forget_sessions().await }
    });

    let published = Arc::new(RwLock::new(publish(&catalogue)));
    let listener = TcpListener::bind(config.listen.listen)
        .await
        .with_context(|| format!("{} cannot be listened on", config.listen.listen))?;
    let address = listener.local_addr()?;
    let routes = Arc::new(http::Context {
        auth,
        policy,
        shards: Arc::clone(&shards),
        registry: Arc::clone(&registry),
        hand_over: Box::new(move |accepted| workers.hand_over(accepted)),
        catalogue: Box::new({
            let published = Arc::clone(&published);
            move || Arc::clone(&published.read())
        }),
        health: Box::new(health(&shards, &signals, stopped.clone())),
        metrics: Box::new(move || metrics.render()),
        rates: http::Rates::new(&config.listen),
        settings: config.listen.clone(),
        local: address,
        sockets_max: config.socket.connections_max,
        durable_timeout: config.flush.durable_timeout,
        clock: Arc::clone(&clock),
        entropy,
    });
    let (stop_accepting, accepting) = watch::channel(false);
    let limits = http::Limits::from(&config.listen);
    let mut listeners = JoinSet::new();
    if let Some(admin) = config.listen.admin_listen {
        let listener = TcpListener::bind(admin).await.with_context(|| format!("{admin} cannot be listened on"))?;
        println!("metrics and health are on http://{}", listener.local_addr()?);
        let routes = http::for_operators(&routes);
        listeners.spawn(http::serve(listener, routes, limits, accepting.clone()));
    }
    let routes = http::for_players(&routes);
    listeners.spawn(http::serve(listener, routes, limits, accepting));
    announce(address);

    let running =
        Running { config, storage, shards, registry, published, stop_accepting, listeners, stop, flusher, clock };
    running.until_told_to_stop().await?;
    running.drain().await
}

/// Everything that runs, from the first connection to the last flush.
struct Running {
    config: Config,
    storage: Arc<dyn Storage>,
    shards: Arc<Shards>,
    registry: Arc<Registry>,
    published: Arc<RwLock<Arc<http::Published>>>,
    stop_accepting: watch::Sender<bool>,
    listeners: JoinSet<()>,
    stop: watch::Sender<bool>,
    flusher: JoinHandle<Flusher<Shards>>,
    clock: Clock,
}

impl Running {
    /// Waits for SIGTERM or SIGINT; SIGHUP reads the catalogue again.
    async fn until_told_to_stop(&self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hang_up.recv() => self.reload(),
            }
        }
    }

    /// Goes on with the catalogue as its files are now; a bad one changes nothing.
    fn reload(&self) {
        match read_catalogue(&self.config) {
            Ok(catalogue) => {
                let catalogue = Arc::new(catalogue);
                self.shards.use_catalogue(&catalogue);
                *self.published.write() = publish(&catalogue);
                tracing::info!(revision = catalogue.revision(), "the catalogue was read again");
            }
            Err(errors) => tracing::error!(%errors, "the catalogue was not read again: the old one stays"),
        }
    }

    /// Stops accepting, tells the sockets, finishes what was read, flushes, releases the leases.
    async fn drain(mut self) -> anyhow::Result<()> {
        const GOING_AWAY: CloseOrder = CloseOrder { code: CloseCode::GoingAway, reason: "the server stops" };
        tracing::info!("stopping");
        let deadline = Instant::now() + self.config.listen.shutdown_timeout;
        let goodbye = (Instant::now() + GOODBYE).min(deadline);
        self.registry.close_all(&GOING_AWAY);
        self.stop_accepting.send_replace(true);
        while !self.registry.is_empty() && Instant::now() < goodbye {
            // Those that were in the middle of their upgrade are told now.
            self.registry.close_all(&GOING_AWAY);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let requests = async { while self.listeners.join_next().await.is_some() {} };
        if tokio::time::timeout_at(goodbye, requests).await.is_err() {
            tracing::warn!("requests were cut off: they took too long");
            self.listeners.abort_all();
        }
        self.stop.send_replace(true);
        let mut flusher = (&mut self.flusher).await.context("the flusher broke off")?;
        let leases = self.shards.leases();
        if planted::is(Bug::ReleaseWhileDirty) || flusher.drain(deadline).await {
            match tokio::time::timeout_at(deadline, self.storage.release(&leases)).await {
                Ok(Ok(())) => {
                    tracing::info!("everything is stored");
                    return Ok(());
                }
                Ok(Err(error)) => anyhow::bail!("everything is stored, but the leases could not be released: {error}"),
                Err(_) => anyhow::bail!("everything is stored, but the leases could not be released in time"),
            }
        }
        self.spool()
    }

    /// Writes what the database did not take to a file.
    fn spool(&self) -> anyhow::Result<()> {
        let (batch, _) = self.shards.collect(Queue::Dirty, usize::MAX);
        let characters = batch.rows.len();
        let path = spool::write(&self.config.flush.spool, &batch, (self.clock)()).with_context(|| {
            format!("{characters} characters could be brought neither to the database nor to a file")
        })?;
        anyhow::bail!(
            "the database could not be reached: {characters} characters are in {} and will be brought in at the next start",
            path.display()
        )
    }
}

/// Takes the leases of all shards, after what an earlier server left in spool files was brought in.
async fn take_over(config: &Config, storage: &Arc<dyn Storage>, shards: &Shards, clock: &Clock) -> anyhow::Result<()> {
    let leftovers = spool::bring_in(&config.flush.spool, storage, clock()).await?;
    let node = format!("{} (process {})", config.listen.listen, std::process::id());
    let leases = storage.take_over(&node).await.context("the shards could not be taken over")?;
    leftovers.settle(storage, &leases).await?;
    shards.recall_dead_letters().await?;
    shards.take(&leases);
    let recoveries = leases.iter().filter(|lease| lease.recoveries > 0).count();
    tracing::info!(shards = leases.len(), recovered_before = recoveries, "the shards are ours");
    Ok(())
}

fn start_flusher(
    config: &Config,
    shards: &Arc<Shards>,
    storage: &Arc<dyn Storage>,
    signals: &Arc<Signals>,
    clock: &Clock,
    stopped: watch::Receiver<bool>,
) -> JoinHandle<Flusher<Shards>> {
    let settings = Settings {
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

fn socket_settings(config: &Config) -> socket::Settings {
    socket::Settings {
        ping_interval: config.socket.ping_interval,
        watch_max: config.socket.watch_max,
        rate_per_second: config.socket.rate_per_second,
        rate_burst: config.socket.rate_burst,
        slow_consumer: SLOW_CONSUMER,
        durable_timeout: config.flush.durable_timeout,
        read_buffer_bytes: usize::try_from(config.socket.read_buffer.0).expect("at most 1 MiB"),
    }
}

/// Reads gauges and carries out operators' decisions, each second.
async fn housekeeping(shards: Arc<Shards>, mut stopped: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(HOUSEKEEPING);
    while !*stopped.borrow() {
        tokio::select! {
            _ = stopped.changed() => {}
            _ = ticks.tick() => {
                telemetry::observe(shards.occupied(), shards.dirty());
                if let Err(error) = shards.settle_dead_letters().await {
                    tracing::debug!(%error, "dead letters could not be looked for");
                }
            }
        }
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

/// Reads the catalogue that the settings name, or takes the built-in one.
fn read_catalogue(config: &Config) -> Result<Catalogue, CatalogueErrors> {
    let catalogue = match &config.rules.catalogue {
        Some(folder) => Catalogue::load(folder)?,
        None => Catalogue::embedded(),
    };
    let variant_encumbrance = config.rules.encumbrance == Encumbrance::Variant;
    Ok(catalogue.with_options(rules::Options { variant_encumbrance }))
}

/// The catalogue as it is served.
fn publish(catalogue: &Catalogue) -> Arc<http::Published> {
    Arc::new(http::Published { body: catalogue.to_json().into(), revision: catalogue.revision().to_owned() })
}

/// How the server is, as a readiness probe asks.
fn health(
    shards: &Arc<Shards>,
    signals: &Arc<Signals>,
    stopped: watch::Receiver<bool>,
) -> impl Fn() -> http::Health + Send + Sync + use<> {
    let (shards, signals) = (Arc::clone(shards), Arc::clone(signals));
    move || {
        let lost = usize::from(SHARDS) - shards.leases().len();
        let mut problems = Vec::new();
        let mut status = http::Standing::Ready;
        if signals.is_database_away() {
            status = http::Standing::Degraded;
            problems.push(format!("the database takes no writes; {} characters wait", shards.dirty()));
        }
        if lost > 0 {
            status = http::Standing::Unready;
            problems.push(format!("{lost} of {SHARDS} shards are with another server"));
        }
        if *stopped.borrow() {
            status = http::Standing::Unready;
            problems.push("the server stops".to_owned());
        }
        http::Health { status, problems }
    }
}

/// Says where the server is and what to type next.
fn announce(address: std::net::SocketAddr) {
    println!("castellan is listening on http://{address}");
    println!("play from another terminal:  cargo run --release -p client-sim -- play --server http://{address}");
}
