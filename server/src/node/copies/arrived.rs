//! What links have heard from other nodes, and the task has not looked at yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::PROCESS_BYTES_MAX;
use crate::link::{Address, LinkId, Said};
use crate::storage::ShardId;

/// Messages that one call takes out: the task decodes them before it does anything else.
const TAKEN_MAX: usize = 16;

/// A message of another node.
#[derive(Debug)]
pub(in crate::node) enum FromPeer {
    /// A user's characters.
    Copy { shard: ShardId, number: u64, body: Vec<u8>, room: Room },
    /// The shard was given to a process.
    Given { shard: ShardId, number: u64, body: Vec<u8> },
    /// The other node keeps the shard.
    CalledOff { shard: ShardId },
    /// The link is down.
    Down,
}

/// Messages that wait.
#[derive(Debug, Default)]
pub(in crate::node) struct FromPeers {
    waiting: Mutex<VecDeque<(LinkId, FromPeer)>>,
    news: Notify,
    bytes: Arc<AtomicUsize>,
}

/// Bytes of a copy, which count as long as it is kept.
#[derive(Debug)]
pub(in crate::node) struct Room {
    all: Arc<AtomicUsize>,
    pub(super) bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl FromPeers {
    /// Adds a message. A copy for which there is no room is dropped.
    pub(in crate::node) fn put(&self, link: LinkId, address: Address, said: &Said<'_>) {
        let Address { shard, number, .. } = address;
        let message = match said {
            Said::Copy(body) => {
                let Some(room) = self.room(body.len()) else { return };
                FromPeer::Copy { shard, number, body: body.to_vec(), room }
            }
            Said::Given(body) => FromPeer::Given { shard, number, body: body.to_vec() },
            Said::CalledOff => FromPeer::CalledOff { shard },
            _ => return,
        };
        self.add(link, message);
    }

    /// The link is down.
    pub(in crate::node) fn put_down(&self, link: LinkId) {
        self.add(link, FromPeer::Down);
    }

    /// Takes the first messages out, once there are some.
    pub(in crate::node) async fn take(&self) -> Vec<(LinkId, FromPeer)> {
        loop {
            let (taken, is_empty) = {
                let mut waiting = self.waiting.lock();
                let next = waiting.len().min(TAKEN_MAX);
                (waiting.drain(..next).collect::<Vec<_>>(), waiting.is_empty())
            };
            if !is_empty {
                self.news.notify_one();
            }
            if !taken.is_empty() {
                return taken;
            }
            self.news.notified().await;
        }
    }

    fn add(&self, link: LinkId, message: FromPeer) {
        self.waiting.lock().push_back((link, message));
        self.news.notify_one();
    }

    /// Counts bytes; `None` if that would be too many.
    pub(super) fn room(&self, bytes: usize) -> Option<Room> {
        let room = Room { all: Arc::clone(&self.bytes), bytes };
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        (before + bytes <= PROCESS_BYTES_MAX).then_some(room)
    }
}
