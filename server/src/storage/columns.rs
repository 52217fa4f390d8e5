//! Checks and conversions that both databases share.

use super::{CharacterRow, Lease, StorageError};

/// Refuses a batch in which a row's shard has no lease. The caller would take a skipped row for saved.
pub(super) fn covered(leases: &[Lease], rows: &[CharacterRow]) -> Result<(), StorageError> {
    let covered = |row: &&CharacterRow| leases.iter().any(|lease| lease.shard == row.shard);
    match rows.iter().find(|row| !covered(row)) {
        Some(row) => {
            Err(StorageError::Refused(format!("character {} was saved without a lease on shard {}", row.id, row.shard)))
        }
        None => Ok(()),
    }
}

/// Refuses a row that a dead letter would replace by an older one. `stored` is the version that the database has.
pub(super) fn not_overtaken(row: &CharacterRow, stored: Option<u64>) -> Result<(), StorageError> {
    match stored.filter(|stored| *stored > row.version) {
        Some(stored) => Err(StorageError::Refused(format!(
            "the database has version {stored} of this character, so version {} cannot be stored any more",
            row.version
        ))),
        None => Ok(()),
    }
}

/// Converts a version or a request id for a column of signed 64 bits. All numbers that the wire allows fit.
pub(super) fn signed(number: u64) -> Result<i64, StorageError> {
    i64::try_from(number)
        .map_err(|_| StorageError::Refused(format!("{number} is too large for a signed 64-bit column")))
}

/// A version or a request id from a column.
pub(super) fn unsigned(number: i64) -> Result<u64, StorageError> {
    u64::try_from(number).map_err(|_| StorageError::Corrupt(format!("{number} is below zero")))
}
