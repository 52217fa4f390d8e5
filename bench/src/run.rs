//! A whole run: which systems, in which order, under which loads.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use castellan_protocol::{Ack, CharacterId, UserId};
use clap::ValueEnum;
use uuid::Uuid;

use crate::cliff::cliff;
use crate::cold::cold_loads;
use crate::echo::Mode;
use crate::goals::{LIMIT, POSTGRES, SQLITE, goals};
use crate::http::Http;
use crate::load::{Pace, Player, Target};
use crate::machine::{describe, raise_open_files, resident_bytes};
use crate::measure::{Cores, Measured, Round, measure, while_idle};
use crate::players::{PASSWORD, log_in, make};
use crate::report::{Cold, Idle, Report, Series, Start, thousands};
use crate::system::{Castellan, Database, Program, start_echo};

/// The echo that does as the library's example does.
const PLAIN: &str = "echo, plain";

/// Another build of the server.
const OTHER_BUILD: &str = "Castellan, the other build";

/// Connections and intents in flight on each, of the closed loops.
const CLOSED: [(usize, usize); 4] = [(1, 1), (64, 1), (64, 16), (1_000, 1)];

/// The same with `ack: "durable"`.
const DURABLE: [(usize, usize); 3] = [(1, 1), (64, 1), (1_000, 1)];

/// Connections and intents a second of each, of the open loops.
const OPEN: [(usize, u32); 2] = [(1_000, 10), (10_000, 1)];

/// How long idle connections rest before memory is read: longer than a flush.
const IDLE: Duration = Duration::from_secs(3);

/// Open files beside those of the players.
const OTHER_FILES: u64 = 1_000;

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// From nothing to the first login.
    Start,
    /// Users from the database.
    Cold,
    /// Memory of idle connections.
    Idle,
    /// Closed loops.
    Closed,
    /// Closed loops with `ack: "durable"`.
    Durable,
    /// Open loops.
    Open,
    /// Many characters, a wanted one, little memory. It takes minutes and is done only where it is asked for.
    Cliff,
}

/// How a run is run.
#[derive(Debug)]
pub struct Settings {
    /// The server's program.
    pub server: PathBuf,
    /// Another build of the server, which takes turns with the first one, on SQLite as well.
    pub against: Option<PathBuf>,
    /// An empty PostgreSQL database; without it the server runs on SQLite only.
    pub postgres: Option<String>,
    /// Where servers keep their files while they run.
    pub place: PathBuf,
    /// The cores.
    pub cores: Cores,
    /// Rounds of each kind.
    pub rounds: usize,
    /// What counts of a round.
    pub time: Duration,
    /// What does not count before it.
    pub warm_up: Duration,
    /// Players.
    pub players: usize,
    /// Rows in the database where they are many.
    pub rows: usize,
    /// What to do.
    pub parts: Vec<Part>,
    /// Loads to run, such as `64x16`; without any all of them.
    pub loads: Vec<String>,
}

/// A system under measurement.
struct System {
    name: &'static str,
    running: Program,
    players: Vec<Player>,
    /// Nothing of an echo.
    castellan: Option<Castellan>,
}

/// Runs it all.
///
/// # Errors
///
/// Where a system does not start; a measurement that fails is told in the report and left out.
pub fn run(settings: &Settings) -> Result<Report> {
    raise_open_files(settings.players as u64 + OTHER_FILES)?;
    let mut report = Report::new(describe(), settings.cores, settings.rounds, settings.time.as_secs_f64());
    if settings.parts.iter().any(|part| *part != Part::Cliff) {
        against_echo(settings, &mut report)?;
    }
    if settings.has(Part::Cliff) {
        cliff(settings, &mut report)?;
    }
    report.goals = goals(&report);
    Ok(report)
}

