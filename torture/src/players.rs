//! The players of a run: a process of this program with real clients, each of which keeps a record.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Result, bail};
use castellan_srd::wire::CharacterId;
use client_sim::recorded::{READY, trader};
use rustix::process::Signal;
use tokio::process::{ChildStdin, Command};

use crate::children::{Children, Process};
use crate::evidence::Record;
use crate::options::RunOptions;

/// How many players there are, and how busy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    /// Users, each with one character.
    pub(crate) users: u32,
    /// Traders, each with one character.
    pub(crate) traders: u32,
    /// Rate of each client and each trader.
    pub(crate) intents_per_second: f64,
    /// Characters and users in a server's memory: fewer than exist, so that they are loaded
    /// and evicted all the time. A node may have to serve all of them.
    pub(crate) characters_max: u32,
}

impl Crowd {
    /// For one server.
    const ONE_SERVER: Self = Self { users: 16, traders: 6, intents_per_second: 12.0, characters_max: 26 };

    /// For a cluster: the same load by twice as many, so that more shards have players when they move.
    const CLUSTER: Self = Self { users: 32, traders: 8, intents_per_second: 6.0, characters_max: 40 };

    /// Almost only traders, who watch and so stay in memory.
    const BAZAAR: Self = Self { users: 4, traders: 32, intents_per_second: 6.0, characters_max: 70 };

    /// The crowd of a run.
    pub(crate) fn of(options: &RunOptions) -> Self {
        match options {
            RunOptions { bazaar: true, .. } => Self::BAZAAR,
            RunOptions { cluster: true, .. } => Self::CLUSTER,
            _ => Self::ONE_SERVER,
        }
    }
}

/// Time limit for players to begin, and at the end for all their intents to become durable.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The players, running or ended.
pub(crate) struct Players {
    process: Process,
    input: Option<ChildStdin>,
    folder: PathBuf,
    /// The folder of their records.
    pub(crate) records: PathBuf,
}

impl Players {
    /// Starts them. They reach their servers through `front`.
    pub(crate) fn start(
        children: &Children,
        folder: &Path,
        front: SocketAddr,
        crowd: Crowd,
        seed: u64,
    ) -> Result<Self> {
        let records = folder.join("records");
        std::fs::create_dir(&records)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("players").arg(format!("http://{front}")).arg(&records);
        command.args(["--users", &crowd.users.to_string(), "--seed", &seed.to_string()]);
        command.args(["--traders", &crowd.traders.to_string()]);
        command.args(["--intents-per-second", &crowd.intents_per_second.to_string()]);
        command.args(["--patience-seconds", &PATIENCE.as_secs().to_string()]);
        command.stdin(std::process::Stdio::piped());
        let mut process = children.start(&mut command, &folder.join("players"))?;
        let input = process.take_input();
        Ok(Self { process, input, folder: folder.to_owned(), records })
    }

    /// Their exit status, if they have ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.ended()
    }

    /// Every player has its character.
    pub(crate) fn are_ready(&self) -> bool {
        self.said(|line| line == READY)
    }

    /// A player got an impossible answer.
    pub(crate) fn are_alarmed(&self) -> bool {
        self.said(|line| line != READY)
    }

    fn said(&self, what: impl Fn(&str) -> bool) -> bool {
        let said = std::fs::read_to_string(self.folder.join("players.out")).unwrap_or_default();
        said.lines().any(what)
    }

    /// Sends them a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Their error output.
    pub(crate) fn last_words(&self) -> String {
        std::fs::read_to_string(self.folder.join("players.err")).unwrap_or_default()
    }

    /// Waits until everything they did is durable.
    pub(crate) async fn finish(&mut self) -> Result<()> {
        self.input = None;
        match self.process.wait(2 * PATIENCE).await? {
            Some(status) if status.success() => Ok(()),
            Some(_) => bail!("a player failed; the players did not finish"),
            None => bail!("the players did not end within {:?}", 2 * PATIENCE),
        }
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// The characters of the traders.
    pub(crate) fn traders(&self) -> Result<BTreeSet<CharacterId>> {
        Ok(trader::characters(&self.records)?.into_iter().collect())
    }

    /// All records.
    pub(crate) fn read_records(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in std::fs::read_dir(&self.records)? {
            records.extend(Record::read(&entry?.path())?);
        }
        Ok(records)
    }
}
