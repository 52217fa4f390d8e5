//! What the shards have to say to a connection that did not ask just now.
//!
//! A mailbox holds which characters changed and how far they are durable, never states: the connection's own task
//! writes the newest one when it gets to it. So a slow reader costs one line a character, whatever happens meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use castellan_protocol::{CharacterId, CloseCode, UserId, Version};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Why a connection is to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseOrder {
    /// The close code.
    pub code: CloseCode,
    /// Why, for a person.
    pub reason: &'static str,
}

impl CloseOrder {
    /// The server has fallen back to what the database has, or another server has the shard.
    pub const SHARD_MOVED: Self =
        Self { code: CloseCode::ShardMoved, reason: "the shard has moved; come back and send again" };
}

/// What has gathered in a mailbox.
#[derive(Debug, Default)]
pub struct Mail {
    /// Watched characters that something else changed, with their owners.
    pub changed: HashMap<CharacterId, UserId>,
    /// The newest durable version of characters that the connection waits for or watches.
    pub durable: BTreeMap<CharacterId, Version>,
}

impl Mail {
    /// Nothing has gathered.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.durable.is_empty()
    }
}

/// A connection's mailbox; shared by its task and the shards.
#[derive(Debug, Default)]
pub struct Mailbox {
    mail: Mutex<Mail>,
    arrived: Notify,
    close: Mutex<Option<CloseOrder>>,
    closing: AtomicBool,
    ordered: Notify,
}

impl Mailbox {
    /// Tells that a watched character changed. Returns whether the connection has to be woken.
    pub(super) fn put_changed(&self, owner: UserId, character: CharacterId) -> bool {
        let mut mail = self.mail.lock();
        let was_empty = mail.is_empty();
        mail.changed.insert(character, owner);
        was_empty
    }

    /// Tells how far a character is durable. Returns whether the connection has to be woken.
    pub(super) fn put_durable(&self, character: CharacterId, version: Version) -> bool {
        let mut mail = self.mail.lock();
        let was_empty = mail.is_empty();
        let known = mail.durable.entry(character).or_default();
        *known = version.max(*known);
        was_empty
    }

    /// Wakes the connection's task to look into its mailbox.
    pub(super) fn wake(&self) {
        self.arrived.notify_one();
    }

    /// Takes what has gathered.
    pub fn take(&self) -> Mail {
        let mut mail = self.mail.lock();
        if mail.is_empty() { Mail::default() } else { std::mem::take(&mut mail) }
    }

    /// Waits until something may have gathered.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Orders the connection to end; the first order counts.
    ///
    /// From here on no shard takes an intent from it.
    pub fn order_close(&self, order: CloseOrder) {
        self.closing.store(true, Ordering::SeqCst);
        self.close.lock().get_or_insert(order);
        self.ordered.notify_one();
    }

    /// Whether the connection has been ordered to end.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Waits until the connection is ordered to end.
    pub async fn ordered_close(&self) -> CloseOrder {
        loop {
            if let Some(order) = self.close.lock().clone() {
                return order;
            }
            self.ordered.notified().await;
        }
    }
}
