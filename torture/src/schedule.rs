//! The faults of a run and their times, decided by the seed alone.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// A fault of the server, its database, its clients or its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Fault {
    /// `kill -9` of the server at a random moment.
    Kill,
    /// The server dies at a flush, before its transaction begins.
    CrashBeforeTransaction,
    /// The server dies at a flush to SQLite, after writing the rows and before the commit. On PostgreSQL a flush is one
    /// statement.
    CrashAfterWrites,
    /// The server dies at a flush, after the commit and before anybody is told.
    CrashAfterCommit,
    /// A clean stop, which loses nothing and exits with 0, and a new start.
    Restart,
    /// PostgreSQL crashes (`pg_ctl stop -m immediate`) and starts again.
    DatabaseCrash,
    /// All processes of PostgreSQL are suspended (SIGSTOP) for longer than the server waits.
    DatabaseFreeze,
    /// The connection is cut after a write has reached the database, which commits it, but before the answer returns.
    CommitAnswerLost,
    /// The connection is cut before a write reaches the database.
    CommitLost,
    /// The server is suspended (SIGSTOP), a second one takes over, the first continues as a zombie.
    Zombie,
    /// A flush is held in the database between the proof of its lease and its write, while a second server takes over.
    HeldWrite,
    /// All client sockets are cut in the middle of their data, several times in a row.
    SocketsCut,
    /// Sockets are cut, and the clients' first messages on the next ones arrive twice.
    SentTwice,
    /// The database refuses one character's row; an operator retries the dead letter.
    RefusedThenRetried,
    /// The database refuses one character's row; an operator discards the dead letter.
    RefusedThenDiscarded,
    /// The database refuses one character's row and is slow: an operator decides on the dead letter while a newer state
    /// of the character is being written.
    RefusedWhileWritten,
    /// The database is unreachable while the server stops: the server leaves a spool file, and stores its contents in
    /// the database at the next start.
    Spool,
    /// The same with a full disk for the spool.
    SpoolDiskFull,
    /// The disk of a SQLite file is full for a while.
    DatabaseDiskFull,
    /// The machine's clock jumps an hour ahead, and back.
    ClockMoved,
    /// The primary dies and the standby is promoted; a new standby is made.
    Failover,
    /// The primary stops cleanly, the standby is promoted, and the old primary follows it.
    Switchover,
    /// The standby is away for some seconds: nothing becomes durable, and play goes on.
    StandbyAway,
    /// The standby is away, and a restart of the primary makes rows visible that only the primary has. A server reads
    /// them. Then the primary and the server die, and the standby without these rows is promoted.
    VisibleThenLost,
    /// An operator cancels commits that wait for the standby (`pg_cancel_backend`): the commits look successful. In
    /// half of the cases, the primary and the server then die.
    CommitCancelled,
    /// The old primary was not stopped when the standby was promoted, and servers reach it again for a moment.
    OldPrimaryReturns,
    /// A node gives its shards away, and meanwhile it or another node dies, or it is cut off from the database or from
    /// gateways, or is suspended.
    DrainInterrupted,
    /// A node gives its shards away (`castellan drain`), and gets them back (`castellan undrain`).
    NodeDrained,
    /// For 12 s another node should give its shards away every 2 s.
    TargetsChange,
    /// A node stops cleanly, which exits with 0, and starts again.
    NodeRestarted,
    /// `kill -9` of a node, and a new start.
    NodeKilled,
    /// A node is suspended (SIGSTOP) for 6 to 20 s: others take its shards. Then it continues.
    NodeFrozen,
    /// A node cannot reach the database for 2 to 12 s.
    NodeCutOff,
    /// The links to a node are cut and refused for a while: all of them, or some.
    LinkCut,
    /// No byte passes on the links to a node for 3 s: on all of them, or some.
    LinkSilent,
    /// Another process takes the place of a gateway, with all connections (`castellan gateway --replace`).
    GatewayReplaced,
    /// `kill -9` of a gateway, and a new start.
    GatewayKilled,
    /// A node hands a shard over, and does not get the answer of the database.
    TransferAnswerLost,
    /// Nobody can reach the database for 3 s.
    DatabaseAway,
}

/// The faults of a cluster. The first ones are the most telling: a short run gets no further.
const OF_CLUSTER: [Fault; 18] = [
    Fault::DrainInterrupted,
    Fault::NodeDrained,
    Fault::NodeCutOff,
    Fault::LinkSilent,
    Fault::NodeKilled,
    Fault::NodeFrozen,
    Fault::NodeRestarted,
    Fault::TargetsChange,
    Fault::GatewayReplaced,
    Fault::LinkCut,
    Fault::GatewayKilled,
    Fault::TransferAnswerLost,
    Fault::DatabaseAway,
    Fault::DatabaseCrash,
    Fault::CommitAnswerLost,
    Fault::CommitLost,
    Fault::SocketsCut,
    Fault::SentTwice,
];

