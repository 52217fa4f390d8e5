//! The processes that use this database, and the statements by which they share the shards.
//!
//! A trait of its own, because a database that only one process can use has nothing of it.
//!
//! Nobody is called dead because a time is old: after an outage all times are old. A caller watches heartbeats, and
//! passes on which it has seen stand still; the database compares them once more when it acts on that.

use std::fmt;

use async_trait::async_trait;
use uuid::Uuid;

use super::{Lease, ShardId, StorageError, WITH_BOOKS};

/// The processes on a database and the owners of its shards.
///
/// Each call may be repeated, like all others.
#[async_trait]
pub trait Membership: Send + Sync {
    /// Registers a process, unless one of the other kind, or one with its name, may be alive. Returns those that may; if
    /// there are none, the process is registered.
    ///
    /// Whoever is in `still` with its present heartbeat is dead. Of two that register at once, the second finds the first.
    ///
    /// A node that cannot read the schema that is stored is [`StorageError::Refused`].
    async fn register(&self, node: &Node, still: &[Seen]) -> Result<Vec<Present>, StorageError>;

    /// Raises the heartbeat of a process, tells the others its report, and then reads what it owns, and what all nodes
    /// follow. Returns `None` if it is not registered any more.
    ///
    /// Either a take of one of its shards sees the new heartbeat and takes nothing, or these leases no longer have that
    /// shard.
    async fn renew(&self, process: Uuid, report: &Report) -> Result<Option<Renewal>, StorageError>;

    /// What all nodes follow.
    async fn agreed(&self) -> Result<Agreed, StorageError>;

    /// Publishes rules in the name of a node, and returns the revision that counts from now on. Nothing changes if
    /// these are the present rules, or if they should only be the first and there are some.
    async fn publish(&self, rules: &str, by: &str, first: bool) -> Result<i64, StorageError>;

    /// The rules that count; `None` if nobody has published any.
    async fn published(&self) -> Result<Option<Published>, StorageError>;

    /// Lets nodes store states in this schema from now on, if it is newer than the present one and every registered node
    /// reads it that has renewed within this time. Returns the schema that is stored now.
    async fn raise_schema(&self, to: i32, alive_within_ms: i64) -> Result<i32, StorageError>;

    /// All registered processes by name, even dead ones.
    async fn nodes(&self) -> Result<Vec<Present>, StorageError>;

    /// Removes a process that owns no shard. Returns false if it still owns one.
    async fn leave(&self, process: Uuid) -> Result<bool, StorageError>;

    /// Tells all nodes of this name to give their shards away, or not to any more. Returns false if there are none.
    async fn set_draining(&self, name: &str, draining: bool) -> Result<bool, StorageError>;

    /// Removes those of these processes that still have that heartbeat and own no shard. Returns their number.
    async fn forget(&self, still: &[Seen]) -> Result<u64, StorageError>;

    /// The leases of all shards with their owners, in the order of shards.
    async fn owners(&self) -> Result<Vec<Owned>, StorageError>;

    /// Makes a registered process the owner of those shards whose epoch is still the one seen, and whose owner has not
    /// renewed since or does not exist: `epoch + 1`, and `recoveries + 1` if nobody had released it.
    ///
    /// Returns the leases that were taken, in the order of shards.
    async fn take(&self, process: Uuid, wanted: &[Wanted]) -> Result<Vec<Lease>, StorageError>;

    /// Makes another registered process the owner of a shard, if `from` still owns it under this lease: `epoch + 1`,
    /// recoveries stay. Everything must be stored by now.
    ///
    /// Returns the lease as it is afterwards, whoever has changed it. So a repetition tells if the first call succeeded.
    async fn transfer(&self, from: Uuid, to: Uuid, lease: Lease) -> Result<Owned, StorageError>;
}

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A server, which takes all shards.
    Serve,
    /// A node, which shares them with other nodes.
    Node,
}

impl NodeKind {
    /// The name in the column, and for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Node => "node",
        }
    }

    /// The kind with this name.
    pub(super) fn named(name: &str) -> Result<Self, StorageError> {
        match name {
            "serve" => Ok(Self::Serve),
            "node" => Ok(Self::Node),
            _ => Err(StorageError::Corrupt(format!("no such kind of process: {name}"))),
        }
    }
}

/// A process, as it registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Names this run of it. New for each.
    pub process: Uuid,
    /// What it is.
    pub kind: NodeKind,
    /// Its name. No other server has that of a server; a node that starts again has the same.
    pub name: String,
    /// Where a node's links are opened; where players reach a server.
    pub address: String,
    /// How links to it are opened, if it takes any.
    pub link: Option<Link>,
    /// How many shards it should own, relative to other nodes.
    pub weight: u32,
    /// True if it should give its shards away.
    pub draining: bool,
    /// The rules that it uses.
    pub rules: InUse,
    /// The newest schema of stored states that it reads.
    pub schema_version: i32,
}

