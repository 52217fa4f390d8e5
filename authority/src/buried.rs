//! The list of the characters that are out of play.

use std::collections::HashMap;

use castellan_protocol::{CharacterId, RequestId, UserId};

use crate::refusal::Refusal;
use crate::row::CharacterRow;

/// The characters that are out of play: the database refused their state, or their versions contradicted each other.
#[derive(Debug, Default)]
pub(crate) struct Buried(HashMap<CharacterId, Waiting>);

/// A character that is out of play.
#[derive(Debug)]
struct Waiting {
    owner: UserId,
    /// The request ids in a dead letter from before this process had the shard. Its state is not in memory.
    request_ids: Vec<u64>,
}

impl Buried {
    pub(crate) fn contains(&self, character: CharacterId) -> bool {
        self.0.contains_key(&character)
    }

    /// All of them, with their owners.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (UserId, CharacterId)> {
        self.0.iter().map(|(character, waiting)| (waiting.owner, *character))
    }

    pub(crate) fn insert(&mut self, owner: UserId, character: CharacterId) {
        self.0.entry(character).or_insert(Waiting { owner, request_ids: Vec::new() });
    }

    /// Adds the character of a dead letter that is not in memory.
    pub(crate) fn recall(&mut self, letter: &CharacterRow) {
        let waiting = Waiting { owner: letter.user, request_ids: letter.request_ids.clone() };
        self.0.insert(letter.id, waiting);
    }

    pub(crate) fn remove(&mut self, character: CharacterId) {
        self.0.remove(&character);
    }

    /// True if this request of a user made a character that is out of play. To carry it out again would make two.
    pub(crate) fn made(&self, owner: UserId, request: Option<RequestId>) -> bool {
        let mut mine = self.0.values().filter(|waiting| waiting.owner == owner);
        request.is_some_and(|id| mine.any(|waiting| waiting.request_ids.contains(&id.get())))
    }

    /// Why a user's character that is not in memory takes no command. The database may have refused its first state.
    pub(crate) fn refusal(&self, owner: UserId, character: CharacterId) -> Refusal {
        match self.0.get(&character) {
            Some(waiting) if waiting.owner == owner => Refusal::dead_letter(),
            _ => Refusal::no_such_character(),
        }
    }
}
