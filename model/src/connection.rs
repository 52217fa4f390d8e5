//! What is on its way between a client and a server.

use crate::history::{History, INTENTS_MAX};
use crate::server::{Entry, Verdict};

/// An answer: `applied`, `conflict` or `rejected`, with the whole state as the wire has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Answer {
    /// Which of the client's intents, counted from 0.
    pub intent: u8,
    /// What became of it.
    pub verdict: Verdict,
    /// The state's version: at or after the intent's own.
    pub version: u8,
    /// The state.
    pub state: History,
    /// The newest version known to be in the database.
    pub durable: u8,
}

impl Answer {
    /// The answer to an intent, with what the server has in memory.
    pub fn new(intent: usize, verdict: Verdict, entry: &Entry) -> Self {
        let Entry { version, state, durable, .. } = *entry;
        Self { intent: intent as u8, verdict, version, state, durable }
    }
}

/// A client's connection to a server.
///
/// What the client has sent and the server has not read needs no queue: it is in the order of the client's intents,
/// and what is cut off before it is read leaves no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    server: u8,
    /// False once the server or the net has ended it; what is in the inbox may still arrive.
    pub open: bool,
    /// Answers sent and not yet read by the client, oldest first. No intent has two.
    pub inbox: [Option<Answer>; INTENTS_MAX],
    /// The `durable` notice on its way, 0 where there is none: merged into a newer one, never dropped.
    ///
    /// It is beside the inbox, so it may overtake answers.
    pub notice: u8,
    /// The newest version that this connection has said to be durable.
    pub heard: u8,
    /// By intent: the version whose commit its answer waits for (`ack: "durable"`), 0 where it does not.
    pub waiting: [u8; INTENTS_MAX],
}

impl Link {
    /// A new connection, on which the client was shown what the server has.
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

    /// Which server it is to.
    pub fn server(&self) -> usize {
        usize::from(self.server)
    }

    /// Puts an answer on its way.
    pub fn send(&mut self, answer: Answer) {
        let place = self.inbox.iter_mut().find(|place| place.is_none());
        *place.expect("no intent has two answers on their way") = Some(answer);
    }

    /// Takes the oldest answer that has arrived.
    pub fn receive(&mut self) -> Option<Answer> {
        let answer = self.inbox[0].take();
        self.inbox.rotate_left(1);
        answer
    }

    /// Whether something may still arrive.
    pub fn has_mail(&self) -> bool {
        self.inbox[0].is_some() || self.notice > 0
    }

    /// The server says what is durable: as a notice, and as the answers that waited for it.
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

    /// Sends an answer that waited.
    pub fn answer_waiting(&mut self, intent: usize, entry: &Entry) {
        self.waiting[intent] = 0;
        self.send(Answer::new(intent, Verdict::Applied, entry));
    }
}
