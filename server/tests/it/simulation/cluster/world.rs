//! One run: what happens to nodes, gateways, links, the database and the clients, as chance has it.

use std::collections::BTreeSet;
use std::sync::Arc;

use castellan::shard::shard_of;
use castellan::storage::faulty::{Faults, FaultyStorage, MemoryStorage, Rules};
use castellan::storage::{Membership, Storage};
use castellan_srd::wire::{CharacterId, UserId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::super::process::Process;
use super::super::world::create;
use super::super::{gold_in, pass};
use super::client::Client;
use super::gateway::Gateway;
use super::network::Line;
use super::node::Node;
use super::{Common, Course, PANICS, Tally};

/// Things that happen in one run.
const EVENTS: usize = 70;

/// The same where clients never rest.
const BUSY_EVENTS: usize = 20;

const NODES: [&str; 3] = ["a", "b", "c"];

const GATEWAYS: usize = 2;

/// Longest time between two looks of a client, in milliseconds.
const SLICE_MS: u64 = 50;

/// The same where clients never rest. Shorter than what a move takes, so that intents arrive at each of its steps.
const BUSY_SLICE_MS: u64 = 3;

/// How long after its start all others know of a node.
const KNOWN_TO_ALL: Duration = Duration::from_secs(12);

/// How long after the last fault every shard has one owner.
const SETTLED: Duration = Duration::from_secs(30);

/// How long after that all clients know everything.
const KNOWN: Duration = Duration::from_secs(60);

/// The end of a fault.
enum End {
    Thaw(Uuid),
    Reach(Arc<FaultyStorage>),
    Loud(Line),
}

struct World {
    chance: StdRng,
    memory: MemoryStorage,
    common: Common,
    faults: Faults,
    course: Course,
    /// Things still happen.
    is_eventful: bool,
    nodes: Vec<Node>,
    gateways: Vec<Gateway>,
    clients: Vec<Client>,
    /// The names of nodes that give their shards away.
    draining: BTreeSet<&'static str>,
    /// Faults that end by themselves.
    ends: Vec<(Instant, End)>,
    /// Statements of processes that are gone.
    statements: u64,
    next_process: u128,
    tally: Tally,
}

/// One run, over a database that keeps these rules.
pub(super) async fn run(seed: u64, rules: Rules, course: Course) -> Tally {
    let mut chance = StdRng::seed_from_u64(seed);
    let memory = MemoryStorage::new();
    memory.set_rules(rules);
    let faults = if course.is_planned() {
        Faults { delay_max: Duration::from_millis(10), ..Faults::default() }
    } else {
        Faults {
            refused_per_mille: chance.random_range(0..100),
            lost_per_mille: chance.random_range(0..100),
            delay_max: Duration::from_millis(chance.random_range(0..40)),
            slow_per_mille: chance.random_range(0..100),
            stray_per_mille: 0,
        }
    };
    let clients = make_clients(&mut chance, &memory).await;
    let mut world = World {
        common: Common::new(seed).await,
        chance,
        memory,
        faults,
        course,
        is_eventful: false,
        nodes: Vec::new(),
        gateways: Vec::new(),
        clients,
        draining: BTreeSet::new(),
        ends: Vec::new(),
        statements: 0,
        next_process: 0,
        tally: Tally { runs: 1, ..Tally::default() },
    };
    NODES.into_iter().for_each(|name| world.start_node(name));
    for _ in 0..GATEWAYS {
        world.start_gateway();
    }
    // The others count a node as soon as it is old enough.
    world.live(if course.is_planned() { 12_000 } else { 3_000 }).await;
    world.clients.iter_mut().for_each(Client::begin_to_count);
    world.is_eventful = true;
    for _ in 0..if course == Course::Busy { BUSY_EVENTS } else { EVENTS } {
        world.happen().await;
    }
    world.is_eventful = false;
    world.end().await
}

/// Users in as many shards, each with a character.
async fn make_clients(chance: &mut StdRng, memory: &MemoryStorage) -> Vec<Client> {
    let storage = Arc::new(FaultyStorage::new(Arc::new(memory.clone()), 0, Faults::default()));
    let maker = Process::start(&storage, 0).await.expect("nothing goes wrong yet");
    let (mut clients, mut shards) = (Vec::new(), BTreeSet::new());
    let count = chance.random_range(4..=8);
    for number in 1_u128.. {
        let user = UserId::from_uuid(Uuid::from_u128(number));
        if clients.len() == count {
            break;
        }
        if shards.insert(shard_of(user)) {
            let character = CharacterId::from_uuid(Uuid::from_u128(1_000 + number));
            create(&maker, memory, user, character).await;
            clients.push(Client::new(user, character, chance.random_bool(0.4)));
        }
    }
    memory.release(&maker.shards.leases()).await.expect("released");
    maker.kill();
    clients
}

impl World {
    async fn happen(&mut self) {
        let may_fail = if self.course.is_planned() { 70..100 } else { 0..100 };
        match self.chance.random_range(0..100) {
            0..30 => {
                for _ in 0..self.chance.random_range(1..12) {
                    let index = self.chance.random_range(0..self.clients.len());
                    let is_durable = self.chance.random_bool(0.2);
                    self.clients[index].intend(is_durable);
                }
            }
            30..60 => {
                let time_ms = self.chance.random_range(0..60);
                self.live(time_ms).await;
            }
            60..70 => {
                let time_ms = self.chance.random_range(0..4_000);
                self.live(time_ms).await;
            }
            number if !may_fail.contains(&number) => {}
            _ if self.course.is_planned() => self.plan(),
            70..76 => self.plan(),
            76..79 => self.kill_node(),
            79..83 => self.freeze(),
            83..87 => self.cut_off(),
            87..91 => self.trouble_link(),
            91..93 => self.replace_gateway(),
            93..96 => {
                let index = self.chance.random_range(0..self.clients.len());
                if self.chance.random() { self.clients[index].hang_up() } else { self.clients[index].watch_no_more() }
            }
            _ => self.start_missing(),
        }
        self.live(1).await;
    }

    /// An operator, or a supervisor, does something.
    fn plan(&mut self) {
        let name = NODES[self.chance.random_range(0..NODES.len())];
        match self.chance.random_range(0..4) {
            0 if self.others_can_serve(name) => self.set_draining(name, true),
            1 if !self.course.is_planned() || !self.nodes.iter().any(|node| node.name == name && node.is_stopping) => {
                self.set_draining(name, false);
            }
            2 if self.others_can_serve(name) => {
                if let Some(node) = self.nodes.iter_mut().find(|node| node.name == name && !node.is_stopping) {
                    node.stop();
                    self.draining.insert(name);
                    self.tally.stops += 1;
                }
            }
            _ => self.start_missing(),
        }
    }

    /// Returns true if another node keeps its shards, and all know of it. Without one, sockets close. So they do if two
    /// nodes stop within a second: one may give its shards to the other before it knows.
    fn others_can_serve(&self, name: &str) -> bool {
        let may = |node: &Node| {
            let is_known = node.started_at.elapsed() > KNOWN_TO_ALL;
            node.name != name && is_known && !self.draining.contains(node.name)
        };
        !self.course.is_planned() || (self.nodes.iter().any(may) && !self.nodes.iter().any(|node| node.is_stopping))
    }

    fn set_draining(&mut self, name: &'static str, draining: bool) {
        use futures_util::FutureExt as _;
        // The database in memory answers at once.
        let set = self.memory.set_draining(name, draining).now_or_never();
        set.expect("an answer").expect("it is carried out");
        if draining {
            self.draining.insert(name);
        } else {
            self.draining.remove(name);
        }
        self.tally.drains += 1;
    }

    fn kill_node(&mut self) {
        if self.nodes.is_empty() {
            return;
        }
        self.tally.kills += 1;
        let index = self.chance.random_range(0..self.nodes.len());
        self.forget_node(index);
    }

    fn forget_node(&mut self, index: usize) {
        let node = self.nodes.remove(index);
        self.statements += node.storage.calls();
        node.kill(&self.common.doors);
    }

    /// A machine stands still for a while.
    fn freeze(&mut self) {
        if self.nodes.is_empty() {
            return;
        }
        self.tally.freezes += 1;
        let index = self.chance.random_range(0..self.nodes.len());
        let node = &self.nodes[index];
        node.gate.shut();
        let end = End::Thaw(node.process);
        self.ends_after(9_000, end);
    }

    /// A process cannot reach the database for a while.
    fn cut_off(&mut self) {
        let storages = self.nodes.iter().map(|node| &node.storage);
        let storages: Vec<_> = storages.chain(self.gateways.iter().map(|gateway| &gateway.storage)).collect();
        let storage = Arc::clone(storages[self.chance.random_range(0..storages.len())]);
        storage.set_away(true);
        self.tally.cuts += 1;
        self.ends_after(9_000, End::Reach(storage));
    }

    /// A link breaks, or nothing arrives on it for a while.
    fn trouble_link(&mut self) {
        let lines: Vec<Line> = self.nodes.iter().flat_map(Node::lines).collect();
        if lines.is_empty() {
            return;
        }
        self.tally.links += 1;
        let line = lines[self.chance.random_range(0..lines.len())].clone();
        if self.chance.random() {
            line.cut();
        } else {
            line.set_silent(true);
            self.ends_after(4_000, End::Loud(line));
        }
    }

    fn ends_after(&mut self, most_ms: u64, end: End) {
        let time = Duration::from_millis(self.chance.random_range(50..most_ms));
        self.ends.push((Instant::now() + time, end));
    }

    fn replace_gateway(&mut self) {
        self.tally.gateways += 1;
        let index = self.chance.random_range(0..self.gateways.len());
        let gateway = self.gateways.remove(index);
        self.statements += gateway.storage.calls();
        gateway.kill();
        self.start_gateway();
    }

    fn storage(&mut self) -> Arc<FaultyStorage> {
        let seed = self.chance.random();
        Arc::new(FaultyStorage::new(Arc::new(self.memory.clone()), seed, self.faults))
    }

    fn start_gateway(&mut self) {
        let storage = self.storage();
        self.gateways.push(Gateway::start(&self.common, storage));
    }

    fn start_node(&mut self, name: &'static str) {
        self.next_process += 1;
        let (process, storage) = (Uuid::from_u128(self.next_process), self.storage());
        self.nodes.push(Node::start(name, process, &self.common, storage));
    }

    fn start_missing(&mut self) {
        for name in NODES {
            if !self.nodes.iter().any(|node| node.name == name) {
                self.draining.remove(name);
                self.start_node(name);
            }
        }
    }

    /// Time passes; clients hear and send.
    async fn live(&mut self, time_ms: u64) {
        let until = Instant::now() + Duration::from_millis(time_ms);
        loop {
            self.look();
            let left = until.saturating_duration_since(Instant::now());
            let left_ms = u64::try_from(left.as_millis()).expect("short");
            if left_ms == 0 {
                return;
            }
            let slice_ms = if self.course == Course::Busy { BUSY_SLICE_MS } else { SLICE_MS };
            pass(left_ms.min(self.chance.random_range(1..=slice_ms))).await;
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        for (_, end) in self.ends.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
            self.finish(&end);
        }
        for index in (0..self.nodes.len()).rev() {
            if self.nodes[index].has_ended() {
                self.forget_node(index);
            }
        }
        let is_busy = self.course == Course::Busy && self.is_eventful;
        for client in &mut self.clients {
            client.hear();
            client.check(&self.memory);
            if is_busy && self.chance.random_bool(0.2) {
                client.intend(false);
            }
            let chosen = self.chance.random_range(0..2);
            client.send(&self.gateways, chosen);
        }
        assert_eq!(self.memory.taken_alive(), 0, "a shard was taken from a node that had just renewed");
        assert_eq!(PANICS.get(), 0, "a task has panicked");
    }

    fn finish(&mut self, end: &End) {
        match end {
            End::Thaw(process) => {
                let frozen = self.nodes.iter().find(|node| node.process == *process);
                frozen.into_iter().for_each(|node| node.gate.open());
            }
            End::Reach(storage) => storage.set_away(false),
            End::Loud(line) => line.set_silent(false),
        }
    }

    /// Nothing goes wrong any more: everything comes right in the end.
    async fn end(mut self) -> Tally {
        for (_, end) in std::mem::take(&mut self.ends) {
            self.finish(&end);
        }
        for storage in
            self.nodes.iter().map(|node| &node.storage).chain(self.gateways.iter().map(|gateway| &gateway.storage))
        {
            storage.set_faults(Faults::default());
        }
        self.faults = Faults::default();
        NODES.into_iter().for_each(|name| self.set_draining(name, false));
        self.start_missing();
        let quiet_at = Instant::now();
        while let Some(open) = self.unsettled().await {
            assert!(quiet_at.elapsed() < SETTLED, "{open} after {SETTLED:?} without a fault");
            self.live(200).await;
            self.start_missing();
        }
        self.tally.settled_ms_max = u64::try_from(quiet_at.elapsed().as_millis()).expect("short");
        let settled_at = Instant::now();
        while let Some(client) = self.clients.iter().find(|client| !client.is_done()) {
            assert!(settled_at.elapsed() < KNOWN, "a client does not know everything: {}", client.state());
            self.live(200).await;
        }
        for client in &self.clients {
            let stored = gold_in(&self.memory.character(client.character).expect("it was made").state);
            assert_eq!(stored, client.gold, "every intent is stored exactly once");
            self.tally.intents += client.gold;
            self.tally.frames += client.frames;
            self.tally.closed += client.closed;
            if self.course.is_planned() {
                assert_eq!(
                    (client.closed, client.refused),
                    (0, 0),
                    "a planned move closes no socket: {}",
                    client.state()
                );
            }
        }
        self.tally.planned += u64::from(self.course.is_planned());
        self.tally.packets = self.common.network.carried();
        let storages = self.nodes.iter().map(|node| &node.storage);
        let storages = storages.chain(self.gateways.iter().map(|gateway| &gateway.storage));
        self.tally.statements = self.statements + storages.map(|storage| storage.calls()).sum::<u64>();
        while !self.nodes.is_empty() {
            self.forget_node(0);
        }
        self.tally
    }

    /// The first shard that has not exactly one owner that serves it.
    async fn unsettled(&self) -> Option<String> {
        for owned in self.memory.owners().await.expect("an answer") {
            let shard = owned.lease.shard;
            let holders: Vec<_> =
                self.nodes.iter().filter_map(|node| Some((node.process, node.shards.held(shard)?))).collect();
            let owner = owned.owner.filter(|_| !owned.released);
            if owner.is_none_or(|owner| holders != [(owner, owned.lease)]) {
                return Some(format!("{shard} is owned by {owned:?} and held by {holders:?}"));
            }
        }
        None
    }
}
