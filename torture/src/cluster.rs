//! Three nodes and two gateways on one PostgreSQL.
//!
//! Each node reaches the database through a proxy of its own, and gateways reach each node through another, so that every
//! one of these ways can be cut alone. Gateways reach the database through the proxy of the run.

mod faults;
mod owners;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::rngs::StdRng;
use tokio::time::Instant;
use uuid::Uuid;

use crate::check::{Finding, Verdict};
use crate::children::Children;
use crate::database::{Database, Postgres, address_of};
use crate::database_proxy::DatabaseProxy;
use crate::evidence::Evidence;
use crate::front::Front;
use crate::history::{History, Place};
use crate::judgement::judge;
use crate::link_proxy::LinkProxy;
use crate::memory::MemoryWatch;
use crate::options::{DATABASE_TIMEOUT, RunOptions};
use crate::planted::Bug;
use crate::players::{Crowd, Players};
use crate::replicas::Replicas;
use crate::schedule::Fault;
use crate::servers::{Launch, Role, Server, Servers, Setup};
use crate::stage::Stage;

use self::owners::Owners;

/// The names of the nodes.
const NAMES: [&str; 3] = ["node-a", "node-b", "node-c"];

/// Number of gateways.
const GATEWAYS: usize = 2;

/// Time between two pings to a player: long enough for players to be suspended until a dead node's shards are taken.
const PING_INTERVAL: Duration = Duration::from_secs(6);

/// The processes' own time limit for a clean stop: a node gives all its shards away in half of it.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(24);

/// Time limit for a clean stop.
const STOP_PATIENCE: Duration = Duration::from_secs(32);

/// Time limit for every shard to have an owner again, and all processes to be ready.
const WHOLE_PATIENCE: Duration = Duration::from_secs(40);

/// Time between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A node's place: its proxies stay while its process comes and goes.
struct NodePlace {
    role: Role,
    name: &'static str,
    /// The way to the database.
    database: DatabaseProxy,
    database_url: String,
    /// The way from gateways.
    links: LinkProxy,
    /// `None` only in the middle of a fault.
    running: Option<Server>,
    /// It may have lost shards with changes that were not stored. It says so with its exit status.
    has_lost: bool,
}

/// Everything that exists during a run of a cluster.
pub(crate) struct ClusterWorld<'a> {
    database: Database<'a>,
    front: Front,
    history: History,
    servers: Servers,
    nodes: Vec<NodePlace>,
    /// `None` only in the middle of a fault.
    gateways: Vec<Option<Server>>,
    /// The database's URL for gateways.
    gateways_url: String,
    players: Players,
    /// Findings before the check.
    complaints: Vec<Finding>,
    pub(crate) memory: MemoryWatch,
    children: Children,
    folder: PathBuf,
    /// The end of the last fault that may close sockets.
    disturbed_at: Instant,
}

impl<'a> ClusterWorld<'a> {
    pub(crate) async fn begin(path: &Path, replicas: &'a mut Replicas, options: &RunOptions) -> Result<Self> {
        // An earlier run may have ended in the middle of a fault.
        replicas.repair().await?;
        let children = Children::watch(path, &[])?;
        let mut postgres = Postgres::begin(replicas, options.seed).await?;
        let (place, gateways_url) = (Place::Postgres(postgres.url()?), postgres.url_through_proxy()?);
        let mut places = Vec::new();
        for name in NAMES {
            let database = DatabaseProxy::start(address_of(postgres.replicas.primary())?).await?;
            let links = LinkProxy::start().await?;
            let role = Role::Node { name, advertise: links.address() };
            let database_url = postgres.url_through(database.address())?;
            places.push(NodePlace { role, name, database, database_url, links, running: None, has_lost: false });
        }
        let setup = Setup {
            program: options.server.clone(),
            database_url: gateways_url.clone(),
            spool: path.join("spool"),
            folder: path.to_owned(),
            database_timeout: DATABASE_TIMEOUT,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            ping_interval: PING_INTERVAL,
            characters_max: Crowd::of(options).characters_max,
            planted: options.bug.map(Bug::name),
        };
        let servers = Servers::new(setup);
        servers.command_line(&place.url(), &["migrate"]).await?;
        let history = History::set_up(place).await?;
        let front = Front::start().await?;
        let players = Players::start(&children, path, front.address(), Crowd::of(options), options.seed)?;
        let mut world = Self {
            database: Database::Postgres(postgres),
            front,
            history,
            servers,
            nodes: places,
            gateways: (0..GATEWAYS).map(|_| None).collect(),
            gateways_url,
            players,
            complaints: Vec::new(),
            memory: MemoryWatch::start(),
            children,
            folder: path.to_owned(),
            disturbed_at: Instant::now(),
        };
        for node in 0..NAMES.len() {
            world.start_node(node).await?;
        }
        for gateway in 0..GATEWAYS {
            world.start_gateway(gateway).await?;
        }
        Ok(world)
    }

