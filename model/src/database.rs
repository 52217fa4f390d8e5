//! The database: the character's row and the lease of its shard.

use crate::history::History;
use crate::rules::Rules;

/// The character as the database has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// Its version, from 1.
    pub version: u8,
    /// The lease's `recoveries` when it was written.
    pub recoveries: u8,
    /// Its state: the intents applied. Its newest is `last`.
    pub state: History,
    /// The request ids stored with it.
    pub ring: History,
}

/// The right to write, as the database has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// Counts takeovers.
    pub epoch: u8,
    /// Counts takeovers from a holder that had not released.
    pub recoveries: u8,
    /// The holder gave it back.
    pub released: bool,
}

/// The right to write, as a server believes to have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// The epoch that its takeover made.
    pub epoch: u8,
    /// `recoveries` at that takeover.
    pub recoveries: u8,
}

/// All that survives a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Database {
    /// The only character.
    pub row: Row,
    /// The lease of its shard.
    pub lease: Lease,
}

impl Database {
    /// A fresh character under a lease that the first server has just taken.
    pub fn new() -> Self {
        let row = Row { version: 1, recoveries: 0, state: History::default(), ring: History::default() };
        Self { row, lease: Lease { epoch: 1, recoveries: 0, released: false } }
    }

    /// What a takeover makes of a lease (invariant 4): `epoch + 1`, `recoveries + (NOT released)`, `released = false`.
    pub fn take_over(&mut self, found: Lease) -> Held {
        let (epoch, recoveries) = (found.epoch + 1, found.recoveries + u8::from(!found.released));
        self.lease = Lease { epoch, recoveries, released: false };
        Held { epoch, recoveries }
    }

    /// Whether a server's belief is still true: what every transaction begins with.
    pub fn proves(&self, held: Held) -> bool {
        self.lease.epoch == held.epoch
    }

    /// The upsert of a flush: `… DO UPDATE … WHERE characters.version < EXCLUDED.version`. Says whether it wrote.
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
