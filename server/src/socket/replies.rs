//! Smaller answers: the changes since the last state that a connection was sent.

use std::collections::HashMap;

use castellan_protocol::limits::{CHARACTERS_PER_USER_MAX, SERVER_FRAME_BYTES_MAX};
use castellan_protocol::{CharacterId, Codec, REPLY_CHANGES, Version};

use crate::shard::{Answer, Packed, encode_packed, merge_patch};

/// How a connection wants to receive states.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// Always complete.
    #[default]
    Whole,
    /// Only the changes, if it was sent a state before.
    Changes,
}

impl Replies {
    /// Reads the query parameter `reply`. Returns `None` for an unknown value.
    pub fn from_query(value: Option<&str>) -> Option<Self> {
        match value {
            None => Some(Self::Whole),
            Some(REPLY_CHANGES) => Some(Self::Changes),
            Some(_) => None,
        }
    }
}

/// Most bytes of last states that a connection keeps; their number is limited too.
///
/// Enough for a full watch list of usual states, and a limit for large ones.
const SENT_BYTES_MAX: usize = 512 * 1024;

const _: () = assert!(SERVER_FRAME_BYTES_MAX <= SENT_BYTES_MAX, "any one state must fit");

/// The last state that a connection was sent of a character, packed.
#[derive(Debug)]
struct Sent {
    state: Vec<u8>,
    /// The number of the state in the order of sending: smaller is older.
    turn: u64,
}

/// The last state of each character that a connection was sent: the base of the next patch.
#[derive(Debug)]
pub(super) struct Changes {
    sent: HashMap<CharacterId, Sent>,
    characters_max: usize,
    bytes_max: usize,
    bytes: usize,
    turn: u64,
    /// The next state to send, packed.
    state: Vec<u8>,
    patch: Vec<u8>,
    scratch: Vec<u8>,
}

impl Changes {
    /// For a connection that may watch `watch_max` characters.
    pub(super) fn new(watch_max: usize) -> Self {
        Self::with_bounds(watch_max + CHARACTERS_PER_USER_MAX, SENT_BYTES_MAX)
    }

    fn with_bounds(characters_max: usize, bytes_max: usize) -> Self {
        Self {
            sent: HashMap::new(),
            characters_max,
            bytes_max,
            bytes: 0,
            turn: 0,
            state: Vec::new(),
            patch: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The buffer for the next state to send, packed.
    pub(super) fn begin_state(&mut self) -> &mut Vec<u8> {
        self.state.clear();
        &mut self.state
    }

    /// Appends the frame for the packed state. Appends nothing if no state was packed.
    pub(super) fn write(&mut self, codec: Codec, about: &About, out: &mut Vec<u8>) {
        let state = std::mem::take(&mut self.state);
        if !state.is_empty() {
            self.write_state(codec, about, &state, out);
        }
        self.state = state;
    }

    fn write_state(&mut self, codec: Codec, about: &About, state: &[u8], out: &mut Vec<u8>) {
        let may_patch = !matches!(about.answer, Answer::Conflict { .. });
        self.patch.clear();
        if let Some(last) = self.sent.get(&about.character).filter(|_| may_patch) {
            merge_patch(&last.state, state, &mut self.patch);
        }
        // Empty if the patch has no base. Even a patch without changes has a byte.
        let is_smaller = !self.patch.is_empty() && self.patch.len() < state.len();
        let told = if is_smaller { Packed::Changes(&self.patch) } else { Packed::Whole(state) };
        encode_packed(codec, &about.answer.frame(told, about.durable), &mut self.scratch, out);
        self.keep(about.character, state);
    }

    /// Remembers the state that was sent. Forgets the oldest ones if there is no room.
    fn keep(&mut self, character: CharacterId, sent: &[u8]) {
        // Exactly the memory it needs, because its size is counted.
        let mut state = self.forget(character).unwrap_or_default();
        state.clear();
        state.reserve_exact(sent.len());
        state.extend_from_slice(sent);
        while self.sent.len() >= self.characters_max || self.bytes + state.capacity() > self.bytes_max {
            let Some((&oldest, _)) = self.sent.iter().min_by_key(|(_, sent)| sent.turn) else { break };
            self.forget(oldest);
        }
        self.turn += 1;
        self.bytes += state.capacity();
        self.sent.insert(character, Sent { state, turn: self.turn });
    }

    fn forget(&mut self, character: CharacterId) -> Option<Vec<u8>> {
        let Sent { state, .. } = self.sent.remove(&character)?;
        self.bytes -= state.capacity();
        Some(state)
    }
}

/// A frame with a state, without the state itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    pub(super) character: CharacterId,
    pub(super) durable: Version,
    pub(super) answer: Answer,
}

#[cfg(test)]
mod tests;
