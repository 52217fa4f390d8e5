//! Numbers between what the server counts with and what columns hold.

use super::StorageError;

/// A version or a request id for a column of signed 64 bits; those that the wire allows fit.
pub(super) fn signed(number: u64) -> Result<i64, StorageError> {
    i64::try_from(number).map_err(|_| StorageError::Refused(format!("{number} is above what a column holds")))
}

/// A version or a request id from a column.
pub(super) fn unsigned(number: i64) -> Result<u64, StorageError> {
    u64::try_from(number).map_err(|_| StorageError::Corrupt(format!("{number} is below zero")))
}
