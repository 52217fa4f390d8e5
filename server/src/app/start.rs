//! The steps of a start. Each may fail.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use castellan_game::Game;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;

use super::open_files::Room;
use crate::auth::{Auth, AuthError, Exposure, Vault};
use crate::clock::{Clock, Entropy};
use crate::config::{self, Config, PolicyChoice, Scheduling};
use crate::flush::spool;
use crate::http;
use crate::link::Trust;
use crate::rate::Rate;
use crate::shard::Shards;
use crate::socket::{self, Accepted, Workers};
use crate::storage::{self, InUse, Node, NodeKind, Storage, StorageError, WITH_BOOKS};

/// How long a client may leave its answers unread.
const SLOW_CONSUMER: Duration = Duration::from_secs(10);

/// First and longest pause between two tries to reach the database; the pause doubles in between.
const DATABASE_PAUSE_MIN: Duration = Duration::from_millis(100);
const DATABASE_PAUSE_MAX: Duration = Duration::from_secs(2);

/// The addresses that a server listens on. Connections wait in the kernel's queue until they are served.
pub(super) struct Bound {
    pub(super) players: TcpListener,
    pub(super) address: SocketAddr,
    pub(super) operators: Option<(TcpListener, SocketAddr)>,
}

/// Connections that may wait in the kernel until they are accepted.
const BACKLOG: u32 = 1_024;

/// Binds the addresses, before anything is touched that another server may be using.
pub(super) fn bind(settings: &config::Listen) -> anyhow::Result<Bound> {
    let (players, address) = listen(settings.listen, settings)?;
    let operators = match settings.admin_address() {
        Some(address) => {
            let bound = listen(address, settings);
            Some(bound.context("the address for operators (--admin-listen) cannot be used")?)
        }
        None => None,
    };
    Ok(Bound { players, address, operators })
}

fn listen(address: SocketAddr, settings: &config::Listen) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = try_listen(address, settings).with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn try_listen(address: SocketAddr, settings: &config::Listen) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Every accepted connection inherits it. Otherwise the kernel keeps up to 4 MiB for a client that does not read.
    // TCP_NOTSENT_LOWAT would not bound what a client leaves unacknowledged.
    socket.set_send_buffer_size(u32::try_from(settings.send_buffer.0).unwrap_or(u32::MAX))?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Reads the certificate, if the settings name one.
pub(super) fn read_certificate(settings: &config::Listen) -> anyhow::Result<Option<Arc<http::Tls>>> {
    let (Some(certificate), Some(key)) = (&settings.tls_cert, &settings.tls_key) else { return Ok(None) };
    let tls = http::Tls::open(certificate, key).context("cannot use the certificate (--tls-cert, --tls-key)")?;
    Ok(Some(Arc::new(tls)))
}

/// Reads the authorities that sign the certificates of nodes, if links use TLS.
pub(super) fn read_link_ca(settings: &config::Node) -> anyhow::Result<Option<Arc<Trust>>> {
    let Some(file) = &settings.link_ca else { return Ok(None) };
    let trust = Trust::open(file).context("cannot use the authorities of nodes (--link-ca)")?;
    Ok(Some(Arc::new(trust)))
}

/// The one line that tells what is open, and to whom.
pub(super) fn what_is_open(config: &Config, auth: &Auth, operators: Option<SocketAddr>) -> String {
    let is_exposed = config.listen.is_exposed();
    let reach = if is_exposed { "others may reach this server" } else { "only this machine reaches this server" };
    let open_or_closed = |is_open| if is_open { "open" } else { "closed" };
    let registration = open_or_closed(auth.registration_is_open());
    let guests = open_or_closed(auth.guests_are_welcome());
    let policy = match &config.rules.policy {
        PolicyChoice::Auto if is_exposed => "strict".to_owned(),
        PolicyChoice::Auto | PolicyChoice::Permissive => "permissive".to_owned(),
        PolicyChoice::Strict => "strict".to_owned(),
        PolicyChoice::File(file) => format!("from {}", file.display()),
    };
    let metrics =
        operators.map_or_else(|| "on the players' address".to_owned(), |address| format!("on http://{address}"));
    let issuers: String =
        config.auth.issuers.0.iter().map(|issuer| format!("accounts by {}, ", issuer.issuer)).collect();
    let tls = if config.listen.tls_cert.is_some() { "TLS" } else { "no TLS" };
    format!("{reach}: registration {registration}, guests {guests}, {issuers}policy {policy}, metrics {metrics}, {tls}")
}

