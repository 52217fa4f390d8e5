//! State shared by the caller and the socket's task.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use castellan_protocol::{CharacterOf, GameTypes, RequestId};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::handle::Outcome;
use crate::ledger::{Event, Ledger};
use crate::session::{Proof, Session};

/// Most notices that wait for the caller; above this limit the oldest is dropped and counted.
const NOTICES_MAX: usize = 1024;

/// A notice for the caller.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice<C> {
    /// An event of the conversation with the server.
    Event(Event<C>),
    /// The connection is lost; the client reconnects by itself.
    Offline {
        /// The reason.
        reason: String,
        /// Time until the next attempt.
        retry_in: Duration,
    },
    /// The client has ended, by [`crate::Client::close`] or because reconnecting cannot help.
    Stopped {
        /// The reason.
        reason: String,
    },
    /// Number of older notices dropped because nobody took them. Handles and states are not affected.
    Missed(u64),
}

/// The shared state, behind one lock that is never held across an await.
pub(crate) struct Inner<G: GameTypes> {
    pub(crate) ledger: Ledger<G::Action, CharacterOf<G>>,
    pub(crate) outcomes: HashMap<RequestId, watch::Sender<Outcome<CharacterOf<G>>>>,
    pub(crate) notices: VecDeque<Notice<CharacterOf<G>>>,
    pub(crate) missed: u64,
    pub(crate) session: Session,
    /// For a new login if the session is revoked.
    pub(crate) proof: Proof,
    pub(crate) closing: bool,
    pub(crate) stopped: bool,
}

pub(crate) struct Shared<G: GameTypes> {
    pub(crate) inner: Mutex<Inner<G>>,
    /// Signals that there may be something to send, or that the client must close.
    pub(crate) wake: Notify,
    /// Signals new notices.
    pub(crate) news: Notify,
}

impl<G: GameTypes> Inner<G> {
    pub(crate) fn notice(&mut self, notice: Notice<CharacterOf<G>>) {
        if self.notices.len() >= NOTICES_MAX {
            self.notices.pop_front();
            self.missed += 1;
        }
        self.notices.push_back(notice);
    }

    /// Passes the ledger's events to handles and notices.
    pub(crate) fn drain_events(&mut self) {
        while let Some(event) = self.ledger.next_event() {
            let (id, outcome) = match &event {
                Event::Applied { id, state } => (id, Outcome::Applied(state.clone())),
                Event::Durable { id, version, .. } => (id, Outcome::Durable(*version)),
                Event::Refused { id, latest } => (id, Outcome::Refused(latest.clone())),
                Event::Rejected { id, code, message, .. } => {
                    (id, Outcome::Rejected { code: *code, message: message.clone() })
                }
                _ => {
                    self.notice(Notice::Event(event));
                    continue;
                }
            };
            if let Some(sender) = self.outcomes.get(id) {
                let is_final = outcome.is_final();
                sender.send_replace(outcome);
                if is_final {
                    self.outcomes.remove(id);
                }
            }
            self.notice(Notice::Event(event));
        }
    }

    pub(crate) fn stop(&mut self, reason: String) {
        self.stopped = true;
        for (_, sender) in self.outcomes.drain() {
            sender.send_modify(|outcome| {
                if !outcome.is_final() {
                    *outcome = Outcome::Unknown;
                }
            });
        }
        self.notice(Notice::Stopped { reason });
    }
}

impl<G: GameTypes> Shared<G> {
    /// Changes the shared state and wakes the waiting callers.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Inner<G>) -> T) -> T {
        let result = {
            let mut inner = self.inner.lock();
            let result = change(&mut inner);
            inner.drain_events();
            result
        };
        self.news.notify_waiters();
        result
    }
}