/// The faults of a cluster that a run of a minute has time for.
const TELLING: usize = 4;

impl Fault {
    /// Returns true if it is possible on SQLite, which has no network to its database and no second server.
    pub const fn is_for_sqlite(self) -> bool {
        !self.needs_standby()
            && !self.needs_cluster()
            && !matches!(
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

    /// Returns true if it is possible on PostgreSQL, which writes and commits in one statement and whose disk the torture
    /// cannot fill.
    pub const fn is_for_postgres(self) -> bool {
        !self.needs_standby()
            && !self.needs_cluster()
            && !matches!(self, Self::DatabaseDiskFull | Self::CrashAfterWrites)
    }

    /// Returns true if it is for PostgreSQL with a standby: all faults that need one, and those of a commit, a database
    /// or a server that a standby may change.
    pub const fn is_for_pair(self) -> bool {
        self.needs_standby()
            || matches!(
                self,
                Self::Kill
                    | Self::Restart
                    | Self::DatabaseCrash
                    | Self::CommitAnswerLost
                    | Self::CommitLost
                    | Self::Zombie
                    | Self::RefusedThenRetried
                    | Self::RefusedThenDiscarded
            )
    }

    /// Returns true if it needs a standby.
    pub const fn needs_standby(self) -> bool {
        matches!(
            self,
            Self::Failover
                | Self::Switchover
                | Self::StandbyAway
                | Self::VisibleThenLost
                | Self::CommitCancelled
                | Self::OldPrimaryReturns
        )
    }

    /// Returns true if it is for three nodes and two gateways.
    pub fn is_for_cluster(self) -> bool {
        OF_CLUSTER.contains(&self)
    }

    /// Returns true if it needs nodes and gateways.
    pub const fn needs_cluster(self) -> bool {
        self.is_planned()
            || matches!(
                self,
                Self::DrainInterrupted
                    | Self::NodeKilled
                    | Self::NodeFrozen
                    | Self::NodeCutOff
                    | Self::LinkCut
                    | Self::LinkSilent
                    | Self::GatewayKilled
                    | Self::TransferAnswerLost
                    | Self::DatabaseAway
            )
    }

    /// Returns true if shards or connections move by plan and nothing breaks: no socket may be closed.
    pub const fn is_planned(self) -> bool {
        matches!(self, Self::NodeDrained | Self::TargetsChange | Self::NodeRestarted | Self::GatewayReplaced)
    }

    /// Returns true if it needs a separate disk for a SQLite database.
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
    /// Time without faults before it.
    pub pause: Duration,
    /// The fault.
    pub fault: Fault,
    /// Seed of its details.
    pub seed: u64,
}

/// An endless schedule: all chosen faults in random order, then all in another order, and so on. So even a short run
/// has as many kinds as possible.
pub struct Schedule {
    rng: StdRng,
    faults: Vec<Fault>,
    round: Vec<Fault>,
}

impl Schedule {
    /// The schedule of these faults for a seed.
    pub fn new(seed: u64, faults: &[Fault]) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), faults: faults.to_vec(), round: Vec::new() }
    }

    /// The same for a cluster. Its faults take longer, so the first round begins with the most telling ones.
    pub fn of_cluster(seed: u64, faults: &[Fault]) -> Self {
        let mut schedule = Self::new(seed, faults);
        let mut round: Vec<Fault> = OF_CLUSTER.into_iter().filter(|fault| faults.contains(fault)).collect();
        let telling = TELLING.min(round.len());
        let (telling, rest) = round.split_at_mut(telling);
        telling.shuffle(&mut schedule.rng);
        rest.shuffle(&mut schedule.rng);
        // The last one is next.
        round.reverse();
        schedule.round = round;
        schedule
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

/// The number of times that each fault was injected.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally(BTreeMap<Fault, u32>);

impl Tally {
    /// Counts a fault.
    pub fn count(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (fault, count) in &other.0 {
            *self.0.entry(*fault).or_default() += count;
        }
    }

    /// The sum.
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
    fn a_cluster_suffers_the_most_telling_faults_first_and_every_fault_once_a_round() {
        let all = Vec::from_iter(Fault::value_variants().iter().copied().filter(|fault| fault.is_for_cluster()));
        assert_eq!(all.len(), OF_CLUSTER.len());
        let mut first: Vec<Fault> = Schedule::of_cluster(7, &all).take(all.len()).map(|step| step.fault).collect();
        first[..TELLING].sort();
        let mut telling = OF_CLUSTER[..TELLING].to_vec();
        telling.sort();
        assert_eq!(first[..TELLING], telling);
        first.sort();
        assert_eq!(first, all);
    }

    #[test]
    fn a_schedule_without_faults_is_empty() {
        assert_eq!(Schedule::new(1, &[]).next(), None);
        assert_eq!(Schedule::of_cluster(1, &[]).next(), None);
    }
}
