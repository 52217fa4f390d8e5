//! A server: its lease, as it believes, the character in memory, and at most one running flush.

use crate::database::{Held, Lease, Row};
use crate::history::{History, IntentId};
use crate::rules::Rules;
use crate::scenario::Scenario;

/// The character in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The current version.
    pub version: u8,
    /// The newest version known to be in the database; the current one if nothing is unflushed.
    pub durable: u8,
    /// The state: the applied intents. The newest is `last`.
    pub state: History,
    /// The most recently applied request ids.
    pub ring: History,
}

/// The base of an intent (rule 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Base {
    /// The id of the intent that produced the base.
    After(IntentId),
    /// The version of the base; 0 means any.
    Expect(u8),
}

/// A server's decision on an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Applied now, or before (rule 5).
    Applied,
    /// Based on another state.
    Conflict,
    /// Too much is unflushed: `overloaded`; must be sent again.
    Overloaded,
}

impl Entry {
    /// The character as loaded under a lease (invariant 3). A loaded version counts as durable, including the jump.
    pub fn load(row: Row, held: Held, rules: &Rules, scenario: &Scenario) -> Self {
        let crashes = if rules.version_jump { held.recoveries.saturating_sub(row.recoveries) } else { 0 };
        let version = row.version + crashes * scenario.jump;
        Self { version, durable: version, state: row.state, ring: row.ring }
    }

    /// Returns true if nothing is unflushed.
    pub fn is_clean(&self) -> bool {
        self.version == self.durable
    }

    /// The state that is known to be in the database.
    ///
    /// Each version above `durable` comes from one intent.
    pub fn durable_state(&self) -> History {
        self.state.before(usize::from(self.version - self.durable))
    }

    /// Decides about an intent (invariant 2): first its id, then its base, then the bound.
    pub fn decide(&mut self, id: IntentId, base: Base, rules: &Rules, scenario: &Scenario) -> Decision {
        let matches = match base {
            Base::After(last) => last == self.state.last(),
            Base::Expect(version) => version == 0 || version == self.version,
        };
        let known = self.ring.contains(id);
        if known && (rules.ids_before_base || matches) {
            return Decision::Applied;
        }
        if !matches {
            return Decision::Conflict;
        }
        if rules.unflushed_bound && self.version - self.durable >= scenario.unflushed_max {
            return Decision::Overloaded;
        }
        self.version += 1;
        self.state = self.state.with(id);
        self.ring = self.ring.with(id).newest(scenario.ring);
        Decision::Applied
    }

    /// The row that a flush writes.
    pub fn row(&self, held: Held, rules: &Rules) -> Row {
        let ring = if rules.stored_ring { self.ring } else { History::default() };
        Row { version: self.version, recoveries: held.recoveries, state: self.state, ring }
    }
}

/// The progress of a flush. Its transaction lives in the database and ends with its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flush {
    /// No flush is running.
    Idle,
    /// The lease is proven and locked; this row will be written.
    Proven(Row),
    /// The row is written but not committed.
    Written(Row),
    /// Committed; the answer is in transit.
    Committed(Row),
}

impl Flush {
    /// Returns true while its transaction is open, which holds the lock on the lease.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Proven(_) | Self::Written(_))
    }
}

/// One of the two servers. A server without a lease has no memory and serves nobody: it is dead or fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Server {
    /// The lease that it believes it has.
    pub held: Option<Held>,
    /// The character, once loaded.
    pub entry: Option<Entry>,
    /// The running flush.
    pub flush: Flush,
    /// The lease read by an unfinished takeover; only if a takeover is not one statement.
    pub taking: Option<Lease>,
    /// True once told to stop: it flushes everything and accepts no clients.
    pub stopping: bool,
}

impl Server {
    /// A process without state.
    pub const NOTHING: Self = Self { held: None, entry: None, flush: Flush::Idle, taking: None, stopping: false };

    /// Returns true if its character is dirty.
    pub fn is_dirty(&self) -> bool {
        self.entry.is_some_and(|entry| !entry.is_clean())
    }

    /// Returns true if it accepts connections and intents.
    pub fn serves(&self) -> bool {
        self.held.is_some() && !self.stopping
    }
}
