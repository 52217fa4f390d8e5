//! Characters as the database holds them: JSON with a schema version, readable in every shape that it ever had.
//!
//! The shape is the wire's without `derived`, and beside it what the rules keep for themselves: `hit_point_dice`,
//! `expertise`, `dice_rolled`. It is written by the room that composes a character with its header; here it is read.
//! A change of the shape counts [`SCHEMA_VERSION`] up and adds an upcaster, which turns the shape before into the new one.

mod shape;
mod upcast;

use super::character::Character;
use shape::Shape;

/// The shape that is written.
pub const SCHEMA_VERSION: i32 = 3;

/// What the database holds is no character of this program.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// Written by a newer program, or by none.
    #[error("schema version {0} is not known; this program knows 1 to {SCHEMA_VERSION}")]
    UnknownSchema(i32),
    /// Not JSON, or a field is missing or of another type.
    #[error("the state cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// A field's value is impossible.
    #[error("{field}: {message}")]
    Impossible {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        message: &'static str,
    },
}

/// Reads a stored character; fields that belong to its header are passed over.
///
/// Items, skills and conditions that the catalogue no longer has stay as they are.
///
/// # Errors
///
/// [`StoredError`] says which field is at fault.
pub fn decode(schema_version: i32, state: &str) -> Result<Character, StoredError> {
    let shape: Shape = match schema_version {
        SCHEMA_VERSION => serde_json::from_str(state)?,
        older @ 1..SCHEMA_VERSION => {
            let mut fields = serde_json::from_str(state)?;
            upcast::to_present(older, &mut fields)?;
            serde_json::from_value(serde_json::Value::Object(fields))?
        }
        unknown => return Err(StoredError::UnknownSchema(unknown)),
    };
    shape.into_character()
}