    async fn start_node(&mut self, node: usize) -> Result<()> {
        let place = &mut self.nodes[node];
        let launch = Launch { role: &place.role, database_url: &place.database_url, clock: None, crash_at: None };
        let server = self.servers.launch(&self.children, launch).await?;
        place.links.lead_to(Some(server.address));
        place.running = Some(server);
        place.has_lost = false;
        self.look_at_all();
        Ok(())
    }

    async fn start_gateway(&mut self, gateway: usize) -> Result<()> {
        let launch = Launch {
            role: &Role::Gateway { place: gateway },
            database_url: &self.gateways_url,
            clock: None,
            crash_at: None,
        };
        self.gateways[gateway] = Some(self.servers.launch(&self.children, launch).await?);
        self.look_at_all();
        Ok(())
    }

    /// Leads players to the gateways that run, and watches the memory of all that run.
    fn look_at_all(&self) {
        let gateways = self.gateways.iter().flatten();
        self.front.lead_to(gateways.clone().map(|gateway| gateway.address).collect::<Vec<SocketAddr>>());
        let nodes = self.nodes.iter().filter_map(|place| place.running.as_ref());
        self.memory.look_at(nodes.chain(gateways).map(Server::process));
    }

    /// Takes a node's process out of its place.
    fn take_node(&mut self, node: usize) -> Result<Server> {
        let place = &mut self.nodes[node];
        place.links.lead_to(None);
        place.running.take().with_context(|| format!("{} is not running", place.name))
    }

    async fn kill_node(&mut self, node: usize) -> Result<()> {
        let server = self.take_node(node)?;
        self.servers.kill(server).await
    }

    /// A clean stop, which exits with 0 unless the node has lost something.
    async fn stop_node(&mut self, node: usize) -> Result<()> {
        let (name, has_lost) = (self.nodes[node].name, self.nodes[node].has_lost);
        let server = self.take_node(node)?;
        let log = server.log();
        match self.servers.stop(server, STOP_PATIENCE).await? {
            Some(status) if status.success() || has_lost => {}
            Some(status) => {
                let last = crate::servers::last_lines(&log);
                self.complain(format!("the clean stop of {name} exited with {status}:\n{last}"));
            }
            None => {
                let last = crate::servers::last_lines(&log);
                self.complain(format!("the clean stop of {name} took more than {STOP_PATIENCE:?}:\n{last}"));
            }
        }
        Ok(())
    }

    fn complain(&mut self, what: String) {
        self.complaints.push(Finding::crashed(what));
    }

    /// The living nodes as they are registered.
    fn registered(&self) -> Vec<Uuid> {
        self.nodes.iter().filter_map(|place| place.running.as_ref()?.registered).collect()
    }

    async fn owners(&self) -> Result<Owners> {
        owners::read(&self.history.place().url()).await
    }

    /// Waits until every shard has a living owner, and every process is ready.
    async fn until_whole(&mut self) -> Result<()> {
        self.until("all shards have owners and all processes are ready", |owners, registered| {
            owners.without(registered) == 0
        })
        .await
    }

    /// The same, and until the shards are spread evenly.
    async fn until_balanced(&mut self) -> Result<()> {
        self.until("the shards are spread evenly", |owners, registered| owners.are_even(registered)).await
    }

