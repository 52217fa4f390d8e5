//! How copies are written: as JSON, with the states as they are stored.

use std::borrow::Cow;

use castellan_cluster::lease::Held;
use castellan_game::Game;
use castellan_protocol::{CharacterId, UserId, Version};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::shard::{Restored, Versions, restore, shard_of};
use crate::storage::{CharacterRow, ShardId};

#[derive(Serialize, Deserialize)]
struct Roster<'a> {
    user: UserId,
    #[serde(borrow)]
    characters: Vec<Character<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Character<'a> {
    id: CharacterId,
    #[serde(borrow)]
    name: Cow<'a, str>,
    version: u64,
    recoveries: i64,
    schema_version: i32,
    #[serde(borrow)]
    state: &'a RawValue,
    request_ids: Cow<'a, [u64]>,
    created_at_ms: i64,
    updated_at_ms: i64,
}

/// The news that a shard has a new owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) struct Given {
    /// The new owner.
    pub(in crate::node) to: Uuid,
    /// What it holds.
    pub(in crate::node) held: Held,
    /// The rosters that were in the memory of the former owner, as the database has them.
    pub(in crate::node) rosters: Vec<(UserId, Versions)>,
}

#[derive(Serialize, Deserialize)]
struct GivenForm {
    to: Uuid,
    epoch: u64,
    recoveries: u64,
    rosters: Vec<(UserId, Vec<(CharacterId, Version)>)>,
}

/// A copy. `None` if it cannot be written.
pub(super) fn write_roster(user: UserId, rows: &[CharacterRow]) -> Option<Vec<u8>> {
    let character = |row| {
        let &CharacterRow { id, version, recoveries, schema_version, created_at_ms, updated_at_ms, .. } = row;
        let (name, request_ids) = (Cow::from(&row.name), Cow::from(&row.request_ids));
        let state = serde_json::from_str(&row.state).ok()?;
        Some(Character {
            id,
            name,
            version,
            recoveries,
            schema_version,
            state,
            request_ids,
            created_at_ms,
            updated_at_ms,
        })
    };
    let characters = rows.iter().map(character).collect::<Option<_>>()?;
    serde_json::to_vec(&Roster { user, characters }).ok()
}

/// Reads a copy as a load would: in the order of the database, and without text that is only for it. `None` if it is not
/// of this shard, or cannot be read.
pub(super) fn read_roster<G: Game>(body: &[u8], shard: ShardId) -> Option<(UserId, Restored<G>)> {
    let Roster { user, characters } = serde_json::from_slice(body).ok()?;
    let character = |character: Character<'_>| {
        let loaded = restore::<G>(character.schema_version, character.state.get()).ok()?;
        let row = CharacterRow {
            id: character.id,
            user,
            shard,
            name: character.name.into_owned(),
            version: character.version,
            recoveries: character.recoveries,
            schema_version: character.schema_version,
            state: String::new(),
            request_ids: character.request_ids.into_owned(),
            created_at_ms: character.created_at_ms,
            updated_at_ms: character.updated_at_ms,
            deleted_at_ms: None,
        };
        Some((row, loaded))
    };
    let mut characters: Vec<_> = characters.into_iter().map(character).collect::<Option<_>>()?;
    characters.sort_by_key(|(row, _)| (row.created_at_ms, row.id));
    (shard_of(user) == shard).then_some((user, characters))
}

pub(super) fn write_given(given: Given) -> Vec<u8> {
    let Given { to, held: Held { epoch, recoveries }, rosters } = given;
    serde_json::to_vec(&GivenForm { to, epoch, recoveries, rosters }).expect("lists and numbers can be written")
}

pub(super) fn read_given(body: &[u8]) -> Option<Given> {
    let GivenForm { to, epoch, recoveries, rosters } = serde_json::from_slice(body).ok()?;
    Some(Given { to, held: Held { epoch, recoveries }, rosters })
}
