//! News from the shards for a connection, other than the answers to its own requests.
//!
//! A mailbox holds the ids of changed characters and the durable versions, never states. The connection's own task
//! writes the newest state when it gets to it. So a slow reader costs a few bytes per character, however much happens
//! meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::Duration;

use castellan_protocol::{CharacterId, CloseCode, UserId, Version};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::runtime::{self, Handle};

use castellan_authority::Subscriber;

/// The order to end a connection, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseOrder {
    /// The close code.
    pub code: CloseCode,
    /// The reason, for a person.
    pub reason: &'static str,
    /// No sooner can anybody serve the client again. When it may come back, it is told with some time added at random.
    pub wait: Duration,
}

impl CloseOrder {
    /// An order that lets the client come back soon, if it may.
    pub const fn new(code: CloseCode, reason: &'static str) -> Self {
        Self { code, reason, wait: Duration::ZERO }
    }

    /// Memory has fallen back to the database, or another server has the shard.
    pub const SHARD_MOVED: Self = Self::new(
        CloseCode::ShardMoved,
        "characters moved to another server or were reloaded; reconnect and resend all intents that are not durable",
    );
}

/// The contents of a mailbox.
#[derive(Debug, Default)]
pub struct Mail {
    /// Watched characters that something else changed, with their owners.
    pub changed: HashMap<CharacterId, UserId>,
    /// The newest durable version of characters that the connection waits for or watches.
    pub durable: BTreeMap<CharacterId, Version>,
}

impl Mail {
    /// True if there is no mail.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.durable.is_empty()
    }
}

/// A connection's mailbox. Its clones are the same mailbox, shared by the connection's task and the shards.
#[derive(Debug, Clone, Default)]
pub struct Mailbox(Arc<Slots>);

/// Two mailboxes are equal if they are the same one.
impl PartialEq for Mailbox {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Subscriber for Mailbox {
    fn is_gone(&self) -> bool {
        self.is_closing()
    }
}

/// The shared state of a mailbox.
///
/// The fields that each intent reads lie in the first 64 bytes, which include the counters of the `Arc`.
#[derive(Debug, Default)]
#[repr(C)]
struct Slots {
    /// Boxed, because there is none most of the time.
    mail: Mutex<Option<Box<Mail>>>,
    has_mail: AtomicBool,
    closing: AtomicBool,
    /// The task to wake for mail or an order.
    listener: AtomicWaker,
    order: OnceLock<Box<CloseOrder>>,
    /// The runtime of that task, once it is known.
    home: OnceLock<Handle>,
}

/// Number of connections that a thread wakes in a row before it looks for new input.
///
/// Each of them may have something to send, so the number is small enough that no intent waits long.
const WOKEN_AT_ONCE: usize = 16;

/// Wakes the tasks of many connections. Each thread gets one message for all of its own connections, and wakes them in
/// small lots between its other work.
///
/// Waking them one by one from outside would cost a system call each. If they share a core with the caller, it would
/// also cost two context switches each.
pub(super) fn wake_all(mailboxes: Vec<Mailbox>) {
    let mut homes: HashMap<runtime::Id, (Handle, Vec<Mailbox>)> = HashMap::new();
    for mailbox in mailboxes {
        match mailbox.0.home.get() {
            Some(home) => homes.entry(home.id()).or_insert_with(|| (home.clone(), Vec::new())).1.push(mailbox),
            None => mailbox.wake(),
        }
    }
    for (home, mailboxes) in homes.into_values() {
        home.spawn(async move {
            for lot in mailboxes.chunks(WOKEN_AT_ONCE) {
                lot.iter().for_each(Mailbox::wake);
                tokio::task::yield_now().await;
            }
        });
    }
}

impl Mailbox {
    /// Notes that a watched character changed. Returns true if the connection must be woken.
    pub(super) fn put_changed(&self, owner: UserId, character: CharacterId) -> bool {
        let mut mail = self.0.mail.lock();
        mail.get_or_insert_default().changed.insert(character, owner);
        !self.0.has_mail.swap(true, Ordering::AcqRel)
    }

