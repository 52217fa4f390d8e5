//! A whole run: the systems, their order and their loads.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use castellan_srd::wire::{Ack, CharacterId, UserId};
use uuid::Uuid;

use crate::attacks::{AttackSettings, attacks};
use crate::cliff::cliff;
use crate::cluster::cluster;
use crate::cold::cold_loads;
use crate::echo::Mode;
use crate::failures::Failures;
use crate::goals::{LIMIT, POSTGRES, SQLITE, goals};
use crate::http::Http;
use crate::load::{Pace, Player, Target, few_addresses};
use crate::machine::{describe, raise_open_files, resident_bytes};
use crate::measure::{Measured, RoundSettings, measure, while_idle};
use crate::number::thousands;
use crate::players::{PASSWORD, log_in, make};
use crate::report::{Cold, Idle, Report, Start};
use crate::series::Series;
use crate::settings::{Part, RunSettings};
use crate::system::{Castellan, Database, Program, start_echo};
use crate::tls::tls;
use crate::trade::trade;

/// The echo that follows the library's example.
const PLAIN: &str = "echo, plain";

/// Another build of the server.
const OTHER_BUILD: &str = "Castellan, the other build, SQLite";
const OTHER_BUILD_POSTGRES: &str = "Castellan, the other build, PostgreSQL";

/// Connections and intents in flight on each, for closed loops.
const CLOSED: [(usize, usize); 4] = [(1, 1), (64, 1), (64, 16), (1_000, 1)];

/// The same for `ack: "durable"`.
const DURABLE: [(usize, usize); 3] = [(1, 1), (64, 1), (1_000, 1)];

/// Connections and intents per second of each, for open loops.
const OPEN: [(usize, u32); 2] = [(1_000, 10), (10_000, 1)];

/// Idle time before memory is read: longer than a flush.
const IDLE: Duration = Duration::from_secs(3);

/// Open files in addition to the players' sockets.
const OTHER_FILES: u64 = 1_000;

/// A measured system.
struct System {
    name: &'static str,
    running: Program,
    players: Vec<Player>,
    /// `None` for an echo.
    castellan: Option<Castellan>,
}

/// Runs everything. `wanted` says what the part `attacks` does.
///
/// # Errors
///
/// A system that does not start. A failed measurement is only recorded in the report.
pub fn run(settings: &RunSettings, wanted: &AttackSettings) -> Result<Report> {
    raise_open_files(settings.players as u64 + OTHER_FILES)?;
    let mut report = Report::new(describe(), settings.cores, settings.rounds, settings.time.as_secs_f64());
    if settings.parts.iter().any(|part| part.runs_by_default()) {
        against_echo(settings, &mut report)?;
    }
    if settings.has(Part::Cliff) {
        let figures = cliff(settings, &mut report.failures)?;
        if let Some(median) = figures.series.iter().find_map(|series| series.median.as_ref()) {
            (report.intent_bytes, report.answer_bytes) = (median.intent_bytes, median.answer_bytes.round() as usize);
        }
        report.cliff = Some(figures);
    }
    if settings.has(Part::Attacks) {
        report.attacks = Some(attacks(settings, wanted, &mut report.failures)?);
    }
    if settings.has(Part::Tls) {
        report.tls = Some(tls(settings, &mut report.failures)?);
    }
    if settings.has(Part::Cluster) {
        report.cluster = Some(cluster(settings, &mut report.failures)?);
    }
    if settings.has(Part::Trade) {
        report.trades = Some(trade(settings, &mut report.failures)?);
    }
    report.goals = goals(&report);
    Ok(report)
}

/// Runs the parts that compare the servers with the echoes.
fn against_echo(settings: &RunSettings, report: &mut Report) -> Result<()> {
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
            report.idle.extend(report.failures.keep(&format!("{}, idle", system.name), idle));
        }
    }
    measure_all(settings, &all, report);
    for mut system in all {
        if system.castellan.is_some() {
            report.failures.keep(&format!("{}, its end", system.name), system.running.end());
        }
    }
    Ok(())
}

fn measure_all(settings: &RunSettings, all: &[System], report: &mut Report) {
    let castellans: Vec<&System> = all.iter().filter(|system| system.castellan.is_some()).collect();
    let everybody: Vec<&System> = all.iter().collect();
    if settings.has(Part::Closed) {
        for (connections, in_flight) in CLOSED.into_iter().filter(|load| settings.has_load(load.0, load.1)) {
            let load = format!("{} × {in_flight}", thousands(connections as f64));
            let series =
                rounds(settings, &everybody, &load, connections, Pace::Closed(in_flight), None, &mut report.failures);
            report.closed.extend(series);
        }
    }
    if settings.has(Part::Durable) {
        for (connections, in_flight) in DURABLE.into_iter().filter(|load| settings.has_load(load.0, load.1)) {
            let (pace, ack) = (Pace::Closed(in_flight), Some(Ack::Durable));
            let load = format!("{} × {in_flight}", thousands(connections as f64));
            let series = rounds(settings, &castellans, &load, connections, pace, ack, &mut report.failures);
            report.durable.extend(series);
        }
    }
    if settings.has(Part::Open) {
        for (connections, per_second) in OPEN.into_iter().filter(|load| settings.has_load(load.0, load.1 as usize)) {
            let connections = connections.min(settings.players);
            let pace = Pace::Open(Duration::from_secs(1) / per_second);
            let load = format!("{} × {per_second}/s", thousands(connections as f64));
            let series = rounds(settings, &everybody, &load, connections, pace, None, &mut report.failures);
            report.open.extend(series);
        }
    }
}

