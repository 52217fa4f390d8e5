//! A character as clients see it: an envelope around a state that only the game understands.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{CharacterId, RequestId, UserId, Version};

/// A character's whole state. `S` is the game's part of it.
///
/// On the wire it is one map: the game's fields stand between the owner and the version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Character<S> {
    /// Its id.
    pub id: CharacterId,
    /// Its owner.
    pub user_id: UserId,
    /// The game's fields.
    #[serde(flatten)]
    pub sheet: S,
    /// Goods on their way to other characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parcels: Vec<Parcel>,
    /// Goods that wait for somebody who gives others for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offers: Vec<Offer>,
    /// Goods that came back and do not fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
    /// The version of this state.
    pub version: Version,
    /// The id of the intent that made this state; 0 if there was none yet.
    pub last: RequestId,
    /// When it was created: RFC 3339, UTC.
    pub created_at: String,
    /// When it last changed: RFC 3339, UTC.
    pub updated_at: String,
}

/// Goods on their way to another character. What goods are is up to the game.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parcel {
    /// The version of the state that it came with.
    pub number: u64,
    /// The receiver.
    pub to: CharacterId,
    /// The goods.
    pub goods: Value,
    /// The offer that it accepts, if it is no gift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepts: Option<Accepts>,
}

/// The acceptance of an offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accepts {
    /// The number of the offer.
    pub offer: u64,
    /// The goods that the sender expects.
    pub expects: Value,
}

/// An offer that is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// The version of the state that it came with.
    pub number: u64,
    /// The only character that may accept it; `None` if everybody may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<CharacterId>,
    /// The goods that it holds.
    pub gives: Value,
    /// The goods that it wants.
    pub wants: Value,
    /// When it ends: RFC 3339, UTC.
    pub until: String,
}

/// Goods that go into the character with the next change that makes room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The number of their parcel or offer.
    pub number: u64,
    /// The goods.
    pub goods: Value,
}

impl<S> Deref for Character<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.sheet
    }
}

impl<S> DerefMut for Character<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.sheet
    }
}