    async fn until(&mut self, what: &str, is_so: impl Fn(&Owners, &[Uuid]) -> bool) -> Result<()> {
        let deadline = Instant::now() + WHOLE_PATIENCE;
        loop {
            self.replace_ended().await?;
            let owners = self.owners().await?;
            if is_so(&owners, &self.registered()) && self.unready().await.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let unready = self.unready().await.join("\n");
                let owners = owners.tell(&self.nodes);
                bail!("waiting until {what}: not within {WHOLE_PATIENCE:?}; {owners}\n{unready}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The readiness answers of processes that are not ready.
    async fn unready(&self) -> Vec<String> {
        let nodes = self.nodes.iter().filter_map(|place| Some((place.name, place.running.as_ref()?)));
        let gateways = self.gateways.iter().flatten().map(|gateway| ("a gateway", gateway));
        let mut unready = Vec::new();
        for (name, server) in nodes.chain(gateways) {
            let said = server.readiness().await;
            if !said.starts_with("200") {
                unready.push(format!("{name} at GET /health/ready: {said}; its log ends:\n{}", server.last_words()));
            }
        }
        unready
    }

    /// Records which processes ended by themselves. Returns the places of nodes and gateways.
    async fn note_ends(&mut self) -> Result<(Vec<usize>, Vec<usize>)> {
        let (mut nodes, mut gateways) = (Vec::new(), Vec::new());
        for node in 0..self.nodes.len() {
            let place = &mut self.nodes[node];
            let Some(server) = &mut place.running else { continue };
            if let Some(status) = server.ended()? {
                let (name, last) = (place.name, server.last_words());
                self.complain(format!("{name} exited unexpectedly with {status}:\n{last}"));
                let server = self.take_node(node)?;
                self.servers.wait(server, Duration::ZERO).await?;
                nodes.push(node);
            }
        }
        for gateway in 0..self.gateways.len() {
            let Some(mut server) = self.gateways[gateway].take() else { continue };
            match server.ended()? {
                None => self.gateways[gateway] = Some(server),
                Some(status) => {
                    let last = server.last_words();
                    self.complain(format!("a gateway exited unexpectedly with {status}:\n{last}"));
                    self.servers.wait(server, Duration::ZERO).await?;
                    gateways.push(gateway);
                }
            }
        }
        Ok((nodes, gateways))
    }

    async fn gather(&mut self, broken_off: bool) -> Result<Evidence> {
        self.players.kill().await?;
        for node in 0..self.nodes.len() {
            if self.nodes[node].running.is_some() {
                self.kill_node(node).await?;
            }
        }
        for gateway in self.gateways.iter_mut().filter_map(Option::take) {
            self.servers.kill(gateway).await?;
        }
        // An interrupted fault may have left the database stopped.
        self.database.repair().await?;
        Ok(Evidence {
            records: self.players.read_records()?,
            traders: self.players.traders()?,
            writes: self.history.writes().await?,
            rows: self.history.rows().await?,
            lifetimes: self.servers.lifetimes(),
            decided: BTreeSet::new(),
            broken_off,
        })
    }
}

impl Stage for ClusterWorld<'_> {
    fn players(&mut self) -> &mut Players {
        &mut self.players
    }

    async fn replace_ended(&mut self) -> Result<()> {
        let (nodes, gateways) = self.note_ends().await?;
        for node in nodes {
            self.start_node(node).await?;
        }
        for gateway in gateways {
            self.start_gateway(gateway).await?;
        }
        Ok(())
    }

    async fn inject(&mut self, fault: Fault, rng: &mut StdRng) -> Result<()> {
        self.inject_fault(fault, rng).await
    }

    /// Gateways first: players are gone. The last node finds nobody for its shards and releases them.
    async fn stop(&mut self) -> Result<()> {
        for gateway in self.gateways.iter_mut().filter_map(Option::take).collect::<Vec<_>>() {
            match self.servers.stop(gateway, STOP_PATIENCE).await? {
                Some(status) if status.success() => {}
                other => self.complain(format!("the clean stop of a gateway ended with {other:?}")),
            }
        }
        for node in 0..self.nodes.len() {
            self.stop_node(node).await?;
        }
        let left = self.owners().await?.owned();
        if left > 0 {
            self.complain(format!("{left} shards still have owners, although all nodes stopped"));
        }
        Ok(())
    }

    async fn judge(&mut self, ended: Result<()>) -> Result<Verdict> {
        let broken_off = ended.err();
        if broken_off.is_some() {
            self.note_ends().await?;
            if let Some(status) = self.players.ended()?.filter(|status| !status.success()) {
                let last = self.players.last_words();
                self.complain(format!("the players exited unexpectedly with {status}:\n{last}"));
            }
        }
        let evidence = self.gather(broken_off.is_some()).await;
        let complaints = std::mem::take(&mut self.complaints);
        judge(evidence, broken_off, complaints, &self.folder, self.memory.peak_kib())
    }
}
