//! A node: everything that `castellan node` starts, except for threads and HTTP.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use castellan::app::{self, Shares};
use castellan::clock::Clock;
use castellan::flush::{FlushSettings, Flusher, Signals};
use castellan::link::{LinkStream, Wire};
use castellan::node::{DatabaseSeen, Dial, Links, Moves, Renewed};
use castellan::shard::{Capacity, Shards};
use castellan::socket::{self, House, Registry, RequestHandler, SocketLimits, serve_link_over};
use castellan::storage::faulty::FaultyStorage;
use castellan::storage::{InUse, Link, Node as Row, NodeKind, Report, Storage};
use castellan_srd::{Catalogue, Srd};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::io::DuplexStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use super::super::pass;
use super::Common;
use super::network::{Gate, Line, Network};

/// How long a node that stops waits for others to take its shards.
const STOP: Duration = Duration::from_secs(30);

static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(|| Arc::new(Catalogue::embedded()));

/// The doors of all nodes: how gateways open links.
pub(super) type Doors = Arc<Mutex<BTreeMap<Uuid, Door>>>;

/// The links to a node, with their tasks.
type Opened = Arc<Mutex<Vec<(Line, JoinHandle<()>)>>>;

/// The way to open links to a node.
#[derive(Clone)]
pub(super) struct Door {
    network: Network,
    gate: Gate,
    links: Links,
    sockets: Arc<socket::Context<Srd>>,
    registry: Arc<Registry>,
    opened: Opened,
}

impl Door {
    /// Opens a link. It takes as long as the node stands still.
    pub(super) async fn open(self) -> (Line, DuplexStream) {
        self.gate.clone().behind(pass(2)).await;
        let (line, near, far) = self.network.connect();
        let requests: RequestHandler = Arc::new(|_| Box::pin(async { None }));
        let house = House { context: self.sockets, registry: self.registry, requests };
        let link = serve_link_over(LinkStream::new(far, Vec::new()), self.links, house);
        self.opened.lock().push((line.clone(), tokio::spawn(self.gate.behind(link))));
        (line, near)
    }
}

/// A run of a node.
pub(super) struct Node {
    pub(super) name: &'static str,
    pub(super) process: Uuid,
    pub(super) shards: Arc<Shards<Srd>>,
    pub(super) storage: Arc<FaultyStorage>,
    pub(super) gate: Gate,
    pub(super) is_stopping: bool,
    pub(super) started_at: Instant,
    opened: Opened,
    stop: watch::Sender<bool>,
    life: JoinHandle<()>,
}

/// The parts of a run.
struct Life {
    row: Row,
    shards: Arc<Shards<Srd>>,
    storage: Arc<dyn Storage>,
    moves: Moves<Srd>,
    renewed: watch::Sender<Option<Renewed>>,
    seen: Arc<DatabaseSeen>,
    stop_moves: watch::Sender<bool>,
    flusher: Flusher<Shards<Srd>>,
    stopped: watch::Receiver<bool>,
}

impl Node {
    /// Starts a run of the node of this name.
    pub(super) fn start(name: &'static str, process: Uuid, common: &Common, storage: Arc<FaultyStorage>) -> Self {
        let database: Arc<dyn Storage> = Arc::clone(&storage) as _;
        let signals = Arc::new(Signals::default());
        let capacity = Capacity {
            characters_max: 1_000,
            dirty_max: 1_000,
            deals_per_minute: 100,
            load_timeout: Duration::from_secs(2),
        };
        let (secret, clock): (Arc<[u8]>, Clock) = (Arc::from([7; 32]), Arc::clone(&common.clock));
        let (handle, signalled) = (Handle::current(), Arc::clone(&signals));
        let (shards_storage, shards_clock) = (Arc::clone(&database), Arc::clone(&clock));
        let shards = Shards::new(shards_storage, &CATALOGUE, &secret, capacity, signalled, handle, shards_clock);
        let shards = Arc::new(shards);
        let row = Row {
            process,
            kind: NodeKind::Node,
            name: name.to_owned(),
            address: name.to_owned(),
            link: Some(Link { secret: vec![7; 32], oldest: 1, newest: 1 }),
            weight: 100,
            draining: false,
            rules: InUse::default(),
            schema_version: 1,
        };
        let ((renewed, renewals), (stop_moves, moves_stopped)) = (watch::channel(None), watch::channel(false));
        let dial = dialler(&common.doors, common.network.clone());
        let (links, moves) =
            Moves::new(process, Arc::clone(&shards), Arc::clone(&database), renewals, moves_stopped, dial);
        let seen = Arc::clone(links.database());
        let settings = FlushSettings {
            interval: Duration::from_secs(1),
            batch_rows: 10,
            gather: Duration::from_millis(2),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
        };
        let rng = StdRng::seed_from_u64(process.as_u64_pair().1);
        let flusher =
            Flusher::new(Arc::clone(&shards), Arc::clone(&database), signals, settings, Arc::clone(&clock), rng);
        let sockets = Arc::new(socket::Context {
            shards: Arc::clone(&shards),
            auth: Arc::clone(&common.auth),
            policy: Arc::clone(&common.policy),
            audit: common.audit.clone(),
            settings: common.settings,
            clock,
        });
        let limits = SocketLimits { all_max: 1_000, per_user_max: 1_000, per_address_max: 1_000 };
        let (gate, opened) = (Gate::default(), Arc::default());
        let door = Door {
            network: common.network.clone(),
            gate: gate.clone(),
            links,
            sockets,
            registry: Arc::new(Registry::new(limits)),
            opened: Arc::clone(&opened),
        };
        common.doors.lock().insert(process, door);
        let (stop, stopped) = watch::channel(false);
        let life = Life {
            row,
            shards: Arc::clone(&shards),
            storage: database,
            moves,
            renewed,
            seen,
            stop_moves,
            flusher,
            stopped,
        };
        let life = tokio::spawn(gate.clone().behind(life.live()));
        Self {
            name,
            process,
            shards,
            storage,
            gate,
            is_stopping: false,
            started_at: Instant::now(),
            opened,
            stop,
            life,
        }
    }