/// Runs the parts that put the servers, with players made by themselves, beside the echoes.
fn against_echo(settings: &Settings, report: &mut Report) -> Result<()> {
    let mut systems = start_castellans(settings, report)?;
    if settings.has(Part::Cold) {
        for system in &mut systems {
            cold(system, report)?;
        }
    }
    if settings.has(Part::Idle) {
        for system in &mut systems {
            restart(system)?;
        }
    }
    let probe = probe(settings, &systems[0])?;
    report.intent_bytes = probe.intent_bytes;
    report.answer_bytes = probe.answer_bytes.round() as usize;
    let mut all = start_echoes(settings, report.answer_bytes)?;
    all.append(&mut systems);
    if settings.has(Part::Idle) {
        for system in &all {
            let idle = idle(settings, system);
            report.keep(&format!("{}, idle", system.name), idle, |report, idle| report.idle.push(idle));
        }
    }
    measure_all(settings, &all, report);
    for mut system in all {
        if system.castellan.is_some() {
            report.keep(&format!("{}, its end", system.name), system.running.end(), |_, ()| {});
        }
    }
    Ok(())
}

impl Settings {
    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn has_load(&self, connections: usize, of_each: usize) -> bool {
        self.loads.is_empty() || self.loads.contains(&format!("{connections}x{of_each}"))
    }
}

fn measure_all(settings: &Settings, all: &[System], report: &mut Report) {
    let castellans: Vec<&System> = all.iter().filter(|system| system.castellan.is_some()).collect();
    let everybody: Vec<&System> = all.iter().collect();
    if settings.has(Part::Closed) {
        for (connections, in_flight) in CLOSED.into_iter().filter(|load| settings.has_load(load.0, load.1)) {
            let load = format!("{} × {in_flight}", thousands(connections as f64));
            let series = rounds(settings, &everybody, &load, connections, Pace::Closed(in_flight), None, report);
            report.closed.extend(series);
        }
    }
    if settings.has(Part::Durable) {
        for (connections, in_flight) in DURABLE.into_iter().filter(|load| settings.has_load(load.0, load.1)) {
            let (pace, ack) = (Pace::Closed(in_flight), Some(Ack::Durable));
            let load = format!("{} × {in_flight}", thousands(connections as f64));
            let series = rounds(settings, &castellans, &load, connections, pace, ack, report);
            report.durable.extend(series);
        }
    }
    if settings.has(Part::Open) {
        for (connections, per_second) in OPEN.into_iter().filter(|load| settings.has_load(load.0, load.1 as usize)) {
            let connections = connections.min(settings.players);
            let pace = Pace::Open(Duration::from_secs(1) / per_second);
            let load = format!("{} × {per_second}/s", thousands(connections as f64));
            let series = rounds(settings, &everybody, &load, connections, pace, None, report);
            report.open.extend(series);
        }
    }
}

/// Runs the rounds of one load, the systems in turn.
fn rounds(
    settings: &Settings,
    systems: &[&System],
    load: &str,
    connections: usize,
    pace: Pace,
    ack: Option<Ack>,
    report: &mut Report,
) -> Vec<Series> {
    let mut results: Vec<Vec<Measured>> = vec![Vec::new(); systems.len()];
    for _ in 0..settings.rounds {
        for (system, results) in systems.iter().zip(&mut results) {
            let what = format!("{}{}, {load}", system.name, if ack.is_some() { ", durable" } else { "" });
            let round = Round {
                target: system.target(ack),
                process: system.running.process(),
                players: &system.players[..connections.min(system.players.len())],
                pace,
                game: None,
                // An open loop's first second is its connections' first intents all at once.
                warm_up: if matches!(pace, Pace::Open(_)) { 3 * settings.warm_up } else { settings.warm_up },
                time: settings.time,
            };
            let measured = measure(settings.cores, round);
            if let Ok(measured) = &measured {
                eprintln!("{what}: {}", measured.line());
            }
            report.keep(&what, measured, |_, measured| results.push(measured));
        }
    }
    systems
        .iter()
        .zip(results)
        .filter(|(_, results)| !results.is_empty())
        .map(|(system, results)| Series::new(system.name, load.to_owned(), results))
        .collect()
}

impl System {
    fn target(&self, ack: Option<Ack>) -> Target {
        Target { address: self.running.address(), is_castellan: self.castellan.is_some(), ack }
    }
}

