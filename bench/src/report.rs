//! The report of a run, as JSON and as tables.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use crate::cliff::Cliff;
use crate::cold::ColdLoads;
use crate::goals::Goal;
use crate::measure::{Cores, Measured};

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
    /// All goals.
    pub goals: Vec<Goal>,
    /// Failed measurements with their reasons.
    pub failures: Vec<String>,
}

/// The rounds of one system under one load.
#[derive(Debug, Clone, Serialize)]
pub struct Series {
    /// The system.
    pub system: &'static str,
    /// The load, such as `64 × 16`.
    pub load: String,
    /// All rounds, including those limited by the load.
    pub rounds: Vec<Measured>,
    /// The medians of the rounds that count; `None` if the load was the bottleneck in most of them.
    pub median: Option<Measured>,
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

impl Series {
    /// The rounds of one system with their medians.
    pub fn new(system: &'static str, load: String, rounds: Vec<Measured>) -> Self {
        let counting: Vec<&Measured> = rounds.iter().filter(|round| !round.is_of_the_load()).collect();
        let median = (counting.len() * 2 > rounds.len()).then(|| median(&counting));
        Self { system, load, rounds, median }
    }

    /// The ratio of a figure to another system's: the median over pairs of rounds that ran one after another, so that a
    /// slowing machine does not matter. `None` if one of the two has no median.
    pub fn ratio_to(&self, other: &Self, figure: impl Fn(&Measured) -> f64) -> Option<f64> {
        let (ours, theirs) = (self.median.as_ref()?, other.median.as_ref()?);
        if self.rounds.len() != other.rounds.len() {
            // A round failed, so the pairs are unknown.
            return Some(figure(ours) / figure(theirs));
        }
        let both = self.rounds.iter().zip(&other.rounds).filter(|(a, b)| !a.is_of_the_load() && !b.is_of_the_load());
        let ratios: Vec<f64> = both.map(|(a, b)| figure(a) / figure(b)).collect();
        Some(if ratios.is_empty() { figure(ours) / figure(theirs) } else { middle(ratios) })
    }
}

/// The median of some figures.
fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len().is_multiple_of(2) { (figures[middle - 1] + figures[middle]) / 2.0 } else { figures[middle] }
}

fn median(rounds: &[&Measured]) -> Measured {
    let of = |figure: fn(&Measured) -> f64| middle(rounds.iter().map(|round| figure(round)).collect());
    Measured {
        rate: of(|round| round.rate),
        crowd_rate: of(|round| round.crowd_rate),
        p50_ms: of(|round| round.p50_ms),
        p99_ms: of(|round| round.p99_ms),
        p999_ms: of(|round| round.p999_ms),
        lateness_p99_ms: of(|round| round.lateness_p99_ms),
        server_cpu: of(|round| round.server_cpu),
        load_cpu: of(|round| round.load_cpu),
        server_core: of(|round| round.server_core),
        load_core: of(|round| round.load_core),
        intent_bytes: rounds[0].intent_bytes,
        answer_bytes: of(|round| round.answer_bytes),
        notices: of(|round| round.notices),
    }
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
            goals: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Keeps a measurement, or records its failure.
    pub fn keep<T>(&mut self, what: &str, measured: Result<T>, keep: impl FnOnce(&mut Self, T)) {
        match measured {
            Ok(measured) => keep(self, measured),
            Err(error) => {
                eprintln!("{what}: failed: {error:#}");
                self.failures.push(format!("{what}: {error:#}"));
            }
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
            text += "**The cores were shared with other work: these figures say little.**\n\n";
        }
        text += "## Goals\n\n| goal | wanted | measured | reached |\n| --- | --- | --- | --- |\n";
        for goal in &self.goals {
            text += &goal.row();
        }
        table(&mut text, "Closed loop: connections × in flight", &self.closed);
        table(&mut text, "Closed loop with `ack: \"durable\"`", &self.durable);
        table(&mut text, "Open loop: connections × intents per second of each", &self.open);
        text += "\n## Idle connections\n\n| system | connections | bytes per connection |\n| --- | --- | --- |\n";
        for idle in &self.idle {
            let _ = writeln!(text, "| {} | {} | {:.0} |", idle.system, idle.connections, idle.bytes_a_connection);
        }
        text += "\n## Users from the database\n\n| system | users | per second | p50 | p99 |\n| --- | --- | --- | --- | --- |\n";
        for Cold { system, loads } in &self.cold {
            let ColdLoads { users, rate, p50_ms, p99_ms } = loads;
            let _ = writeln!(text, "| {system} | {users} | {} | {p50_ms:.2} | {p99_ms:.2} |", thousands(*rate));
        }
        text += "\n## First start\n\n| system | listening after | first login after |\n| --- | --- | --- |\n";
        for Start { system, listening_ms, login_ms } in &self.start {
            let _ = writeln!(text, "| {system} | {listening_ms:.0} | {login_ms:.0} |");
        }
        self.cliff.iter().for_each(|cliff| text += &cliff.markdown());
        if !self.failures.is_empty() {
            text += "\n## Failed\n\n";
            self.failures.iter().for_each(|failure| text += &format!("- {failure}\n"));
        }
        text
    }
}

fn table(text: &mut String, title: &str, series: &[Series]) {
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

/// A number with commas at its thousands.
pub fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_limited_by_the_load_do_not_count() {
        let rounds = vec![Measured::of_rate(1.0, 0.5), Measured::of_rate(9.0, 1.0), Measured::of_rate(3.0, 0.5)];
        let median = Series::new("a", String::new(), rounds).median.expect("two of three count");
        assert_eq!(median.rate, 2.0);
        let rounds = vec![Measured::of_rate(1.0, 0.5), Measured::of_rate(9.0, 1.0), Measured::of_rate(3.0, 0.99)];
        assert!(Series::new("a", String::new(), rounds).median.is_none());
    }

    #[test]
    fn a_slowing_machine_does_not_change_a_ratio() {
        let series = |rates: &[f64]| {
            Series::new("a", String::new(), rates.iter().map(|rate| Measured::of_rate(*rate, 0.5)).collect())
        };
        let ratio = |ours: &[f64], theirs: &[f64]| series(ours).ratio_to(&series(theirs), |measured| measured.rate);
        assert_eq!(ratio(&[80.0, 40.0, 60.0], &[100.0, 50.0, 60.0]), Some(0.8));
        assert_eq!(ratio(&[80.0, 40.0], &[100.0, 60.0, 50.0]), Some(1.0), "medians, if a round is missing");
        assert_eq!(ratio(&[], &[100.0]), None);
    }

    #[test]
    fn thousands_have_commas() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0.0, 999.0, 1_000.0, 1_234_567.0].map(thousands).each_ref().map(String::as_str)
        );
    }
}
