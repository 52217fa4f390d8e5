//! How a shard's decisions are written: frames for sockets, bodies for HTTP.

use std::sync::Arc;

use castellan_game::Game;
use castellan_protocol::pack::write_json;
use castellan_protocol::{Applied, CharacterId, Codec, Conflict, RequestId, ServerFrame, State, Version};

use crate::core::Decision;
use crate::effect::Subscriber;
use crate::entry::Entry;
use crate::frame::{Whole, encode};
use crate::refusal::Refusal;

/// The versions that an answer carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The version of the state that was written.
    pub version: Version,
    /// The newest version known to be in the database.
    pub durable: Version,
}

/// How a change was answered. The frame or body is in the caller's buffer, except for a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// Applied, now or (`duplicate`) before.
    Applied {
        /// The character; a creation makes a new one.
        character: CharacterId,
        /// The versions that were written.
        shown: Shown,
        /// True if the request id was applied before.
        duplicate: bool,
    },
    /// The change was based on a state other than the present one. The present state was written.
    Conflict(Shown),
    /// Refused; nothing was written.
    Refused(Refusal),
    /// The connection was ordered to end; send nothing more.
    Closing,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As a frame of the socket.
    Frame(Codec),
    /// As a frame of the socket. Nothing is written if the intent is applied but not yet durable.
    FrameOnceDurable(Codec),
    /// As the character alone, in JSON.
    Body,
    /// As the character alone, in MessagePack, for [`encode_packed`](super::encode_packed).
    Packed,
}

/// The frame that carries a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `applied`.
    Applied {
        /// The intent.
        id: RequestId,
        /// True if the intent was applied before.
        duplicate: bool,
    },
    /// `conflict`.
    Conflict {
        /// The intent.
        id: RequestId,
    },
    /// `state`.
    State {
        /// The request that it answers, if any.
        id: Option<RequestId>,
    },
}

impl Answer {
    /// Builds the frame around a state in any form.
    pub fn frame<C>(self, character: C, durable: Version) -> ServerFrame<C> {
        match self {
            Self::Applied { id, duplicate } => ServerFrame::Applied(Applied { id, character, durable, duplicate }),
            Self::Conflict { id } => ServerFrame::Conflict(Conflict { id, character, durable }),
            Self::State { id } => ServerFrame::State(State { character, durable, id }),
        }
    }
}

/// Writes answers. Reuses its buffers for derived values and for encoding.
#[derive(Debug)]
pub struct Writer<G: Game> {
    rules: Arc<G::Rules>,
    derived: G::Derived,
    scratch: Vec<u8>,
}

impl<G: Game> Writer<G> {
    /// A writer for these rules.
    pub fn new(rules: Arc<G::Rules>) -> Self {
        Self { rules, derived: G::Derived::default(), scratch: Vec::new() }
    }

    /// Switches to other rules; the core must switch too.
    pub fn use_rules(&mut self, rules: &Arc<G::Rules>) {
        self.rules = Arc::clone(rules);
    }

    /// Writes the answer to a command. Returns `None` if something must be read first.
    pub fn answer<S: Subscriber>(
        &mut self,
        decision: Decision<'_, G, S>,
        request: Option<RequestId>,
        shape: Shape,
        out: &mut Vec<u8>,
    ) -> Option<Answered> {
        let id = request.unwrap_or_default();
        Some(match decision {
            Decision::Absent | Decision::Unknown => return None,
            Decision::Refused(refusal) => Answered::Refused(refusal),
            Decision::Applied { entry, duplicate } => {
                let shown = self.write(entry, Answer::Applied { id, duplicate }, shape, out);
                Answered::Applied { character: entry.id(), shown, duplicate }
            }
            Decision::Conflict { entry } => Answered::Conflict(self.write(entry, Answer::Conflict { id }, shape, out)),
        })
    }

    /// Writes a character's present state.
    pub fn write<S: Subscriber>(
        &mut self,
        entry: &mut Entry<G, S>,
        answer: Answer,
        shape: Shape,
        out: &mut Vec<u8>,
    ) -> Shown {
        let shown = Shown { version: entry.header.version, durable: entry.durable };
        if matches!(shape, Shape::FrameOnceDurable(_) if !entry.is_clean() && matches!(answer, Answer::Applied { .. }))
        {
            return shown;
        }
        if entry.kept.is_empty() {
            G::derive(&self.rules, &entry.state, &mut self.derived);
            let books = entry.ledger.as_ref().map(|ledger| &ledger.books);
            entry.header.keep::<G>(&entry.state, books, &self.derived, &mut entry.kept);
        }
        let whole = Whole::<G> { header: &entry.header, state: &entry.state, kept: &entry.kept };
        match shape {
            Shape::Frame(codec) | Shape::FrameOnceDurable(codec) => {
                encode(codec, &answer.frame(whole, shown.durable), &mut self.scratch, out);
            }
            Shape::Packed => whole.write(out),
            Shape::Body => {
                self.scratch.clear();
                whole.write(&mut self.scratch);
                write_json(&mut self.scratch.as_slice(), out);
            }
        }
        shown
    }
}
