//! How a shard's decisions are written: frames for sockets, bodies for HTTP.

use std::sync::Arc;

use castellan_protocol::{Applied, CharacterId, Codec, Conflict, RequestId, ServerFrame, State, Version};

use super::core::Decision;
use super::entry::Entry;
use super::refusal::Refusal;
use super::view::{CharacterView, encode_frame};
use crate::rules::{self, Catalogue, Derived};

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
        decision: Decision<'_>,
        request: Option<RequestId>,
        shape: Shape,
        out: &mut Vec<u8>,
    ) -> Option<Outcome> {
        let id = request.unwrap_or_default();
        Some(match decision {
            Decision::Absent => return None,
            Decision::Closing => Outcome::Closing,
            Decision::Refused(refusal) => Outcome::Refused(refusal),
            Decision::Applied { entry, duplicate } => {
                let shown = match shape {
                    Shape::FrameOnceDurable(_) if !entry.is_clean() => shown(entry),
                    _ => self.applied(entry, id, duplicate, shape, out),
                };
                Outcome::Applied { character: entry.id(), shown, duplicate }
            }
            Decision::Conflict { entry } => {
                let shown = shown(entry);
                let view = self.view(entry);
                match shape {
                    Shape::Frame(codec) | Shape::FrameOnceDurable(codec) => {
                        let frame = Conflict { id, character: view, durable: shown.durable };
                        encode_frame(codec, &ServerFrame::Conflict(frame), out);
                    }
                    Shape::Body => Codec::Json.encode(&view, out),
                    Shape::Packed => view.pack(out),
                }
                Outcome::Conflict(shown)
            }
        })
    }

    /// Writes a character's present state, as the answer to `request` where there is one.
    pub(super) fn state(
        &mut self,
        entry: &Entry,
        request: Option<RequestId>,
        shape: Shape,
        out: &mut Vec<u8>,
    ) -> Shown {
        let shown = shown(entry);
        let view = self.view(entry);
        match shape {
            Shape::Frame(codec) | Shape::FrameOnceDurable(codec) => {
                let frame = State { character: view, durable: shown.durable, id: request };
                encode_frame(codec, &ServerFrame::State(frame), out);
            }
            Shape::Body => Codec::Json.encode(&view, out),
            Shape::Packed => view.pack(out),
        }
        shown
    }

    /// Writes the answer to an intent that has become durable, or whose wait is over.
    pub(super) fn applied(
        &mut self,
        entry: &Entry,
        id: RequestId,
        duplicate: bool,
        shape: Shape,
        out: &mut Vec<u8>,
    ) -> Shown {
        let shown = shown(entry);
        let view = self.view(entry);
        match shape {
            Shape::Frame(codec) | Shape::FrameOnceDurable(codec) => {
                let frame = Applied { id, character: view, durable: shown.durable, duplicate };
                encode_frame(codec, &ServerFrame::Applied(frame), out);
            }
            Shape::Body => Codec::Json.encode(&view, out),
            Shape::Packed => view.pack(out),
        }
        shown
    }

    fn view<'a>(&'a mut self, entry: &'a Entry) -> CharacterView<'a> {
        rules::derive_into(&entry.character, &self.catalogue, &mut self.derived);
        CharacterView::new(&entry.header, &entry.character, &self.derived)
    }
}

fn shown(entry: &Entry) -> Shown {
    Shown { version: entry.header.version, durable: entry.durable }
}
