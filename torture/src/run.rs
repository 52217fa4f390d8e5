//! One run: everything is started, the schedule gone through, everything left to settle, and the evidence checked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use castellan_srd::wire::CharacterId;
use client_sim::player::READY;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sqlx::{Connection, PgConnection};
use tokio::process::{ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::Instant;
use xtask::postgres::Cluster;

use crate::check::{Rule, Verdict, Violation, check};
use crate::children::{Children, Process};
use crate::clock::FakeClock;
use crate::database::{Database, Postgres};
use crate::database_proxy::DatabaseProxy;
use crate::disk::SmallDisk;
use crate::evidence::{Evidence, Ledger};
use crate::folder::Folder;
use crate::front::Front;
use crate::history::{History, Place};
use crate::memory::MemoryWatch;
use crate::panics::panics;
use crate::planted::Bug;
use crate::schedule::{Fault, Schedule, Step, Tally};
use crate::servers::{Server, Servers, Setup};

/// Users of a run.
const USERS: u32 = 16;

/// Characters and users that a server keeps in memory: less than there are, so that they come and go all the time.
const CHARACTERS_MAX: u32 = 26;

/// Size of the disk that the spool is on, in bytes.
const SPOOL_DISK_BYTES: u64 = 1024 * 1024;

/// Size of the disk that a SQLite file is on, in bytes: room for what is noted of every write of a few minutes.
const DATABASE_DISK_BYTES: u64 = 256 * 1024 * 1024;

/// How long servers wait for a statement.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The most memory that a server may take, in KiB: several times what it takes unharmed, built without optimisation.
const MEMORY_KIB_MAX: u64 = 256 * 1024;

/// How long players may take to begin, and at the end to bring everything to the database.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the last server may take for its clean stop.
const LAST_STOP: Duration = Duration::from_secs(15);

/// What to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's program, built with the hooks.
    pub server: PathBuf,
    /// How long faults go on.
    pub duration: Duration,
    /// Decides the schedule and what the players do.
    pub seed: u64,
    /// The faults to choose from.
    pub faults: Vec<Fault>,
    /// The bug to plant.
    pub bug: Option<Bug>,
    /// Where ledgers and logs go and stay; without it they go with the run.
    pub keep: Option<PathBuf>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// What the check found, and what was seen before it.
    pub verdict: Verdict,
    /// The faults gone through.
    pub tally: Tally,
    /// Faults that this machine cannot do, and why.
    pub skipped: BTreeMap<Fault, String>,
    /// The most memory that a server took, in KiB.
    pub memory_kib: u64,
    /// Where ledgers and logs are.
    pub folder: Folder,
}

/// Everything that is there while a run goes on.
pub(crate) struct World<'a> {
    pub(crate) database: Database<'a>,
    pub(crate) front: Front,
    pub(crate) history: History,
    pub(crate) servers: Servers,
    /// The server that serves; `None` only in the middle of a fault.
    pub(crate) present: Option<Server>,
    players: Process,
    players_input: Option<ChildStdin>,
    /// The disk of the spool.
    pub(crate) disk: Option<SmallDisk>,
    pub(crate) clock: Option<FakeClock>,
    /// Characters of which an operator had a dead letter settled.
    pub(crate) settled: BTreeSet<CharacterId>,
    /// What is wrong already.
    pub(crate) complaints: Vec<Violation>,
    memory: MemoryWatch,
    pub(crate) children: Children,
    folder: PathBuf,
}

/// Runs over a PostgreSQL, or where none is given over SQLite. `interrupted` ends it early; then there is no outcome.
///
/// # Errors
///
/// What kept the run from running. What the server did wrong is in the outcome.
pub async fn run(
    cluster: Option<&mut Cluster>,
    options: &Options,
    interrupted: watch::Receiver<bool>,
) -> Result<Outcome> {
    let folder = Folder::new(options.keep.as_deref(), options.seed)?;
    let outcome = run_in(&folder, cluster, options, interrupted).await;
    outcome.with_context(|| format!("ledgers and logs are in {}", folder.path().display()))
}

