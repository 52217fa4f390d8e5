//! The socket threads: each runs its connections on a runtime of its own, so that no connection moves between cores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use castellan_game::Game;
use tokio::sync::mpsc;

use super::context::Context;
use super::session::{self, Accepted};
use crate::priority;
use crate::telemetry;

/// Most connections that may wait for one socket thread; more are dropped.
const HANDOVER_MAX: usize = 4_096;

/// The code in the metrics for a connection that ended without a close frame. Source: RFC 6455, section 7.1.5.
const ABNORMAL_CLOSURE: u16 = 1006;

/// The socket threads.
pub struct Workers {
    senders: Vec<mpsc::Sender<Accepted>>,
    next: AtomicUsize,
}

impl Workers {
    /// Starts `count` threads, with real-time priority if requested and allowed; if not requested, with short turns.
    ///
    /// # Errors
    ///
    /// The operating system's error if it gives us no thread or no event queue.
    pub fn start<G: Game>(count: usize, in_real_time: bool, context: &Arc<Context<G>>) -> std::io::Result<Self> {
        let mut senders = Vec::new();
        for number in 0..count {
            let (sender, receiver) = mpsc::channel(HANDOVER_MAX);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let context = Arc::clone(context);
            std::thread::Builder::new().name(format!("socket-{number}")).spawn(move || {
                if !in_real_time {
                    priority::take_short_turns();
                } else if let Err(error) = priority::come_first() {
                    tracing::warn!(%error, "cannot give a socket thread real-time priority");
                }
                runtime.block_on(work(receiver, context));
            })?;
            senders.push(sender);
        }
        Ok(Self { senders, next: AtomicUsize::new(0) })
    }

    /// Hands a connection to the next thread in turn. Returns false if too many wait for it.
    pub fn hand_over(&self, accepted: Accepted) -> bool {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.senders.len();
        self.senders[turn].try_send(accepted).is_ok()
    }
}

/// Serves connections until the channel closes and all of them have ended.
async fn work<G: Game>(mut receiver: mpsc::Receiver<Accepted>, context: Arc<Context<G>>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = receiver.recv() => match accepted {
                Some(accepted) => {
                    connections.spawn(session::serve(accepted, Arc::clone(&context)));
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