/// Runs the rounds of one load, the systems in turn.
fn rounds(
    settings: &RunSettings,
    systems: &[&System],
    load: &str,
    connections: usize,
    pace: Pace,
    ack: Option<Ack>,
    failures: &mut Failures,
) -> Vec<Series> {
    let mut results: Vec<Vec<Measured>> = vec![Vec::new(); systems.len()];
    for _ in 0..settings.rounds {
        for (system, results) in systems.iter().zip(&mut results) {
            let what = format!("{}{}, {load}", system.name, if ack.is_some() { ", durable" } else { "" });
            let round = RoundSettings {
                target: system.target(ack),
                processes: vec![system.running.process()],
                players: &system.players[..connections.min(system.players.len())],
                pace,
                game: None,
                // In an open loop's first second all connections send their first intents at once.
                warm_up: if matches!(pace, Pace::Open(_)) { 3 * settings.warm_up } else { settings.warm_up },
                time: settings.time,
            };
            let measured = measure(settings.cores, round);
            if let Ok(measured) = &measured {
                eprintln!("{what}: {}", measured.line());
            }
            results.extend(failures.keep(&what, measured));
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
        let (address, is_castellan) = (self.running.address(), self.castellan.is_some());
        Target { address, trust: None, source: few_addresses, is_castellan, ack }
    }
}

/// Starts the servers and creates their players.
fn start_castellans(settings: &RunSettings, report: &mut Report) -> Result<Vec<System>> {
    let mut servers = vec![(SQLITE, &settings.server, Database::Sqlite)];
    servers.extend(settings.against.iter().map(|program| (OTHER_BUILD, program, Database::Sqlite)));
    servers.extend(settings.postgres.clone().map(|url| (POSTGRES, &settings.server, Database::Postgres(url))));
    let other = settings.against.as_ref().zip(settings.against_postgres.clone());
    servers.extend(other.map(|(program, url)| (OTHER_BUILD_POSTGRES, program, Database::Postgres(url))));
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
        let players =
            make(running.address(), settings.players).with_context(|| format!("{name}: cannot create the players"))?;
        eprintln!("{name}: {} players created in {:.1} s", players.len(), begin.elapsed().as_secs_f64());
        systems.push(System { name, running, players, castellan: Some(castellan) });
    }
    Ok(systems)
}

fn first_start(name: &'static str, castellan: &Castellan) -> Result<Start> {
    let begin = Instant::now();
    let mut running = castellan.start_as_delivered()?;
    log_in(&Http::new(running.address()), "first", PASSWORD, true)?;
    let login_ms = begin.elapsed().as_secs_f64() * 1e3;
    let listening_ms = running.started_in().as_secs_f64() * 1e3;
    running.end()?;
    Ok(Start { system: name, listening_ms, login_ms })
}

/// Starts the echoes, whose players have no accounts.
fn start_echoes(settings: &RunSettings, answer_bytes: usize) -> Result<Vec<System>> {
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

/// Measures the sizes of intents and answers.
fn probe(settings: &RunSettings, system: &System) -> Result<Measured> {
    let round = RoundSettings {
        target: system.target(None),
        processes: vec![system.running.process()],
        players: &system.players[..1],
        pace: Pace::Closed(1),
        game: None,
        warm_up: Duration::ZERO,
        time: Duration::from_millis(500),
    };
    measure(settings.cores, round)
}

/// Restarts a server, so that its memory is empty.
fn restart(system: &mut System) -> Result<()> {
    let castellan = system.castellan.as_ref().context("only servers can be restarted")?;
    system.running.end()?;
    system.running = castellan.start()?;
    Ok(())
}

fn cold(system: &mut System, report: &mut Report) -> Result<()> {
    restart(system)?;
    let Some(castellan) = &system.castellan else { return Ok(()) };
    let loads = cold_loads(castellan, &system.running, &system.players);
    if let Ok(loads) = &loads {
        eprintln!("{}: {} users loaded, {} per second", system.name, loads.users, thousands(loads.rate));
    }
    let name = system.name;
    let loads = report.failures.keep(&format!("{name}, cold loads"), loads);
    report.cold.extend(loads.map(|loads| Cold { system: name, loads }));
    Ok(())
}

fn idle(settings: &RunSettings, system: &System) -> Result<Idle> {
    let process = system.running.process();
    let before_bytes = resident_bytes(process)?;
    let look = || resident_bytes(process);
    let with_bytes = while_idle(settings.cores, system.target(None), &system.players, IDLE, look)?;
    let connections = system.players.len();
    let bytes_a_connection = with_bytes.saturating_sub(before_bytes) as f64 / connections as f64;
    eprintln!("{}: {bytes_a_connection:.0} bytes per idle connection", system.name);
    Ok(Idle { system: system.name, connections, before_bytes, with_bytes, bytes_a_connection })
}
