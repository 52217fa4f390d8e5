//! The database: the character's row and the lease of its shard.

use crate::history::History;

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

    /// Invariant 4, in one statement: `epoch + 1`, `recoveries + (NOT released)`, `released = false`.
    pub fn take_over(&mut self) -> Held {
        self.lease.epoch += 1;
        self.lease.recoveries += u8::from(!self.lease.released);
        self.lease.released = false;
        Held { epoch: self.lease.epoch, recoveries: self.lease.recoveries }
    }

    /// Whether a server's belief is still true: the first statement of every transaction.
    pub fn proves(&self, held: Held) -> bool {
        self.lease.epoch == held.epoch
    }

    /// The upsert of a flush: `… DO UPDATE … WHERE characters.version < EXCLUDED.version`. Says whether it wrote.
    pub fn upsert(&mut self, row: Row) -> bool {
        let newer = self.row.version < row.version;
        if newer {
            self.row = row;
        }
        newer
    }
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}