async fn run_in(
    folder: &Folder,
    cluster: Option<&mut Cluster>,
    options: &Options,
    interrupted: watch::Receiver<bool>,
) -> Result<Outcome> {
    let (Able { faults, skipped }, mut world) = World::begin(folder.path(), cluster, options).await?;
    let mut tally = Tally::default();
    let ended = tokio::select! {
        ended = world.play(options, &faults, &mut tally) => ended,
        () = interruption(interrupted.clone()) => Err(anyhow::anyhow!("interrupted")),
    };
    if ended.is_err() && *interrupted.borrow() {
        bail!("interrupted");
    }
    let memory_kib = world.memory.peak_kib();
    let verdict = tokio::select! {
        verdict = world.judge(ended) => verdict?,
        () = interruption(interrupted.clone()) => bail!("interrupted"),
    };
    Ok(Outcome { verdict, tally, skipped, memory_kib, folder: folder.clone() })
}

async fn interruption(mut interrupted: watch::Receiver<bool>) {
    if interrupted.wait_for(|interrupted| *interrupted).await.is_err() {
        std::future::pending().await
    }
}

impl<'a> World<'a> {
    async fn begin(path: &Path, cluster: Option<&'a mut Cluster>, options: &Options) -> Result<(Able, Self)> {
        let (spool, data) = (path.join("spool"), path.join("data"));
        let children = Children::watch(path, &[&spool, &data])?;
        let mut able = Able { faults: options.faults.clone(), skipped: BTreeMap::new() };
        let disk = able.try_for(|fault| fault == Fault::SpoolDiskFull, || SmallDisk::mount(&spool, SPOOL_DISK_BYTES));
        let clock = able.try_for(|fault| fault == Fault::ClockMoved, || FakeClock::new(path));
        let (database, place, database_url) = match cluster {
            Some(cluster) => {
                let url = new_database(&cluster.url(), options.seed).await?;
                let address = address_of(&url)?;
                let proxy = DatabaseProxy::start(address).await?;
                let through_proxy = url.replacen(&address.to_string(), &proxy.address().to_string(), 1);
                (Database::Postgres(Postgres { cluster, proxy }), Place::Postgres(url), through_proxy)
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
            characters_max: CHARACTERS_MAX,
            planted: options.bug.map(Bug::name),
        };
        let mut servers = Servers::new(setup);
        servers.command_line(&place.url(), &["migrate"]).await?;
        let history = History::set_up(place).await?;
        let present = servers.start(&children, clock.as_ref(), None).await?;
        let front = Front::start().await?;
        front.lead_to(Some(present.address));
        let memory = MemoryWatch::start();
        memory.look_at(present.process());
        let (players, players_input) = start_players(&children, path, front.address(), options.seed)?;
        let world = Self {
            database,
            front,
            history,
            servers,
            present: Some(present),
            players,
            players_input,
            disk,
            clock,
            settled: BTreeSet::new(),
            complaints: Vec::new(),
            memory,
            children,
            folder: path.to_owned(),
        };
        Ok((able, world))
    }

    /// Goes through the schedule, then lets everything settle.
    async fn play(&mut self, options: &Options, faults: &[Fault], tally: &mut Tally) -> Result<()> {
        self.players_are_ready().await?;
        let deadline = Instant::now() + options.duration;
        for Step { pause, fault, seed } in Schedule::new(options.seed, faults) {
            tokio::time::sleep_until((Instant::now() + pause).min(deadline)).await;
            if Instant::now() >= deadline || (options.bug.is_some() && self.players_are_alarmed()) {
                break;
            }
            self.check_processes().await?;
            tally.count(fault);
            let number = tally.total();
            eprintln!("  {number:>3} {fault}");
            self.inject(fault, &mut StdRng::seed_from_u64(seed)).await.with_context(|| fault.name())?;
        }
        tokio::time::sleep_until(deadline.min(Instant::now() + Duration::from_secs(1))).await;
        self.check_processes().await?;
        self.settle().await
    }

    /// Has the players finish, and stops the server.
    async fn settle(&mut self) -> Result<()> {
        self.players_input = None;
        match self.players.wait(2 * PATIENCE).await? {
            Some(status) if status.success() => {}
            Some(_) => bail!("the players could not finish"),
            None => bail!("the players did not end within {:?}", 2 * PATIENCE),
        }
        let server = self.present.take().context("a server is left over at the end")?;
        // The players have finished: whatever comes of this, the ledgers are whole.
        match self.servers.stop(server, LAST_STOP).await? {
            Some(status) if status.success() => {}
            Some(status) => self.complain(format!("the clean stop at the end came out as {status}")),
            None => self.complain(format!("the clean stop at the end took more than {LAST_STOP:?}")),
        }
        Ok(())
    }

    /// Replaces a server that ended by itself.
    ///
    /// # Errors
    ///
    /// If the players have ended, or no other server comes up.
    async fn check_processes(&mut self) -> Result<()> {
        if self.players.ended()?.is_some() {
            bail!("the players are gone");
        }
        if self.note_server_end().await? { self.start_server(None).await } else { Ok(()) }
    }

    /// Notes the end of a server that ended by itself. Returns true if it did.
    async fn note_server_end(&mut self) -> Result<bool> {
        let ended = match &mut self.present {
            Some(server) => server.ended()?.map(|status| format!("{status}:\n{}", server.last_words())),
            None => None,
        };
        let Some(end) = ended else { return Ok(false) };
        self.complain(format!("the server ended by itself with {end}"));
        self.front.lead_to(None);
        if let Some(server) = self.present.take() {
            self.servers.wait(server, Duration::ZERO).await?;
        }
        Ok(true)
    }

    /// Notes which processes had ended by themselves when the run was broken off.
    async fn note_ends(&mut self) -> Result<()> {
        self.note_server_end().await?;
        if let Some(status) = self.players.ended()?.filter(|status| !status.success()) {
            self.complain(format!("the players ended by themselves with {status}:\n{}", self.players_last_words()));
        }
        Ok(())
    }

    /// Starts a server and leads the players to it.
    pub(crate) async fn start_server(&mut self, crash_at: Option<(&str, u32)>) -> Result<()> {
        let server = self.servers.start(&self.children, self.clock.as_ref(), crash_at).await?;
        self.make_present(server);
        Ok(())
    }

    /// Leads the players to a server.
    pub(crate) fn make_present(&mut self, server: Server) -> Option<Server> {
        self.front.lead_to(Some(server.address));
        self.memory.look_at(server.process());
        self.present.replace(server)
    }

    async fn players_are_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.players_said(|line| line == READY) {
            self.check_processes().await?;
            if Instant::now() > deadline {
                bail!("the players did not begin within {PATIENCE:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Whether a player was told what cannot be.
    fn players_are_alarmed(&self) -> bool {
        self.players_said(|line| line != READY)
    }

    fn players_said(&self, what: impl Fn(&str) -> bool) -> bool {
        let said = std::fs::read_to_string(self.folder.join("players.out")).unwrap_or_default();
        said.lines().any(what)
    }

    fn players_last_words(&self) -> String {
        std::fs::read_to_string(self.folder.join("players.err")).unwrap_or_default()
    }

    /// Ends what still runs, gathers the evidence and checks it.
    async fn judge(&mut self, ended: Result<()>) -> Result<Verdict> {
        let mut broken_off = ended.err();
        if broken_off.is_some() {
            self.note_ends().await?;
        }
        let mut verdict = match self.gather(broken_off.is_some()).await {
            Ok(evidence) => check(&evidence),
            Err(error) => {
                let error = error.context("the evidence cannot be gathered");
                broken_off = Some(match broken_off {
                    Some(first) => anyhow::anyhow!("{first:#}; then {error:#}"),
                    None => error,
                });
                Verdict::default()
            }
        };
        verdict.violations.extend(broken_off.map(|error| Violation::broke_off(format!("{error:#}"))));
        verdict.violations.append(&mut self.complaints);
        self.look_for_panics(&mut verdict)?;
        let memory_kib = self.memory.peak_kib();
        if memory_kib > MEMORY_KIB_MAX {
            verdict.complain(Rule::Memory, format!("a server took {memory_kib} KiB, more than {MEMORY_KIB_MAX}"));
        }
        Ok(verdict)
    }

    async fn gather(&mut self, broken_off: bool) -> Result<Evidence> {
        self.players.kill().await?;
        if let Some(server) = self.present.take() {
            self.servers.kill(server).await?;
        }
        // A fault that broke off may have left the database stopped.
        tokio::task::block_in_place(|| self.database.set_right())?;
        let mut evidence = Evidence {
            ledgers: Vec::new(),
            writes: self.history.writes().await?,
            rows: self.history.rows().await?,
            lives: self.servers.lives(),
            settled: self.settled.clone(),
            broken_off,
        };
        for entry in std::fs::read_dir(self.folder.join("ledgers"))? {
            evidence.ledgers.extend(Ledger::read(&entry?.path())?);
        }
        Ok(evidence)
    }

    /// Panics in the logs of all processes, by file.
    fn look_for_panics(&self, verdict: &mut Verdict) -> Result<()> {
        let entries = std::fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.path()));
        let mut logs: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
        logs.retain(|path| path.extension().is_some_and(|extension| extension == "err"));
        logs.sort();
        for path in logs {
            let (log, name) = (std::fs::read(&path)?, path.file_name().unwrap_or_default().display());
            let found = panics(&String::from_utf8_lossy(&log));
            verdict.violations.extend(found.iter().map(|panic| Violation::crashed(format!("{name}: {panic}"))));
        }
        Ok(())
    }
}

/// What this machine can do.
struct Able {
    faults: Vec<Fault>,
    /// What it cannot, and why.
    skipped: BTreeMap<Fault, String>,
}

impl Able {
    /// Makes what faults need, if any of them is wanted; where it cannot be had, they are left out and the reason kept.
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

/// Makes a database of the run's own and returns its URL.
async fn new_database(cluster_url: &str, seed: u64) -> Result<String> {
    let mut connection = PgConnection::connect(cluster_url).await?;
    let name = format!("torture_{seed}_{}", uuid::Uuid::new_v4().simple());
    let create = format!("CREATE DATABASE {name}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await?;
    let (server, _) = cluster_url.rsplit_once('/').context("the URL of a cluster names a database")?;
    Ok(format!("{server}/{name}"))
}

/// Host and port in a URL.
fn address_of(url: &str) -> Result<SocketAddr> {
    let host = url.rsplit_once('@').and_then(|(_, place)| place.split('/').next());
    let port = host.and_then(|host| host.rsplit_once(':')).and_then(|(_, port)| port.parse().ok());
    Ok((Ipv4Addr::LOCALHOST, port.context("the URL of a cluster has a port")?).into())
}

fn start_players(
    children: &Children,
    folder: &Path,
    server: SocketAddr,
    seed: u64,
) -> Result<(Process, Option<ChildStdin>)> {
    let ledgers = folder.join("ledgers");
    std::fs::create_dir(&ledgers)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("players").arg(format!("http://{server}")).arg(&ledgers);
    command.args(["--users", &USERS.to_string(), "--seed", &seed.to_string()]);
    command.args(["--patience-seconds", &PATIENCE.as_secs().to_string()]);
    command.stdin(std::process::Stdio::piped());
    let mut players = children.start(&mut command, &folder.join("players"))?;
    let input = players.take_input();
    Ok((players, input))
}
