//! The connection between a client and a server, with everything in transit.

use crate::history::{History, INTENTS_MAX};
use crate::server::{Decision, Entry};

/// An answer: `applied`, `conflict` or `rejected`, with the whole state, as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Answer {
    /// The number of the client's intent, from 0.
    pub intent: u8,
    /// The server's decision.
    pub decision: Decision,
    /// The state's version, at or after the intent's.
    pub version: u8,
    /// The state.
    pub state: History,
    /// The newest version known to be in the database.
    pub durable: u8,
}

impl Answer {
    /// The answer to an intent, with the server's current state.
    pub fn new(intent: usize, decision: Decision, entry: &Entry) -> Self {
        let Entry { version, state, durable, .. } = *entry;
        Self { intent: intent as u8, decision, version, state, durable }
    }
}

/// A client's connection to a server.
///
/// Intents in transit need no queue: they are in the order of the client's intents, and an unread one leaves no trace
/// if the connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    server: u8,
    /// False once the server or the network has ended it. The inbox may still arrive.
    pub open: bool,
    /// Answers in transit to the client, oldest first. No intent has two.
    pub inbox: [Option<Answer>; INTENTS_MAX],
    /// The `durable` notice in transit, or 0. Merged into a newer one, never dropped.
    ///
    /// Separate from the inbox, so it may overtake answers.
    pub notice: u8,
    /// The newest version called durable on this connection.
    pub heard: u8,
    /// By intent: the version whose commit its answer waits for (`ack: "durable"`), or 0.
    pub waiting: [u8; INTENTS_MAX],
}

impl Link {
    /// A new connection, on which the client was shown the server's state.
    pub fn new(server: usize, entry: &Entry) -> Self {
        let nothing = [None; INTENTS_MAX];
        Self {
            server: server as u8,
            open: true,
            inbox: nothing,
            notice: 0,
            heard: entry.durable,
            waiting: [0; INTENTS_MAX],
        }
    }

    /// The number of the server.
    pub fn server(&self) -> usize {
        usize::from(self.server)
    }

    /// Sends an answer.
    pub fn send(&mut self, answer: Answer) {
        let place = self.inbox.iter_mut().find(|place| place.is_none());
        *place.expect("no intent has two answers in transit") = Some(answer);
    }

    /// Takes the oldest arrived answer.
    pub fn receive(&mut self) -> Option<Answer> {
        let answer = self.inbox[0].take();
        self.inbox.rotate_left(1);
        answer
    }

    /// Returns true if something may still arrive.
    pub fn has_mail(&self) -> bool {
        self.inbox[0].is_some() || self.notice > 0
    }

    /// The server tells the durable version: with a notice, and with the answers that waited for it.
    pub fn tell_durable(&mut self, entry: &Entry) {
        if entry.durable > self.heard {
            self.notice = self.notice.max(entry.durable);
        }
        for intent in 0..INTENTS_MAX {
            if (1..=entry.durable).contains(&self.waiting[intent]) {
                self.answer_waiting(intent, entry);
            }
        }
    }

    /// Sends a waiting answer.
    pub fn answer_waiting(&mut self, intent: usize, entry: &Entry) {
        self.waiting[intent] = 0;
        self.send(Answer::new(intent, Decision::Applied, entry));
    }
}
