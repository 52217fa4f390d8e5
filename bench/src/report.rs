//! The report of a run, as JSON and as tables.

use std::fmt::Write as _;

use serde::Serialize;

use crate::attacks::Attacks;
use crate::cliff::Cliff;
use crate::cluster::Cluster;
use crate::cold::ColdLoads;
use crate::failures::Failures;
use crate::goal::Goal;
use crate::measure::Cores;
use crate::number::thousands;
use crate::series::Series;
use crate::tls::Tls;
use crate::trade::Trades;

/// The report of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: String,
    /// The cores.
    pub cores: Cores,
    /// Rounds of each kind and system.
    pub rounds: usize,
    /// Seconds of a round.
    pub seconds: f64,
    /// Bytes of an intent, without the frame's header.
    pub intent_bytes: usize,
    /// Bytes of an answer, without the frame's header.
    pub answer_bytes: usize,
    /// Closed loops, one entry per system and load.
    pub closed: Vec<Series>,
    /// Closed loops with `ack: "durable"`.
    pub durable: Vec<Series>,
    /// Open loops.
    pub open: Vec<Series>,
    /// Memory of idle connections.
    pub idle: Vec<Idle>,
    /// Cold loads from the database.
    pub cold: Vec<Cold>,
    /// First starts.
    pub start: Vec<Start>,
    /// The part `cliff`; `None` if it was not requested.
    pub cliff: Option<Cliff>,
    /// The part `attacks`; `None` if it was not requested.
    pub attacks: Option<Attacks>,
    /// The part `tls`; `None` if it was not requested.
    pub tls: Option<Tls>,
    /// The part `cluster`; `None` if it was not requested.
    pub cluster: Option<Cluster>,
    /// The part `trade`; `None` if it was not requested.
    pub trades: Option<Trades>,
    /// All goals.
    pub goals: Vec<Goal>,
    /// Failed measurements.
    pub failures: Failures,
}

/// Memory of idle connections.
#[derive(Debug, Clone, Serialize)]
pub struct Idle {
    /// The system.
    pub system: &'static str,
    /// Connections.
    pub connections: usize,
    /// Resident bytes before the connections.
    pub before_bytes: u64,
    /// Resident bytes with the connections.
    pub with_bytes: u64,
    /// The difference per connection.
    pub bytes_a_connection: f64,
}

/// Cold loads of a system.
#[derive(Debug, Clone, Serialize)]
pub struct Cold {
    /// The system.
    pub system: &'static str,
    /// The result.
    pub loads: ColdLoads,
}

/// The first start of a server.
#[derive(Debug, Clone, Serialize)]
pub struct Start {
    /// The system.
    pub system: &'static str,
    /// Time from the start with an empty database until it listens, in milliseconds.
    pub listening_ms: f64,
    /// Time until the first player has an account and a token, with the default password hash, in milliseconds.
    pub login_ms: f64,
}

impl Report {
    /// An empty report.
    pub fn new(machine: String, cores: Cores, rounds: usize, seconds: f64) -> Self {
        Self {
            machine,
            cores,
            rounds,
            seconds,
            intent_bytes: 0,
            answer_bytes: 0,
            closed: Vec::new(),
            durable: Vec::new(),
            open: Vec::new(),
            idle: Vec::new(),
            cold: Vec::new(),
            start: Vec::new(),
            cliff: None,
            attacks: None,
            tls: None,
            trades: None,
            cluster: None,
            goals: Vec::new(),
            failures: Failures::default(),
        }
    }

    /// The report for people.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let cores = self.cores;
        let _ = writeln!(
            text,
            "# Castellan against a bare WebSocket\n\n{}; systems on core {}, load on core {}. Medians of {} rounds of \
             {} s, systems in turn. Intents of {} bytes, answers of {} bytes (MessagePack, without frame headers). \
             Times in milliseconds, shares of one core.\n",
            self.machine, cores.server, cores.load, self.rounds, self.seconds, self.intent_bytes, self.answer_bytes
        );
        if cores.are_shared {
            text += "**The cores were shared with other work: these figures are not reliable.**\n\n";
        }
        text += "## Goals\n\n| goal | wanted | measured | reached |\n| --- | --- | --- | --- |\n";
        for goal in &self.goals {
            text += &goal.row();
        }
        table(&mut text, "Closed loop: connections × in flight", &self.closed);
        table(&mut text, "Closed loop with `ack: \"durable\"`", &self.durable);
        table(&mut text, "Open loop: connections × intents per second of each", &self.open);
        if !self.idle.is_empty() {
            text += "\n## Idle connections\n\n| system | connections | bytes per connection |\n| --- | --- | --- |\n";
        }
        for idle in &self.idle {
            let _ = writeln!(text, "| {} | {} | {:.0} |", idle.system, idle.connections, idle.bytes_a_connection);
        }
        if !self.cold.is_empty() {
            text += "\n## Users from the database\n\n| system | users | per second | p50 | p99 |\n\
                     | --- | --- | --- | --- | --- |\n";
        }
        for Cold { system, loads } in &self.cold {
            let ColdLoads { users, rate, p50_ms, p99_ms } = loads;
            let _ = writeln!(text, "| {system} | {users} | {} | {p50_ms:.2} | {p99_ms:.2} |", thousands(*rate));
        }
        if !self.start.is_empty() {
            text += "\n## First start\n\n| system | listening after | first login after |\n| --- | --- | --- |\n";
        }
        for Start { system, listening_ms, login_ms } in &self.start {
            let _ = writeln!(text, "| {system} | {listening_ms:.0} | {login_ms:.0} |");
        }
        self.cliff.iter().for_each(|cliff| text += &cliff.markdown());
        self.attacks.iter().for_each(|attacks| text += &attacks.markdown());
        self.tls.iter().for_each(|tls| text += &tls.markdown());
        self.trades.iter().for_each(|trades| text += &trades.markdown());
        self.cluster.iter().for_each(|cluster| text += &cluster.markdown());
        if !self.failures.lines().is_empty() {
            text += "\n## Failed\n\n";
            self.failures.lines().iter().for_each(|failure| text += &format!("- {failure}\n"));
        }
        text
    }
}

fn table(text: &mut String, title: &str, series: &[Series]) {
    if series.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "\n## {title}\n\n| load | system | per second | p50 | p99 | p99.9 | CPU per answer, µs | system's CPU | its core | load's CPU | its core \
         | load late (p99) | rounds |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for Series { system, load, rounds, median } in series {
        let Some(median) = median else {
            let _ = writeln!(text, "| {load} | {system} | the load was the bottleneck ||||||||||| {} |", rounds.len());
            continue;
        };
        let _ = writeln!(
            text,
            "| {load} | {system} | {} | {:.3} | {:.3} | {:.3} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.3} | {} of {} |",
            thousands(median.rate),
            median.p50_ms,
            median.p99_ms,
            median.p999_ms,
            median.cpu_us_an_answer(),
            median.server_cpu,
            median.server_core,
            median.load_cpu,
            median.load_core,
            median.lateness_p99_ms,
            rounds.iter().filter(|round| !round.is_of_the_load()).count(),
            rounds.len(),
        );
    }
}
