//! The database: the character's row and the lease of its shard.

use crate::history::History;
use crate::rules::Rules;

/// The character's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// Its version, starting with 1.
    pub version: u8,
    /// The lease's `recoveries` at the time of writing.
    pub recoveries: u8,
    /// Its state: the applied intents. The newest is `last`.
    pub state: History,
    /// The request ids stored with it.
    pub ring: History,
}

/// The right to write, in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Counts takeovers.
    pub epoch: u8,
    /// Counts takeovers from a holder that had not released.
    pub recoveries: u8,
    /// True if the holder gave it back.
    pub released: bool,
}

/// The right to write, as a server believes it has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// The epoch after its takeover.
    pub epoch: u8,
    /// `recoveries` at that takeover.
    pub recoveries: u8,
}

/// Everything that survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Database {
    /// The only character.
    pub row: Row,
    /// The lease of its shard.
    pub lease: Lease,
}

impl Database {
    /// A new character under a lease that the first server has just taken.
    pub fn new() -> Self {
        let row = Row { version: 1, recoveries: 0, state: History::default(), ring: History::default() };
        Self { row, lease: Lease { epoch: 1, recoveries: 0, released: false } }
    }

    /// Takes over a lease (invariant 4): `epoch + 1`, `recoveries + (NOT released)`, `released = false`.
    pub fn take_over(&mut self, found: Lease) -> Held {
        let (epoch, recoveries) = (found.epoch + 1, found.recoveries + u8::from(!found.released));
        self.lease = Lease { epoch, recoveries, released: false };
        Held { epoch, recoveries }
    }

    /// Returns true if a server still has the lease. Every transaction starts with this check.
    pub fn proves(&self, held: Held) -> bool {
        self.lease.epoch == held.epoch
    }

    /// The upsert of a flush: `… DO UPDATE … WHERE characters.version < EXCLUDED.version`. Returns true if it wrote.
    pub fn upsert(&mut self, row: Row, rules: &Rules) -> bool {
        let writes = self.row.version < row.version || !rules.only_newer_rows;
        if writes {
            self.row = row;
        }
        writes
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}
