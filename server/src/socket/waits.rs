//! Applied intents whose senders wait for the commit.

use castellan_protocol::{CharacterId, RequestId, UserId, Version};
use tokio::time::Instant;

/// An intent with `ack: "durable"` that is applied and not yet durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) id: RequestId,
    pub(super) owner: UserId,
    pub(super) character: CharacterId,
    pub(super) version: Version,
    pub(super) duplicate: bool,
    /// It is durable, and waits for the commit of a newer state, which its answer would show.
    pub(super) prolonged: bool,
    /// When it is answered even if it is not durable.
    pub(super) deadline: Instant,
}

/// The waits of one connection, in the order of their intents; those that wait for a newer state come last.
#[derive(Debug, Default)]
pub(super) struct Waits(Vec<Wait>);

impl Waits {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn push(&mut self, wait: Wait) {
        self.0.push(wait);
    }

    /// Removes and returns the waits that `version` of `character` covers.
    pub(super) fn covered(&mut self, character: CharacterId, version: Version) -> Vec<Wait> {
        self.0.extract_if(.., |wait| wait.character == character && wait.version <= version).collect()
    }

    /// Removes and returns the waits whose deadline has passed.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Wait> {
        self.0.extract_if(.., |wait| wait.deadline <= now).collect()
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.iter().map(|wait| wait.deadline).min()
    }
}
