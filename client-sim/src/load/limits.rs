//! Limits of a run from the command line, and their verdicts.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::series::Percentiles;
use crate::duration::parse_duration;

/// Limits. If any limit is exceeded, the exit code is 1.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Maximum median latency, counted from an intent's due time.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    p50: Option<Duration>,
    /// Maximum 90th percentile of the latency.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    p90: Option<Duration>,
    /// Maximum 99th percentile of the latency.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    p99: Option<Duration>,
    /// Maximum 99.9th percentile of the latency.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    p999: Option<Duration>,
    /// Maximum 99th percentile of the latency of answers after the commit.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    durable_p99: Option<Duration>,
    /// Maximum number of failed intents and lost connections together. Conflicts and refusals by the game's rules do not
    /// count.
    #[arg(long, value_name = "NUMBER")]
    errors: Option<u64>,
    /// Maximum number of intents that end in a conflict.
    #[arg(long, value_name = "NUMBER")]
    conflicts: Option<u64>,
}

/// Checked in every run: the count must be 0.
const ALWAYS: [&str; 2] = ["contradictions", "never settled"];

/// The figures that limits are checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) latency: Percentiles,
    pub(super) durable: Percentiles,
    pub(super) errors: u64,
    pub(super) conflicts: u64,
    pub(super) contradictions: u64,
    pub(super) unsettled: u64,
}

/// One limit and its result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct LimitVerdict {
    /// The option's name, or the name of an implicit check.
    pub(super) limit: &'static str,
    /// True if given on the command line, false for an implicit check.
    pub(super) given: bool,
    /// The largest allowed value.
    pub(super) asked: f64,
    /// `None` if nothing was measured; then the limit is missed.
    pub(super) found: Option<f64>,
    /// `ms`, or empty for counts.
    pub(super) unit: &'static str,
    pub(super) held: bool,
}

impl LimitVerdict {
    fn of(limit: &'static str, asked: f64, found: Option<f64>, unit: &'static str) -> Self {
        let given = !ALWAYS.contains(&limit);
        Self { limit, given, asked, found, unit, held: found.is_some_and(|found| found <= asked) }
    }

    /// The limit, for people.
    pub(super) fn asked_text(&self) -> String {
        amount(self.asked, self.unit)
    }

    /// The measured value, for people.
    pub(super) fn found_text(&self) -> String {
        self.found.map_or_else(|| "nothing".to_owned(), |found| amount(found, self.unit))
    }

    /// The verdict as one line.
    pub(super) fn line(&self) -> String {
        let held = if self.held { "ok    " } else { "FAILED" };
        format!("{held}  {:<16}limit {}, measured {}", self.limit, self.asked_text(), self.found_text())
    }
}

fn amount(value: f64, unit: &str) -> String {
    if unit.is_empty() { format!("{value:.0}") } else { format!("{value} {unit}") }
}

impl Limits {
    /// Checks a run against the given limits and the implicit ones: no contradiction, and an end for every intent.
    pub(super) fn verdicts(&self, found: &Found) -> Vec<LimitVerdict> {
        let some = |percentiles: &Percentiles, value: f64| (percentiles.count > 0).then_some(value);
        let latency = |value| some(&found.latency, value);
        let times = [
            ("p50", self.p50, latency(found.latency.p50_ms)),
            ("p90", self.p90, latency(found.latency.p90_ms)),
            ("p99", self.p99, latency(found.latency.p99_ms)),
            ("p999", self.p999, latency(found.latency.p99_9_ms)),
            ("durable-p99", self.durable_p99, some(&found.durable, found.durable.p99_ms)),
        ];
        let counts = [
            ("errors", self.errors, found.errors),
            ("conflicts", self.conflicts, found.conflicts),
            (ALWAYS[0], Some(0), found.contradictions),
            (ALWAYS[1], Some(0), found.unsettled),
        ];
        let times = times.into_iter().filter_map(|(limit, asked, found)| {
            Some(LimitVerdict::of(limit, asked?.as_secs_f64() * 1000.0, found, "ms"))
        });
        let counts = counts
            .into_iter()
            .filter_map(|(limit, asked, found)| Some(LimitVerdict::of(limit, asked? as f64, Some(found as f64), "")));
        times.chain(counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        let latency =
            Percentiles { count: 9, p50_ms: 1.0, p90_ms: 2.0, p99_ms: 10.0, p99_9_ms: 20.5, ..Percentiles::default() };
        let durable = Percentiles::default();
        Found { latency, durable, errors: 2, conflicts: 7, contradictions: 0, unsettled: 0 }
    }

    /// The missed limits.
    fn missed(limits: Limits, found: Found) -> Vec<&'static str> {
        let verdicts = limits.verdicts(&found);
        verdicts.into_iter().filter(|verdict| !verdict.held).map(|verdict| verdict.limit).collect()
    }

    #[test]
    fn each_limit_is_judged_on_its_own() {
        let ms = |ms| Some(Duration::from_micros((ms * 1000.0) as u64));
        let none = Limits::default;
        for (limits, expected) in [
            (none(), vec![]),
            (Limits { p50: ms(1.0), p90: ms(2.0), p99: ms(10.0), p999: ms(20.5), ..none() }, vec![]),
            (Limits { p50: ms(0.9), ..none() }, vec!["p50"]),
            (Limits { p90: ms(1.99), ..none() }, vec!["p90"]),
            (Limits { p99: ms(9.9), ..none() }, vec!["p99"]),
            (Limits { p999: ms(20.0), p99: ms(5.0), p50: ms(3.0), ..none() }, vec!["p99", "p999"]),
            (Limits { durable_p99: ms(1000.0), ..none() }, vec!["durable-p99"]),
            (Limits { errors: Some(2), conflicts: Some(7), ..none() }, vec![]),
            (Limits { errors: Some(1), conflicts: Some(0), ..none() }, vec!["errors", "conflicts"]),
        ] {
            assert_eq!(missed(limits.clone(), found()), expected, "{limits:?}");
        }
    }

    #[test]
    fn contradictions_and_unsettled_intents_always_fail_the_run() {
        assert_eq!(missed(Limits::default(), Found { contradictions: 1, ..found() }), ["contradictions"]);
        assert_eq!(missed(Limits::default(), Found { unsettled: 3, ..found() }), ["never settled"]);
    }

    #[test]
    fn a_verdict_names_the_limit_and_the_measured_value() {
        let limits = Limits { p99: Some(Duration::from_millis(5)), errors: Some(3), ..Limits::default() };
        let lines: Vec<_> = limits.verdicts(&found()).iter().map(LimitVerdict::line).collect();
        assert_eq!(lines[0], "FAILED  p99             limit 5 ms, measured 10 ms");
        assert_eq!(lines[1], "ok      errors          limit 3, measured 2");
        let nothing = Found { latency: Percentiles::default(), ..found() };
        assert!(limits.verdicts(&nothing)[0].line().ends_with("measured nothing"));
    }
}
