//! A server: a belief in its lease, the character in memory, and at most one flush under way.

use crate::database::{Held, Lease, Row};
use crate::history::{History, IntentId};
use crate::rules::Rules;
use crate::scenario::Scenario;

/// The character in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The present version.
    pub version: u8,
    /// The newest version known to be in the database; the present one where nothing is unflushed.
    pub durable: u8,
    /// The state: the intents applied. Its newest is `last`.
    pub state: History,
    /// The request ids applied last.
    pub ring: History,
}

/// What an intent was made on (rule 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Base {
    /// The id of the intent that made that state.
    After(IntentId),
    /// That state's version; 0 means any.
    Expect(u8),
}

/// What a server makes of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Applied now, or before (rule 5).
    Applied,
    /// Made on another state.
    Conflict,
    /// Too much is unflushed: `overloaded`, to be sent again.
    Overloaded,
}

impl Entry {
    /// The character as loaded under a lease (invariant 3). What is loaded counts as durable, jump and all.
    pub fn load(row: Row, held: Held, rules: &Rules, scenario: &Scenario) -> Self {
        let crashes = if rules.version_jump { held.recoveries.saturating_sub(row.recoveries) } else { 0 };
        let version = row.version + crashes * scenario.jump;
        Self { version, durable: version, state: row.state, ring: row.ring }
    }

    /// Nothing unflushed.
    pub fn is_clean(&self) -> bool {
        self.version == self.durable
    }

    /// The part of the state that is known to be in the database.
    ///
    /// Each version above `durable` was made by one intent.
    pub fn durable_state(&self) -> History {
        self.state.before(usize::from(self.version - self.durable))
    }

    /// Decides an intent (invariant 2): its id first, then what it was made on, then the bound.
    pub fn decide(&mut self, id: IntentId, base: Base, rules: &Rules, scenario: &Scenario) -> Verdict {
        let matches = match base {
            Base::After(last) => last == self.state.last(),
            Base::Expect(version) => version == 0 || version == self.version,
        };
        let known = self.ring.contains(id);
        if known && (rules.ids_before_base || matches) {
            return Verdict::Applied;
        }
        if !matches {
            return Verdict::Conflict;
        }
        if rules.unflushed_bound && self.version - self.durable >= scenario.unflushed_max {
            return Verdict::Overloaded;
        }
        self.version += 1;
        self.state = self.state.with(id);
        self.ring = self.ring.with(id).newest(scenario.ring);
        Verdict::Applied
    }

    /// The row that a flush writes.
    pub fn row(&self, held: Held, rules: &Rules) -> Row {
        let ring = if rules.stored_ring { self.ring } else { History::default() };
        Row { version: self.version, recoveries: held.recoveries, state: self.state, ring }
    }
}

/// How far a flush has come. Its transaction lives in the database and ends with its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flush {
    /// None is under way.
    Idle,
    /// The lease is proven, and its row locked, for this row to be written.
    Proven(Row),
    /// The row is written, not committed.
    Written(Row),
    /// Committed; the answer is on its way.
    Committed(Row),
}

impl Flush {
    /// Whether its transaction is open, and with it the lock on the lease.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Proven(_) | Self::Written(_))
    }
}

/// One of the two servers. Without a lease it has no memory and serves nobody: dead, or fenced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Server {
    /// The lease that it believes to hold.
    pub held: Option<Held>,
    /// The character, once somebody asked for it.
    pub entry: Option<Entry>,
    /// The flush under way.
    pub flush: Flush,
    /// What a takeover has read and not yet acted upon; only where it is not one statement.
    pub taking: Option<Lease>,
    /// It was told to stop: it flushes what it has and takes nobody in.
    pub stopping: bool,
}

impl Server {
    /// A process that has nothing.
    pub const NOTHING: Self = Self { held: None, entry: None, flush: Flush::Idle, taking: None, stopping: false };

    /// It has something that the database has not.
    pub fn is_dirty(&self) -> bool {
        self.entry.is_some_and(|entry| !entry.is_clean())
    }

    /// It takes connections and intents.
    pub fn serves(&self) -> bool {
        self.held.is_some() && !self.stopping
    }
}
