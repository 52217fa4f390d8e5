//! The socket threads: each runs its connections on a runtime of its own, so that no connection moves between cores.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::priority;
use crate::telemetry;

/// Most connections that may wait for one socket thread; more are dropped.
const HANDOVER_MAX: usize = 4_096;

/// The code in the metrics for a connection that ended without a close frame. Source: RFC 6455, section 7.1.5.
const ABNORMAL_CLOSURE: u16 = 1006;

/// The socket threads, which serve connections of the type `A`.
pub struct Workers<A> {
    senders: Vec<mpsc::Sender<A>>,
    next: AtomicUsize,
}

impl<A: Send + 'static> Workers<A> {
    /// Starts `count` threads, with real-time priority if requested and allowed; if not requested, with short turns.
    /// `serve` makes what serves the connections of one thread.
    ///
    /// # Errors
    ///
    /// The operating system's error if it gives us no thread or no event queue.
    pub fn start<S, F>(count: usize, in_real_time: bool, serve: impl Fn() -> S) -> std::io::Result<Self>
    where
        S: Fn(A) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut senders = Vec::new();
        for number in 0..count {
            let (sender, receiver) = mpsc::channel(HANDOVER_MAX);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let serve = serve();
            std::thread::Builder::new().name(format!("socket-{number}")).spawn(move || {
                if !in_real_time {
                    priority::take_short_turns();
                } else if let Err(error) = priority::come_first() {
                    tracing::warn!(%error, "cannot give a socket thread real-time priority");
                }
                runtime.block_on(work(receiver, serve));
            })?;
            senders.push(sender);
        }
        Ok(Self { senders, next: AtomicUsize::new(0) })
    }

    /// Hands a connection to the next thread in turn. Returns false if too many wait for it.
    pub fn hand_over(&self, accepted: A) -> bool {
        self.next().try_send(accepted).is_ok()
    }

    /// Hands a connection to the next thread in turn, and waits if too many wait for it.
    pub async fn hand_over_patiently(&self, accepted: A) {
        // The threads live as long as their senders.
        let _ = self.next().send(accepted).await;
    }

    /// Hands one to each thread, and waits if too many wait for it.
    pub async fn hand_to_each(&self, make: impl Fn() -> A) {
        for sender in &self.senders {
            let _ = sender.send(make()).await;
        }
    }

    fn next(&self) -> &mpsc::Sender<A> {
        &self.senders[self.next.fetch_add(1, Ordering::Relaxed) % self.senders.len()]
    }
}

/// Serves connections until the channel closes and all of them have ended.
async fn work<A, F>(mut receiver: mpsc::Receiver<A>, serve: impl Fn(A) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = receiver.recv() => match accepted {
                Some(accepted) => {
                    connections.spawn(serve(accepted));
                }
                None => break,
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task of a connection panicked; only that connection was closed");
                    telemetry::socket_closed(ABNORMAL_CLOSURE);
                }
            }
        }
    }
    while connections.join_next().await.is_some() {}
}
