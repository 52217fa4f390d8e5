//! A database with a synchronous standby, as PostgreSQL has it: a commit waits until the standby has it too.
//!
//! A commit that waits has happened already, but nobody sees it yet and its locks are held. Its wait ends in one of
//! four ways. The standby gets it. The wait is cancelled, or the database restarts: then everyone sees what the next
//! failover may still revoke. Or a failover revokes it.
//!
//! Source: PostgreSQL documentation, "Synchronous Replication", and `SyncRepWaitForLSN` in its source.

use std::collections::VecDeque;
use std::sync::Arc;

use castellan_protocol::CharacterId;
use uuid::Uuid;

use super::tables::Tables;
use crate::storage::{Lease, ShardId, StorageError};

/// Rules for a storage that several processes use, over a replicated database. A simulation that leaves one out must find a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// A takeover answers after it has reached the standby.
    pub takeovers_wait: bool,
    /// A load, a proof or a look-up answers after everything that it saw has reached the standby.
    pub reads_wait: bool,
    /// A commit that succeeded with a warning, because its wait was cancelled, counts as unknown.
    pub warnings_count: bool,
    /// A call that takes too long cancels its commit. Otherwise the commit goes on waiting, with its locks.
    pub cancels: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { takeovers_wait: true, reads_wait: true, warnings_count: true, cancels: true }
    }
}

/// The purpose of a transaction. The rules treat each purpose differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    TakeOver,
    Read,
    /// Reads without a lock, or writes only if it must: what it saw is confirmed by a commit of its own.
    LookUp,
    Write,
}

/// A row that a transaction locks until it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// The lease of this shard, shared: it holds.
    Holds(ShardId),
    /// The lease of this shard, alone: it changes.
    Takes(ShardId),
    Character(CharacterId),
    Letter(CharacterId),
    /// Accounts, sessions and keys, all together.
    Accounts,
    /// A registered process.
    Process(Uuid),
    /// Registrations wait for one another.
    Registration,
}

impl Lock {
    fn conflicts(self, other: Self) -> bool {
        match (self, other) {
            (Self::Holds(_), Self::Holds(_)) => false,
            (Self::Holds(one) | Self::Takes(one), Self::Holds(other) | Self::Takes(other)) => one == other,
            (one, other) => one == other,
        }
    }

    /// The locks that prove leases. A lease that is lost already is not locked.
    pub(super) fn held(tables: &Tables, leases: &[Lease]) -> Vec<Self> {
        leases.iter().filter(|lease| tables.holds(lease)).map(|lease| Self::Holds(lease.shard)).collect()
    }
}

/// Repeats a commit on rows that do not have it yet.
type Change = Arc<dyn Fn(&mut Tables) + Send + Sync>;

/// A commit that the standby does not have.
struct Commit {
    number: u64,
    change: Change,
    locks: Vec<Lock>,
    is_visible: bool,
}

/// The primary and its standby.
#[derive(Default)]
pub(super) struct Primary {
    /// What a transaction sees.
    pub(super) visible: Tables,
    /// The commits that the standby does not have. `None` if it has all of them.
    lag: Option<Lag>,
    /// The standby is not connected: commits wait.
    standby_is_away: bool,
    commits: u64,
    /// Number of restarts and failovers; each cuts all connections.
    pub(super) cuts: u64,
    pub(super) rules: Rules,
}

/// The standby's rows, and the commits that it does not have, oldest first.
struct Lag {
    replicated: Tables,
    missing: VecDeque<Commit>,
}

/// What became of a step of a transaction.
pub(super) enum Step<T> {
    Done(T),
    /// Committed under this number; the answer must wait for the standby.
    Waits(u64, T),
}

/// How a commit that waits stands.
pub(super) enum Fate {
    Waits,
    Replicated,
    /// Visible to all, but not replicated.
    Cancelled,
    /// The connection broke.
    Unknown,
}

impl Primary {
    /// True if a commit that waits holds one of these locks.
    pub(super) fn is_locked(&self, locks: &[Lock]) -> bool {
        let mut held = self.waiting().flat_map(|commit| &commit.locks);
        held.any(|held| locks.iter().any(|lock| lock.conflicts(*held)))
    }

    fn waiting(&self) -> impl Iterator<Item = &Commit> {
        self.lag.iter().flat_map(|lag| &lag.missing).filter(|commit| !commit.is_visible)
    }

