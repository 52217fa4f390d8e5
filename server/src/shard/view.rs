//! A character as clients and the database see it.
//!
//! Both shapes are the character of `docs/protocol.md`: clients get `derived`, the row what the rules keep
//! for themselves. They are written straight from the rules' character, so that encoding a state allocates nothing.

mod changes;
mod frame;
mod msgpack;
mod packed;
mod parts;
mod reader;
mod sheet;
mod timestamp;

use castellan_protocol::{CharacterId, RequestId, UserId, Version};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use castellan_srd::{Character, Derived};
pub use changes::merge_patch;
pub(in crate::shard) use frame::encode_sheet;
pub use frame::{Packed, encode_packed};
use parts::{DerivedView, Items, Saves, Scores, Worn};
pub(in crate::shard) use sheet::{Sheet, SheetView};
use timestamp::Timestamp;

/// What a character has beside the rules: whose it is, and which state of it this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its id.
    pub id: CharacterId,
    /// Its owner.
    pub user: UserId,
    /// Names this state.
    pub version: Version,
    /// The id of the intent that made this state; 0: none yet.
    pub last: RequestId,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub updated_at_ms: i64,
}

/// A character as the wire has it.
#[derive(Debug, Clone, Copy)]
pub struct CharacterView<'a> {
    header: &'a Header,
    character: &'a Character,
    derived: &'a Derived,
}

impl<'a> CharacterView<'a> {
    /// Puts together a character, whose it is and which state, and what follows from it.
    pub const fn new(header: &'a Header, character: &'a Character, derived: &'a Derived) -> Self {
        Self { header, character, derived }
    }
}

/// A character as its row has it, in the shape of [`SCHEMA_VERSION`](castellan_srd::stored::SCHEMA_VERSION).
#[derive(Debug, Clone, Copy)]
pub struct StoredView<'a> {
    header: &'a Header,
    character: &'a Character,
}

impl<'a> StoredView<'a> {
    /// Puts together a character, whose it is and which state.
    pub const fn new(header: &'a Header, character: &'a Character) -> Self {
        Self { header, character }
    }
}

/// Fields of both shapes, `subrace` not counted.
const SHARED_FIELDS: usize = 25;
/// Fields that only the row has.
const STORED_FIELDS: usize = 3;

impl Serialize for CharacterView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = SHARED_FIELDS + usize::from(self.character.subrace().is_some()) + 1;
        let mut map = serializer.serialize_struct("Character", fields)?;
        write_state(&mut map, self.header, self.character)?;
        map.serialize_field("derived", &DerivedView(self.derived))?;
        write_version(&mut map, self.header)?;
        map.end()
    }
}

impl Serialize for StoredView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let character = self.character;
        let fields = SHARED_FIELDS + usize::from(character.subrace().is_some()) + STORED_FIELDS;
        let mut map = serializer.serialize_struct("Character", fields)?;
        write_state(&mut map, self.header, character)?;
        map.serialize_field("hit_point_dice", character.hit_point_dice())?;
        map.serialize_field("expertise", character.expertise())?;
        map.serialize_field("dice_rolled", &character.dice_rolled())?;
        write_version(&mut map, self.header)?;
        map.end()
    }
}

/// The fields before `derived`, in the wire's order.
fn write_state<M: SerializeStruct>(map: &mut M, header: &Header, character: &Character) -> Result<(), M::Error> {
    map.serialize_field("id", &header.id)?;
    map.serialize_field("user_id", &header.user)?;
    map.serialize_field("name", character.name())?;
    map.serialize_field("race", &character.race())?;
    match character.subrace() {
        Some(subrace) => map.serialize_field("subrace", &subrace)?,
        None => map.skip_field("subrace")?,
    }
    map.serialize_field("class", &character.class())?;
    map.serialize_field("level", &character.level())?;
    map.serialize_field("experience", &character.experience())?;
    map.serialize_field("abilities", &Scores(character.abilities()))?;
    map.serialize_field("skills", character.skills())?;
    map.serialize_field("hitpoints", &character.hitpoints())?;
    map.serialize_field("max_hitpoints", &character.max_hitpoints())?;
    map.serialize_field("temporary_hitpoints", &character.temporary_hitpoints())?;
    map.serialize_field("hit_dice", &character.hit_dice())?;
    map.serialize_field("death_saves", &Saves(character.death_saves()))?;
    map.serialize_field("life", character.life().as_str())?;
    map.serialize_field("conditions", character.conditions())?;
    map.serialize_field("exhaustion", &character.exhaustion())?;
    map.serialize_field("currency", &character.currency())?;
    map.serialize_field("equipment", &Worn(character))?;
    map.serialize_field("attuned", character.attuned())?;
    map.serialize_field("inventory", &Items(character.inventory()))
}

/// The fields behind `derived`.
fn write_version<M: SerializeStruct>(map: &mut M, header: &Header) -> Result<(), M::Error> {
    map.serialize_field("version", &header.version)?;
    map.serialize_field("last", &header.last)?;
    map.serialize_field("created_at", &Timestamp(header.created_at_ms))?;
    map.serialize_field("updated_at", &Timestamp(header.updated_at_ms))
}

#[cfg(test)]
mod tests;
