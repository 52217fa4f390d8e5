//! How a shard's decisions are written: frames for sockets, bodies for HTTP.

use std::sync::Arc;

use castellan_protocol::{Applied, CharacterId, Codec, Conflict, RequestId, ServerFrame, State, Version};

use super::core::Decision;
use super::entry::Entry;
use super::mailbox::Mailbox;
use super::refusal::Refusal;
use super::view::{CharacterView, SheetView, encode_sheet};
use castellan_srd::{self as rules, Catalogue, Derived};

/// How a character was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The version of the state that was written.
    pub version: Version,
    /// The newest version known to be in the database.
    pub durable: Version,
}

/// What a change came to; the frame or body is in the caller's buffer, but for a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Applied, now or (`duplicate`) before.
    Applied {
        /// The character: a new one where it was created.
        character: CharacterId,
        /// What was written.
        shown: Shown,
        /// The request id had been applied before.
        duplicate: bool,
    },
    /// Made on another state than the present one, which was written.
    Conflict(Shown),
    /// Refused.
    Refused(Refusal),
    /// The connection has been ordered to end: say nothing more.
    Closing,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As a frame of the socket.
    Frame(Codec),
    /// As a frame of the socket, unless the intent is applied and not yet durable: then nothing is written.
    FrameOnceDurable(Codec),
    /// As the character alone, in JSON.
    Body,
    /// As the character alone, in MessagePack: for [`encode_packed`](super::encode_packed).
    Packed,
}

/// Which frame tells of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// `applied`.
    Applied {
        /// The intent.
        id: RequestId,
        /// It had been applied before.
        duplicate: bool,
    },
    /// `conflict`.
    Conflict {
        /// The intent.
        id: RequestId,
    },
    /// `state`.
    State {
        /// What it answers, where it answers anything.
        id: Option<RequestId>,
    },
}

impl Answer {
    /// The frame, with the state in whatever form.
    pub fn frame<C>(self, character: C, durable: Version) -> ServerFrame<C> {
        match self {
            Self::Applied { id, duplicate } => ServerFrame::Applied(Applied { id, character, durable, duplicate }),
            Self::Conflict { id } => ServerFrame::Conflict(Conflict { id, character, durable }),
            Self::State { id } => ServerFrame::State(State { character, durable, id }),
        }
    }
}

/// Writes answers, with space to derive sheets in.
pub(super) struct Writer {
    pub(super) catalogue: Arc<Catalogue>,
    derived: Derived,
}

impl Writer {
    pub(super) fn new(catalogue: Arc<Catalogue>) -> Self {
        Self { catalogue, derived: Derived::default() }
    }

    /// Writes what a command came to; `None` where the characters have to be loaded first.
    pub(super) fn answer(
        &mut self,
        decision: Decision<'_, Mailbox>,
        request: Option<RequestId>,
        shape: Shape,
        out: &mut Vec<u8>,
    ) -> Option<Outcome> {
        let id = request.unwrap_or_default();
        Some(match decision {
            Decision::Absent => return None,
            Decision::Refused(refusal) => Outcome::Refused(refusal),
            Decision::Applied { entry, duplicate } => {
                let shown = self.write(entry, Answer::Applied { id, duplicate }, shape, out);
                Outcome::Applied { character: entry.id(), shown, duplicate }
            }
            Decision::Conflict { entry } => Outcome::Conflict(self.write(entry, Answer::Conflict { id }, shape, out)),
        })
    }

    /// Writes a character's present state.
    pub(super) fn write(
        &mut self,
        entry: &mut Entry<Mailbox>,
        answer: Answer,
        shape: Shape,
        out: &mut Vec<u8>,
    ) -> Shown {
        let shown = shown(entry);
        match shape {
            Shape::FrameOnceDurable(_) if !entry.is_clean() && matches!(answer, Answer::Applied { .. }) => {}
            Shape::Frame(Codec::MessagePack) | Shape::FrameOnceDurable(Codec::MessagePack) => {
                encode_sheet(&answer.frame(self.sheet_view(entry), shown.durable), out);
            }
            Shape::Frame(Codec::Json) | Shape::FrameOnceDurable(Codec::Json) => {
                Codec::Json.encode(&answer.frame(self.view(entry), shown.durable), out);
            }
            Shape::Body => self.body(entry, out),
            Shape::Packed => self.sheet_view(entry).pack(out),
        }
        shown
    }

    /// Writes a character's present state alone, in JSON.
    pub(super) fn body(&mut self, entry: &Entry<Mailbox>, out: &mut Vec<u8>) {
        Codec::Json.encode(&self.view(entry), out);
    }

    fn view<'a>(&'a mut self, entry: &'a Entry<Mailbox>) -> CharacterView<'a> {
        rules::derive_into(&entry.character, &self.catalogue, &mut self.derived);
        CharacterView::new(&entry.header, &entry.character, &self.derived)
    }

    fn sheet_view<'a>(&mut self, entry: &'a mut Entry<Mailbox>) -> SheetView<'a> {
        if entry.sheet.is_empty() {
            let mut sheet = std::mem::take(&mut entry.sheet);
            sheet.pack(&self.view(entry));
            entry.sheet = sheet;
        }
        SheetView { header: &entry.header, character: &entry.character, sheet: &entry.sheet }
    }
}

fn shown(entry: &Entry<Mailbox>) -> Shown {
    Shown { version: entry.header.version, durable: entry.durable }
}
