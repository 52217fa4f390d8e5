//! One server with its database, its players, and everything else that exists during a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use castellan_srd::wire::CharacterId;
use rand::rngs::StdRng;

use crate::check::{Finding, Verdict};
use crate::children::Children;
use crate::clock::FakeClock;
use crate::database::{Database, Postgres};
use crate::disk::SmallDisk;
use crate::evidence::Evidence;
use crate::front::Front;
use crate::history::{History, Place};
use crate::judgement::judge;
use crate::memory::MemoryWatch;
use crate::options::{DATABASE_TIMEOUT, RunOptions};
use crate::planted::Bug;
use crate::players::{Crowd, Players};
use crate::replicas::Replicas;
use crate::schedule::Fault;
use crate::servers::{Server, Servers, Setup};
use crate::stage::Stage;

/// Size of the spool's disk, in bytes.
const SPOOL_DISK_BYTES: u64 = 1024 * 1024;

/// Size of a SQLite file's disk, in bytes: room for the recorded writes of a few minutes.
const DATABASE_DISK_BYTES: u64 = 256 * 1024 * 1024;

/// Time limit for the clean stop at the end.
const LAST_STOP: Duration = Duration::from_secs(15);

/// Time between two pings to a player.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// The servers' own time limit for a clean stop.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(4);

/// Everything that exists during a run.
pub(crate) struct World<'a> {
    pub(crate) database: Database<'a>,
    pub(crate) front: Front,
    pub(crate) history: History,
    pub(crate) servers: Servers,
    /// The serving server; `None` only in the middle of a fault.
    pub(crate) present: Option<Server>,
    pub(crate) players: Players,
    /// The disk of the spool.
    pub(crate) disk: Option<SmallDisk>,
    pub(crate) clock: Option<FakeClock>,
    /// Characters with a dead letter that an operator decided on.
    pub(crate) decided: BTreeSet<CharacterId>,
    /// Findings before the check.
    pub(crate) complaints: Vec<Finding>,
    pub(crate) memory: MemoryWatch,
    pub(crate) children: Children,
    folder: PathBuf,
}

impl<'a> World<'a> {
    pub(crate) async fn begin(
        path: &Path,
        replicas: Option<&'a mut Replicas>,
        options: &RunOptions,
    ) -> Result<(Able, Self)> {
        let (spool, data) = (path.join("spool"), path.join("data"));
        let children = Children::watch(path, &[&spool, &data])?;
        let mut able = Able { faults: options.faults.clone(), skipped: BTreeMap::new() };
        let disk = able.try_for(|fault| fault == Fault::SpoolDiskFull, || SmallDisk::mount(&spool, SPOOL_DISK_BYTES));
        let clock = able.try_for(|fault| fault == Fault::ClockMoved, || FakeClock::new(path));
        let (database, place, database_url) = match replicas {
            Some(replicas) => {
                // An earlier run may have ended in the middle of a fault.
                replicas.repair().await?;
                let mut postgres = Postgres::begin(replicas, options.seed).await?;
                let (url, through_proxy) = (postgres.url()?, postgres.url_through_proxy()?);
                (Database::Postgres(postgres), Place::Postgres(url), through_proxy)
            }
            None => {
                let disk = able.try_for(Fault::needs_database_disk, || SmallDisk::mount(&data, DATABASE_DISK_BYTES));
                let place = Place::Sqlite(data.join("castellan.db"));
                let url = place.url();
                (Database::Sqlite(disk), place, url)
            }
        };
        let setup = Setup {
            program: options.server.clone(),
            database_url,
            spool,
            folder: path.to_owned(),
            database_timeout: DATABASE_TIMEOUT,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            ping_interval: PING_INTERVAL,
            characters_max: Crowd::of(options).characters_max,
            planted: options.bug.map(Bug::name),
        };
        let mut servers = Servers::new(setup);
        servers.command_line(&place.url(), &["migrate"]).await?;
        let history = History::set_up(place).await?;
        let present = servers.start(&children, clock.as_ref(), None).await?;
        let front = Front::start().await?;
        front.lead_to(Some(present.address));
        let memory = MemoryWatch::start();
        memory.look_at([present.process()]);
        let players = Players::start(&children, path, front.address(), Crowd::of(options), options.seed)?;
        let world = Self {
            database,
            front,
            history,
            servers,
            present: Some(present),
            players,
            disk,
            clock,
            decided: BTreeSet::new(),
            complaints: Vec::new(),
            memory,
            children,
            folder: path.to_owned(),
        };
        Ok((able, world))
    }

