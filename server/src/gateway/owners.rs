//! Which node owns which shard, and how it is reached: read from the database once a second, and when somebody asks.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use castellan_cluster::lease::{Held, Lease};
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use crate::link::TRACES_VERSION;
use crate::storage::{NodeKind, Owned, Present, ShardId, Storage, StorageError};

/// Longest time between two reads.
const EVERY: Duration = Duration::from_secs(1);

/// Shortest time between two reads, however many ask.
const PAUSE: Duration = Duration::from_millis(20);

/// How long a read may take.
const READ: Duration = Duration::from_secs(5);

/// How a process is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// The process. Both ends prove that they mean this one.
    pub process: Uuid,
    /// The address of its links.
    pub address: String,
    /// The newest version of the link that it speaks.
    pub link_version: u16,
    /// Both ends prove that they know it.
    pub secret: Vec<u8>,
}

/// Hides the secret.
impl fmt::Debug for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { process, address, .. } = self;
        f.debug_struct("NodeAddress").field("process", process).field("address", address).finish_non_exhaustive()
    }
}

/// The owners as one read found them.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The number of the read. 0 before the first one.
    read: u64,
    /// By shard. The owner is `None` if there is none, or none that can be reached.
    leases: Vec<Lease<Uuid>>,
    nodes: HashMap<Uuid, NodeAddress>,
}

impl Snapshot {
    fn new(read: u64, owned: &[Owned], present: Vec<Present>) -> Self {
        let reached = |node: Present| {
            let node = node.node;
            let link = node.link.filter(|_| node.kind == NodeKind::Node)?;
            let (process, link_version) = (node.process, link.newest);
            Some((process, NodeAddress { process, address: node.address, link_version, secret: link.secret }))
        };
        let nodes: HashMap<_, _> = present.into_iter().filter_map(reached).collect();
        let nobody = Lease { held: Held { epoch: 0, recoveries: 0 }, owner: None };
        let mut leases = vec![nobody; ShardId::all().count()];
        for Owned { lease, released, owner } in owned {
            let number = |number: i64| u64::try_from(number).unwrap_or_default();
            let held = Held { epoch: number(lease.epoch), recoveries: number(lease.recoveries) };
            let owner = owner.filter(|owner| !released && nodes.contains_key(owner));
            leases[usize::from(lease.shard.number())] = Lease { held, owner };
        }
        Self { read, leases, nodes }
    }

    /// The number of the read that found this.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// The lease of a shard. The owner is `None` if there is none, or none that can be reached.
    pub(super) fn lease(&self, shard: ShardId) -> Option<Lease<Uuid>> {
        self.leases.get(usize::from(shard.number())).copied()
    }

    /// How a process is reached.
    pub(super) fn node(&self, process: Uuid) -> Option<&NodeAddress> {
        self.nodes.get(&process)
    }

    /// Returns true if this process reads the traces of frames.
    pub(super) fn reads_traces(&self, process: Uuid) -> bool {
        self.nodes.get(&process).is_some_and(|node| node.link_version >= TRACES_VERSION)
    }

    /// Returns true if every shard has an owner that can be reached.
    pub fn is_whole(&self) -> bool {
        !self.leases.is_empty() && self.leases.iter().all(|lease| lease.owner.is_some())
    }
}

/// Reads the owners. Its clones share what they read.
#[derive(Clone)]
pub struct Owners {
    asked: Arc<Asked>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

#[derive(Default)]
struct Asked {
    notify: Notify,
    /// How many reads have begun.
    begun: AtomicU64,
    /// The number of the last read that somebody waits for.
    wanted: AtomicU64,
}

/// The rows of the owners and of the processes.
type Rows = Result<(Vec<Owned>, Vec<Present>), StorageError>;

impl Owners {
    /// Reads from a database, on this runtime, as long as a clone exists.
    pub fn start(storage: Arc<dyn Storage>) -> Self {
        Self::reading(move || {
            let storage = Arc::clone(&storage);
            Box::pin(async move {
                let shared = || StorageError::Unusable("this database can be used by one process only".to_owned());
                let membership = storage.membership().ok_or_else(shared)?;
                // The processes last: an owner registers before it takes a shard.
                let owned = membership.owners().await?;
                Ok((owned, membership.nodes().await?))
            })
        })
    }

    /// Reads by a function.
    pub(super) fn reading(read: impl Fn() -> BoxFuture<'static, Rows> + Send + Sync + 'static) -> Self {
        let (sender, snapshots) = watch::channel(Arc::default());
        let asked = Arc::new(Asked::default());
        tokio::spawn(read_on(Arc::clone(&asked), sender, read));
        Self { asked, snapshots }
    }