/// The rules that a process uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InUse {
    /// The name of its catalogue's content.
    pub catalogue: String,
    /// The revision that it follows; 0 if it has rules of its own, as a server has.
    pub revision: i64,
    /// Why it cannot use a newer one.
    pub complaint: Option<String>,
}

impl InUse {
    /// Rules of its own, with this catalogue.
    pub fn own(catalogue: &str) -> Self {
        Self { catalogue: catalogue.to_owned(), ..Self::default() }
    }
}

/// What all nodes follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The revision of the rules; 0 if there is none.
    pub revision: i64,
    /// How long ago it was published, in milliseconds, by the database's clock.
    pub age_ms: i64,
    /// The schema in which states are stored; 0 before the first process has registered.
    pub stored_schema: i32,
}

/// Rules that count for all nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Their revision, not 0.
    pub revision: i64,
    /// The document.
    pub rules: String,
    /// The name of the node that has published them.
    pub by: String,
}

/// What a renewal has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The leases of the process.
    pub leases: Vec<Lease>,
    /// What all nodes follow.
    pub agreed: Agreed,
}

/// How links to a node are opened.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// Both ends prove that they know it.
    pub secret: Vec<u8>,
    /// The oldest version of the link protocol that the node speaks.
    pub oldest: u16,
    /// The newest one.
    pub newest: u16,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("oldest", &self.oldest).field("newest", &self.newest).finish_non_exhaustive()
    }
}

/// What a process tells the others with its heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The rules that it uses.
    pub rules: InUse,
    /// How much it has to do.
    pub load: Load,
}

/// How much a process has to do, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Open sockets; at a node those at gateways.
    pub sockets: u32,
    /// Intents that it answered, per second since the last heartbeat.
    pub intents_per_second: u32,
    /// Characters with changes that are not in the database.
    pub dirty: u32,
    /// Age of the oldest of these changes, in milliseconds.
    pub lag_ms: u32,
}

/// A registered process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The process.
    pub node: Node,
    /// Its load, as of its last heartbeat.
    pub load: Load,
    /// Grows as long as it lives.
    pub heartbeat: i64,
    /// When it registered, in milliseconds since the Unix epoch, by the database's clock.
    pub started_at_ms: i64,
    /// How long ago that was, by the database's clock.
    pub age_ms: i64,
    /// How long ago it renewed, in milliseconds, by the database's clock. For people.
    pub seen_ago_ms: i64,
}

impl Present {
    /// What is watched of it.
    pub fn seen(&self) -> Seen {
        Seen { process: self.node.process, heartbeat: self.heartbeat }
    }
}

/// A process and its heartbeat, as somebody saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The process.
    pub process: Uuid,
    /// Its heartbeat.
    pub heartbeat: i64,
}

/// The lease of a shard, and its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// The lease of the present owner, or of the last one.
    pub lease: Lease,
    /// True if the last owner gave it back with everything stored.
    pub released: bool,
    /// The owner; `None` if nobody owns it, or a server that is not registered.
    pub owner: Option<Uuid>,
}

/// A shard to take, as the taker saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The shard.
    pub shard: ShardId,
    /// The epoch that it had.
    pub epoch: i64,
    /// The heartbeat of its owner, which the taker saw stand still; `None` if it had no owner.
    pub heartbeat: Option<i64>,
}

/// Returns true if a node that reads up to `newest` can read what is stored in `stored`: the game's schema, and books.
pub fn reads(newest: i32, stored: i32) -> bool {
    newest % WITH_BOOKS >= stored % WITH_BOOKS && newest / WITH_BOOKS >= stored / WITH_BOOKS
}

/// A schema version as people read it.
pub fn schema_name(schema_version: i32) -> String {
    match schema_version.checked_sub(WITH_BOOKS) {
        Some(version @ 0..) => format!("{version} with trades"),
        _ => schema_version.to_string(),
    }
}

/// The schema in which states are stored once a process has registered beside this one; 0: nobody ever has.
///
/// # Errors
///
/// It is a node that cannot read what others store.
pub(super) fn schema_beside(present: i32, node: &Node) -> Result<i32, StorageError> {
    match node.kind {
        // It stores in its own schema, like every server.
        NodeKind::Serve => Ok(present.max(node.schema_version)),
        NodeKind::Node if present == 0 => Ok(node.schema_version),
        NodeKind::Node if reads(node.schema_version, present) => Ok(present),
        NodeKind::Node => Err(StorageError::Refused(format!(
            "characters are stored in schema {}, and this program reads only up to {}; use a newer version of it",
            schema_name(present),
            schema_name(node.schema_version)
        ))),
    }
}