/// Starts the servers and makes their players.
fn start_castellans(settings: &Settings, report: &mut Report) -> Result<Vec<System>> {
    let mut servers = vec![(SQLITE, &settings.server, Database::Sqlite)];
    servers.extend(settings.against.iter().map(|program| (OTHER_BUILD, program, Database::Sqlite)));
    servers.extend(settings.postgres.clone().map(|url| (POSTGRES, &settings.server, Database::Postgres(url))));
    let mut systems = Vec::new();
    for (name, program, database) in servers {
        let castellan = Castellan::new(program, database, &settings.place, settings.cores.server)?;
        if settings.has(Part::Start) {
            let start = first_start(name, &castellan)?;
            eprintln!("{name}: first login after {:.0} ms", start.login_ms);
            report.start.push(start);
        }
        let running = castellan.start()?;
        let begin = Instant::now();
        let players = make(running.address(), settings.players).with_context(|| format!("{name}: making players"))?;
        eprintln!("{name}: {} players made in {:.1} s", players.len(), begin.elapsed().as_secs_f64());
        systems.push(System { name, running, players, castellan: Some(castellan) });
    }
    Ok(systems)
}

fn first_start(name: &'static str, castellan: &Castellan) -> Result<Start> {
    let begin = Instant::now();
    let mut running = castellan.start_as_delivered()?;
    log_in(&mut Http::connect(running.address())?, "first", PASSWORD, true)?;
    let login_ms = begin.elapsed().as_secs_f64() * 1e3;
    let listening_ms = running.started_in().as_secs_f64() * 1e3;
    running.end()?;
    Ok(Start { system: name, listening_ms, login_ms })
}

/// Starts the echoes, whose players are nobody.
fn start_echoes(settings: &Settings, answer_bytes: usize) -> Result<Vec<System>> {
    let nobody = Player {
        token: String::new(),
        user: UserId::from_uuid(Uuid::from_u128(1)),
        character: CharacterId::from_uuid(Uuid::from_u128(1)),
    };
    let echo = |(name, mode)| {
        let running = start_echo(mode, answer_bytes, settings.cores.server)?;
        Ok(System { name, running, players: vec![nobody.clone(); settings.players], castellan: None })
    };
    [(PLAIN, Mode::Plain), (LIMIT, Mode::Gathered)].into_iter().map(echo).collect()
}

/// Looks how large intents and answers are.
fn probe(settings: &Settings, system: &System) -> Result<Measured> {
    let round = Round {
        target: system.target(None),
        process: system.running.process(),
        players: &system.players[..1],
        pace: Pace::Closed(1),
        game: None,
        warm_up: Duration::ZERO,
        time: Duration::from_millis(500),
    };
    measure(settings.cores, round)
}

/// Ends a server and starts it again: nothing is in its memory.
fn restart(system: &mut System) -> Result<()> {
    let castellan = system.castellan.as_ref().context("only servers are started again")?;
    system.running.end()?;
    system.running = castellan.start()?;
    Ok(())
}

fn cold(system: &mut System, report: &mut Report) -> Result<()> {
    restart(system)?;
    let Some(castellan) = &system.castellan else { return Ok(()) };
    let loads = cold_loads(castellan, &system.running, &system.players);
    if let Ok(loads) = &loads {
        eprintln!("{}: {} users loaded, {} a second", system.name, loads.users, thousands(loads.rate));
    }
    let name = system.name;
    report.keep(&format!("{name}, cold loads"), loads, |report, loads| report.cold.push(Cold { system: name, loads }));
    Ok(())
}

fn idle(settings: &Settings, system: &System) -> Result<Idle> {
    let process = system.running.process();
    let before_bytes = resident_bytes(process)?;
    let look = || resident_bytes(process);
    let with_bytes = while_idle(settings.cores, system.target(None), &system.players, IDLE, look)?;
    let connections = system.players.len();
    let bytes_a_connection = with_bytes.saturating_sub(before_bytes) as f64 / connections as f64;
    eprintln!("{}: {bytes_a_connection:.0} bytes an idle connection", system.name);
    Ok(Idle { system: system.name, connections, before_bytes, with_bytes, bytes_a_connection })
}
