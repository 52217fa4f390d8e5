//! Rows for one transaction, with the leases of their shards.

use super::{Written, written};
use crate::storage::{CharacterRow, Lease, ShardId};

/// Rows for one transaction, with the lease of each row's shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// One lease per shard.
    pub leases: Vec<Lease>,
    /// At most one row per character.
    pub rows: Vec<CharacterRow>,
}

impl Batch {
    /// The lease of a shard in this batch.
    pub(super) fn lease_of(&self, shard: ShardId) -> Lease {
        *self.leases.iter().find(|lease| lease.shard == shard).expect("a batch has the lease of every row")
    }

    /// The key facts of all rows for whose shard `counts` returns true.
    pub(crate) fn written(&self, counts: impl Fn(ShardId) -> bool) -> Vec<Written> {
        self.rows.iter().filter(|row| counts(row.shard)).map(|row| written(self.lease_of(row.shard), row)).collect()
    }

    /// Halves a batch until no part has more than `rows` rows. None if it is empty.
    pub(super) fn parts(self, rows: usize) -> Vec<Self> {
        let mut parts = Vec::new();
        let mut open = vec![self];
        while let Some(batch) = open.pop() {
            if batch.rows.len() > rows {
                open.extend(batch.halves());
            } else if !batch.rows.is_empty() {
                parts.push(batch);
            }
        }
        parts
    }

    /// Splits a batch of at least two rows in half, to find the row that the database refuses.
    pub(super) fn halves(self) -> [Self; 2] {
        let Self { leases, mut rows } = self;
        let second = rows.split_off(rows.len() / 2);
        [rows, second].map(|rows| {
            let leases =
                leases.iter().filter(|lease| rows.iter().any(|row| row.shard == lease.shard)).copied().collect();
            Self { leases, rows }
        })
    }
}

#[cfg(test)]
mod tests {
    use castellan_protocol::{CharacterId, UserId};
    use uuid::Uuid;

    use super::*;

    fn row(number: u16) -> CharacterRow {
        CharacterRow {
            id: CharacterId::from_uuid(Uuid::from_u128(u128::from(number))),
            user: UserId::from_uuid(Uuid::from_u128(u128::from(number))),
            shard: ShardId::new(number),
            name: String::new(),
            version: 1,
            recoveries: 0,
            schema_version: 1,
            state: String::new(),
            request_ids: Vec::new(),
            created_at_ms: 0,
            updated_at_ms: 0,
            deleted_at_ms: None,
        }
    }

    fn batch(count: u16) -> Batch {
        Batch {
            leases: (0..count).map(|number| Lease { shard: ShardId::new(number), epoch: 7, recoveries: 0 }).collect(),
            rows: (0..count).map(row).collect(),
        }
    }

    #[test]
    fn halving_keeps_every_row_with_its_lease_and_ends_at_single_rows() {
        for count in 2..40 {
            let mut open = vec![batch(count)];
            let mut single = Vec::new();
            while let Some(batch) = open.pop() {
                assert!(!batch.rows.is_empty());
                for row in &batch.rows {
                    assert_eq!(batch.lease_of(row.shard).epoch, 7);
                }
                assert_eq!(batch.leases.len(), batch.rows.len(), "no lease of another half");
                if batch.rows.len() == 1 {
                    single.extend(batch.rows);
                } else {
                    open.extend(batch.halves());
                }
            }
            single.sort_by_key(|row| row.shard);
            assert_eq!(single, (0..count).map(row).collect::<Vec<_>>());
        }
    }
}
