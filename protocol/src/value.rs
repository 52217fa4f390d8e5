//! Reads single values, and describes a value that cannot be read.

use serde::de::DeserializeOwned;

/// A value could not be read. The message names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl DecodeError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Longest part of a client's own text that an answer repeats, in bytes.
const QUOTE_BYTES_MAX: usize = 200;

pub(crate) fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(QUOTE_BYTES_MAX)]
}

/// Reads a value that came as JSON.
///
/// # Errors
///
/// [`DecodeError`] with the path to the value that could not be read.
pub fn decode_value<T: DeserializeOwned>(value: &serde_json::Value) -> Result<T, DecodeError> {
    serde_path_to_error::deserialize(value).map_err(|error| DecodeError(shorten(&error.to_string()).to_owned()))
}