    /// Records if a server ended by itself. Returns true if it did.
    async fn note_server_end(&mut self) -> Result<bool> {
        let ended = match &mut self.present {
            Some(server) => server.ended()?.map(|status| format!("{status}:\n{}", server.last_words())),
            None => None,
        };
        let Some(end) = ended else { return Ok(false) };
        self.complain(format!("the server exited unexpectedly with {end}"));
        self.front.lead_to(None);
        if let Some(server) = self.present.take() {
            self.servers.wait(server, Duration::ZERO).await?;
        }
        Ok(true)
    }

    /// Records which processes had ended by themselves before the run's early end.
    async fn note_ends(&mut self) -> Result<()> {
        self.note_server_end().await?;
        if let Some(status) = self.players.ended()?.filter(|status| !status.success()) {
            self.complain(format!("the players exited unexpectedly with {status}:\n{}", self.players.last_words()));
        }
        Ok(())
    }

    /// Starts a server and forwards the players to it.
    pub(crate) async fn start_server(&mut self, crash_at: Option<(&str, u32)>) -> Result<()> {
        let server = self.servers.start(&self.children, self.clock.as_ref(), crash_at).await?;
        self.make_present(server);
        Ok(())
    }

    /// Forwards the players to a server.
    pub(crate) fn make_present(&mut self, server: Server) -> Option<Server> {
        self.front.lead_to(Some(server.address));
        self.memory.look_at([server.process()]);
        self.present.replace(server)
    }

    async fn gather(&mut self, broken_off: bool) -> Result<Evidence> {
        self.players.kill().await?;
        if let Some(server) = self.present.take() {
            self.servers.kill(server).await?;
        }
        // An interrupted fault may have left the database stopped.
        self.database.repair().await?;
        Ok(Evidence {
            records: self.players.read_records()?,
            traders: self.players.traders()?,
            writes: self.history.writes().await?,
            rows: self.history.rows().await?,
            lifetimes: self.servers.lifetimes(),
            decided: self.decided.clone(),
            broken_off,
        })
    }
}

impl Stage for World<'_> {
    fn players(&mut self) -> &mut Players {
        &mut self.players
    }

    async fn replace_ended(&mut self) -> Result<()> {
        if self.note_server_end().await? { self.start_server(None).await } else { Ok(()) }
    }

    async fn inject(&mut self, fault: Fault, rng: &mut StdRng) -> Result<()> {
        self.inject_fault(fault, rng).await
    }

    async fn stop(&mut self) -> Result<()> {
        let server = self.present.take().context("no server is running at the end")?;
        match self.servers.stop(server, LAST_STOP).await? {
            Some(status) if status.success() => {}
            Some(status) => self.complain(format!("the clean stop at the end exited with {status}")),
            None => self.complain(format!("the clean stop at the end took more than {LAST_STOP:?}")),
        }
        Ok(())
    }

    async fn judge(&mut self, ended: Result<()>) -> Result<Verdict> {
        let broken_off = ended.err();
        if broken_off.is_some() {
            self.note_ends().await?;
        }
        let evidence = self.gather(broken_off.is_some()).await;
        let complaints = std::mem::take(&mut self.complaints);
        judge(evidence, broken_off, complaints, &self.folder, self.memory.peak_kib())
    }
}

/// The faults that are possible on this machine.
pub(crate) struct Able {
    pub(crate) faults: Vec<Fault>,
    /// The impossible ones, and why.
    pub(crate) skipped: BTreeMap<Fault, String>,
}

impl Able {
    /// Makes something that some faults need, if any of them is wanted. If that fails, skips them and keeps the reason.
    fn try_for<T>(&mut self, needs: impl Fn(Fault) -> bool, make: impl FnOnce() -> Result<T>) -> Option<T> {
        if !self.faults.iter().any(|fault| needs(*fault)) {
            return None;
        }
        match make() {
            Ok(made) => Some(made),
            Err(error) => {
                let left_out = self.faults.extract_if(.., |fault| needs(*fault));
                self.skipped.extend(left_out.map(|fault| (fault, format!("{error:#}"))));
                None
            }
        }
    }
}
