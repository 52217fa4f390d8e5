//! A shard, as a hub knows it.

use std::collections::BTreeSet;
use std::time::Duration;

use castellan_cluster::gateway::{KEEP, Routing, State as Stage};
use castellan_cluster::membership::EXPIRY;
use rand::RngExt;
use tokio::time::Instant;
use uuid::Uuid;

use crate::link::SocketId;

/// How long after its death the shards of a node have another owner: the others notice the death after [`EXPIRY`] and the
/// second between two reads; half a second is for the warning and the take.
const TAKEOVER: Duration = EXPIRY.saturating_add(Duration::from_millis(1_500));

/// How much longer clients may take to come back after a takeover, for each socket of the thread.
const SPREAD_PER_SOCKET: Duration = Duration::from_millis(1);

/// A frame or a request that a routing keeps and sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Travelling {
    /// The introduction of a socket that waits for its welcome.
    Hello,
    /// A client's frame, and the gateway's span, if it traces it.
    Frame(Vec<u8>, Option<Box<str>>),
    /// A request.
    Request(Vec<u8>),
}

pub(super) type Routed = Routing<Uuid, SocketId, Travelling>;
/// A shard, as this thread knows it.
#[derive(Default)]
pub(super) struct Shard {
    pub(super) routing: Routed,
    /// The read of the owners that it asked for. Earlier ones count for nothing.
    pub(super) asked: u64,
    /// Sockets to introduce as soon as it is attached.
    pub(super) eager: BTreeSet<SocketId>,
    /// Since when frames wait here.
    pub(super) held_since: Option<Instant>,
    /// Since when no node has served it, if none does.
    unserved_since: Option<Instant>,
}

impl Shard {
    /// Call it after each change of the routing.
    pub(super) fn note_served(&mut self) {
        match self.routing.state() {
            Stage::Attached(_) | Stage::Held(_) | Stage::Parting(_) => self.unserved_since = None,
            Stage::Idle | Stage::Asking | Stage::Attaching(_) => {
                self.unserved_since.get_or_insert_with(Instant::now);
            }
        }
    }

    /// How long a client must wait at least before it comes back, if its socket closes because of this shard.
    ///
    /// If nobody has served the shard for as long as frames are kept, its node is probably dead. A client that comes back
    /// before the takeover would only be sent away again.
    pub(super) fn wait(&self, sockets: usize) -> Duration {
        let unserved = self.unserved_since.map_or(Duration::ZERO, |since| since.elapsed());
        let left = TAKEOVER.saturating_sub(unserved);
        if unserved < KEEP || left.is_zero() {
            return Duration::ZERO;
        }
        let spread = SPREAD_PER_SOCKET.saturating_mul(u32::try_from(sockets).unwrap_or(u32::MAX));
        left + rand::rng().random_range(Duration::ZERO..=spread)
    }
}
