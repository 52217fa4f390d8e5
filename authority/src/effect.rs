//! The consequences of an input to the core, beyond its answer.

use std::collections::BTreeSet;

use castellan_protocol::{CharacterId, UserId, Version};
use smallvec::SmallVec;

/// A connection as the core knows it: comparable with others, and named in effects.
///
/// The shards use mailboxes, tests use numbers.
pub trait Subscriber: Clone + PartialEq {
    /// True if its connection has ended or will be heard no more. It need not be told anything.
    fn is_gone(&self) -> bool;
}

/// Something that the shell must do for the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<S> {
    /// Something else changed a character that a subscriber watches.
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
    /// Memory has fallen back behind the state that a subscriber was told. Its connection must end before it is heard
    /// again.
    Close {
        /// The subscriber.
        to: S,
    },
    /// The change in the number of dirty characters.
    Dirty(isize),
    /// The change in the number of places taken in memory: one for each character and one for each user.
    Places(isize),
    /// A character's oldest unflushed intent has reached the database.
    Persisted {
        /// How long it waited, in milliseconds.
        waited_ms: u64,
    },
    /// The database has new books of a character.
    BooksStored {
        /// The character.
        character: CharacterId,
        /// The characters that must look at its row.
        others: BTreeSet<CharacterId>,
    },
    /// A character has taken or refused a parcel.
    Received {
        /// The parcel accepts an offer; otherwise it is a gift.
        is_trade: bool,
        /// The character has the goods.
        is_taken: bool,
    },
    /// Somebody waits for a commit that the flusher has not started.
    Hurry,
    /// A character's versions contradicted each other, which is a fault of ours. It was taken out of play.
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
