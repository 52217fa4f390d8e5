//! The wire's requirements on a game's actions.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::Wire;

/// The kinds of a choice, each with its fields; true if the field is required.
pub type KindFields = Vec<(&'static str, Vec<(&'static str, bool)>)>;

/// An action of a game, which an intent asks for: a map with one entry, the action's kind and its fields.
///
/// [`actions!`](crate::actions) declares such a type.
pub trait Action:
    for<'de> Wire<'de> + Serialize + DeserializeOwned + Debug + Clone + PartialEq + Send + Sync + 'static
{
    /// The kinds, as they are spelled on the wire.
    const KINDS: &'static [&'static str];

    /// The kinds with their fields.
    fn kinds() -> KindFields;

    /// The place of this action's kind in [`Action::KINDS`].
    fn index(&self) -> usize;
}

/// The types of one game on the wire, as clients need them.
pub trait GameTypes: Sized + 'static {
    /// The actions that intents ask for.
    type Action: Action;
    /// The body that creates a character.
    type Creation: Serialize + DeserializeOwned + Debug + Clone + Send + Sync + 'static;
    /// The game's part of a character in an answer.
    type Sheet: Serialize + DeserializeOwned + Debug + Clone + PartialEq + Send + Sync + 'static;
}

/// A character of a game, as clients see it.
pub type CharacterOf<G> = crate::Character<<G as GameTypes>::Sheet>;
