//! What is counted and measured, and how it is reported.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::checker::Contradiction;

/// Longest latency told apart, in microseconds: a minute.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Contradictions kept word by word.
const EXAMPLES_MAX: usize = 20;

/// Counts of one thread's players.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Intents given to a player's ledger.
    pub(crate) begun: u64,
    pub(crate) applied: u64,
    pub(crate) durable: u64,
    pub(crate) refused: u64,
    pub(crate) rejected: BTreeMap<&'static str, u64>,
    /// Intents that could not be begun because too many wait.
    pub(crate) full: u64,
    /// Intents without an end when the time was up.
    pub(crate) unsettled: u64,
    pub(crate) connections: u64,
    pub(crate) lost: BTreeMap<String, u64>,
    pub(crate) contradictions: u64,
    pub(crate) examples: Vec<String>,
    /// From the due time to the answer, in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// The same of intents that were answered after their commit.
    pub(crate) latency_durable: Histogram<u64>,
    /// From the due time until the intent was handed to the socket: the generator's own delay.
    pub(crate) lateness: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || Histogram::new_with_max(LATENCY_US_MAX, 3).expect("the bounds are good");
        Self {
            begun: 0,
            applied: 0,
            durable: 0,
            refused: 0,
            rejected: BTreeMap::new(),
            full: 0,
            unsettled: 0,
            connections: 0,
            lost: BTreeMap::new(),
            contradictions: 0,
            examples: Vec::new(),
            latency: histogram(),
            latency_durable: histogram(),
            lateness: histogram(),
        }
    }
}

impl Tally {
    /// Notes something that cannot be.
    pub(crate) fn contradict(&mut self, player: &str, contradiction: &Contradiction) {
        self.contradictions += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(format!("{player}: {contradiction}"));
        }
    }

    /// Takes in the counts of another thread.
    pub(crate) fn add(&mut self, other: Self) {
        self.begun += other.begun;
        self.applied += other.applied;
        self.durable += other.durable;
        self.refused += other.refused;
        self.full += other.full;
        self.unsettled += other.unsettled;
        self.connections += other.connections;
        self.contradictions += other.contradictions;
        for (code, count) in other.rejected {
            *self.rejected.entry(code).or_default() += count;
        }
        for (reason, count) in other.lost {
            *self.lost.entry(reason).or_default() += count;
        }
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES_MAX);
        let histograms = [
            (&mut self.latency, other.latency),
            (&mut self.latency_durable, other.latency_durable),
            (&mut self.lateness, other.lateness),
        ];
        for (own, other) in histograms {
            own.add(other).expect("all have the same bounds");
        }
    }

    /// Intents with an answer.
    pub(crate) fn answered(&self) -> u64 {
        self.applied + self.refused + self.rejected.values().sum::<u64>()
    }
}

/// Microseconds, as the histograms hold them.
pub(crate) fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Percentiles {
    count: u64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p99_9_ms: f64,
    max_ms: f64,
}

impl Percentiles {
    fn of(histogram: &Histogram<u64>) -> Self {
        let ms = |us: u64| us as f64 / 1000.0;
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        Self {
            count: histogram.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            max_ms: ms(histogram.max()),
        }
    }

    fn line(&self) -> String {
        let Self { p50_ms, p90_ms, p99_ms, p99_9_ms, max_ms, .. } = self;
        format!("p50 {p50_ms:.2}  p90 {p90_ms:.2}  p99 {p99_ms:.2}  p99.9 {p99_9_ms:.2}  max {max_ms:.2}")
    }
}

/// The report of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) server: String,
    pub(crate) players: u32,
    pub(crate) rate_per_player: f64,
    pub(crate) duration_seconds: f64,
    pub(crate) seed: u64,
    pub(crate) codec: &'static str,
    pub(crate) durable_share: f64,
    pub(crate) begun: u64,
    pub(crate) answered: u64,
    /// Of those that were due, without the outfit.
    pub(crate) answered_per_second: f64,
    pub(crate) applied: u64,
    pub(crate) durable: u64,
    pub(crate) refused: u64,
    pub(crate) rejected: BTreeMap<&'static str, u64>,
    pub(crate) full: u64,
    pub(crate) unsettled: u64,
    pub(crate) connections: u64,
    pub(crate) connections_lost: BTreeMap<String, u64>,
    pub(crate) latency: Percentiles,
    pub(crate) latency_ack_durable: Percentiles,
    pub(crate) generator_lateness: Percentiles,
    /// Processor time of this process over the time of the run, in cores; absent where it cannot be read.
    pub(crate) generator_cores: Option<f64>,
    pub(crate) contradictions: u64,
    pub(crate) examples: Vec<String>,
}

impl Report {
    /// Whether the server kept its word.
    pub(crate) fn is_good(&self) -> bool {
        self.contradictions == 0 && self.unsettled == 0
    }

    /// A report about the players of a run, but for the settings.
    pub(crate) fn of(tally: Tally, settings: &crate::settings::LoadSettings, seconds: f64, cores: Option<f64>) -> Self {
        Self {
            server: settings.server.clone(),
            players: settings.players,
            rate_per_player: settings.rate,
            duration_seconds: seconds,
            seed: settings.seed,
            codec: settings.codec.codec().subprotocol(),
            durable_share: settings.durable_share,
            begun: tally.begun,
            answered: tally.answered(),
            answered_per_second: (tally.latency.len() + tally.latency_durable.len()) as f64 / seconds,
            applied: tally.applied,
            durable: tally.durable,
            refused: tally.refused,
            full: tally.full,
            unsettled: tally.unsettled,
            connections: tally.connections,
            latency: Percentiles::of(&tally.latency),
            latency_ack_durable: Percentiles::of(&tally.latency_durable),
            generator_lateness: Percentiles::of(&tally.lateness),
            generator_cores: cores,
            rejected: tally.rejected,
            connections_lost: tally.lost,
            contradictions: tally.contradictions,
            examples: tally.examples,
        }
    }

    /// The report for a person.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<22}{value}");
        };
        let load = format!("{} at {}/s each for {:.1} s", self.players, self.rate_per_player, self.duration_seconds);
        line("players", load);
        line("intents", format!("{} begun, {} answered, {:.0}/s", self.begun, self.answered, self.answered_per_second));
        line("  applied", format!("{} ({} of them durable)", self.applied, self.durable));
        line("  conflicts", self.refused.to_string());
        line("  rejected", counts(&self.rejected));
        if self.full > 0 {
            line("  not begun", format!("{}: too many were waiting", self.full));
        }
        if self.unsettled > 0 {
            line("  without an end", self.unsettled.to_string());
        }
        line("latency, ms", self.latency.line());
        if self.latency_ack_durable.count > 0 {
            line("  after the commit", self.latency_ack_durable.line());
        }
        line("  of it our own", self.generator_lateness.line());
        if let Some(cores) = self.generator_cores {
            line("our processor time", format!("{cores:.2} cores"));
        }
        line("connections", format!("{} made, lost: {}", self.connections, counts(&self.connections_lost)));
        line("contradictions", self.contradictions.to_string());
        for example in &self.examples {
            line("", example.clone());
        }
        text
    }
}

fn counts<K: AsRef<str>>(counts: &BTreeMap<K, u64>) -> String {
    if counts.is_empty() {
        return "0".to_owned();
    }
    let all: u64 = counts.values().sum();
    let each: Vec<_> = counts.iter().map(|(name, count)| format!("{} {count}", name.as_ref())).collect();
    format!("{all} ({})", each.join(", "))
}
