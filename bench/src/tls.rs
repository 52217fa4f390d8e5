//! The cost of TLS: the same server and loads with and without it, in turn.
//!
//! Runs on SQLite. Sessions are never resumed, so each connection pays for a whole handshake (TLS 1.3, X25519, ECDSA
//! P-256). The load does its own half of the cryptography on its core; so compare the server's processor time, too.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::caller::Caller;
use crate::failures::Failures;
use crate::load::{Pace, Player, Target, connect, few_addresses};
use crate::machine::{CoreTime, pin_this_thread, process_time, raise_open_files, resident_bytes};
use crate::measure::{Cores, Measured, RoundSettings, measure, while_idle};
use crate::number::thousands;
use crate::players::make;
use crate::series::{Series, middle};
use crate::settings::RunSettings;
use crate::stream::{Certificate, trust};
use crate::system::{Castellan, Database, Program};

/// The names of both servers.
const NAMES: [&str; 2] = ["plain", "TLS"];

/// Connections and intents in flight on each.
const LOADS: [(usize, usize); 2] = [(64, 1), (1_000, 1)];

/// Threads that open connections, one at a time each.
const CALLERS: usize = 16;

/// Time limit for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Idle time before memory is read: longer than a flush.
const IDLE: Duration = Duration::from_secs(3);

/// Open files in addition to the players' sockets.
const OTHER_FILES: u64 = 1_000;

/// The figures of the part, plain before TLS everywhere.
#[derive(Debug, Serialize)]
pub struct Tls {
    /// Open connections for the figures of memory.
    pub connections: usize,
    /// Resident bytes of the server per idle logged-in connection.
    pub idle_bytes: [f64; 2],
    /// New connections.
    pub connects: Vec<Connects>,
    /// Closed loops.
    pub series: Vec<Series>,
}

/// New connections of one kind.
#[derive(Debug, Serialize)]
pub struct Connects {
    /// What each connection does.
    pub what: &'static str,
    /// The rounds, plain and TLS.
    pub rounds: [Vec<Opened>; 2],
}

/// New connections in one round.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Opened {
    /// Connections per second.
    pub rate: f64,
    /// Processor time of the server for each, in microseconds.
    pub cpu_us: f64,
    /// Busy share of the server's core.
    pub server_core: f64,
    /// Busy share of the load's core.
    pub load_core: f64,
}

/// Takes a figure out of a round.
type Figure = fn(&Measured) -> f64;

/// What a new connection does.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Request,
    Socket,
}

const DEEDS: [(&str, Deed); 2] =
    [("connection with one request", Deed::Request), ("WebSocket, until `welcome`", Deed::Socket)];

/// A server of the comparison.
struct House {
    running: Program,
    players: Vec<Player>,
    target: Target,
    _castellan: Castellan,
}

/// Runs the whole part.
///
/// # Errors
///
/// A server that does not start, or whose memory cannot be measured. A failed round is only recorded in `failures`.
pub fn tls(settings: &RunSettings, failures: &mut Failures) -> Result<Tls> {
    raise_open_files(settings.players as u64 + OTHER_FILES)?;
    let mut houses = [House::make(settings, false)?, House::make(settings, true)?];
    let mut idle_bytes = [0.0; 2];
    for (house, bytes) in houses.iter().zip(&mut idle_bytes) {
        *bytes = house.idle(settings.cores)?;
    }
    let mut connects = Vec::new();
    for (what, deed) in DEEDS {
        let mut rounds = [Vec::new(), Vec::new()];
        for _ in 0..settings.rounds {
            for ((house, name), rounds) in houses.iter().zip(NAMES).zip(&mut rounds) {
                let opened = house.open_many(settings.cores, deed, settings.time);
                if let Ok(opened) = &opened {
                    eprintln!("{name}, {what}: {}/s, CPU {:.0} µs each", thousands(opened.rate), opened.cpu_us);
                }
                rounds.extend(failures.keep(&format!("{name}, {what}"), opened));
            }
        }
        connects.push(Connects { what, rounds });
    }
    let mut series = Vec::new();
    for (connections, in_flight) in LOADS {
        let load = format!("{} × {in_flight}", thousands(connections as f64));
        let mut rounds = [Vec::new(), Vec::new()];
        for _ in 0..settings.rounds {
            for ((house, name), rounds) in houses.iter().zip(NAMES).zip(&mut rounds) {
                let measured = measure(settings.cores, house.round(settings, connections, in_flight));
                if let Ok(measured) = &measured {
                    eprintln!("{name}, {load}: {}", measured.line());
                }
                rounds.extend(failures.keep(&format!("{name}, {load}"), measured));
            }
        }
        series.extend(NAMES.into_iter().zip(rounds).map(|(name, rounds)| Series::new(name, load.clone(), rounds)));
    }
    for house in &mut houses {
        house.running.end()?;
    }
    Ok(Tls { connections: houses[0].players.len(), idle_bytes, connects, series })
}

