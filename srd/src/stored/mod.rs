//! Stored characters: JSON with a schema version, readable in every version so far.
//!
//! The schema is the wire's without `derived`, plus fields of the rules: `hit_point_dice`, `expertise`, `dice_rolled`.
//! A change of the schema increments
//! [`SCHEMA_VERSION`] and adds an upcaster from the previous version.

mod upcast;

use castellan_game::Corrupt;
use serde_json::{Map, Value};

use super::character::Character;
use crate::character::fields::Row;

/// The current schema version.
pub const SCHEMA_VERSION: i32 = 3;

/// The oldest schema that characters can still be stored in.
pub const OLDEST_STORED_SCHEMA: i32 = 2;

/// Returns true if an older schema holds everything of a character.
pub fn fits(schema_version: i32, character: &Character) -> bool {
    schema_version > 2 || character.expertise().is_empty()
}

/// Turns the stored form of a character that fits into that of an older schema.
pub fn downgrade(schema_version: i32, stored: String) -> String {
    let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(&stored) else { return stored };
    if schema_version <= 2 {
        fields.remove("expertise");
    }
    Value::Object(fields).to_string()
}

/// Reads a stored character; ignores the fields of its header.
///
/// Keeps items, skills and conditions that are no longer in the catalogue.
///
/// # Errors
///
/// [`Corrupt`] names the field at fault.
pub fn decode(schema_version: i32, state: &str) -> Result<Character, Corrupt> {
    let row: Row = match schema_version {
        SCHEMA_VERSION => serde_json::from_str(state)?,
        older @ 1..SCHEMA_VERSION => {
            let mut fields = serde_json::from_str(state)?;
            upcast::to_present(older, &mut fields)?;
            serde_json::from_value(Value::Object(fields))?
        }
        unknown => return Err(Corrupt::UnknownSchema { found: unknown, newest: SCHEMA_VERSION }),
    };
    row.into_character()
}
