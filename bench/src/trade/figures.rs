//! The figures of gifts and trades, and how the report shows them.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::number::thousands;

/// The deals of a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One intent.
    Gift,
    /// An offer and an acceptance.
    Trade,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gift => "gifts",
            Self::Trade => "trades",
        }
    }
}

/// The figures of the part.
#[derive(Debug, Serialize)]
pub struct Trades {
    /// The database.
    pub database: &'static str,
    /// One entry for each load.
    pub loads: Vec<Traded>,
}

/// The deals of one load.
#[derive(Debug, Clone, Serialize)]
pub struct Traded {
    /// Gifts or trades.
    pub kind: Kind,
    /// Pairs of players.
    pub pairs: usize,
    /// Deals a second that were due; `None` if each pair is as fast as it can be.
    pub due: Option<f64>,
    /// Deals that both sides had in the database, per second.
    pub rate: f64,
    /// Milliseconds from the gift or the offer (or when it was due) until both sides are durable.
    pub p50_ms: f64,
    /// The same.
    pub p99_ms: f64,
    /// Share of a core that the server used.
    pub server_cpu: f64,
}

impl Traded {
    pub(super) fn of(
        kind: Kind,
        pairs: usize,
        done: u64,
        time: Duration,
        used: Duration,
        latency: &Histogram<u64>,
    ) -> Self {
        let ms = |quantile| latency.value_at_quantile(quantile) as f64 / 1e6;
        Self {
            kind,
            pairs,
            due: None,
            rate: done as f64 / time.as_secs_f64(),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            server_cpu: used.as_secs_f64() / time.as_secs_f64(),
        }
    }

    pub(super) fn line(&self) -> String {
        let Self { kind, pairs, due, rate, p50_ms, p99_ms, server_cpu } = self;
        let pace = due.map_or_else(|| "as fast as possible".to_owned(), |due| format!("{} due", thousands(due)));
        format!(
            "{pairs} pairs, {pace}: {} {}/s, p50 {p50_ms:.1}, p99 {p99_ms:.1} ms, server {server_cpu:.2}",
            thousands(*rate),
            kind.name()
        )
    }
}

impl Trades {
    /// The section of the report.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let out = &mut text;
        let _ = writeln!(out, "\n## Gifts and trades ({})\n", self.database);
        let _ = writeln!(
            out,
            "Milliseconds from the gift or the offer until both sides have heard that their goods are in the database.\n"
        );
        let _ = writeln!(out, "| deal | pairs | due per second | per second | p50 | p99 | server's CPU |");
        let _ = writeln!(out, "| --- | --- | --- | --- | --- | --- | --- |");
        for Traded { kind, pairs, due, rate, p50_ms, p99_ms, server_cpu } in &self.loads {
            let due = due.map_or_else(|| "–".to_owned(), thousands);
            let rate = thousands(*rate);
            let kind = kind.name();
            let _ =
                writeln!(out, "| {kind} | {pairs} | {due} | {rate} | {p50_ms:.1} | {p99_ms:.1} | {server_cpu:.2} |");
        }
        text
    }
}
