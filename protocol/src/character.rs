//! A character as clients see it: an envelope around a state that only the game understands.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

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
    /// The version of this state.
    pub version: Version,
    /// The id of the intent that made this state; 0 if there was none yet.
    pub last: RequestId,
    /// When it was created: RFC 3339, UTC.
    pub created_at: String,
    /// When it last changed: RFC 3339, UTC.
    pub updated_at: String,
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