impl House {
    fn make(settings: &RunSettings, is_under_tls: bool) -> Result<Self> {
        let castellan = Castellan::new(&settings.server, Database::Sqlite, &settings.place, settings.cores.server)?;
        // Accounts are created without TLS. The second start also empties the memory.
        let mut running = castellan.start()?;
        let players = make(running.address(), settings.players)?;
        running.end()?;
        let made = Certificate::make()?;
        std::fs::write(castellan.folder().join("cert.pem"), &made.certificate)?;
        std::fs::write(castellan.folder().join("key.pem"), &made.key)?;
        let files: &[&str] = if is_under_tls { &["--tls-cert", "cert.pem", "--tls-key", "key.pem"] } else { &[] };
        let running = castellan.start_with(files)?;
        let trust = is_under_tls.then(|| trust(&made.authority)).transpose()?;
        let target = Target { address: running.address(), trust, source: few_addresses, is_castellan: true, ack: None };
        Ok(Self { running, players, target, _castellan: castellan })
    }

    /// Bytes of an idle logged-in connection.
    fn idle(&self, cores: Cores) -> Result<f64> {
        let process = self.running.process();
        let before = resident_bytes(process)?;
        let with = while_idle(cores, self.target.clone(), &self.players, IDLE, || resident_bytes(process))?;
        Ok(with.saturating_sub(before) as f64 / self.players.len() as f64)
    }

    fn round(&self, settings: &RunSettings, connections: usize, in_flight: usize) -> RoundSettings<'_> {
        RoundSettings {
            target: self.target.clone(),
            processes: vec![self.running.process()],
            players: &self.players[..connections.min(self.players.len())],
            pace: Pace::Closed(in_flight),
            game: None,
            warm_up: settings.warm_up,
            time: settings.time,
        }
    }

    /// Opens connections as fast as possible.
    #[expect(clippy::disallowed_methods, reason = "a round lasts for a fixed time")]
    fn open_many(&self, cores: Cores, deed: Deed, time: Duration) -> Result<Opened> {
        let is_over = AtomicBool::new(false);
        let is_over = &is_over;
        thread::scope(|scope| {
            let begin = Instant::now();
            let usage = || {
                let busy = (CoreTime::of(cores.server)?, CoreTime::of(cores.load)?);
                Ok::<_, anyhow::Error>((process_time(self.running.process())?, busy))
            };
            let (process, (server, load)) = usage()?;
            let workers: Vec<_> = (0..CALLERS)
                .map(|number| {
                    scope.spawn(move || {
                        pin_this_thread(cores.load)?;
                        let mut count = 0_u64;
                        while !is_over.load(Ordering::Relaxed) {
                            self.open_one(deed, number)?;
                            count += 1;
                        }
                        Ok::<_, anyhow::Error>(count)
                    })
                })
                .collect();
            thread::sleep(time);
            is_over.store(true, Ordering::Relaxed);
            let counts = workers.into_iter().map(|worker| worker.join().expect("the thread does not panic"));
            let count: u64 = counts.sum::<Result<_>>()?;
            let (process_after, (server_after, load_after)) = usage()?;
            ensure!(count > 0, "no connection was opened within {time:?}");
            Ok(Opened {
                rate: count as f64 / begin.elapsed().as_secs_f64(),
                cpu_us: (process_after - process).as_secs_f64() * 1e6 / count as f64,
                server_core: server_after.busy_since(server),
                load_core: load_after.busy_since(load),
            })
        })
    }

    fn open_one(&self, deed: Deed, number: usize) -> Result<()> {
        match deed {
            Deed::Request => {
                let Target { address, trust, source, .. } = &self.target;
                let caller = Caller { address: *address, trust: trust.clone(), source: source(0), patience: PATIENCE };
                let (status, text) = caller.get("/health/live")?;
                ensure!(status == 200, "the server refused a request with status {status}: {text}");
            }
            Deed::Socket => drop(connect(&self.target, &self.players[number..=number])?),
        }
        Ok(())
    }
}

