//! What the shards have to say to a connection that did not ask just now.
//!
//! A mailbox holds which characters changed and how far they are durable, never states: the connection's own task
//! writes the newest one when it gets to it. So a slow reader costs one line a character, whatever happens meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use castellan_protocol::{CharacterId, CloseCode, UserId, Version};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

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
    /// Boxed: there is none most of the time, and what each intent looks at shall lie close together.
    mail: Mutex<Option<Box<Mail>>>,
    has_mail: AtomicBool,
    closing: AtomicBool,
    order: OnceLock<CloseOrder>,
    /// The task to wake, for mail and for the order.
    listener: AtomicWaker,
}

impl Mailbox {
    /// Tells that a watched character changed. Returns whether the connection has to be woken.
    pub(super) fn put_changed(&self, owner: UserId, character: CharacterId) -> bool {
        let mut mail = self.mail.lock();
        mail.get_or_insert_default().changed.insert(character, owner);
        !self.has_mail.swap(true, Ordering::AcqRel)
    }

    /// Tells how far a character is durable. Returns whether the connection has to be woken.
    pub(super) fn put_durable(&self, character: CharacterId, version: Version) -> bool {
        let mut mail = self.mail.lock();
        let known = mail.get_or_insert_default().durable.entry(character).or_default();
        *known = version.max(*known);
        !self.has_mail.swap(true, Ordering::AcqRel)
    }

    /// Wakes the connection's task to look into its mailbox.
    pub(super) fn wake(&self) {
        self.listener.wake();
    }

    /// Something has gathered.
    pub fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Acquire)
    }

    /// Takes what has gathered.
    pub fn take(&self) -> Mail {
        let mut mail = self.mail.lock();
        self.has_mail.store(false, Ordering::Release);
        mail.take().map_or_else(Mail::default, |mail| *mail)
    }

    /// Has this task woken when mail or an order comes; what came before is to be looked for afterwards.
    ///
    /// One task listens to a mailbox.
    pub fn listen(&self, waker: &Waker) {
        self.listener.register(waker);
    }

    /// Waits until there is mail, or an order.
    pub async fn arrived(&self) {
        poll_fn(|cx| {
            self.listen(cx.waker());
            if self.has_mail() || self.is_closing() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Orders the connection to end; the first order counts.
    ///
    /// From here on no shard takes an intent from it.
    pub fn order_close(&self, order: CloseOrder) {
        // The first one stays.
        let _ = self.order.set(order);
        self.closing.store(true, Ordering::SeqCst);
        self.listener.wake();
    }

    /// Whether the connection has been ordered to end.
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// The order to end, where there is one.
    pub fn order(&self) -> Option<CloseOrder> {
        if self.is_closing() { self.order.get().cloned() } else { None }
    }
}