    /// Notes how far a character is durable. Returns true if the connection must be woken.
    pub(super) fn put_durable(&self, character: CharacterId, version: Version) -> bool {
        let mut mail = self.0.mail.lock();
        let known = mail.get_or_insert_default().durable.entry(character).or_default();
        *known = version.max(*known);
        !self.0.has_mail.swap(true, Ordering::AcqRel)
    }

    /// Wakes the connection's task to look into its mailbox.
    pub(super) fn wake(&self) {
        self.0.listener.wake();
    }

    /// True if there is mail.
    pub fn has_mail(&self) -> bool {
        self.0.has_mail.load(Ordering::Acquire)
    }

    /// Takes all mail out.
    pub fn take(&self) -> Mail {
        let mut mail = self.0.mail.lock();
        self.0.has_mail.store(false, Ordering::Release);
        mail.take().map_or_else(Mail::default, |mail| *mail)
    }

    /// Sets the runtime of the task that listens.
    pub fn live_on(&self, home: Handle) {
        // A task never moves, so the first one stays.
        let _ = self.0.home.set(home);
    }

    /// Registers this task to be woken when mail or an order comes. The task must then check for earlier mail itself.
    ///
    /// Only one task listens to a mailbox.
    pub fn listen(&self, waker: &Waker) {
        self.0.listener.register(waker);
    }

    /// Waits until there is mail, or an order.
    pub async fn arrived(&self) {
        poll_fn(|cx| {
            self.listen(cx.waker());
            if self.has_mail() || self.is_closing() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Waits for the order to end. Also wakes its task when there is mail.
    pub async fn ordered(&self) -> CloseOrder {
        poll_fn(|cx| {
            // Before the check, so that nothing is missed.
            self.listen(cx.waker());
            self.order().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Orders the connection to end. The first order counts.
    ///
    /// From then on no shard takes an intent from it.
    pub fn order_close(&self, order: CloseOrder) {
        // A later order is ignored.
        let _ = self.0.order.set(Box::new(order));
        self.0.closing.store(true, Ordering::SeqCst);
        self.0.listener.wake();
    }

    /// True if the connection was ordered to end.
    pub fn is_closing(&self) -> bool {
        self.0.closing.load(Ordering::SeqCst)
    }

    /// True while somebody else holds this mailbox too.
    #[cfg(test)]
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// The order to end, if there is one.
    pub fn order(&self) -> Option<CloseOrder> {
        if self.is_closing() { self.0.order.get().map(|order| CloseOrder::clone(order)) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Tasks on two threads, and one whose thread is unknown.
    #[test]
    fn all_connections_are_woken_on_every_thread() {
        let threads: Vec<_> =
            (0..2).map(|_| runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()).collect();
        let threads: Vec<_> = threads.into_iter().map(|thread| thread.expect("a runtime")).collect();
        let mut listening = Vec::new();
        let mut mailboxes = Vec::new();
        for number in 0..2 * WOKEN_AT_ONCE + 3 {
            let mailbox = Mailbox::default();
            let home = threads[number % 2].handle();
            if number > 0 {
                mailbox.live_on(home.clone());
            }
            let (listener, (ready, is_ready)) = (mailbox.clone(), std::sync::mpsc::channel());
            listening.push(home.spawn(async move {
                poll_fn(|cx| {
                    listener.listen(cx.waker());
                    // After the first time nobody waits any more.
                    let _ = ready.send(());
                    if listener.has_mail() { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }));
            is_ready.recv().expect("it listens");
            mailboxes.push(mailbox);
        }
        for mailbox in &mailboxes {
            assert!(mailbox.put_durable(CharacterId::from_uuid(uuid::Uuid::nil()), Version::new(1)));
        }
        wake_all(mailboxes);
        let all = futures_util::future::join_all(listening);
        let woken = threads[0].block_on(async { timeout(Duration::from_secs(20), all).await.expect("all are woken") });
        assert!(woken.iter().all(Result::is_ok));
    }
}