    /// Asks for a read at once. Returns the number of the next read to begin.
    pub fn ask(&self) -> u64 {
        let next = self.asked.begun.load(Ordering::SeqCst) + 1;
        self.asked.wanted.fetch_max(next, Ordering::SeqCst);
        self.asked.notify.notify_one();
        next
    }

    /// The newest snapshot, and those to come.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }
}

/// Reads until nobody is interested any more.
async fn read_on(asked: Arc<Asked>, sender: watch::Sender<Arc<Snapshot>>, read: impl Fn() -> BoxFuture<'static, Rows>) {
    let mut is_failing = false;
    loop {
        let begun_at = Instant::now();
        let number = asked.begun.fetch_add(1, Ordering::SeqCst) + 1;
        match timeout(READ, read()).await {
            Ok(Ok((owned, present))) => {
                is_failing = false;
                sender.send_replace(Arc::new(Snapshot::new(number, &owned, present)));
            }
            Ok(Err(error)) if !std::mem::replace(&mut is_failing, true) => {
                tracing::warn!(%error, "cannot read the owners of the shards; what is known stays in use");
            }
            Err(_) if !std::mem::replace(&mut is_failing, true) => {
                tracing::warn!("reading the owners of the shards takes too long; what is known stays in use");
            }
            _ => {}
        }
        while asked.wanted.load(Ordering::SeqCst) <= number {
            tokio::select! {
                () = sender.closed() => return,
                () = asked.notify.notified() => {}
                () = sleep_until(begun_at + EVERY) => break,
            }
        }
        sleep_until(begun_at + PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::storage::{self, InUse, Link, Load, Node};

    fn process(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn present(number: u128, kind: NodeKind) -> Present {
        let node = Node {
            process: process(number),
            kind,
            name: number.to_string(),
            address: format!("192.0.2.{number}:1"),
            link: (kind == NodeKind::Node).then(|| Link { secret: vec![1], oldest: 1, newest: 1 }),
            weight: 1,
            draining: false,
            rules: InUse::default(),
            schema_version: 1,
        };
        Present { node, load: Load::default(), heartbeat: 1, started_at_ms: 0, age_ms: 0, seen_ago_ms: 0 }
    }

    fn owned(shard: ShardId, epoch: i64, owner: Option<u128>, released: bool) -> Owned {
        Owned { lease: storage::Lease { shard, epoch, recoveries: 2 }, released, owner: owner.map(process) }
    }

    #[test]
    fn only_owners_that_can_be_reached_count() {
        let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(ShardId::new);
        let rows = [
            owned(a, 5, Some(1), false),
            owned(b, 5, Some(1), true),
            owned(c, 5, Some(2), false),
            owned(d, 5, Some(3), false),
        ];
        let snapshot = Snapshot::new(1, &rows, vec![present(1, NodeKind::Node), present(2, NodeKind::Serve)]);
        let found = |shard| snapshot.lease(shard).map(|lease| (lease.held.epoch, lease.owner));
        assert_eq!(found(a), Some((5, Some(process(1)))));
        assert_eq!(found(b), Some((5, None)), "it was released");
        assert_eq!(found(c), Some((5, None)), "a server takes no links");
        assert_eq!(found(d), Some((5, None)), "it is not registered");
        assert_eq!(found(e), Some((0, None)), "it has no row");
        assert!(!snapshot.is_whole() && !Snapshot::default().is_whole());
        let all: Vec<_> = ShardId::all().map(|shard| owned(shard, 1, Some(1), false)).collect();
        assert!(Snapshot::new(1, &all, vec![present(1, NodeKind::Node)]).is_whole());
        assert!(!Snapshot::new(1, &all, Vec::new()).is_whole());
    }

    #[tokio::test(start_paused = true)]
    async fn owners_are_read_once_a_second_and_when_asked_but_not_without_a_pause() {
        let reads = Arc::<Mutex<Vec<Instant>>>::default();
        let noted = Arc::clone(&reads);
        let owners = Owners::reading(move || {
            noted.lock().push(Instant::now());
            Box::pin(async { Ok((Vec::new(), Vec::new())) })
        });
        let began_at = Instant::now();
        let mut snapshots = owners.snapshots();
        let next = snapshots.wait_for(|snapshot| snapshot.read() == 1).await.expect("a reader").read() + 1;
        (0..100).for_each(|_| assert_eq!(owners.ask(), next));
        snapshots.wait_for(|snapshot| snapshot.read() >= next).await.expect("a reader");
        snapshots.wait_for(|snapshot| snapshot.read() > next).await.expect("a reader");
        let times: Vec<_> = reads.lock().iter().map(|at| at.duration_since(began_at)).collect();
        assert_eq!(times[..2], [Duration::ZERO, PAUSE]);
        assert!(times.len() == 3 && times[2] >= PAUSE + EVERY, "{times:?}");
    }
}
