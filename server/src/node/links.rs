//! The channel between the links and the task that moves shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use castellan_cluster::word::Word;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use super::copies::FromPeers;
use crate::link::{Address, LinkId, Said};
use crate::storage::ShardId;

/// Messages from all links that may wait for the task. A link that finds the queue full is cut.
const FROM_LINKS_MAX: usize = 16_384;

/// Messages to one link that may wait for it. A link that falls behind further is cut.
const TO_LINK_MAX: usize = 4_096;

/// How long the last successful read of the heartbeats may be past, until a node says that the database is away. They are
/// read each second.
const AWAY: Duration = Duration::from_millis(1_500);

/// A message from a link.
#[derive(Debug)]
pub(crate) enum FromLink {
    /// A new link, and the way to it.
    Up(mpsc::Sender<ToLink>),
    /// The gateway asks for a shard.
    Attach { shard: ShardId, number: u64, epoch: u64 },
    /// The gateway sends no more frames for a shard.
    Marker { shard: ShardId, number: u64 },
    /// It has said the last words about a shard.
    Told {
        /// The shard.
        shard: ShardId,
    },
    /// The link is broken.
    Down,
}

/// A message to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToLink {
    /// Say a word about an attachment. `Attached` opens it for frames; all other words end that.
    Say {
        /// The shard.
        shard: ShardId,
        /// The attachment.
        number: u64,
        /// The word.
        word: Word<Uuid>,
    },
    /// Write every answer and notice of the shard that is there, now: its last words follow.
    Tell {
        /// The shard.
        shard: ShardId,
        /// The attachment.
        number: u64,
    },
}

/// The state of the database as this node sees it, for other nodes that cannot reach it.
#[derive(Debug, Default)]
pub struct DatabaseSeen {
    /// When the last successful read of the heartbeats was sent; `None` before the first one.
    read_at: Mutex<Option<Instant>>,
    was_called_away: AtomicBool,
    /// When another node said that it can reach the database, and takes what is this one's.
    warned_at: Mutex<Option<Instant>>,
    /// From when on this node answers no client, unless it renews. `None` before the first renewal.
    silent_from: Mutex<Option<Instant>>,
}

impl DatabaseSeen {
    /// The heartbeats were read by a statement that was sent then.
    ///
    /// Returns true if this node has told others meanwhile that the database is away: then it must watch all heartbeats
    /// anew, because others may have relied on that.
    pub fn read(&self, sent_at: Instant) -> bool {
        *self.read_at.lock() = Some(sent_at);
        self.was_called_away.swap(false, Ordering::SeqCst)
    }

    /// Another node can reach the database, and is about to take the shards of this one. Returns true if this node may
    /// still answer clients.
    fn warned(&self) -> bool {
        tracing::warn!("another node can reach the database, and is about to take the shards of this one");
        let now = Instant::now();
        *self.warned_at.lock() = Some(now);
        self.silent_from.lock().is_some_and(|silent_from| now < silent_from)
    }

    /// This node may answer clients until then.
    pub(super) fn silent_from(&self, at: Instant) {
        *self.silent_from.lock() = Some(at);
    }

    /// A renewal succeeded that was sent then.
    pub fn renewed(&self, sent_at: Instant) {
        self.warned_at.lock().take_if(|warned_at| sent_at > *warned_at);
    }

    /// Returns true if this node was warned and has renewed nothing since: it must not go on without the database.
    pub fn is_warned(&self) -> bool {
        self.warned_at.lock().is_some()
    }

    /// Returns true if the database is away. From then on this node takes nothing before it has watched all heartbeats
    /// anew.
    fn is_away(&self) -> bool {
        let is_away = self.read_at.lock().is_none_or(|at| at.elapsed() > AWAY);
        if is_away {
            self.was_called_away.store(true, Ordering::SeqCst);
        }
        is_away
    }
}

/// The way to the task that moves shards.
#[derive(Debug, Clone)]
pub struct Links {
    sender: mpsc::Sender<(LinkId, FromLink)>,
    database: Arc<DatabaseSeen>,
    peers: Arc<FromPeers>,
    next: Arc<AtomicU64>,
}

impl Links {
    /// The way to the task, and the task's end of it.
    pub(crate) fn new() -> (Self, mpsc::Receiver<(LinkId, FromLink)>) {
        let (sender, receiver) = mpsc::channel(FROM_LINKS_MAX);
        let (database, peers, next) = Default::default();
        (Self { sender, database, peers, next }, receiver)
    }

