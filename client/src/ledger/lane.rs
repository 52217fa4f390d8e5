//! The ledger's memory of one character and of one intent.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use castellan_protocol::{Intent, RequestId, UserId, Version};

/// The current connection's answer to an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// No answer yet, or sent again since.
    None,
    /// Applied, at or before this version.
    Applied(Version),
    /// Conflict. A later intent based on it may still prove it applied.
    Conflict,
    /// Must be sent again later: rejected for a while, or based on such an intent.
    Retry,
    /// Rejected for good; kept only for later intents based on it. Survives the connection.
    Dead,
}

/// A kept intent.
#[derive(Debug)]
pub(super) struct Node<A> {
    pub(super) intent: Intent<A>,
    /// Only [`Lane::set_answer`] changes it.
    pub(super) answer: Answer,
    /// True once the caller was told that it is applied.
    pub(super) told_applied: bool,
}

impl<A> Node<A> {
    /// Returns true if it may be applied without a known answer.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.answer, Answer::None | Answer::Retry)
    }
}

/// One character.
#[derive(Debug)]
pub(super) struct Lane<A, C> {
    pub(super) user: Option<UserId>,
    /// The newest state shown on any connection.
    pub(super) shown: Option<Arc<C>>,
    /// Kept intents with a base, oldest first: each is based on all before it.
    pub(super) chain: VecDeque<Node<A>>,
    /// Number of open intents in the chain, and of those that wait for answers to later ones.
    open: usize,
    doubts: usize,
    /// The base of the next intent: the end of the chain, or the `last` of a state that contains the whole chain.
    pub(super) base: Option<RequestId>,
    /// Intents recorded while the base is unknown.
    pub(super) waiting: VecDeque<Intent<A>>,
    /// The fetch that gives waiting intents their base.
    pub(super) first_fetch: Option<RequestId>,
    pub(super) watched: bool,
    /// The newest durable version told on the current connection.
    pub(super) durable: Version,
    /// Unanswered intents on the current connection.
    pub(super) unanswered: usize,
    /// Time before which no intent for this character is sent, after a rejection with `retry_after_ms`.
    pub(super) hold_until: Option<Instant>,
    /// Intents to send at that time.
    pub(super) held: BTreeSet<RequestId>,
}

impl<A, C> Default for Lane<A, C> {
    fn default() -> Self {
        Self {
            user: None,
            shown: None,
            chain: VecDeque::new(),
            open: 0,
            doubts: 0,
            base: None,
            waiting: VecDeque::new(),
            first_fetch: None,
            watched: false,
            durable: Version::new(0),
            unanswered: 0,
            hold_until: None,
            held: BTreeSet::new(),
        }
    }
}

impl<A, C> Lane<A, C> {
    /// The index of an intent in the chain.
    pub(super) fn find(&self, id: RequestId) -> Option<usize> {
        self.chain.binary_search_by_key(&id, |node| node.intent.id).ok()
    }

    /// Appends an intent to the chain.
    pub(super) fn push(&mut self, intent: Intent<A>) {
        self.chain.push_back(Node { intent, answer: Answer::None, told_applied: false });
        self.open += 1;
    }

    /// Records the answer to an intent.
    pub(super) fn set_answer(&mut self, index: usize, answer: Answer) {
        self.count(self.chain[index].answer, false);
        self.count(answer, true);
        self.chain[index].answer = answer;
    }

    /// Removes the oldest intent of the chain if its answer matches.
    pub(super) fn pop_front_if(&mut self, done: impl FnOnce(Answer) -> bool) -> Option<Node<A>> {
        let node = self.chain.pop_front_if(|node| done(node.answer))?;
        self.count(node.answer, false);
        Some(node)
    }

    /// Removes the newest intent of the chain if its answer matches.
    pub(super) fn pop_back_if(&mut self, done: impl FnOnce(Answer) -> bool) -> Option<Node<A>> {
        let node = self.chain.pop_back_if(|node| done(node.answer))?;
        self.count(node.answer, false);
        Some(node)
    }

    fn count(&mut self, answer: Answer, more: bool) {
        let counter = match answer {
            Answer::None | Answer::Retry => &mut self.open,
            Answer::Conflict | Answer::Dead => &mut self.doubts,
            Answer::Applied(_) => return,
        };
        if more { *counter += 1 } else { *counter -= 1 }
    }

    /// Returns true while answers to later intents may still decide about an earlier one.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubts > 0
    }

    /// Returns true if the whole chain is applied: the newest state then contains it.
    pub(super) fn is_quiet(&self) -> bool {
        self.open == 0 && self.doubts == 0
    }

    /// Time at which held intents may be sent. `None` while answers are outstanding: they could be mistaken for answers
    /// to the intents sent again.
    pub(super) fn release_time(&self) -> Option<Instant> {
        self.hold_until.filter(|_| self.unanswered == 0)
    }

    /// Forgets everything that is valid only for one connection.
    pub(super) fn forget_connection(&mut self) {
        for index in 0..self.chain.len() {
            if self.chain[index].answer != Answer::Dead {
                self.set_answer(index, Answer::None);
            }
        }
        self.durable = Version::new(0);
        self.unanswered = 0;
        self.hold_until = None;
        self.held.clear();
    }
}
