//! The report of a run: as JSON, as text for a terminal, and as a page.

mod chart;
mod charts;
mod html;
mod scale;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::generator::Generator;
use super::limits::{Found, LimitVerdict};
use super::scenario::{Scenario, Seat};
use super::series::{self, Bar, Moment, Percentiles};
use super::settings::LoadSettings;
use super::supervise::Course;
use super::tally::Tally;

/// The report of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    started_at: String,
    settings: ReportedSettings,
    scenario: Scenario,
    /// True if the server was consistent and within all limits.
    good: bool,
    limits: Vec<LimitVerdict>,
    generator: Generator,
    totals: Totals,
    groups: Vec<GroupReport>,
    /// The distribution of latencies.
    latency_distribution: Vec<Bar>,
    /// The distribution of latencies after the commit.
    latency_ack_durable_distribution: Vec<Bar>,
    /// The run over time.
    moments: Vec<Moment>,
    /// The first few contradictions in full.
    contradictions: Vec<String>,
}

/// The settings of the run.
#[derive(Debug, Serialize)]
struct ReportedSettings {
    server: String,
    players: u32,
    duration_seconds: f64,
    ramp_seconds: f64,
    settle_seconds: f64,
    codec: &'static str,
    seed: u64,
    threads: u16,
}

/// All players together, over the whole run.
#[derive(Debug, Serialize)]
struct Totals {
    /// Duration of the load.
    seconds: f64,
    begun: u64,
    answered: u64,
    /// Answered due intents per second, without the outfits before the load.
    answered_per_second: f64,
    applied: u64,
    durable: u64,
    conflicts: u64,
    rejected: BTreeMap<String, u64>,
    /// Failed intents and lost connections: the sum of the following five.
    errors: u64,
    failed: BTreeMap<String, u64>,
    turned_away: u64,
    not_begun: u64,
    unknown: u64,
    connections_lost: BTreeMap<String, u64>,
    resent: u64,
    reconnects: u64,
    expired: u64,
    without_an_end: u64,
    pushed: u64,
    connections: u64,
    contradictions: u64,
    latency: Percentiles,
    latency_ack_durable: Percentiles,
}

/// The players of a group.
#[derive(Debug, Serialize)]
struct GroupReport {
    name: String,
    players: usize,
    applied: u64,
    conflicts: u64,
    rejected: u64,
    errors: u64,
    resent: u64,
    pushed: u64,
    latency: Percentiles,
    latency_ack_durable: Percentiles,
}

impl Report {
    /// The report of a finished run.
    pub(super) fn of(
        settings: &LoadSettings,
        scenario: &Scenario,
        seats: &[Seat],
        course: Course,
        started_at: String,
    ) -> Self {
        let mut sum = Tally::default();
        course.tallies.iter().for_each(|tally| sum.add(tally));
        let totals = Totals::of(&sum, course.seconds);
        let found = Found {
            latency: totals.latency,
            durable: totals.latency_ack_durable,
            errors: totals.errors,
            conflicts: totals.conflicts,
            contradictions: totals.contradictions,
            unsettled: totals.without_an_end,
        };
        let limits = settings.limits.verdicts(&found);
        let measured = if totals.latency.count > 0 { &totals.latency } else { &totals.latency_ack_durable };
        let groups = scenario.groups.iter().zip(&course.tallies).enumerate().map(|(number, (group, tally))| {
            let players = seats.iter().filter(|seat| seat.group == number).count();
            GroupReport::of(&group.name, players, tally)
        });
        Self {
            started_at,
            settings: ReportedSettings::of(settings),
            scenario: scenario.clone(),
            good: limits.iter().all(|verdict| verdict.held),
            limits,
            generator: Generator::judge(Percentiles::of(&sum.lateness), measured, course.cores),
            groups: groups.collect(),
            latency_distribution: series::distribution(&sum.latency),
            latency_ack_durable_distribution: series::distribution(&sum.latency_durable),
            totals,
            moments: course.moments,
            contradictions: sum.examples,
        }
    }

    /// Returns true if the server was consistent and within all limits.
    pub(super) fn is_good(&self) -> bool {
        self.good
    }
}

impl ReportedSettings {
    fn of(settings: &LoadSettings) -> Self {
        Self {
            server: settings.server.clone(),
            players: settings.players,
            duration_seconds: settings.duration.as_secs_f64(),
            ramp_seconds: settings.ramp.as_secs_f64(),
            settle_seconds: settings.settle.as_secs_f64(),
            codec: settings.codec.codec().subprotocol(),
            seed: settings.seed,
            threads: settings.threads,
        }
    }
}

impl Totals {
    fn of(sum: &Tally, seconds: f64) -> Self {
        let measured = |histogram: &Histogram<u64>| histogram.len() as f64;
        Self {
            seconds,
            begun: sum.begun,
            answered: sum.answered(),
            answered_per_second: (measured(&sum.latency) + measured(&sum.latency_durable)) / seconds,
            applied: sum.applied,
            durable: sum.durable,
            conflicts: sum.refused,
            rejected: sum.rejected.clone(),
            errors: sum.errors(),
            failed: sum.failed.clone(),
            turned_away: sum.turned_away,
            not_begun: sum.full,
            unknown: sum.unknown,
            connections_lost: sum.lost.clone(),
            resent: sum.resent,
            reconnects: sum.reconnects,
            expired: sum.expired,
            without_an_end: sum.unsettled,
            pushed: sum.pushed,
            connections: sum.connections,
            contradictions: sum.contradictions,
            latency: Percentiles::of(&sum.latency),
            latency_ack_durable: Percentiles::of(&sum.latency_durable),
        }
    }
}

impl GroupReport {
    fn of(name: &str, players: usize, tally: &Tally) -> Self {
        Self {
            name: name.to_owned(),
            players,
            applied: tally.applied,
            conflicts: tally.refused,
            rejected: tally.rejections(),
            errors: tally.errors(),
            resent: tally.resent,
            pushed: tally.pushed,
            latency: Percentiles::of(&tally.latency),
            latency_ack_durable: Percentiles::of(&tally.latency_durable),
        }
    }
}
