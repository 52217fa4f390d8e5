//! Which faults a run goes through, and when: decided by the seed alone, before the run begins.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// What is done to the server, its database, its clients or its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Fault {
    /// `kill -9` of the server at a random moment.
    Kill,
    /// The server dies at a flush, before its transaction begins.
    CrashBeforeTransaction,
    /// The server dies at a flush over SQLite, after the rows are written and before the commit; over PostgreSQL a flush
    /// is one statement.
    CrashAfterWrites,
    /// The server dies at a flush, after the commit and before anybody hears of it.
    CrashAfterCommit,
    /// A clean stop, which loses nothing and exits with 0, and another start.
    Restart,
    /// PostgreSQL drops everything (`pg_ctl stop -m immediate`) and starts again.
    DatabaseCrash,
    /// All processes of PostgreSQL are stopped by SIGSTOP for longer than the server waits.
    DatabaseFreeze,
    /// The connection is cut after a write has reached the database, which commits it, and before its answer comes back.
    CommitAnswerLost,
    /// The connection is cut before a write reaches the database.
    CommitLost,
    /// The server is stopped by SIGSTOP, a second one takes over, the first goes on as a zombie.
    Zombie,
    /// A flush is held up in the database between the proof of its lease and its write, while a second server takes over.
    HeldWrite,
    /// All sockets of clients are cut in the middle of what they carry, several times one behind the other.
    SocketsCut,
    /// Sockets are cut, and whatever the clients send on the next ones arrives twice.
    SentTwice,
    /// The database refuses one character's row; an operator has the dead letter written again.
    RefusedThenRetried,
    /// The database refuses one character's row; an operator discards the dead letter.
    RefusedThenDiscarded,
    /// The database refuses one character's row, and is slow: an operator decides on the dead letter while a newer state
    /// of the character is on its way into the database.
    RefusedWhileWritten,
    /// The database is away while the server stops: it leaves a spool file, and the next start brings it in.
    Spool,
    /// The same with no room on the disk of the spool.
    SpoolDiskFull,
    /// The disk of a SQLite file is full for a while.
    DatabaseDiskFull,
    /// The machine's clock jumps an hour ahead, and back.
    ClockMoved,
}

impl Fault {
    /// Whether it can be done to a server over SQLite, which has no network to its database and no second server.
    pub const fn is_for_sqlite(self) -> bool {
        !matches!(
            self,
            Self::DatabaseCrash
                | Self::DatabaseFreeze
                | Self::CommitAnswerLost
                | Self::CommitLost
                | Self::Zombie
                | Self::HeldWrite
                | Self::RefusedWhileWritten
        )
    }

    /// Whether it can be done to a server over PostgreSQL, whose disk is not ours to fill and which writes and commits in
    /// one.
    pub const fn is_for_postgres(self) -> bool {
        !matches!(self, Self::DatabaseDiskFull | Self::CrashAfterWrites)
    }

    /// Whether it needs a disk for the database alone, where that is SQLite.
    pub const fn needs_database_disk(self) -> bool {
        matches!(self, Self::DatabaseDiskFull | Self::Spool | Self::SpoolDiskFull)
    }

    /// Its name on the command line and in the report.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// One fault of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Undisturbed play before it.
    pub pause: Duration,
    /// What is done.
    pub fault: Fault,
    /// Decides its details.
    pub seed: u64,
}

/// An endless schedule: every chosen fault once in random order, then again in another order, and so on, so that a
/// short run meets as many kinds as it has time for.
pub struct Schedule {
    rng: StdRng,
    faults: Vec<Fault>,
    round: Vec<Fault>,
}

impl Schedule {
    /// The schedule of a seed over these faults.
    pub fn new(seed: u64, faults: &[Fault]) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), faults: faults.to_vec(), round: Vec::new() }
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.round.is_empty() {
            self.round.clone_from(&self.faults);
            self.round.shuffle(&mut self.rng);
        }
        let pause = Duration::from_millis(self.rng.random_range(100..1_500));
        Some(Step { pause, fault: self.round.pop()?, seed: self.rng.random() })
    }
}

/// How often each fault was gone through.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally(BTreeMap<Fault, u32>);

impl Tally {
    /// Counts one.
    pub fn count(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    /// Adds what another run went through.
    pub fn add(&mut self, other: &Self) {
        for (fault, count) in &other.0 {
            *self.0.entry(*fault).or_default() += count;
        }
    }

    /// How many in all.
    pub fn total(&self) -> u32 {
        self.0.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_schedule_and_every_fault_once_a_round() {
        let all = Fault::value_variants();
        let steps = |seed| Schedule::new(seed, all).take(3 * all.len()).collect::<Vec<_>>();
        assert_eq!(steps(7), steps(7));
        assert_ne!(steps(7), steps(8));
        for round in steps(7).chunks(all.len()) {
            let mut faults: Vec<Fault> = round.iter().map(|step| step.fault).collect();
            faults.sort();
            assert_eq!(faults, all);
        }
    }

    #[test]
    fn without_faults_there_is_no_step() {
        assert_eq!(Schedule::new(1, &[]).next(), None);
    }
}
