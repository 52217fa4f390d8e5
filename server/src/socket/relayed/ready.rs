//! The connections of a link that have mail: their mailboxes wake the link's task, and say which of them to look at.

use std::sync::Arc;
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::link::SocketId;
use crate::storage::ShardId;

/// Names a connection of a link.
pub(super) type Key = (ShardId, SocketId);

/// The connections to look at.
#[derive(Debug, Default)]
pub(super) struct Ready {
    keys: Mutex<Vec<Key>>,
    task: AtomicWaker,
}

impl Ready {
    /// Registers the task of the link. The task must then look for earlier keys itself.
    pub(super) fn listen(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Takes the keys out.
    pub(super) fn take(&self) -> Vec<Key> {
        std::mem::take(&mut *self.keys.lock())
    }

    /// Adds a connection, and wakes the task if there was none.
    pub(super) fn put(&self, key: Key) {
        let mut keys = self.keys.lock();
        keys.push(key);
        if keys.len() == 1 {
            drop(keys);
            self.task.wake();
        }
    }

    /// The waker that a connection's mailbox wakes.
    pub(super) fn bell(self: &Arc<Self>, key: Key) -> Waker {
        Waker::from(Arc::new(Bell { key, ready: Arc::clone(self) }))
    }
}

/// Wakes the link's task for one connection.
struct Bell {
    key: Key,
    ready: Arc<Ready>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.put(self.key);
    }
}
