//! Stored characters: JSON with a schema version, readable in every version so far.
//!
//! The schema is the wire's without `derived`, plus fields of the rules: `hit_point_dice`, `expertise`, `dice_rolled`.
//! This room only reads it; the shard room writes it together with the header. A change of the schema increments
//! [`SCHEMA_VERSION`] and adds an upcaster from the previous version.

mod shape;
mod upcast;

use super::character::Character;
use shape::Shape;

/// The current schema version.
pub const SCHEMA_VERSION: i32 = 3;

/// Why a stored character cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// Probably written by a newer program.
    #[error("unknown schema version {0}; this program reads 1 to {SCHEMA_VERSION}; start a newer one")]
    UnknownSchema(i32),
    /// Not JSON, or a field is missing or has the wrong type.
    #[error("cannot read the stored state: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// A field's value is impossible.
    #[error("{field}: {message}")]
    Impossible {
        /// The field.
        field: &'static str,
        /// The problem.
        message: &'static str,
    },
}

/// Reads a stored character; ignores the fields of its header.
///
/// Keeps items, skills and conditions that are no longer in the catalogue.
///
/// # Errors
///
/// [`StoredError`] names the field at fault.
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
