//! Conversions for types that SQLite lacks: ids as text, lists as JSON.

use std::str::FromStr;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::storage::StorageError;
use crate::storage::columns::signed;

/// The id in a column of text.
pub(super) fn id<T: FromStr>(row: &SqliteRow, column: &str) -> Result<T, StorageError> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|_| StorageError::Corrupt(format!("{column} is not an id: {text}")))
}

/// The request ids of a row.
pub(super) fn request_ids(row: &SqliteRow) -> Result<Vec<u64>, StorageError> {
    serde_json::from_str(row.try_get("request_ids")?)
        .map_err(|error| StorageError::Corrupt(format!("request_ids is not a list of ids: {error}")))
}

/// Request ids for a column.
pub(super) fn request_ids_text(ids: &[u64]) -> Result<String, StorageError> {
    let ids = ids.iter().map(|id| signed(*id)).collect::<Result<Vec<_>, _>>()?;
    Ok(serde_json::to_string(&ids).expect("numbers are JSON"))
}