impl Connects {
    /// The median of a figure, plain and TLS; `None` if a round of each is missing.
    fn medians(&self, figure: impl Fn(&Opened) -> f64) -> Option<[f64; 2]> {
        let [plain, tls] = &self.rounds;
        if plain.is_empty() || tls.is_empty() {
            return None;
        }
        Some([plain, tls].map(|rounds| middle(rounds.iter().map(&figure).collect())))
    }
}

impl Tls {
    /// The figures for people.
    pub fn markdown(&self) -> String {
        let mut text =
            "\n## TLS (SQLite)\n\nRatios are TLS to plain.\n\n| | plain | TLS | ratio |\n| --- | --- | --- | --- |\n"
                .to_owned();
        let mut row = |what: &str, figures: Option<[f64; 2]>, ratio: Option<f64>| {
            let shown = |figure: f64| if figure >= 100.0 { thousands(figure) } else { format!("{figure:.2}") };
            let Some([plain, tls]) = figures else {
                let _ = writeln!(text, "| {what} | not measured | | |");
                return;
            };
            let ratio = ratio.unwrap_or(tls / plain);
            let _ = writeln!(text, "| {what} | {} | {} | {ratio:.3} |", shown(plain), shown(tls));
        };
        let what = format!("bytes per idle logged-in connection, {} open", thousands(self.connections as f64));
        row(&what, Some(self.idle_bytes), None);
        for connects in &self.connects {
            let what = connects.what;
            row(&format!("{what}: per second"), connects.medians(|opened| opened.rate), None);
            row(&format!("{what}: server's CPU for each, µs"), connects.medians(|opened| opened.cpu_us), None);
            row(&format!("{what}: server's core"), connects.medians(|opened| opened.server_core), None);
            row(&format!("{what}: load's core"), connects.medians(|opened| opened.load_core), None);
        }
        for pair in self.series.chunks_exact(2) {
            let (plain, tls) = (&pair[0], &pair[1]);
            let figures: [(&str, Figure); 5] = [
                ("intents per second", |median| median.rate),
                ("server's CPU for each, µs", Measured::cpu_us_an_answer),
                ("p99, ms", |median| median.p99_ms),
                ("server's core", |median| median.server_core),
                ("load's core", |median| median.load_core),
            ];
            for (what, figure) in figures {
                let medians = plain.median.as_ref().zip(tls.median.as_ref());
                let medians = medians.map(|(plain, tls)| [plain, tls].map(figure));
                row(&format!("{}: {what}", plain.load), medians, tls.ratio_to(plain, figure));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_ratios_of_tls_to_plain() {
        let opened = |rate| vec![Opened { rate, cpu_us: 10.0, server_core: 0.5, load_core: 0.5 }];
        let series = |name, rate| Series::new(name, "64 × 1".to_owned(), vec![Measured::of_rate(rate, 0.5)]);
        let tls = Tls {
            connections: 10,
            idle_bytes: [5_000.0, 40_000.0],
            connects: vec![Connects { what: "connection", rounds: [opened(4_000.0), opened(1_000.0)] }],
            series: vec![series("plain", 2_000.0), series("TLS", 1_500.0)],
        };
        let text = tls.markdown();
        for row in [
            "| bytes per idle logged-in connection, 10 open | 5,000 | 40,000 | 8.000 |",
            "| connection: per second | 4,000 | 1,000 | 0.250 |",
            "| 64 × 1: intents per second | 2,000 | 1,500 | 0.750 |",
        ] {
            assert!(text.contains(row), "{row} is missing in {text}");
        }
        let none = Connects { what: "connection", rounds: [Vec::new(), opened(1.0)] };
        assert_eq!(none.medians(|opened| opened.rate), None);
    }
}