    /// Tells it to stop: it gives its shards away first.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
        self.stop.send_replace(true);
    }

    /// True if it has stopped.
    pub(super) fn has_ended(&self) -> bool {
        self.life.is_finished()
    }

    /// The connections to its gateways.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut opened = self.opened.lock();
        opened.retain(|(line, _)| !line.is_over());
        opened.iter().map(|(line, _)| line.clone()).collect()
    }

    /// Its machine is gone.
    pub(super) fn kill(self, doors: &Doors) {
        doors.lock().remove(&self.process);
        self.life.abort();
        for (line, task) in self.opened.lock().drain(..) {
            task.abort();
            line.cut();
        }
    }
}

/// How a node opens links to the others. Many break, or fall silent for a while, so that copies are lost or late.
fn dialler(doors: &Doors, network: Network) -> Dial {
    let doors = Arc::downgrade(doors);
    Arc::new(move |other| {
        let door = doors.upgrade().and_then(|doors| doors.lock().get(&other.process).cloned());
        let network = network.clone();
        Box::pin(async move {
            let door = door.ok_or_else(|| io::Error::other("nobody answers"))?;
            let (line, stream) = door.open().await;
            tokio::spawn(network.trouble(line));
            Ok(LinkStream::new(Box::new(stream) as Box<dyn Wire>, Vec::new()))
        })
    })
}

impl Life {
    /// Lives until it was told to stop.
    async fn live(self) {
        let Self { row, shards, storage, moves, renewed, seen, stop_moves, mut flusher, mut stopped } = self;
        let membership = storage.membership().expect("nodes share this database");
        while app::register(&storage, &row).await.is_err() {
            // As a supervisor starts it again.
            pass(1_000).await;
        }
        // Nobody is asked about the database: a node that is cut off stops answering.
        let shares = Shares { renewed, database: seen, entropy: None, trust: None };
        let beating = app::beat(&storage, &row, Report::default, Some(&shares));
        let working = async {
            let (stop_flusher, flusher_stopped) = watch::channel(false);
            let giving_away = async {
                let _ = stopped.wait_for(|stopped| *stopped).await;
                for _ in 0..4 {
                    if membership.set_draining(&row.name, true).await.is_ok() {
                        break;
                    }
                    pass(500).await;
                }
                // By then all others know it.
                pass(2_000).await;
                stop_moves.send_replace(true);
                pass(u64::try_from(STOP.as_millis()).expect("short")).await;
            };
            let moved = async {
                tokio::select! {
                    biased;
                    () = moves.run() => {}
                    () = giving_away => {}
                }
                stop_flusher.send_replace(true);
            };
            (flusher, ()) = tokio::join!(flusher.run(flusher_stopped), moved);
            if flusher.drain(Instant::now() + STOP).await {
                // Repeated, because others have to wait for its death otherwise.
                let leases = shards.retire();
                for _ in 0..4 {
                    if storage.release(&leases).await.is_ok() {
                        break;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = beating => {}
            () = working => {}
        }
        let _ = membership.leave(row.process).await;
    }
}
