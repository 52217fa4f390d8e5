//! The settings of a run.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::measure::Cores;

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// First start to first login.
    Start,
    /// Cold loads of users from the database.
    Cold,
    /// Memory of idle connections.
    Idle,
    /// Closed loops.
    Closed,
    /// Closed loops with `ack: "durable"`.
    Durable,
    /// Open loops.
    Open,
    /// Many characters, a popular one, little memory. Takes minutes and runs only if requested.
    Cliff,
    /// Players while others attack the server. Takes ten minutes and runs only if requested.
    Attacks,
    /// The cost of TLS. Runs only if requested.
    Tls,
    /// A gateway and its nodes beside a server, and moves of shards, on PostgreSQL. Runs only if requested.
    Cluster,
    /// Trades between pairs of players: how many a second, and how long they take. Runs only if requested.
    Trade,
}

impl Part {
    /// Returns true if it runs without being requested: it then compares the servers with the echoes.
    pub fn runs_by_default(self) -> bool {
        !matches!(self, Self::Cliff | Self::Attacks | Self::Tls | Self::Cluster | Self::Trade)
    }
}

/// The settings of a run.
#[derive(Debug)]
pub struct RunSettings {
    /// The server's executable.
    pub server: PathBuf,
    /// Another build of the server, measured in turn with the first one.
    pub against: Option<PathBuf>,
    /// URL of an empty PostgreSQL database; without it the server runs only on SQLite.
    pub postgres: Option<String>,
    /// The same for the other build; without it that build runs only on SQLite.
    pub against_postgres: Option<String>,
    /// Folder for the servers' files.
    pub place: PathBuf,
    /// The cores.
    pub cores: Cores,
    /// Rounds of each kind.
    pub rounds: usize,
    /// Measured time of a round.
    pub time: Duration,
    /// Warm-up before it.
    pub warm_up: Duration,
    /// Number of players.
    pub players: usize,
    /// Rows in the database of the part `cliff`.
    pub rows: usize,
    /// Times that the part `cluster` drains a node and gives it its shards back.
    pub moves: usize,
    /// The parts to run.
    pub parts: Vec<Part>,
    /// Loads to run, such as `64x16`; empty for all.
    pub loads: Vec<String>,
}

impl RunSettings {
    /// Returns true if it has this part.
    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Returns true if it has this load.
    pub(crate) fn has_load(&self, connections: usize, of_each: usize) -> bool {
        self.loads.is_empty() || self.loads.contains(&format!("{connections}x{of_each}"))
    }
}