/// Repeats the steps of a start that need the database while it does not answer, or while its standby is away.
pub(super) struct Patience<'a> {
    settings: &'a config::Database,
    began: Instant,
    has_told: bool,
}

impl<'a> Patience<'a> {
    /// The time that the settings allow for all steps together begins now.
    pub(super) fn new(settings: &'a config::Database) -> Self {
        Self { settings, began: Instant::now(), has_told: false }
    }

    /// Runs a step, and repeats it as long as its error may pass by itself. Logs once that it is waiting.
    ///
    /// # Errors
    ///
    /// The step's last error, once the time is up. An error that does not pass by itself is returned at once.
    pub(super) async fn with<T, F>(&mut self, step: impl Fn() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let config::Database { url, wait, .. } = self.settings;
        let mut pause = DATABASE_PAUSE_MIN;
        loop {
            let error = match step().await {
                Err(error) if passes_by_itself(&error) => error,
                result => return result,
            };
            if self.began.elapsed() + pause >= *wait {
                return Err(error).with_context(|| format!("{url} did not answer within {wait:?} (--database-wait)"));
            }
            if !std::mem::replace(&mut self.has_told, true) {
                tracing::warn!(error = format!("{error:#}"), "waiting up to {wait:?} for the database at {url}");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(DATABASE_PAUSE_MAX);
        }
    }
}

fn passes_by_itself(error: &anyhow::Error) -> bool {
    let cause = match error.downcast_ref() {
        Some(AuthError::Storage(error)) => Some(error),
        _ => error.downcast_ref(),
    };
    matches!(cause, Some(StorageError::Transient(_)))
}

/// Opens the database and brings its tables to the present shape.
pub(super) async fn open_database(settings: &config::Database) -> anyhow::Result<Arc<dyn Storage>> {
    try_database(settings).await.context("cannot use the database")
}

async fn try_database(settings: &config::Database) -> Result<Arc<dyn Storage>, StorageError> {
    let (url, options) = (settings.url.expose().to_owned(), settings.options());
    // On a background thread: threads that a connection starts inherit its low priority.
    let connecting = tokio::spawn(async move { storage::connect(&url, &options).await });
    let storage = connecting.await.map_err(|error| StorageError::Unusable(error.to_string()))??;
    storage.migrate().await?;
    Ok(storage)
}

/// Checks that the keys in the database can be read with the master key, or without one.
pub(super) async fn check_keys(config: &Config, storage: &Arc<dyn Storage>, entropy: &Entropy) -> anyhow::Result<()> {
    Ok(Vault::new(Arc::clone(storage), &config.auth, Arc::clone(entropy))?.check().await?)
}

/// Reads the keys of accounts and sessions, and makes them at the first start.
pub(super) async fn open_accounts(
    config: &Config,
    storage: &Arc<dyn Storage>,
    exposure: &Arc<Exposure>,
    clock: &Clock,
    entropy: &Entropy,
) -> anyhow::Result<Auth> {
    let (storage, clock, entropy) = (Arc::clone(storage), Arc::clone(clock), Arc::clone(entropy));
    Ok(Auth::open(storage, &config.auth, Arc::clone(exposure), clock, entropy).await?)
}

/// Reads the secret that seeds the dice, and makes it at the first start.
pub(super) async fn dice_secret(
    config: &Config,
    storage: &Arc<dyn Storage>,
    clock: &Clock,
    entropy: &Entropy,
) -> anyhow::Result<Arc<[u8]>> {
    let vault = Vault::new(Arc::clone(storage), &config.auth, Arc::clone(entropy))?;
    Ok(vault.secret("dice", clock()).await?.into())
}

/// How many threads serve sockets.
pub(super) fn worker_count(settings: &config::Socket) -> usize {
    settings.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Starts the threads that serve sockets.
pub(super) fn socket_threads<G: Game>(
    settings: &config::Socket,
    context: &Arc<socket::Context<G>>,
) -> anyhow::Result<Workers<Accepted>> {
    let count = worker_count(settings);
    let in_real_time = settings.scheduling == Scheduling::Realtime;
    let serve = || {
        let context = Arc::clone(context);
        move |accepted| socket::serve(accepted, Arc::clone(&context))
    };
    Workers::start(count, in_real_time, serve).context("cannot start the socket threads")
}

/// This server, as it registers. No other one has its name, even in another container with the same address.
pub(super) fn this_server<G: Game>(address: SocketAddr, rules: &G::Rules) -> Node {
    Node {
        process: uuid::Builder::from_random_bytes(rand::random()).into_uuid(),
        kind: NodeKind::Serve,
        name: format!("{address} (process {}, {:08x})", std::process::id(), rand::random::<u32>()),
        address: address.to_string(),
        link: None,
        weight: 0,
        draining: false,
        rules: InUse::own(G::revision(rules)),
        schema_version: G::SCHEMA_VERSION + WITH_BOOKS,
    }
}

/// Takes the leases of all shards, after what an earlier server left in spool files was brought in.
///
/// If anything fails after they were taken, they are given back: nothing was served under them.
pub(super) async fn take_shards<G: Game>(
    config: &Config,
    node: &str,
    storage: &Arc<dyn Storage>,
    shards: &Shards<G>,
    clock: &Clock,
) -> anyhow::Result<()> {
    spool::bring_in(&config.flush.spool, storage, clock()).await?;
    let leases = storage.take_over(node).await.context("cannot take over the shards")?;
    if let Err(error) = shards.recall_dead_letters().await {
        if let Err(error) = storage.release(&leases).await {
            tracing::error!(%error, "cannot release the shards; the next server will take them over");
        }
        return Err(error).context("cannot read the dead letters");
    }
    shards.take(&leases);
    tracing::info!(shards = leases.len(), "this server serves all characters now");
    Ok(())
}

/// The limits of the operators' address: they have their connections to themselves.
pub(super) fn limits_of_operators(room: &Room, players: &http::Limits) -> http::Limits {
    http::Limits {
        connections_max: room.operators,
        connections_per_address: room.operators,
        numbers_below: room.operators_below,
        ..players.clone()
    }
}

/// The settings of sockets.
pub(super) fn socket_settings(config: &Config) -> socket::SocketSettings {
    socket::SocketSettings {
        ping_interval: config.socket.ping_interval,
        watch_max: config.socket.watch_max,
        rate: Rate::new(config.socket.rate_per_second, config.socket.rate_burst),
        slow_consumer: SLOW_CONSUMER,
        durable_timeout: config.flush.durable_timeout,
        read_buffer_bytes: usize::try_from(config.socket.read_buffer.0).expect("at most 1 MiB"),
    }
}

/// The limits of sockets; `all_max` fit into the limit of open files.
pub(super) fn socket_limits(settings: &config::Socket, all_max: usize) -> socket::SocketLimits {
    socket::SocketLimits {
        all_max,
        per_user_max: settings.connections_per_user,
        per_address_max: settings.connections_per_address,
    }
}

/// Reads the rules from the folder that the settings name, or takes the built-in ones.
pub(super) fn read_rules<G: Game>(config: &Config) -> Result<G::Rules, String> {
    G::read_rules(&G::rule_files(config.rules.catalogue.as_deref())?, &config.options)
}

/// The catalogue as it is served.
pub(super) fn publish<G: Game>(rules: &G::Rules) -> Arc<http::Published> {
    Arc::new(http::Published { body: G::catalogue(rules).into(), revision: G::revision(rules).to_owned() })
}
