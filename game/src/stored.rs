//! Why a stored state cannot be read.

/// Why a stored state cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Corrupt {
    /// Probably written by a newer program.
    #[error("unknown schema version {found}; this program reads 1 to {newest}; use a newer version of it")]
    UnknownSchema {
        /// The version of the row.
        found: i32,
        /// The newest version that this program reads.
        newest: i32,
    },
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
