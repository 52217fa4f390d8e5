//! Frames that bring a character.

use castellan_protocol::{Codec, RequestId, ServerFrame, Version};

use super::changes::write_json;
use super::msgpack::{entries, key, unsigned};
use super::sheet::SheetView;

/// Room that is made at once for a frame, in bytes: enough for most characters.
const USUAL_BYTES: usize = 2048;

/// Writes an `applied`, `conflict` or `state` in MessagePack.
pub(in crate::shard) fn encode_sheet(frame: &ServerFrame<SheetView<'_>>, out: &mut Vec<u8>) {
    assert!(pack_frame(frame, out), "a {} brings no character", frame.kind());
}

/// A state that was packed, or the merge patch that leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed<'a> {
    /// The whole state.
    Whole(&'a [u8]),
    /// What changed.
    Changes(&'a [u8]),
}

/// Writes an `applied`, `conflict` or `state` with what was packed. `scratch` is space to write in.
pub fn encode_packed(codec: Codec, frame: &ServerFrame<Packed<'_>>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    let packed = match codec {
        Codec::MessagePack => &mut *out,
        Codec::Json => {
            scratch.clear();
            &mut *scratch
        }
    };
    assert!(pack_frame(frame, packed), "a {} brings no character", frame.kind());
    if codec == Codec::Json {
        write_json(&mut scratch.as_slice(), out);
    }
}

/// How a character stands in a frame.
trait Entry {
    /// Appends its key and its value.
    fn pack_entry(&self, out: &mut Vec<u8>);
}

impl Entry for SheetView<'_> {
    fn pack_entry(&self, out: &mut Vec<u8>) {
        key!(out, "character");
        self.pack(out);
    }
}

impl Entry for Packed<'_> {
    fn pack_entry(&self, out: &mut Vec<u8>) {
        match self {
            Self::Whole(state) => {
                key!(out, "character");
                out.extend_from_slice(state);
            }
            Self::Changes(patch) => {
                key!(out, "changes");
                out.extend_from_slice(patch);
            }
        }
    }
}

/// Appends a frame that brings a character; says false of the others, and appends nothing.
fn pack_frame<C: Entry>(frame: &ServerFrame<C>, out: &mut Vec<u8>) -> bool {
    out.reserve(USUAL_BYTES);
    entries(out, 1);
    match frame {
        ServerFrame::Applied(applied) => {
            key!(out, "applied");
            entries(out, 3 + usize::from(applied.duplicate));
            id(out, applied.id);
            character(out, &applied.character, applied.durable);
            if applied.duplicate {
                key!(out, "duplicate");
                out.push(0xc3);
            }
        }
        ServerFrame::Conflict(conflict) => {
            key!(out, "conflict");
            entries(out, 3);
            id(out, conflict.id);
            character(out, &conflict.character, conflict.durable);
        }
        ServerFrame::State(state) => {
            key!(out, "state");
            entries(out, 2 + usize::from(state.id.is_some()));
            character(out, &state.character, state.durable);
            if let Some(request) = state.id {
                id(out, request);
            }
        }
        _ => {
            out.pop();
            return false;
        }
    }
    true
}

fn id(out: &mut Vec<u8>, request: RequestId) {
    key!(out, "id");
    unsigned(out, request.get());
}

fn character<C: Entry>(out: &mut Vec<u8>, character: &C, durable: Version) {
    character.pack_entry(out);
    key!(out, "durable");
    unsigned(out, durable.get());
}