    /// The state of the database as this node sees it.
    pub fn database(&self) -> &Arc<DatabaseSeen> {
        &self.database
    }

    /// What other nodes say about shards that will move here.
    pub(super) fn peers(&self) -> &Arc<FromPeers> {
        &self.peers
    }

    /// A new link's end. `None` if the node is overloaded or stops.
    pub fn open(&self) -> Option<LinkEnd> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (to_link, receiver) = mpsc::channel(TO_LINK_MAX);
        self.sender.try_send((id, FromLink::Up(to_link))).ok()?;
        Some(LinkEnd {
            id,
            sender: self.sender.clone(),
            database: Arc::clone(&self.database),
            peers: Arc::clone(&self.peers),
            receiver,
            is_peers: false,
            is_down: false,
        })
    }
}

/// A link's end of the way to the task. The link is down once it must be cut, or this is dropped.
#[derive(Debug)]
pub struct LinkEnd {
    id: LinkId,
    database: Arc<DatabaseSeen>,
    peers: Arc<FromPeers>,
    sender: mpsc::Sender<(LinkId, FromLink)>,
    receiver: mpsc::Receiver<ToLink>,
    /// Another node has said something about a move.
    is_peers: bool,
    is_down: bool,
}

impl LinkEnd {
    /// The gateway asks for a shard. Returns false if the link must be cut.
    #[must_use]
    pub fn attach(&self, shard: ShardId, number: u64, epoch: u64) -> bool {
        self.say(FromLink::Attach { shard, number, epoch })
    }

    /// The gateway sends no more frames for a shard. Returns false if the link must be cut.
    #[must_use]
    pub fn marker(&self, shard: ShardId, number: u64) -> bool {
        self.say(FromLink::Marker { shard, number })
    }

    /// Another node asks. Returns true if the database is away for this one, too.
    pub fn is_database_away(&self) -> bool {
        self.database.is_away()
    }

    /// Another node is about to take the shards of this one. Returns true if this one may still answer clients.
    pub fn warned(&self) -> bool {
        self.database.warned()
    }

    /// Another node says something about a shard that will move here.
    pub(crate) fn peer(&mut self, address: Address, said: &Said<'_>) {
        self.is_peers = true;
        self.peers.put(self.id, address, said);
    }

    /// It has obeyed [`ToLink::Tell`].
    pub fn told(&self, shard: ShardId) {
        // If this gets lost, the shard's memory is kept until the link is down or the shard comes back.
        let _ = self.say(FromLink::Told { shard });
    }

    /// The next thing to do; `None` if the link must be cut. From then on it must not handle any frames.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<ToLink>> {
        let next = self.receiver.poll_recv(cx);
        if let Poll::Ready(None) = next {
            self.go_down();
        }
        next
    }

    fn say(&self, said: FromLink) -> bool {
        self.sender.try_send((self.id, said)).is_ok()
    }

    fn go_down(&mut self) {
        if std::mem::replace(&mut self.is_down, true) {
            return;
        }
        if self.is_peers {
            self.peers.put_down(self.id);
        }
        let down = (self.id, FromLink::Down);
        // The task must hear of it, or a shard that leaves would wait for this link's marker.
        if let Err(mpsc::error::TrySendError::Full(down)) = self.sender.try_send(down)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let sender = self.sender.clone();
            runtime.spawn(async move { sender.send(down).await });
        }
    }
}

impl Drop for LinkEnd {
    fn drop(&mut self) {
        self.go_down();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn the_task_hears_that_a_link_is_down_before_the_link_has_said_its_last_words() {
        let (links, mut task) = Links::new();
        let mut end = links.open().unwrap();
        let (id, FromLink::Up(way)) = task.try_recv().unwrap() else { panic!("a link says first that it is up") };
        drop(way);
        assert!(end.poll_next(&mut Context::from_waker(Waker::noop())).is_ready());
        assert!(matches!(task.try_recv(), Ok((down, FromLink::Down)) if down == id));
        drop(end);
        assert!(task.try_recv().is_err(), "it is said once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_warned_node_says_if_it_may_still_answer() {
        let (links, _task) = Links::new();
        let end = links.open().unwrap();
        assert!(!end.warned(), "it has never renewed");
        links.database().silent_from(Instant::now() + Duration::from_secs(5));
        assert!(end.warned());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(!end.warned());
        assert!(links.database().is_warned(), "it must not go on either way");
    }
}
