//! The life of a shard in a node: absent, owned, leaving, transferring, and absent again.
//!
//! ```text
//!             lease read, moved to me                leave                 markers came, all is stored
//!   Absent ────────────────────────────▶ Owned ──────────────────▶ Leaving ───────────────────────────▶ Transferring
//!     ▲                                    ▲  │                      │ │                                      │
//!     │                                    └──┼── undo, markers came ┘ │                                      │
//!     └───────────────────────────────────────┴────────────────────────┴──────────────────────────────────────┘
//!       another epoch: memory is dropped, gateways hear `not mine`                  done: gateways hear `moved`
//! ```
//!
//! Inputs and the time go in, [`Effect`]s come out. Everything that a process learns about the lease is one input,
//! [`ShardLife::lease`]: a read, the answer of a takeover or a transfer, the refusal of a flush, the former owner's
//! message. So the order in which these arrive does not matter.

use std::time::Duration;

use crate::lease::{Held, Lease};
use crate::word::Word;

/// How long a gateway has for its marker. Then its link is cut, and its sockets are closed.
///
/// A busy machine may let a thread wait for a tenth of a second; a planned move must not close sockets for that. A move
/// waits so long only for a gateway that is gone.
pub const MARKER: Duration = Duration::from_millis(250);

/// Work for the shell, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect<P, L> {
    /// Say a word about an attachment.
    Say(L, u64, Word<P>),
    /// Put every answer and notice of the shard on this link now, under this attachment: its last words follow.
    Tell(L, u64),
    /// Read the shard's lease, and tell it with [`ShardLife::lease`].
    ReadLease,
    /// Hand back frames that wait for a load, store everything dirty, then call [`ShardLife::quiet`].
    Flush,
    /// Make another process the owner in the database, or nobody, if this process still owns this epoch.
    ///
    /// The answer is the lease after the statement. Without an answer, call [`ShardLife::repeat`].
    Transfer {
        /// The epoch that must not have changed.
        epoch: u64,
        /// The new owner; `None` to release the shard.
        to: Option<P>,
    },
    /// Tell the new owner, with the versions of all characters in memory. Nobody needs to receive it.
    Moved {
        /// The new owner.
        to: P,
        /// What it holds now.
        held: Held,
    },
    /// The shard is owned: read its dead letters, then serve.
    Serve,
    /// Forget everything about the shard. Results of statements that are still under way count for nothing.
    Drop,
    /// Cut a link. [`ShardLife::link_down`] follows.
    Cut(L),
}

/// The state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State<P> {
    /// Another process owns the shard, or nobody.
    Absent,
    /// This process owns the shard and serves it.
    Owned(Held),
    /// It applies nothing more, and hands back what arrives.
    Leaving {
        /// The right to it.
        held: Held,
        /// The process that will own it, if any.
        to: Option<P>,
        /// True once the move was called off.
        undo: bool,
        /// True once nothing is dirty and no statement is open.
        quiet: bool,
        /// When all markers must have come.
        deadline: Duration,
    },
    /// The transfer was sent. From now on this process never serves the shard under this epoch.
    Transferring {
        /// The right to it, if the transfer did not happen.
        held: Held,
        /// The process that will own it, if any.
        to: Option<P>,
    },
}

/// How far an attachment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stage {
    /// The lease is being read: the gateway has heard of this epoch.
    Waiting(u64),
    /// Frames count.
    Open,
    /// `leaving` was said; frames are handed back until the marker comes.
    Leaving,
    /// The marker came.
    Marked,
    /// `resume` was said. Until the gateway attaches again, the shard cannot be handed over.
    Resumed,
}

/// A gateway's right to send frames for the shard over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Attachment<L> {
    link: L,
    number: u64,
    stage: Stage,
}

impl<L> Attachment<L> {
    fn waits(&self) -> bool {
        matches!(self.stage, Stage::Waiting(_))
    }

    /// Returns true if the gateway passes on answers under this attachment.
    fn can_hear(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Leaving | Stage::Marked)
    }

    /// Returns true if a leaving shard needs a word from the gateway.
    fn delays(&self) -> bool {
        matches!(self.stage, Stage::Leaving | Stage::Resumed)
    }
}

/// The life of one shard in one process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShardLife<P, L> {
    me: P,
    state: State<P>,
    /// The newest epoch that this process owned and owns no more. A lease up to it is a late read.
    gone: u64,
    attachments: Vec<Attachment<L>>,
}

impl<P: Copy + Eq, L: Copy + Eq> ShardLife<P, L> {
    /// A shard that the process does not own.
    pub fn new(me: P) -> Self {
        Self { me, state: State::Absent, gone: 0, attachments: Vec::new() }
    }

