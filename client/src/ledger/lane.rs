//! What is remembered of one character, and of one intent.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use castellan_protocol::{Intent, RequestId, UserId, Version};

/// What the present connection has said of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing, or it has been sent again since.
    None,
    /// Applied, at this version or before.
    Applied(Version),
    /// Not the state that it was made on. Something made on it may still prove it applied.
    Conflict,
    /// To be sent again later: turned away for a while, or made on what was.
    Retry,
    /// Turned down for good, and only remembered for those behind it. Outlives the connection.
    Dead,
}

/// A kept intent.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) intent: Intent,
    /// Changed by [`Lane::set_answer`] only.
    pub(super) answer: Answer,
    /// The caller knows that it is applied.
    pub(super) told_applied: bool,
}

impl Node {
    /// It may still be applied without anybody having said so.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.answer, Answer::None | Answer::Retry)
    }
}

/// One character.
#[derive(Debug)]
pub(super) struct Lane<C> {
    pub(super) user: Option<UserId>,
    /// The newest state shown, on whatever connection.
    pub(super) shown: Option<Arc<C>>,
    /// Kept intents that say what they were made on, oldest first: each contains all before it.
    pub(super) chain: VecDeque<Node>,
    /// How many of the chain are open, and how many wait for those behind them to be answered.
    open: usize,
    doubts: usize,
    /// What the next intent is made on: the end of the chain, or the `last` of a state that contains the whole chain.
    pub(super) base: Option<RequestId>,
    /// Intents noted while that is not known.
    pub(super) waiting: VecDeque<Intent>,
    /// Shows the first state to those that wait.
    pub(super) first_fetch: Option<RequestId>,
    pub(super) watched: bool,
    /// The newest version that the present connection has called durable.
    pub(super) durable: Version,
    /// Intents sent on the present connection whose answer has not come.
    pub(super) unanswered: usize,
    /// Until when nothing of this character is sent, after a rejection with `retry_after_ms`.
    pub(super) hold_until: Option<Instant>,
    /// What is to be sent then.
    pub(super) held: BTreeSet<RequestId>,
}

impl<C> Default for Lane<C> {
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

impl<C> Lane<C> {
    /// Where in the chain an intent is.
    pub(super) fn find(&self, id: RequestId) -> Option<usize> {
        self.chain.binary_search_by_key(&id, |node| node.intent.id).ok()
    }

    /// Appends an intent to the chain.
    pub(super) fn push(&mut self, intent: Intent) {
        self.chain.push_back(Node { intent, answer: Answer::None, told_applied: false });
        self.open += 1;
    }

    /// Notes what was said of an intent.
    pub(super) fn set_answer(&mut self, index: usize, answer: Answer) {
        self.count(self.chain[index].answer, false);
        self.count(answer, true);
        self.chain[index].answer = answer;
    }

    /// Takes the oldest intent out of the chain where its answer is such.
    pub(super) fn pop_front_if(&mut self, done: impl FnOnce(Answer) -> bool) -> Option<Node> {
        let node = self.chain.pop_front_if(|node| done(node.answer))?;
        self.count(node.answer, false);
        Some(node)
    }

    /// Takes the newest intent out of the chain where its answer is such.
    pub(super) fn pop_back_if(&mut self, done: impl FnOnce(Answer) -> bool) -> Option<Node> {
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

    /// Something in the chain may yet turn out applied or not by the answers to what is behind it.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubts > 0
    }

    /// All of the chain is applied, so the newest state shown contains it.
    pub(super) fn is_quiet(&self) -> bool {
        self.open == 0 && self.doubts == 0
    }

    /// When what is held may be sent; not while answers to earlier sendings are still to come, as they could be taken
    /// for answers to the later ones.
    pub(super) fn release_time(&self) -> Option<Instant> {
        self.hold_until.filter(|_| self.unanswered == 0)
    }

    /// Forgets what holds for one connection only.
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
