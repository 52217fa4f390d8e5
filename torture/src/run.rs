//! One run: starts everything, follows the schedule, waits until everything is durable, and checks the evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use castellan_srd::wire::CharacterId;
use client_sim::recorded::READY;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::process::{ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::check::{Finding, Rule, Verdict, check};
use crate::children::{Children, Process};
use crate::clock::FakeClock;
use crate::database::{Database, Postgres};
use crate::disk::SmallDisk;
use crate::evidence::{Evidence, Record};
use crate::folder::Folder;
use crate::front::Front;
use crate::history::{History, Place};
use crate::memory::MemoryWatch;
use crate::nodes::Nodes;
use crate::panics::panics;
use crate::planted::Bug;
use crate::schedule::{Fault, Schedule, Step, Tally};
use crate::servers::{Server, Servers, Setup};

/// Users of a run.
const USERS: u32 = 16;

/// Characters and users in a server's memory: fewer than exist, so that they are loaded and evicted all the time.
const CHARACTERS_MAX: u32 = 26;

/// Size of the spool's disk, in bytes.
const SPOOL_DISK_BYTES: u64 = 1024 * 1024;

/// Size of a SQLite file's disk, in bytes: room for the recorded writes of a few minutes.
const DATABASE_DISK_BYTES: u64 = 256 * 1024 * 1024;

/// The servers' time limit for a statement.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest allowed memory of a server, in KiB: several times its normal memory, built without optimisation.
const MEMORY_KIB_MAX: u64 = 256 * 1024;

/// Time limit for players to begin, and at the end for all their intents to become durable.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time limit for the clean stop at the end.
const LAST_STOP: Duration = Duration::from_secs(15);

/// The options of a run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The server's executable, built with the features `faults` and `planted`.
    pub server: PathBuf,
    /// Duration of the faults.
    pub duration: Duration,
    /// Seed of the schedule and of the players' actions.
    pub seed: u64,
    /// The faults to choose from.
    pub faults: Vec<Fault>,
    /// The bug to plant.
    pub bug: Option<Bug>,
    /// Folder to keep records and logs in; `None` removes them after a clean run.
    pub keep: Option<PathBuf>,
}

/// The result of a run.
#[derive(Debug)]
pub struct RunResult {
    /// The findings of the check and of the run.
    pub verdict: Verdict,
    /// The injected faults.
    pub tally: Tally,
    /// Faults that are impossible on this machine, and why.
    pub skipped: BTreeMap<Fault, String>,
    /// The servers' largest memory, in KiB.
    pub memory_kib: u64,
    /// The folder of records and logs.
    pub folder: Folder,
}

/// Everything that exists during a run.
pub(crate) struct World<'a> {
    pub(crate) database: Database<'a>,
    pub(crate) front: Front,
    pub(crate) history: History,
    pub(crate) servers: Servers,
    /// The serving server; `None` only in the middle of a fault.
    pub(crate) present: Option<Server>,
    players: Process,
    players_input: Option<ChildStdin>,
    /// The disk of the spool.
    pub(crate) disk: Option<SmallDisk>,
    pub(crate) clock: Option<FakeClock>,
    /// Characters with a dead letter that an operator decided on.
    pub(crate) decided: BTreeSet<CharacterId>,
    /// Findings before the check.
    pub(crate) complaints: Vec<Finding>,
    memory: MemoryWatch,
    pub(crate) children: Children,
    /// The folder of the players' records.
    pub(crate) records: PathBuf,
    folder: PathBuf,
}

/// Runs on PostgreSQL, or on SQLite if `nodes` is `None`. `interrupted` ends it early, with an error.
///
/// # Errors
///
/// Fails if the run could not take place. The server's faults are in the result.
pub async fn run(
    nodes: Option<&mut Nodes>,
    options: &RunOptions,
    interrupted: watch::Receiver<bool>,
) -> Result<RunResult> {
    let folder = Folder::new(options.keep.as_deref(), options.seed)?;
    let outcome = run_in(&folder, nodes, options, interrupted).await;
    outcome.with_context(|| format!("records and logs are in {}", folder.path().display()))
}

async fn run_in(
    folder: &Folder,
    nodes: Option<&mut Nodes>,
    options: &RunOptions,
    interrupted: watch::Receiver<bool>,
) -> Result<RunResult> {
    let (Able { faults, skipped }, mut world) = World::begin(folder.path(), nodes, options).await?;
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
    Ok(RunResult { verdict, tally, skipped, memory_kib, folder: folder.clone() })
}

async fn interruption(mut interrupted: watch::Receiver<bool>) {
    if interrupted.wait_for(|interrupted| *interrupted).await.is_err() {
        std::future::pending().await
    }
}