    /// The state.
    pub fn state(&self) -> State<P> {
        self.state
    }

    /// What this process holds, or held when it sent the transfer.
    pub fn held(&self) -> Option<Held> {
        match self.state {
            State::Absent => None,
            State::Owned(held) | State::Leaving { held, .. } | State::Transferring { held, .. } => Some(held),
        }
    }

    /// The newest epoch that this process owned and owns no more.
    pub fn gone(&self) -> u64 {
        self.gone
    }

    /// The attachment on a link, under which answers and notices are said.
    pub fn attachment(&self, link: L) -> Option<u64> {
        self.on(link).filter(|attachment| attachment.can_hear()).map(|attachment| attachment.number)
    }

    /// Returns true if a frame counts. All others are handed back under the number that they came with.
    pub fn serves(&self, link: L, number: u64) -> bool {
        self.on(link).is_some_and(|attachment| attachment.number == number && attachment.stage == Stage::Open)
    }

    /// A gateway asks for the shard, which this process owns under this epoch as far as the gateway knows.
    pub fn attach(&mut self, link: L, number: u64, epoch: u64, effects: &mut Vec<Effect<P, L>>) {
        if self.on(link).is_some_and(|attachment| attachment.number >= number) {
            return;
        }
        self.attachments.retain(|other| other.link != link);
        let (stage, effect) = match self.state {
            // The gateway knows of a later owner, perhaps this process again.
            _ if self.held().is_none_or(|held| held.epoch < epoch) => (Stage::Waiting(epoch), Effect::ReadLease),
            State::Owned(Held { epoch, .. }) => (Stage::Open, Effect::Say(link, number, Word::Attached { epoch })),
            // It keeps its frames, and hears the outcome with the others.
            _ => (Stage::Leaving, Effect::Say(link, number, Word::Leaving)),
        };
        self.attachments.push(Attachment { link, number, stage });
        effects.push(effect);
    }

    /// A gateway sends no more frames under an attachment. After `resume`: it does not attach again because of that.
    pub fn marker(&mut self, link: L, number: u64, effects: &mut Vec<Effect<P, L>>) {
        let is_meant = |other: &Attachment<L>| (other.link, other.number) == (link, number);
        self.attachments.retain(|other| !(is_meant(other) && other.stage == Stage::Resumed));
        for attachment in self.attachments.iter_mut().filter(|other| is_meant(other)) {
            if attachment.stage == Stage::Leaving {
                attachment.stage = Stage::Marked;
            }
        }
        self.advance(effects);
    }

    /// A link broke. Its gateway has closed the sockets that were attached over it.
    pub fn link_down(&mut self, link: L, effects: &mut Vec<Effect<P, L>>) {
        self.attachments.retain(|other| other.link != link);
        self.advance(effects);
    }

    /// Hands the shard to another process, or releases it.
    pub fn leave(&mut self, to: Option<P>, now: Duration, effects: &mut Vec<Effect<P, L>>) {
        let State::Owned(held) = self.state else { return };
        self.state = State::Leaving { held, to, undo: false, quiet: false, deadline: now + MARKER };
        for attachment in self.attachments.iter_mut().filter(|attachment| attachment.stage == Stage::Open) {
            attachment.stage = Stage::Leaving;
            effects.push(Effect::Say(attachment.link, attachment.number, Word::Leaving));
        }
        effects.push(Effect::Flush);
    }

    /// Calls the move off, unless the transfer was sent.
    pub fn undo(&mut self, effects: &mut Vec<Effect<P, L>>) {
        if let State::Leaving { undo, .. } = &mut self.state {
            *undo = true;
        }
        self.advance(effects);
    }

    /// Nothing of the shard is dirty, and no statement about it is open. Only counts while it is leaving.
    pub fn quiet(&mut self, effects: &mut Vec<Effect<P, L>>) {
        if let State::Leaving { quiet, .. } = &mut self.state {
            *quiet = true;
        }
        self.advance(effects);
    }

    /// The answer of the transfer was lost: the same statement again.
    pub fn repeat(&mut self, effects: &mut Vec<Effect<P, L>>) {
        if let State::Transferring { held, to } = self.state {
            effects.push(Effect::Transfer { epoch: held.epoch, to });
        }
    }

    /// The former owner says that it made a process the owner. Returns true if this process became the owner just now,
    /// so that it may install characters that were sent ahead.
    pub fn moved(&mut self, to: P, held: Held, effects: &mut Vec<Effect<P, L>>) -> bool {
        // A process that was restarted ignores what was meant for its predecessor.
        if to != self.me {
            return false;
        }
        let before = self.held();
        self.lease(Lease { held, owner: Some(to) }, effects);
        before != self.held()
    }