    /// Performs a transaction whose locks are free, and commits it. A transaction without locks writes nothing; it
    /// waits for nothing either, unless it is a look-up.
    pub(super) fn commit<T>(
        &mut self,
        purpose: Purpose,
        locks: Vec<Lock>,
        step: impl Fn(&mut Tables) -> Result<T, StorageError> + Send + Sync + 'static,
    ) -> Result<Step<T>, StorageError> {
        if !self.standby_is_away && self.lag.is_none() {
            return step(&mut self.visible).map(Step::Done);
        }
        let result = step(&mut self.visible.clone())?;
        if locks.is_empty() && purpose != Purpose::LookUp {
            return Ok(Step::Done(result));
        }
        let replicated = &self.visible;
        let lag = self.lag.get_or_insert_with(|| Lag { replicated: replicated.clone(), missing: VecDeque::new() });
        self.commits += 1;
        let change = Arc::new(move |tables: &mut Tables| drop(step(tables)));
        lag.missing.push_back(Commit { number: self.commits, change, locks, is_visible: false });
        let waits = match purpose {
            Purpose::TakeOver => self.rules.takeovers_wait,
            Purpose::Read | Purpose::LookUp => self.rules.reads_wait,
            Purpose::Write => true,
        };
        if waits {
            return Ok(Step::Waits(self.commits, result));
        }
        let number = self.commits;
        self.cancel(|waiting| waiting == number);
        Ok(Step::Done(result))
    }

    /// What became of a commit that was made after so many cuts.
    pub(super) fn fate(&self, number: u64, cuts: u64) -> Fate {
        if self.cuts != cuts {
            return Fate::Unknown;
        }
        let mut missing = self.lag.iter().flat_map(|lag| &lag.missing);
        match missing.find(|commit| commit.number == number) {
            None => Fate::Replicated,
            Some(commit) if commit.is_visible => Fate::Cancelled,
            Some(_) => Fate::Waits,
        }
    }

    /// The rows that a failover would leave.
    pub(super) fn replicated(&self) -> &Tables {
        self.lag.as_ref().map_or(&self.visible, |lag| &lag.replicated)
    }

    pub(super) fn standby_leaves(&mut self) {
        self.standby_is_away = true;
    }

    pub(super) fn standby_returns(&mut self) {
        self.standby_receives(usize::MAX);
        self.standby_is_away = false;
    }

    /// The standby gets so many of the commits that it lacks, in their order.
    pub(super) fn standby_receives(&mut self, count: usize) {
        let Some(lag) = &mut self.lag else { return };
        for _ in 0..count {
            let Some(commit) = lag.missing.pop_front() else { break };
            repeat(&commit, &mut lag.replicated);
            if !commit.is_visible {
                repeat(&commit, &mut self.visible);
            }
        }
        if lag.missing.is_empty() {
            self.lag = None;
        }
    }

    /// Ends the wait of these commits: from now on everyone sees them.
    pub(super) fn cancel(&mut self, is_meant: impl Fn(u64) -> bool) {
        let missing = self.lag.iter_mut().flat_map(|lag| &mut lag.missing);
        for commit in missing.filter(|commit| !commit.is_visible && is_meant(commit.number)) {
            commit.is_visible = true;
            repeat(commit, &mut self.visible);
        }
    }

    /// Everything that was committed is visible; all connections are cut.
    pub(super) fn restart(&mut self) {
        self.cancel(|_| true);
        self.cuts += 1;
    }

    /// The standby takes the place of the primary, and gets a standby of its own. Returns the old primary: it runs on
    /// for those who still reach it, and its commits wait for ever.
    pub(super) fn fail_over(&mut self) -> Self {
        let mut visible = self.replicated().clone();
        visible.refused.clone_from(&self.visible.refused);
        let promoted = Self { visible, cuts: self.cuts + 1, rules: self.rules, ..Self::default() };
        let mut old = std::mem::replace(self, promoted);
        old.restart();
        old.standby_leaves();
        old
    }
}

/// Makes a change that was accepted before. No constraint is asked again.
fn repeat(commit: &Commit, tables: &mut Tables) {
    let refused = std::mem::take(&mut tables.refused);
    (commit.change)(tables);
    tables.refused = refused;
}