impl<'a> World<'a> {
    async fn begin(path: &Path, nodes: Option<&'a mut Nodes>, options: &RunOptions) -> Result<(Able, Self)> {
        let (spool, data) = (path.join("spool"), path.join("data"));
        let children = Children::watch(path, &[&spool, &data])?;
        let mut able = Able { faults: options.faults.clone(), skipped: BTreeMap::new() };
        let disk = able.try_for(|fault| fault == Fault::SpoolDiskFull, || SmallDisk::mount(&spool, SPOOL_DISK_BYTES));
        let clock = able.try_for(|fault| fault == Fault::ClockMoved, || FakeClock::new(path));
        let (database, place, database_url) = match nodes {
            Some(nodes) => {
                // An earlier run may have ended in the middle of a fault.
                nodes.repair().await?;
                let mut postgres = Postgres::begin(nodes, options.seed).await?;
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
        let records = path.join("records");
        std::fs::create_dir(&records)?;
        let (players, players_input) = start_players(&children, path, &records, front.address(), options.seed)?;
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
            decided: BTreeSet::new(),
            complaints: Vec::new(),
            memory,
            children,
            records,
            folder: path.to_owned(),
        };
        Ok((able, world))
    }

    /// Follows the schedule, then waits until everything is durable.
    async fn play(&mut self, options: &RunOptions, faults: &[Fault], tally: &mut Tally) -> Result<()> {
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
        self.finish().await
    }

    /// Waits for the players to finish, then stops the server.
    async fn finish(&mut self) -> Result<()> {
        self.players_input = None;
        match self.players.wait(2 * PATIENCE).await? {
            Some(status) if status.success() => {}
            Some(_) => bail!("a player failed; the players did not finish"),
            None => bail!("the players did not end within {:?}", 2 * PATIENCE),
        }
        let server = self.present.take().context("no server is running at the end")?;
        // The players have finished, so the records are complete whatever happens here.
        match self.servers.stop(server, LAST_STOP).await? {
            Some(status) if status.success() => {}
            Some(status) => self.complain(format!("the clean stop at the end exited with {status}")),
            None => self.complain(format!("the clean stop at the end took more than {LAST_STOP:?}")),
        }
        Ok(())
    }

    /// Replaces a server that ended by itself.
    ///
    /// # Errors
    ///
    /// Fails if the players have ended, or no other server starts.
    async fn check_processes(&mut self) -> Result<()> {
        if self.players.ended()?.is_some() {
            bail!("the players have ended");
        }
        if self.note_server_end().await? { self.start_server(None).await } else { Ok(()) }
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
            self.complain(format!("the players exited unexpectedly with {status}:\n{}", self.players_last_words()));
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

    /// Returns true if a player got an impossible answer.
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

    /// Ends all processes, gathers the evidence and checks it.
    async fn judge(&mut self, ended: Result<()>) -> Result<Verdict> {
        let mut broken_off = ended.err();
        if broken_off.is_some() {
            self.note_ends().await?;
        }
        let mut verdict = match self.gather(broken_off.is_some()).await {
            Ok(evidence) => check(&evidence),
            Err(error) => {
                let error = error.context("cannot gather the evidence");
                broken_off = Some(match broken_off {
                    Some(first) => anyhow::anyhow!("{first:#}; then {error:#}"),
                    None => error,
                });
                Verdict::default()
            }
        };
        // First, because what was noticed during the run explains what the check finds.
        verdict.findings.splice(0..0, std::mem::take(&mut self.complaints));
        verdict.findings.extend(broken_off.map(|error| Finding::broke_off(format!("{error:#}"))));
        self.look_for_panics(&mut verdict)?;
        let memory_kib = self.memory.peak_kib();
        if memory_kib > MEMORY_KIB_MAX {
            verdict.complain(Rule::Memory, format!("a server used {memory_kib} KiB, more than {MEMORY_KIB_MAX}"));
        }
        Ok(verdict)
    }

    async fn gather(&mut self, broken_off: bool) -> Result<Evidence> {
        self.players.kill().await?;
        if let Some(server) = self.present.take() {
            self.servers.kill(server).await?;
        }
        // An interrupted fault may have left the database stopped.
        self.database.repair().await?;
        let mut evidence = Evidence {
            records: Vec::new(),
            writes: self.history.writes().await?,
            rows: self.history.rows().await?,
            lifetimes: self.servers.lifetimes(),
            decided: self.decided.clone(),
            broken_off,
        };
        for entry in std::fs::read_dir(&self.records)? {
            evidence.records.extend(Record::read(&entry?.path())?);
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
            verdict.findings.extend(found.iter().map(|panic| Finding::crashed(format!("{name}: {panic}"))));
        }
        Ok(())
    }
}

/// The faults that are possible on this machine.
struct Able {
    faults: Vec<Fault>,
    /// The impossible ones, and why.
    skipped: BTreeMap<Fault, String>,
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

fn start_players(
    children: &Children,
    folder: &Path,
    records: &Path,
    server: SocketAddr,
    seed: u64,
) -> Result<(Process, Option<ChildStdin>)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("players").arg(format!("http://{server}")).arg(records);
    command.args(["--users", &USERS.to_string(), "--seed", &seed.to_string()]);
    command.args(["--patience-seconds", &PATIENCE.as_secs().to_string()]);
    command.stdin(std::process::Stdio::piped());
    let mut players = children.start(&mut command, &folder.join("players"))?;
    let input = players.take_input();
    Ok((players, input))
}
