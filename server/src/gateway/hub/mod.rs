//! The hub of a socket thread: the routings of all shards, a link to each node, and the sockets.
//!
//! [`state`] holds them behind one lock and performs the effects of the routings; nothing there waits. [`link`] is the
//! task of a link: it reads what a node says and sends what the hub has put. A task of the hub's own passes on what the
//! owners are, and the time.

mod hear;
mod leaving;
mod link;
mod shard;
mod sockets;
mod state;
mod wire;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use castellan_protocol::{CharacterId, UserId};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::{MissedTickBehavior, interval};

pub(super) use self::sockets::Client;
use self::state::State;
use super::carried::CarriedPlace;
use super::owners::{NodeAddress, Owners};
use crate::link::{SocketId, Wire};
use crate::storage::ShardId;

/// How often a hub looks at its deadlines while it has any.
const TICK: Duration = Duration::from_millis(50);

/// Opens a link: the connection after the handshake, and the bytes that were read after it.
pub type Dial = Arc<dyn Fn(NodeAddress) -> Dialling + Send + Sync>;

/// A link that is being opened.
pub type Dialling = BoxFuture<'static, io::Result<(Box<dyn Wire>, Vec<u8>)>>;

/// The hub of a socket thread. Its clones are the same hub.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    owners: Owners,
    dial: Dial,
    /// The runtime of the links; that of the first socket or request.
    home: OnceLock<Handle>,
    /// There are deadlines again.
    busy: Notify,
}

impl Hub {
    /// A hub without sockets and links.
    pub fn new(owners: Owners, dial: Dial) -> Self {
        let state = Mutex::new(State::new(owners.clone()));
        Self(Arc::new(Shared { state, owners, dial, home: OnceLock::new(), busy: Notify::new() }))
    }

    /// Sends a request to the node that has a shard, and waits for the answer.
    ///
    /// `None` if no node has answered it: the sender may try again later, and cannot know if it was carried out. Dropped
    /// before that, it tells the node that nobody waits any more. Call it on the hub's own thread.
    pub async fn request(&self, shard: ShardId, request: Vec<u8>) -> Option<Vec<u8>> {
        let (reply, answer) = oneshot::channel();
        self.settle();
        let id = self.with(|state| state.request(shard, request, reply));
        let _place = Place { hub: self.clone(), id };
        answer.await.ok()
    }

    /// A client's connection begins, or goes on here.
    pub(super) fn open(&self, client: Client, carried: Option<CarriedPlace>) -> Place {
        self.settle();
        let id = self.with(|state| {
            state.tell_newcomer(&client);
            match carried {
                None => state.open(client),
                Some(place) => state.adopt(client, place),
            }
        });
        Place { hub: self.clone(), id }
    }

    /// Starts the hub's own task, at the first socket or request.
    fn settle(&self) {
        self.0.home.get_or_init(|| {
            let home = Handle::current();
            home.spawn(keep(self.clone()));
            home
        });
    }

    /// Does something with the state, then opens the links that it needs.
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.state.lock();
        let was_busy = state.is_busy();
        let result = act(&mut state);
        let is_busy = state.is_busy();
        let dials = state.take_dials();
        drop(state);
        if is_busy && !was_busy {
            self.0.busy.notify_one();
        }
        if let Some(home) = self.0.home.get() {
            for (id, node) in dials {
                home.spawn(link::run(self.clone(), id, node));
            }
        }
        result
    }
}

/// Tells a hub the owners and the time.
async fn keep(hub: Hub) {
    let mut snapshots = hub.0.owners.snapshots();
    snapshots.mark_changed();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_busy = true;
    loop {
        tokio::select! {
            changed = snapshots.changed() => {
                if changed.is_err() {
                    return;
                }
                let snapshot = Arc::clone(&snapshots.borrow_and_update());
                hub.with(|state| state.offer(&snapshot));
            }
            _ = ticks.tick(), if is_busy => {
                is_busy = hub.with(|state| {
                    state.tick();
                    state.is_busy()
                });
            }
            () = hub.0.busy.notified(), if !is_busy => is_busy = true,
        }
    }
}

/// A socket's place in its hub; given back when dropped.
pub(super) struct Place {
    hub: Hub,
    id: SocketId,
}

impl Place {
    /// Sends a client's frame to the node that has the shard. `traceparent` is the gateway's span, if it traces it.
    pub(super) fn frame(&self, shard: ShardId, payload: &[u8], traceparent: Option<&str>) {
        self.hub.with(|state| state.frame(self.id, shard, payload, traceparent));
    }

    /// The client watches a character. Call it before its frame.
    pub(super) fn watch(&self, character: CharacterId, owner: UserId) {
        self.hub.with(|state| state.watch(self.id, character, owner));
    }

    /// The client watches a character no more. Returns its owner, if it did.
    pub(super) fn unwatch(&self, character: CharacterId) -> Option<UserId> {
        self.hub.with(|state| state.unwatch(self.id, character))
    }

    /// The session has a newer token.
    pub(super) fn refreshed(&self, expires_at_ms: i64) {
        self.hub.with(|state| state.refreshed(self.id, expires_at_ms));
    }

    /// The client has read everything.
    pub(super) fn caught_up(&self) {
        self.hub.with(|state| state.caught_up(self.id));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.with(|state| state.close(self.id));
    }
}

#[cfg(test)]
impl Hub {
    /// Waits until so many frames are kept for a shard.
    pub(super) async fn waits_for(&self, shard: ShardId, frames: usize) {
        while self.with(|state| state.shard(shard).routing.waiting()) < frames {
            tokio::task::yield_now().await;
        }
    }

    /// True if the nodes of a socket know that its client is slow.
    pub(super) fn is_slow(&self, socket: SocketId) -> bool {
        self.with(|state| {
            state
                .sockets
                .get_mut(&socket)
                .and_then(sockets::Socket::connected)
                .is_some_and(|c| c.client.outbox.is_slow())
        })
    }
}
