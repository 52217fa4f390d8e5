//! Frames that carry a character.

use castellan_game::{Game, Kept};
use castellan_protocol::pack::{self, write_json};
use castellan_protocol::{Codec, RequestId, ServerFrame, Version, pack_key};

use crate::header::Header;

/// Initial capacity for a frame, in bytes: enough for most characters.
const USUAL_BYTES: usize = 2048;

/// A character with its kept, already packed part.
pub(crate) struct Whole<'a, G: Game> {
    pub(crate) header: &'a Header,
    pub(crate) state: &'a G::State,
    pub(crate) kept: &'a Kept,
}

impl<G: Game> Whole<'_, G> {
    /// Appends the character in MessagePack.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.header.write::<G>(self.state, self.kept, out);
    }
}

/// A packed state, or the packed merge patch that leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed<'a> {
    /// The whole state.
    Whole(&'a [u8]),
    /// The merge patch.
    Changes(&'a [u8]),
}

/// Writes an `applied`, `conflict` or `state` with a packed character. `scratch` is a buffer to reuse.
pub fn encode_packed(codec: Codec, frame: &ServerFrame<Packed<'_>>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    encode(codec, frame, scratch, out);
}

/// Writes an `applied`, `conflict` or `state`. `scratch` is a buffer to reuse.
///
/// JSON is made from the MessagePack bytes, so that a character is described once.
pub(crate) fn encode<C: Stands>(codec: Codec, frame: &ServerFrame<C>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    match codec {
        Codec::MessagePack => pack_frame(frame, out),
        Codec::Json => {
            scratch.clear();
            pack_frame(frame, scratch);
            write_json(&mut scratch.as_slice(), out);
        }
    }
}

/// How a character stands in a frame.
pub(crate) trait Stands {
    /// Appends its key and its value.
    fn pack(&self, out: &mut Vec<u8>);
}

impl<G: Game> Stands for Whole<'_, G> {
    fn pack(&self, out: &mut Vec<u8>) {
        pack_key!(out, "character");
        self.write(out);
    }
}

impl Stands for Packed<'_> {
    fn pack(&self, out: &mut Vec<u8>) {
        match self {
            Self::Whole(state) => {
                pack_key!(out, "character");
                out.extend_from_slice(state);
            }
            Self::Changes(patch) => {
                pack_key!(out, "changes");
                out.extend_from_slice(patch);
            }
        }
    }
}

/// Appends a frame that carries a character.
fn pack_frame<C: Stands>(frame: &ServerFrame<C>, out: &mut Vec<u8>) {
    out.reserve(USUAL_BYTES);
    pack::entries(out, 1);
    match frame {
        ServerFrame::Applied(applied) => {
            pack_key!(out, "applied");
            pack::entries(out, 3 + usize::from(applied.duplicate));
            id(out, applied.id);
            character(out, &applied.character, applied.durable);
            if applied.duplicate {
                pack_key!(out, "duplicate");
                out.push(0xc3);
            }
        }
        ServerFrame::Conflict(conflict) => {
            pack_key!(out, "conflict");
            pack::entries(out, 3);
            id(out, conflict.id);
            character(out, &conflict.character, conflict.durable);
        }
        ServerFrame::State(state) => {
            pack_key!(out, "state");
            pack::entries(out, 2 + usize::from(state.id.is_some()));
            character(out, &state.character, state.durable);
            if let Some(request) = state.id {
                id(out, request);
            }
        }
        other => unreachable!("a {} carries no character", other.kind()),
    }
}

fn id(out: &mut Vec<u8>, request: RequestId) {
    pack_key!(out, "id");
    pack::unsigned(out, request.get());
}

fn character<C: Stands>(out: &mut Vec<u8>, character: &C, durable: Version) {
    character.pack(out);
    pack_key!(out, "durable");
    pack::unsigned(out, durable.get());
}
