//! Changes whose senders wait for the commit.
//!
//! A socket keeps many waits open while it serves other frames. A request has only one and sleeps on it ([`Waiter`]).
//! Both hear of the commit through a mailbox.

use castellan_game::Game;
use castellan_protocol::{CharacterId, CloseCode, UserId, Version};
use tokio::time::{Instant, timeout_at};

use super::mailbox::{CloseOrder, Mailbox};
use super::store::Shards;

/// An applied change that is not yet durable. `S` is what its sender needs for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait<S> {
    /// The owner of the character.
    pub owner: UserId,
    /// The character.
    pub character: CharacterId,
    /// The version that must be durable.
    pub version: Version,
    /// When the change is answered even if it is not durable.
    pub deadline: Instant,
    /// What the sender needs for the answer.
    pub sender: S,
}

/// The waits of one connection, in the order of their changes; those that wait for a newer state come last.
#[derive(Debug)]
pub struct Waits<S>(Vec<Wait<S>>);

impl<S> Default for Waits<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S> Waits<S> {
    /// The number of waits.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Begins a wait. The flusher writes the character at once and first.
    pub fn begin<G: Game>(&mut self, shards: &Shards<G>, wait: Wait<S>) {
        shards.hurry(wait.owner, wait.character);
        self.0.push(wait);
    }

    /// Removes and returns the waits that are over now that `version` of `character` is durable.
    pub fn covered(&mut self, character: CharacterId, version: Version) -> Vec<Wait<S>> {
        self.0.extract_if(.., |wait| wait.character == character && wait.version <= version).collect()
    }

    /// Removes and returns the waits whose deadline has passed.
    pub fn overdue(&mut self, now: Instant) -> Vec<Wait<S>> {
        self.0.extract_if(.., |wait| wait.deadline <= now).collect()
    }

    /// Removes and returns all waits.
    pub fn take_all(&mut self) -> Vec<Wait<S>> {
        std::mem::take(&mut self.0)
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.iter().map(|wait| wait.deadline).min()
    }
}

/// A request that may wait for a commit. To the shards it is a connection that ends with the request.
#[derive(Debug, Default)]
pub struct Waiter(Mailbox);

impl Waiter {
    /// Where the request hears of the commit.
    pub const fn mailbox(&self) -> &Mailbox {
        &self.0
    }

    /// Waits until the version is durable, or until the deadline. Returns the newest durable version it heard of, 0 if
    /// it heard of none.
    ///
    /// # Errors
    ///
    /// Fails with the shards' order to end, if it comes before the commit.
    pub async fn until_durable<G: Game>(&self, shards: &Shards<G>, wait: Wait<()>) -> Result<Version, CloseOrder> {
        let mut waits = Waits::default();
        waits.begin(shards, wait);
        let mut durable = Version::default();
        while timeout_at(wait.deadline, self.0.arrived()).await.is_ok() {
            for (character, version) in self.0.take().durable {
                durable = version;
                waits.covered(character, version);
            }
            if waits.is_empty() {
                break;
            }
            if let Some(order) = self.0.order() {
                return Err(order);
            }
        }
        Ok(durable)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.order_close(CloseOrder::new(CloseCode::Normal, "the request has ended"));
    }
}
