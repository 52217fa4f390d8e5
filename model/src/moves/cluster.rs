//! Everything at one moment, and the memory that is needed to notice broken promises.

use castellan_cluster::gateway::Routing;
use castellan_cluster::lease::{Held, Lease};
use castellan_cluster::node::{ShardLife, State};

use super::link::{Frame, Pipe, ToGateway, ToNode};
use super::plan::{Events, Plan};
use crate::client::Client;
use crate::connection::Answer;
use crate::database::Row;
use crate::history::History;
use crate::server::Entry;
use crate::system::VERSIONS_MAX;

/// A flush: one statement, which writes the row if the lease still has this epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flush {
    /// None is open.
    Idle,
    /// On its way to the database.
    Sent(Row, u64),
    /// Executed; the answer is in transit. False if the epoch had changed.
    Executed(u8, u64, bool),
}

/// The statement that makes another process the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transfer {
    /// None is open.
    Idle,
    /// On its way: the epoch and the new owner, if any.
    Sent(u64, Option<u8>),
    /// Executed; this answer is in transit.
    Executed(Lease<u8>),
}

/// A read of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading {
    /// None is open.
    Idle,
    /// On its way.
    Sent,
    /// Executed; this answer is in transit.
    Executed(Lease<u8>),
}

/// An intent with `ack: "durable"` that waits for its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wait {
    /// The gateway of its client.
    pub gateway: u8,
    /// The client.
    pub client: u8,
    /// Its connection.
    pub connection: u8,
    /// The intent.
    pub intent: u8,
    /// The version that must be stored.
    pub version: u8,
}

/// News for a gateway that a node has not put on the link yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mail {
    /// A version is durable.
    Durable(u8),
    /// An intent that waited: its client's connection, and the answer.
    Answer(u8, u8, Answer),
}

/// A process on a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    /// Its id. Node 0 has even ones, node 1 odd ones.
    pub process: u8,
    /// The life of the shard.
    pub life: ShardLife<u8, u8>,
    /// The life before the transfer was sent; only if a rule is left out.
    pub before: Option<ShardLife<u8, u8>>,
    /// The character, once loaded.
    pub entry: Option<Entry>,
    /// The character as it was sent ahead.
    pub copied: Option<Entry>,
    /// The open flush.
    pub flush: Flush,
    /// The open transfer.
    pub transfer: Transfer,
    /// The open read of the lease.
    pub reading: Reading,
    /// Intents that wait for their commits.
    pub waits: Vec<Wait>,
    /// News for each gateway.
    pub mail: Vec<(u8, Mail)>,
    /// Gateways that part: the attachment, and the version that must be stored first.
    pub parting: Vec<(u8, u64, u8)>,
}

impl Node {
    /// A new process.
    pub fn new(process: u8) -> Self {
        Self {
            process,
            life: ShardLife::new(process),
            before: None,
            entry: None,
            copied: None,
            flush: Flush::Idle,
            transfer: Transfer::Idle,
            reading: Reading::Idle,
            waits: Vec::new(),
            mail: Vec::new(),
            parting: Vec::new(),
        }
    }

    /// Returns true if the character has changes that are not known to be stored.
    pub fn is_dirty(&self) -> bool {
        self.entry.is_some_and(|entry| !entry.is_clean())
    }

    /// Returns true if the shard is owned, and not about to leave.
    pub fn owns(&self) -> bool {
        matches!(self.life.state(), State::Owned(_))
    }
}

/// A message from a former owner to the next one. It may arrive at any time, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct News {
    /// The next owner.
    pub to: u8,
    /// What it holds.
    pub held: Held,
    /// The version of the character in the former owner's memory.
    pub version: Option<u8>,
}

/// A gateway: one of its threads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// Its routing of the shard.
    pub routing: Routing<u8, u8, Frame>,
    /// Its link to each node.
    pub pipes: [Pipe; 2],
    /// Another process waits for its sockets.
    pub leaving: bool,
}