    /// The lease, as the database had it at some moment in the past.
    pub fn lease(&mut self, lease: Lease<P>, effects: &mut Vec<Effect<P, L>>) {
        match self.state {
            State::Transferring { held, to } if lease.is_after(held, self.me) => {
                self.hand_over(held, to, lease, effects)
            }
            State::Owned(held) | State::Leaving { held, .. } if lease.is_after(held, self.me) => self.lose(effects),
            _ => {}
        }
        let mine = lease.owner == Some(self.me) && lease.held.epoch > self.gone;
        if mine && self.state == State::Absent {
            self.state = State::Owned(lease.held);
            effects.push(Effect::Serve);
        }
        self.answer_waiting(lease, effects);
    }

    /// When [`ShardLife::markers_are_late`] must be called.
    pub fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Leaving { deadline, .. } if self.attachments.iter().any(Attachment::delays) => Some(deadline),
            _ => None,
        }
    }

    /// The deadline has passed: cuts the links whose markers did not come.
    pub fn markers_are_late(&mut self, effects: &mut Vec<Effect<P, L>>) {
        let late = self.attachments.iter().filter(|attachment| attachment.delays());
        effects.extend(late.map(|attachment| Effect::Cut(attachment.link)));
    }

    fn on(&self, link: L) -> Option<&Attachment<L>> {
        self.attachments.iter().find(|attachment| attachment.link == link)
    }

    /// Goes on once all markers have come.
    fn advance(&mut self, effects: &mut Vec<Effect<P, L>>) {
        let State::Leaving { held, to, undo, quiet, .. } = self.state else { return };
        if self.attachments.iter().any(Attachment::delays) {
            return;
        }
        if undo {
            self.state = State::Owned(held);
            for attachment in self.attachments.iter_mut().filter(|attachment| attachment.stage == Stage::Marked) {
                attachment.stage = Stage::Resumed;
                effects.push(Effect::Say(attachment.link, attachment.number, Word::Resume));
            }
        } else if quiet {
            self.state = State::Transferring { held, to };
            effects.push(Effect::Transfer { epoch: held.epoch, to });
        }
    }

    /// This process is the owner no more: the transfer was done, or another process took the shard. Either way nothing
    /// is lost, because everything was stored before the transfer was sent.
    fn hand_over(&mut self, held: Held, to: Option<P>, lease: Lease<P>, effects: &mut Vec<Effect<P, L>>) {
        self.gone = held.epoch;
        self.state = State::Absent;
        let waiting = self.attachments.extract_if(.., |attachment| attachment.waits()).collect();
        effects.extend(self.attachments.iter().map(|attachment| Effect::Tell(attachment.link, attachment.number)));
        self.say_to_all(Word::Moved { to: lease.owner, epoch: lease.held.epoch }, effects);
        self.attachments = waiting;
        if let Some(to) = to
            && lease == (Lease { held, owner: Some(self.me) }).transferred_to(to)
        {
            effects.push(Effect::Moved { to, held: lease.held });
        }
        effects.push(Effect::Drop);
    }

    /// Another process took the shard.
    fn lose(&mut self, effects: &mut Vec<Effect<P, L>>) {
        let Some(held) = self.held() else { return };
        self.gone = held.epoch;
        self.state = State::Absent;
        let waiting = self.attachments.extract_if(.., |attachment| attachment.waits()).collect();
        self.say_to_all(Word::NotMine, effects);
        self.attachments = waiting;
        effects.push(Effect::Drop);
    }

    /// Answers gateways that waited for the lease. A read that is older than what they have heard answers nothing.
    fn answer_waiting(&mut self, lease: Lease<P>, effects: &mut Vec<Effect<P, L>>) {
        let owned = self.state == State::Owned(lease.held);
        let (mut read_again, epoch) = (false, lease.held.epoch);
        self.attachments.retain_mut(|Attachment { link, number, stage }| match *stage {
            Stage::Waiting(heard) if heard > epoch => {
                read_again = true;
                true
            }
            Stage::Waiting(_) => {
                *stage = Stage::Open;
                effects.push(Effect::Say(*link, *number, if owned { Word::Attached { epoch } } else { Word::NotMine }));
                owned
            }
            _ => true,
        });
        if read_again {
            effects.push(Effect::ReadLease);
        }
    }

    fn say_to_all(&mut self, word: Word<P>, effects: &mut Vec<Effect<P, L>>) {
        let said = self.attachments.drain(..).map(|Attachment { link, number, .. }| Effect::Say(link, number, word));
        effects.extend(said);
    }
}

#[cfg(test)]
mod tests;
