//! What follows from an input to the core, beyond its answer.

use castellan_protocol::{CharacterId, UserId, Version};
use smallvec::SmallVec;

/// A connection as the core knows it: something that can be told apart from others, and named in an effect.
///
/// The shards use mailboxes, tests use numbers.
pub trait Subscriber: Clone + PartialEq {
    /// Its connection has ended or will be heard no more: it need not be told anything.
    fn is_gone(&self) -> bool;
}

/// Something that the shell must do for the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<S> {
    /// A character that a subscriber watches was changed by something else.
    Changed {
        /// The subscriber.
        to: S,
        /// The character's owner.
        owner: UserId,
        /// The character.
        character: CharacterId,
    },
    /// A character that a subscriber waits for or watches is durable up to a version.
    Durable {
        /// The subscriber.
        to: S,
        /// The character.
        character: CharacterId,
        /// The version that is durable.
        version: Version,
    },
    /// Memory has fallen back behind what a subscriber was told: its connection must end before it is heard again.
    Close {
        /// The subscriber.
        to: S,
    },
    /// So many more characters are dirty, or fewer.
    Dirty(isize),
    /// So many more places in memory are taken (one a character and one a user), or fewer.
    Places(isize),
    /// A character's first unflushed intent has reached the database after so many milliseconds.
    Persisted {
        /// Milliseconds.
        waited_ms: u64,
    },
    /// Somebody waits for a commit that the flusher has not begun.
    Hurry,
    /// A character's versions contradicted each other, a fault of ours: it was taken out of play.
    OutOfPlay(CharacterId),
}

/// The effects of one input, in order. Most inputs have none or one.
#[derive(Debug)]
pub struct Effects<S>(SmallVec<[Effect<S>; 1]>);

impl<S> Default for Effects<S> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<S> Effects<S> {
    pub(crate) fn push(&mut self, effect: Effect<S>) {
        self.0.push(effect);
    }
}

impl<S> IntoIterator for Effects<S> {
    type Item = Effect<S>;
    type IntoIter = smallvec::IntoIter<[Effect<S>; 1]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