/// A client's connection, as its gateway and an onlooker see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Socket {
    /// True from the connection until it is closed.
    pub open: bool,
    /// Counts the connections; four numbers are enough to tell them apart.
    pub connection: u8,
    /// Number of intents sent.
    pub sent: u8,
    /// Place of the last intent that a node decided about.
    pub decided: u8,
    /// The process that the socket is attached to.
    pub home: Option<u8>,
}

/// Broken promises that are visible only in the step that breaks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Breaches {
    /// A process wrote the row of a shard that another one owned.
    pub stranger_wrote: bool,
    /// The row's version fell.
    pub version_fell: bool,
    /// A version named two different states.
    pub version_reused: bool,
    /// A node decided about a frame before an older one of the same connection, or twice.
    pub out_of_order: bool,
    /// A socket closed although no fault had happened.
    pub closed_in_peace: bool,
    /// A socket closed because of a process that it was not attached to.
    pub closed_for_others: bool,
    /// A node cut a link on which no word was lost.
    pub cut_without_loss: bool,
}

/// A state of the search.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cluster {
    /// The only character.
    pub row: Row,
    /// The lease of its shard.
    pub lease: Lease<u8>,
    /// The process on each node; `None` while it is dead.
    pub nodes: [Option<Node>; 2],
    /// The process id that each node had last.
    pub processes: [u8; 2],
    /// The gateways.
    pub gateways: Vec<Gateway>,
    /// The clients of the character.
    pub clients: [Client; 2],
    /// Their connections.
    pub sockets: [Socket; 2],
    /// Messages to new owners.
    pub news: Vec<News>,
    /// A word that will be said again: its gateway, its node, and the word.
    pub late: Option<(u8, u8, Late)>,
    /// The remaining events.
    pub events: Events,
    /// True once a fault has happened; a move is none.
    pub disturbed: bool,
    /// The state of each version. Versions that no process can use any more are forgotten.
    pub names: [Option<History>; VERSIONS_MAX],
    /// The breaches so far.
    pub breaches: Breaches,
}

/// A repeated word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Late {
    /// To the node.
    ToNode(ToNode),
    /// To the gateway.
    ToGateway(ToGateway),
}

impl Cluster {
    /// Process 0 owns the shard, and every gateway has a link to both nodes. Nobody has connected.
    pub fn new(plan: &Plan) -> Self {
        let held = Held { epoch: 1, recoveries: 0 };
        let lease = Lease { held, owner: Some(0) };
        let mut owner = Node::new(0);
        owner.life.lease(lease, &mut Vec::new());
        let gateway = Gateway { routing: Routing::default(), pipes: [Pipe::new(0), Pipe::new(1)], leaving: false };
        let gateways = 1 + usize::from(*plan.bounds.gateways.iter().max().expect("two clients"));
        Self {
            row: Row { version: 1, recoveries: 0, state: History::default(), ring: History::default() },
            lease,
            nodes: [Some(owner), Some(Node::new(1))],
            processes: [0, 1],
            gateways: vec![gateway; gateways],
            clients: [Client::new(0), Client::new(1)],
            sockets: [Socket::default(); 2],
            news: Vec::new(),
            late: None,
            events: plan.bounds.events,
            disturbed: false,
            names: [None; VERSIONS_MAX],
            breaches: Breaches::default(),
        }
    }

    /// Returns true if a process is alive.
    pub fn is_alive(&self, process: u8) -> bool {
        self.nodes.iter().flatten().any(|node| node.process == process)
    }

    /// Returns true if the owner in the database is alive.
    pub fn owner_lives(&self) -> bool {
        self.lease.owner.is_some_and(|owner| self.is_alive(owner))
    }

    /// Returns true once all clients know the outcome of all intents.
    pub fn is_finished(&self, plan: &Plan) -> bool {
        self.clients.iter().all(|client| client.is_finished(&plan.bounds.clients))
    }

    /// Records that a version names a state.
    pub fn name(&mut self, version: u8, state: History) {
        let name = &mut self.names[usize::from(version)];
        if name.is_some_and(|known| known != state) {
            self.breaches.version_reused = true;
        } else {
            *name = Some(state);
        }
    }
}
