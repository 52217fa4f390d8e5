//! The report for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::super::limits::LimitVerdict;
use super::Report;

impl Report {
    /// A summary that fits on a screen.
    pub(in crate::load) fn text(&self) -> String {
        let mut text = String::new();
        let totals = &self.totals;
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<22}{value}");
        };
        line(
            "scenario",
            format!("{}, {} players for {:.1} s", self.scenario.name, self.settings.players, totals.seconds),
        );
        let rate = totals.answered_per_second;
        line("intents", format!("{} started, {} answered, {rate:.0}/s", totals.begun, totals.answered));
        line("  applied", format!("{} ({} of them durable)", totals.applied, totals.durable));
        line("  conflicts", totals.conflicts.to_string());
        line("  rejected", counts(&totals.rejected));
        for (name, count) in [
            ("  sent again", totals.resent),
            ("  never settled", totals.without_an_end),
            ("states pushed", totals.pushed),
        ] {
            if count > 0 {
                line(name, count.to_string());
            }
        }
        line("latency, ms", totals.latency.line());
        if totals.latency_ack_durable.count > 0 {
            line("  after commit", totals.latency_ack_durable.line());
        }
        if self.groups.len() > 1 {
            for group in &self.groups {
                line(&format!("  {}", group.name), group.latency.line());
            }
        }
        let lost = counts(&totals.connections_lost);
        let reconnects = totals.reconnects;
        line("connections", format!("{} opened, {reconnects} closed on purpose, lost: {lost}", totals.connections));
        line("errors", self.errors());
        self.generator(&mut line);
        line("contradictions", totals.contradictions.to_string());
        for contradiction in &self.contradictions {
            line("", contradiction.clone());
        }
        for limit in &self.limits {
            line(if limit.given { "limit" } else { "always" }, LimitVerdict::line(limit));
        }
        text
    }

    fn generator(&self, line: &mut impl FnMut(&str, String)) {
        let generator = &self.generator;
        let mut own = format!("{:.2} ms late at p99", generator.lateness.p99_ms);
        if let (Some(all), Some(busiest)) = (generator.cores, generator.busiest_thread_cores) {
            let _ = write!(own, ", {all:.2} cores, busiest thread {busiest:.2}");
        }
        if let Some(bytes) = generator.memory_peak_bytes {
            let _ = write!(own, ", peak memory {} MiB", bytes / (1024 * 1024));
        }
        line("generator", own);
        for doubt in &generator.doubts {
            line("UNRELIABLE", doubt.clone());
        }
    }

    /// The errors by cause.
    pub(super) fn errors(&self) -> String {
        let totals = &self.totals;
        let mut parts = Vec::new();
        for (count, what) in [
            (totals.failed.values().sum(), format!("intents failed: {}", counts(&totals.failed))),
            (totals.turned_away, format!("{} rejected temporarily", totals.turned_away)),
            (totals.not_begun, format!("{} not started because too many were waiting", totals.not_begun)),
            (totals.unknown, format!("{} answers lost", totals.unknown)),
            (totals.connections_lost.values().sum(), format!("connections lost: {}", counts(&totals.connections_lost))),
        ] {
            if count > 0_u64 {
                parts.push(what);
            }
        }
        if parts.is_empty() { "0".to_owned() } else { format!("{} ({})", totals.errors, parts.join("; ")) }
    }
}

/// A sum with its parts.
pub(super) fn counts<K: AsRef<str>>(counts: &BTreeMap<K, u64>) -> String {
    if counts.is_empty() {
        return "0".to_owned();
    }
    let all: u64 = counts.values().sum();
    let each: Vec<_> = counts.iter().map(|(name, count)| format!("{} {count}", name.as_ref())).collect();
    format!("{all} ({})", each.join(", "))
}
